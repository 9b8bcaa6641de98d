"""ImageNet: photographs in 1,000 classes. The archives of ILSVRC2012 must be downloaded manually.

Images are stored with a smaller side of 160 (training) or 128 pixels (test), which is what the crops are taken from.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.colors import FULL, mirrored, normalized
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.image_classes import class_folders, classified_files
from ai8x_tool.data.image_store import ImageStore, ImageWriter, random_parts, with_smallest_side
from ai8x_tool.data.images import read_image
from ai8x_tool.data.mosaic import mosaic
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
CLASSES, FEW = 1000, 50
SIDE, MOSAIC = 112, 128
STORED = {"train": 160, "val": 128}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}
DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"
TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
META = "ILSVRC2012_devkit_t12/data/meta.mat"
_FIX = f"put {', '.join([*ARCHIVES.values(), DEVKIT])} of image-net.org into ImageNet, or the images into "
_FIX += "ImageNet/{train,val}/<class>"
_MOST_BYTES = 1 << 25

Purpose = Literal["classes", "few", "mosaic"]
Image = tuple[NDArray[np.uint8], int]


def load(data_dir: Path, console: Console, *, purpose: Purpose) -> Dataset:
    """Return both splits from `data_dir`/ImageNet. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "ImageNet"
    kind = Mosaics if purpose == "mosaic" else Dataset
    return kind(_split(root, "train", purpose, console), None, _split(root, "val", purpose, console))


def _split(root: Path, name: str, purpose: Purpose, console: Console) -> Split:
    count = FEW if purpose == "few" else CLASSES
    source = root / name if purpose == "few" or (root / name).is_dir() else root / ARCHIVES[name]
    if not source.exists():
        raise Ai8xError("not found", where=str(source), fix=_FIX)

    def build(folder: Path) -> None:
        images = folder_images(source, count, purpose) if source.is_dir() else archived_images(root, name)
        with (
            ImageWriter(folder, "images") as writer,
            ArrayWriter(folder / "targets.npy", (), np.int64) as targets,
            console.progress(f"ImageNet {name}", 0) as progress,
        ):
            for pixels, number in images:
                writer.append(with_smallest_side(pixels, STORED[name]))
                targets.append(np.array([number]))
                progress.advance()

    status = source.stat()
    key = {"version": VERSION, "classes": count, "bytes": status.st_size, "changed": status.st_mtime_ns}
    arrays = cached_arrays(root / "prepared", name, key, build)
    photographs = Photographs(ImageStore(arrays["images-pixels"]), purpose, STORED[name])
    places, targets = arrays["images-places"], arrays["targets"]
    if purpose == "mosaic":
        parts = random_parts(places, torch.Generator().manual_seed(len(places)))
        return MosaicSplit(torch.cat([places, parts], dim=1), targets, photographs)
    return Split(places, targets, photographs, photographs.augment if name == "train" else None)


def folder_images(folder: Path, count: int, purpose: Purpose) -> Iterator[Image]:
    """Yield the images of a folder for each class; for mosaics there may be any number of classes."""
    names = class_folders(folder, count, fix=_FIX) if purpose != "mosaic" else None
    names = names or sorted(path.name for path in folder.glob("*") if path.is_dir())
    for file, number in classified_files(folder, names, fix=_FIX):
        yield read_image(file), number


def archived_images(root: Path, name: str) -> Iterator[Image]:
    """Yield the images of an official archive, which is not unpacked. Raises Ai8xError if it is damaged."""
    path = root / ARCHIVES[name]
    try:
        with tarfile.open(path) as archive:
            if name == "train":
                yield from _training_images(archive, path)
            else:
                yield from _validation_images(archive, path, _truth(root / DEVKIT))
    except (OSError, EOFError, tarfile.TarError) as error:
        raise Ai8xError(f"cannot be read: {error}", where=str(path), fix=_FIX) from error


def _training_images(archive: tarfile.TarFile, path: Path) -> Iterator[Image]:
    """Yield those of the archives in the archive, one for each class, whose names in order give the class numbers."""
    members = {member.name: member for member in archive if re.fullmatch(r"n\d{8}\.tar", member.name)}
    if len(members) != CLASSES:
        raise Ai8xError(f"has {len(members)} archives of classes, not {CLASSES}", where=str(path), fix=_FIX)
    for number, name in enumerate(sorted(members)):
        content = archive.extractfile(members[name])
        assert content is not None
        with tarfile.open(fileobj=content) as inner:
            for member in inner:
                yield _decoded(inner, member, path), number


def _validation_images(archive: tarfile.TarFile, path: Path, truth: dict[int, int]) -> Iterator[Image]:
    for member in archive:
        found = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", member.name)
        if found is None or int(found[1]) not in truth:
            raise Ai8xError(f"{member.name!r} is not an image of the validation set", where=str(path), fix=_FIX)
        yield _decoded(archive, member, path), truth[int(found[1])]


def _decoded(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> NDArray[np.uint8]:
    content = archive.extractfile(member)
    if content is None or member.size > _MOST_BYTES:
        raise Ai8xError(f"{member.name!r} is not an image", where=str(path), fix=_FIX)
    return read_image(path.with_name(member.name), io.BytesIO(content.read()))


def _truth(path: Path) -> dict[int, int]:
    """Return the class number by the number of a validation image.

    The kit numbers classes in an order of its own; the file ``meta.mat`` holds their names, ``n`` and eight digits,
    as text, in that order, and class numbers are positions in the order of the names.
    """
    try:
        with tarfile.open(path) as archive:
            text, meta = (archive.extractfile(name) for name in (TRUTH, META))
            assert text is not None and meta is not None
            numbers = [int(word) for word in text.read().split()]
            names = _class_names(meta.read())
    except (OSError, KeyError, ValueError, EOFError, AssertionError, tarfile.TarError, zlib.error) as error:
        raise Ai8xError(f"cannot be read as the development kit: {error!r}", where=str(path), fix=_FIX) from None
    if len(names) < CLASSES or not 1 <= min(numbers) <= max(numbers) <= CLASSES:
        raise Ai8xError("is not the development kit of ILSVRC2012", where=str(path), fix=_FIX)
    place = {name: position for position, name in enumerate(sorted(names[:CLASSES]))}
    return {image: place[names[number - 1]] for image, number in enumerate(numbers, start=1)}


def _class_names(content: bytes) -> list[str]:
    """Return the names in a MATLAB file (version 5), whose parts are compressed by zlib."""
    parts, position = [], 128
    while position + 8 <= len(content):
        kind, size = np.frombuffer(content[position : position + 8], "<u4").tolist()
        body = content[position + 8 : position + 8 + size]
        parts.append(zlib.decompress(body) if kind == 15 else body)
        position += 8 + size
    text = b"".join(parts)
    wide = [name.replace(b"\0", b"").decode() for name in re.findall(rb"n\0(?:\d\0){8}", text)]
    return wide or [name.decode() for name in re.findall(rb"n\d{8}", text)]


@dataclass(frozen=True)
class Photographs:
    """Conversion of images in a memory map, or of augmented ones, into inputs."""

    store: ImageStore
    purpose: Purpose
    stored: int

    def __call__(self, raw: Tensor) -> Tensor:
        """Return inputs: the middle of images that are not augmented."""
        images = self.store.centers(raw, (SIDE, SIDE)) if raw.dim() == 2 else raw
        mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
        standard = (images.float() / FULL - mean) / deviation
        # The published network was trained with both normalizations, one after the other, which saturates most values.
        return normalized(standard * FULL)

    def augment(self, places: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return random parts, scaled, of which half are mirrored."""
        images = self.store.resized_parts(places, random_parts(places, generator), (SIDE, SIDE))
        return mirrored(images, generator).round()


@dataclass(frozen=True)
class MosaicSplit(Split):
    """Parts of images, always the same: inputs are mosaics of the pictures, which are the targets."""

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return mosaics (B, 4, 64, 64) and pictures (B, 3, 128, 128), in the unit of outputs."""
        raw = self.raw.index_select(0, indices)
        photographs: Photographs = self.prepare  # type: ignore[assignment]
        parts = raw[:, 3:] if generator is None else random_parts(raw[:, :3], generator)
        pictures = normalized(photographs.store.resized_parts(raw[:, :3], parts, (MOSAIC, MOSAIC)).round())
        return mosaic(pictures), pictures / 128


class Mosaics(Dataset):
    """Splits that make the targets of each batch."""


def _entry(name: str, purpose: Purpose, shape: tuple[int, ...], labels: int, description: str) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        input=shape,
        labels=("rgb",) if purpose == "mosaic" else tuple(map(str, range(labels))),
        load=partial(load, purpose=purpose),
        task="regression" if purpose == "mosaic" else None,
        description=description,
    )


datasets = [
    _entry("ImageNet", "classes", (3, SIDE, SIDE), CLASSES, "photographs in 1,000 classes, 112×112"),
    _entry("ImageNet50", "few", (3, SIDE, SIDE), FEW, "photographs in 50 classes, 112×112"),
    _entry("ImageNet_Bayer", "mosaic", (4, MOSAIC // 2, MOSAIC // 2), 1, "mosaics of photographs and the photographs"),
]
