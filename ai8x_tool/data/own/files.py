"""Files of a data folder: their classes, and the splits named by folders."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings
from ai8x_tool.text import decode_surrogates, is_unicode

KINDS = {
    "images": (".png", ".jpg", ".jpeg", ".bmp", ".webp"),
    "sound": (".wav", ".flac"),
    "series": (".csv", ".npy", ".npz"),
}
"""Suffixes of files by kind of data, in lower case."""
SPLITS = ("train", "validation", "test")
_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NOISE_NAMES = ("background", "_background_noise_", "background_noise", "noise_background")
_NORMAL_NAMES = ("normal", "ok", "good", "healthy")
ANOMALY = "anomaly"
"""Name of the class of anomalies."""
_MOST_NAMES = 3


@dataclass(frozen=True)
class DataFile:
    """A file: path below the folder, with slashes; class and split if named by folders."""

    name: str
    label: str | None
    split: str | None


@dataclass(frozen=True)
class FolderContent:
    """Content of a folder: files of the requested kind, classes in order, folder of noise, and names of other files."""

    root: Path
    kind: str
    files: tuple[DataFile, ...]
    classes: tuple[str, ...]
    background: Path | None
    others: tuple[str, ...]
    companions: tuple[str, ...] = ()
    """Other files that the samples depend on: masks, boxes, class names."""

    def __post_init__(self) -> None:
        for name in self.classes:
            if not is_unicode(name):
                raise Ai8xError(f"the file name {name!r} must be valid UTF-8", where=str(self.root), fix="rename it")

    def digest(self) -> str:
        """Return a digest that changes if a file is added, removed or modified."""
        text = hashlib.sha256()
        extra = sorted(names_in(self.background)) if self.background is not None else []
        own = (*(file.name for file in self.files), *self.companions)
        for root, name in [*((self.root, name) for name in own), *((self.background, name) for name in extra)]:
            assert root is not None
            status = (root / name).stat()
            text.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogatepass"))
        return text.hexdigest()


def read_folder(own: OwnDataSettings) -> FolderContent:
    """Examine a folder without opening its files. Raises Ai8xError if it has no files of the requested kind."""
    root = own.path
    if not root.is_dir():
        raise Ai8xError("data folder not found", where=str(root), fix="specify it with --data, or as `path` of `data`")
    names = sorted(names_in(root))
    kind = own.kind or _most_frequent_kind(names, root)
    background = own.background or _background(root)
    parts = _split_folders(root)
    found, others = [], []
    for name in names:
        folders, ending = name.split("/")[:-1], Path(name).suffix.lower()
        if background is not None and (root / name).is_relative_to(background):
            continue
        if ending not in KINDS[kind]:
            others.append(name)
            continue
        split = split_named(folders[0]) if parts and folders else None
        inner = folders[1:] if split else folders
        found.append(DataFile(name, decode_surrogates(inner[0]) if inner else None, split))
    labelled = own.target or own.task == "anomaly" or not any(f.label for f in found)
    kept = [f for f in found if (f.label is not None or labelled) and (f.split is not None or not parts)]
    others += [f.name for f in found if f not in kept] if len(kept) != len(found) else []
    if not kept:
        endings = ", ".join(KINDS[kind])
        raise Ai8xError(f"no files {endings} in it", where=str(root), fix="put them into a folder for each class")
    classes = own.classes or tuple(sorted({f.label for f in kept if f.label is not None}))
    unknown = [f for f in kept if f.label is not None and own.classes and f.label not in classes]
    others += [f.name for f in unknown]
    kept = [f for f in kept if f not in unknown] if unknown else kept
    return FolderContent(root, kind, tuple(kept), classes, background, tuple(others))


def normal_first(content: FolderContent, classes: Sequence[str]) -> FolderContent:
    """Return the content with the normal class first, and all other files in the test split only.

    The normal class is the first of the user's `classes`, else the one with that name, else the one with the most
    training files.
    """
    trained = Counter(file.label for file in content.files if file.split in (None, "train"))
    named = [*classes[:1], *(label for label in trained if str(label).lower() in _NORMAL_NAMES)]
    normal = named[0] if named else trained.most_common(1)[0][0]
    files = [f if f.label == normal else replace(f, split="test") for f in content.files]
    others = (name for name in content.classes if name != normal)
    return replace(content, files=tuple(files), classes=(str(normal), *others))


def names_in(root: Path) -> Iterator[str]:
    """Yield the paths of all files below `root` that are not hidden."""
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if not any(part.startswith(".") for part in name.parts) and path.is_file():
            yield name.as_posix()


def split_named(folder: str) -> str | None:
    """Return the split named by a folder, None if it names none."""
    return _SPLIT_NAMES.get(folder.lower())


def _most_frequent_kind(names: Iterable[str], root: Path) -> str:
    endings = {ending: kind for kind, known in KINDS.items() for ending in known}
    counts = Counter(endings[e] for e in (Path(name).suffix.lower() for name in names) if e in endings)
    if not counts:
        known = ", ".join(endings)
        raise Ai8xError(f"no images, sounds or tables in it ({known})", where=str(root), fix="check the folder")
    return counts.most_common(1)[0][0]


def _background(root: Path) -> Path | None:
    return next((root / name for name in _NOISE_NAMES if (root / name).is_dir()), None)


def _split_folders(root: Path) -> bool:
    """Return whether the folders in `root` are splits: all are named like splits, and one is for training."""
    names = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in _NOISE_NAMES]
    splits = [split_named(name) for name in names]
    return "train" in splits and None not in splits


def some(names: Iterable[str]) -> str:
    """Return the first names, and the number of others, as text."""
    every = list(names)
    more = len(every) - _MOST_NAMES
    return ", ".join(every[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
