"""CIFAR-10 and CIFAR-100: photographs of 32×32 pixels in 10 and 100 classes. Downloads 170 MB each at first use."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.download import Download, fetch
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

ADDRESS = "https://www.cs.toronto.edu/~kriz/"
SIDE = 32
PADDING = 4
_MOST_BYTES = 1 << 28
"""Bytes of one file in an archive: the largest has 150 million."""
_AGAIN = "delete it and start again, or put the original file there"


@dataclass(frozen=True)
class Source:
    """An archive, the folder in it, its files of batches, and the key of the class numbers in them."""

    folder: str
    archive: Download
    unpacked: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    key: bytes


CIFAR10 = Source(
    "CIFAR10",
    Download(
        "cifar-10-python.tar.gz",
        170498071,
        "md5:c58f30108f718f92721af3b95e74349a",
        [ADDRESS + "cifar-10-python.tar.gz"],
    ),
    "cifar-10-batches-py",
    tuple(f"data_batch_{number}" for number in range(1, 6)),
    ("test_batch",),
    b"labels",
)
CIFAR100 = Source(
    "CIFAR100",
    Download(
        "cifar-100-python.tar.gz",
        169001437,
        "md5:eb9058c3a382ffc7106e4002c42a8d85",
        [ADDRESS + "cifar-100-python.tar.gz"],
    ),
    "cifar-100-python",
    ("train",),
    ("test",),
    b"fine_labels",
)
LABELS_10 = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_NAMES_100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm "
)
LABELS_100 = tuple(_NAMES_100.split())


def load(data_dir: Path, console: Console, *, source: Source, classes: int) -> Dataset:
    """Return a dataset from its folder in `data_dir`, where a missing archive is downloaded. Raises Ai8xError."""
    folder = Path(data_dir) / source.folder
    unpacked = folder / source.unpacked
    place = unpacked if unpacked.is_dir() else fetch(source.archive, folder, console)
    contents = _contents(place, source)
    return Dataset(
        train=_split(place, contents, source.train, source.key, classes, augmented=True),
        validation=None,
        test=_split(place, contents, source.test, source.key, classes, augmented=False),
    )


def _contents(place: Path, source: Source) -> dict[str, bytes]:
    """Return the files of batches in an unpacked folder or an archive, which is not unpacked."""
    wanted = (*source.train, *source.test)
    try:
        if place.is_dir():
            found = {name: (place / name).read_bytes() for name in wanted if (place / name).is_file()}
        else:
            found = _packed(place, {f"{source.unpacked}/{name}": name for name in wanted})
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise Ai8xError(f"cannot be read: {error}", where=str(place), fix=_AGAIN) from error
    for name in wanted:
        if name not in found:
            raise Ai8xError(f"has no file {name!r}", where=str(place), fix=_AGAIN)
    return found


def _packed(place: Path, names: dict[str, str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(place) as archive:
        for member in archive:
            name = names.get(member.name)
            if name is None or not member.isfile() or member.size > _MOST_BYTES:
                continue
            content = archive.extractfile(member)
            assert content is not None
            found[name] = content.read()
    return found


def _split(
    place: Path, contents: dict[str, bytes], names: tuple[str, ...], key: bytes, classes: int, *, augmented: bool
) -> Split:
    batches = [read_batch(contents[name], key, classes, f"{place}: {name}") for name in names]
    images = torch.from_numpy(np.concatenate([images for images, _ in batches]))
    targets = torch.from_numpy(np.concatenate([targets for _, targets in batches]))
    return Split(images, targets, normalize, augment if augmented else None)


class _Array:
    """Replacement of an array of bytes in a batch."""

    values: NDArray[np.uint8]

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, _, columns_first, content = state
        self.values = np.frombuffer(content, np.uint8).reshape(shape, order="F" if columns_first else "C")


class _Kind:
    """Replacement of the type of an array; only bytes are accepted."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in ("u1", b"u1"):
            raise pickle.UnpicklingError(f"an array of type {name!r}")

    def __setstate__(self, state: Any) -> None:
        pass


def _bytes(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 stores as text in files that Python 2 can read."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Unpickler of batches, which consist of numbers, strings and arrays of bytes."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a class. Raises UnpicklingError if there is none."""
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _Array
        known = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Kind, ("_codecs", "encode"): _bytes}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch contains")
        return known[module, name]


def read_batch(content: bytes, key: bytes, classes: int, where: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (N, 3, 32, 32) and class numbers (N,) of a file of batches. Raises Ai8xError for anything else."""
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        images, targets = batch[b"data"].values, np.array(batch[key])
        whole = images.reshape(-1, 3, SIDE, SIDE)
    except Exception as error:  # a damaged pickle can raise anything
        raise Ai8xError(f"not a batch of images: {error}", where=where, fix=_AGAIN) from error
    if targets.shape != whole.shape[:1] or targets.dtype.kind != "i":
        raise Ai8xError(f"{targets.size} class numbers for {len(whole)} images", where=where, fix=_AGAIN)
    if len(targets) and not 0 <= targets.min() <= targets.max() < classes:
        raise Ai8xError(f"class numbers {targets.min()} to {targets.max()}", where=where, fix=_AGAIN)
    return whole, targets.astype(np.int64)


def normalize(raw: Tensor) -> Tensor:
    """Return bytes as float32 integers −128…127 by ``clamp(round(p·256/255 − 128))``, half to even."""
    return ((raw.to(torch.float32) / 255 - 0.5) * 256).round().clamp(-128, 127)


def augment(raw: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, 3, 32, 32) randomly cropped from images padded by 4 black pixels, and half of them mirrored."""
    count = len(raw)
    padded = torch.nn.functional.pad(raw, (PADDING,) * 4)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    across = torch.arange(SIDE)
    rows, columns = top + across, left + torch.where(mirrored, across.flip(0), across)
    sample, channel = torch.arange(count).view(-1, 1, 1, 1), torch.arange(raw.shape[1]).view(1, -1, 1, 1)
    return padded[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]


datasets = [
    DatasetEntry(
        name="CIFAR10",
        input=(3, SIDE, SIDE),
        labels=LABELS_10,
        load=partial(load, source=CIFAR10, classes=len(LABELS_10)),
        description="photographs of 10 kinds of animals and vehicles, 32×32",
    ),
    DatasetEntry(
        name="CIFAR100",
        input=(3, SIDE, SIDE),
        labels=LABELS_100,
        load=partial(load, source=CIFAR100, classes=len(LABELS_100)),
        description="photographs in 100 classes, 32×32",
    ),
]
