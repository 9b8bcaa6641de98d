"""MNIST and FashionMNIST: handwritten digits and clothes, 28×28 gray. Downloads 11 and 31 MB at first use."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import radians
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ai8x_tool.data.dataset import Augment, Dataset, DatasetEntry, Split
from ai8x_tool.data.download import Download, fetch
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FILES = {
    "train-images-idx3-ubyte": (9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte": (28881, "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte": (1648877, "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte": (4542, "ec29112dd5afa0611ce80d1b7f02629c"),
}
FASHION_MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
FASHION_FILES = {
    "train-images-idx3-ubyte": (26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte": (29515, "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte": (4422102, "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte": (5148, "bb300cfdad3c16e7a12a480ee83cd310"),
}
CLOTHES = ("top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
SIDE = 28
_MOST_BYTES = 1 << 26
PADDING = 4
ROTATION = radians(20)
SHEAR = radians(5)
TRANSLATION = 0.1


@dataclass(frozen=True)
class Source:
    """The folder of a set, where its files are downloaded from, their sizes and checksums, and its augmentation."""

    folder: str
    mirrors: tuple[str, ...]
    files: Mapping[str, tuple[int, str]]
    augment: Augment


def load(data_dir: Path, console: Console, *, source: Source) -> Dataset:
    """Return a set from ``raw`` in its folder in `data_dir`, where missing files are downloaded. Raises Ai8xError."""
    folder = Path(data_dir) / source.folder / "raw"
    return Dataset(
        train=_split(folder, "train", source, console, augmented=True),
        validation=None,
        test=_split(folder, "t10k", source, console, augmented=False),
    )


def _split(folder: Path, prefix: str, source: Source, console: Console, augmented: bool) -> Split:
    images = read_idx(_file(folder, f"{prefix}-images-idx3-ubyte", source, console), (SIDE, SIDE))
    targets_path = _file(folder, f"{prefix}-labels-idx1-ubyte", source, console)
    targets = read_idx(targets_path, ())
    if len(targets) != len(images):
        raise Ai8xError(f"{len(targets)} labels for {len(images)} images", where=str(targets_path), fix=_AGAIN)
    if targets.max(initial=0) > 9:
        raise Ai8xError(f"label {targets.max()} is not 0 … 9", where=str(targets_path), fix=_AGAIN)
    raw = torch.from_numpy(images).unsqueeze(1)
    return Split(raw, torch.from_numpy(targets).long(), normalize, source.augment if augmented else None)


def _file(folder: Path, name: str, source: Source, console: Console) -> Path:
    """Return the unpacked or the compressed file `name`; where there is neither, download it."""
    unpacked = folder / name
    if unpacked.is_file():
        return unpacked
    size, md5 = source.files[name]
    packed = f"{name}.gz"
    return fetch(Download(packed, size, f"md5:{md5}", [mirror + packed for mirror in source.mirrors]), folder, console)


_AGAIN = "delete it and start again, or put the original file there"


def read_idx(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the bytes (N, *`shape`) of an IDX file, compressed or not. Raises Ai8xError if it is anything else."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(_MOST_BYTES)
            more = file.read(1)
    except (OSError, EOFError, zlib.error) as error:
        raise Ai8xError(f"cannot read the IDX file: {error}", where=str(path), fix=_AGAIN) from error
    if more:
        raise Ai8xError(f"has more than {_MOST_BYTES:,} bytes unpacked", where=str(path), fix=_AGAIN)
    dimensions = 1 + len(shape)
    start = 4 + 4 * dimensions
    header = np.frombuffer(content[:start], dtype=">u4") if len(content) >= start else np.zeros(dimensions + 1)
    if header[0] != 0x0800 + dimensions or tuple(header[2:].tolist()) != shape:
        raise Ai8xError(f"not an IDX file of unsigned bytes N×{'×'.join(map(str, shape))}", where=str(path), fix=_AGAIN)
    count = int(header[1])
    expected = start + count * int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        message = f"truncated or damaged IDX file: {len(content)} bytes, {expected} expected"
        raise Ai8xError(message, where=str(path), fix=_AGAIN)
    return np.frombuffer(bytearray(content), dtype=np.uint8, offset=start).reshape(count, *shape)


def normalize(raw: Tensor) -> Tensor:
    """Return bytes as float32 integers −128…127 by ``clamp(round(p·256/255 − 128))``, half to even."""
    return ((raw.to(torch.float32) / 255 - 0.5) * 256).round().clamp(-128, 127)


def augment(raw: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
    """Return digits (B, 1, 28, 28) randomly cropped, rotated, moved and sheared.

    The crop of 28×28 from the image padded by 4 is a move by whole pixels −4…4. Rotation ±20°, move ±10 % per axis
    and shear ±5° follow, to the nearest pixel, about the center; what comes from outside is 0.
    """
    count = len(raw)
    crop = torch.randint(-PADDING, PADDING + 1, (count, 2), generator=generator)
    angle, shear, *move = (torch.rand(4, count, generator=generator) * 2 - 1).unbind()
    angle, shear = angle * ROTATION, shear * SHEAR
    # In units of half the image, as affine_grid counts; moves are whole pixels.
    pixels = torch.stack(move, dim=1).mul(TRANSLATION * SIDE).round()
    # The map back of (cos a, −sin(a+s); sin a, cos(a+s)), whose determinant is cos s.
    tilt = angle + shear
    rows = torch.stack([tilt.cos(), tilt.sin(), -angle.sin(), angle.cos()], dim=1) / shear.cos().unsqueeze(1)
    inverse = rows.reshape(count, 2, 2)
    offset = -(inverse @ (pixels * 2 / SIDE).unsqueeze(2)) + (crop * 2 / SIDE).unsqueeze(2)
    grid = functional.affine_grid(torch.cat([inverse, offset], dim=2), [count, 1, SIDE, SIDE], align_corners=False)
    moved = functional.grid_sample(
        raw.to(torch.float32), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return moved.to(torch.uint8)


def augment_clothes(raw: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (B, 1, 28, 28) randomly cropped from images padded by 4 black pixels, and half of them mirrored."""
    count, across = len(raw), torch.arange(SIDE)
    padded = functional.pad(raw, (PADDING,) * 4)
    top, left = torch.randint(0, 2 * PADDING + 1, (2, count, 1), generator=generator)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    rows, columns = top + across, left + torch.where(mirrored, across.flip(0), across)
    return padded[torch.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


DIGITS = Source("MNIST", MIRRORS, FILES, augment)
FASHION = Source("FashionMNIST", FASHION_MIRRORS, FASHION_FILES, augment_clothes)

datasets = [
    DatasetEntry(
        name="MNIST",
        input=(1, SIDE, SIDE),
        labels=tuple("0123456789"),
        load=partial(load, source=DIGITS),
        description="handwritten digits, 28×28 gray",
    ),
    DatasetEntry(
        name="FashionMNIST",
        input=(1, SIDE, SIDE),
        labels=CLOTHES,
        load=partial(load, source=FASHION),
        description="clothes, 28×28 gray",
    ),
]
