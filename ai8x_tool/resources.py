"""Locations of models, datasets, configurations and templates: the user's folder first, then the bundled ones."""

from __future__ import annotations

import errno
from pathlib import Path

from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import expand

_REFERENCE_NETWORKS = {
    "mnist-chw-ai85": "mnist",
    "mnist-chw-extrasmall-ai85": "mnist_extrasmall",
    "kws20-v3-hwc": "kws20_v3",
    "ai87-kws20-v3-hwc": "ai87_kws20_v3",
    "kws20-hwc": "kws20",
    "kws20-nas-hwc": "kws20_nas",
    "cats-dogs-hwc": "catsdogs",
    "cifar10-nas": "cifar10",
    "cifar100-nas": "cifar100_qat8",
    "cifar100-simple": "cifar100_qat_mixed",
    "cifar100-simplewide2x": "cifar100_simplenetwide2x_qat_mixed",
    "cifar100-ressimplenet": "cifar100_ressimplenet",
    "ai87-cifar100-effnet2": "cifar100_qat8_effnet2",
    "ai87-cifar100-mobilenet-v2-0.5": "cifar100_qat8_mobilenet_v2_0.5",
    "ai87-cifar100-mobilenet-v2-0.75": "cifar100_qat8_mobilenet_v2_0.75",
    "ai87-imagenet-effnet2": "imagenet_effnet2",
    "ai87-mobilefacenet-112": "mobilefacenet_112",
    "ai85-autoencoder": "autoencoder",
    "ai85-facedet-tinierssd": "facedet_tinierssd",
    "ai87-facedet-tinierssd": "facedet_tinierssd",
    "svhn-tinierssd": "svhn_tinierssd",
    "ai85-kinetics-actiontcn": "kinetics",
    "camvid-unet-large-fakept": "camvid_unet",
    "aisegment-unet-large-fakept": "aisegment_unet",
    "ai85-tinierssd-kpts-qr": "qr_tinierssd",
}
"""Names of the reference's network descriptions, and those of the same networks here."""


_MOST_NAMED = 12
"""Maximum number of names that a message lists."""


def shipped(kind: str) -> Path:
    """Return the folder `kind` (``models``, ``datasets``, ``configs/networks``, …) that ships with the tool."""
    package = Path(__file__).resolve().parent
    inside = package / "resources"
    return (inside if inside.is_dir() else package.parent) / kind


def search_path(kind: str) -> list[Path]:
    """Return the existing folders for `kind`: ``./kind`` of the current directory first."""
    folders = [Path.cwd() / kind, shipped(kind)]
    unique = list(dict.fromkeys(folder.resolve() for folder in folders if folder.is_dir()))
    return list(unique)


def has_own(kind: str) -> bool:
    """Return whether the working folder has a folder `kind` that is not the one that ships with the tool."""
    own = Path.cwd() / kind
    return own.is_dir() and own.resolve() != shipped(kind).resolve()


_KINDS = {"qat": "QAT policy", "networks": "network description"}
"""Terms for configurations that differ from the name of their folder."""


def find_config(kind: str, name: str, suffix: str = ".yaml", prefix: str = "") -> Path:
    """Return the configuration file called `name` (a path, or a bare name looked up in ``configs/<kind>``).

    Files named in old scripts are found without their folder and `prefix`: ``policies/schedule-kws20.yaml`` is
    ``kws20``, and so is ``schedule_kws20.yaml``. Network descriptions are also found by their names in the reference.
    Raises Ai8xError, which names the closest match or the known names.
    """
    given = expand(name)
    if is_file(given):
        return given
    known = list_configs(kind, suffix)
    stem = name.removesuffix(suffix)
    if prefix and given.stem.replace("-", "_").startswith(prefix.replace("-", "_")):
        stem = given.stem[len(prefix) :].strip("-_") or "default"
    elif prefix and given.parent != Path() and given.stem in known:
        stem = given.stem
    if kind == "networks" and stem not in known:
        stem = _REFERENCE_NETWORKS.get(given.name.removesuffix(suffix), stem)
    if stem in known:
        return known[stem]
    hint = nearest(stem, list(known)) or f"; known: {_listed(sorted(known))}"
    what = _KINDS.get(kind, kind.removesuffix("s"))
    raise Ai8xError(f"no file and no {what} named {name!r}{hint}")


def _listed(names: list[str]) -> str:
    """Return the first names, and the number of the others."""
    more = f" and {len(names) - _MOST_NAMED} others" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more if names else "none"


def list_configs(kind: str, suffix: str = ".yaml") -> dict[str, Path]:
    """Return every configuration of ``configs/<kind>`` by name; the user's own override bundled ones."""
    found: dict[str, Path] = {}
    for folder in search_path(f"configs/{kind}"):
        for path in sorted(folder.glob(f"*{suffix}")):
            found.setdefault(path.stem, path)
    return found


def is_file(path: Path) -> bool:
    """Return whether `path` is a file; False if it is too long for a name."""
    try:
        return path.is_file()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def locate(kind: str, name: str | Path) -> Path | None:
    """Return the file called `name`, with or without ``.yaml``, in the folders `kind`; None if there is none."""
    candidates = (folder / text for folder in search_path(kind) for text in (name, f"{name}.yaml"))
    return next((path for path in candidates if is_file(path)), None)


def find_file(kind: str, name: Path, what: str) -> Path:
    """Return the file called `name`, a path or a name in the folders `kind`; errors call it `what`."""
    given = expand(name)
    found = given if is_file(given) else locate(kind, name)
    if found is None:
        raise Ai8xError(f"{what} not found", where=str(name))
    return found


def list_names(kind: str) -> list[str]:
    """Return the names of all files in the folders `kind`, those of configurations without ``.yaml``."""
    found = {path.name.removesuffix(".yaml") for folder in search_path(kind) for path in folder.glob("*.*")}
    return sorted(found)
