"""Street View House Numbers: detection of digits. The files ("format 1") must be downloaded manually."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.images import read_image, require_pillow, resized
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
SIDE = 74
MARGIN = 0.3
MOST = 6
"""The most digits in any house number."""
_FARTHEST = 1 << 20
"""More pixels than any image has in a row."""
_BOX = ("left", "top", "width", "height", "label")


@dataclass(frozen=True)
class House:
    """One image: its file name and, for every digit, left, top, right, bottom in pixels and label 1 … 10."""

    file: str
    digits: NDArray[np.float64]


def load(data_dir: Path, console: Console, *, simplified: bool) -> Dataset:
    """Return the crops of both splits. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "SVHN"
    return Dataset(
        train=_split(root, "train", simplified, console),
        validation=None,
        test=_split(root, "test", simplified, console),
    )


def _split(root: Path, name: str, simplified: bool, console: Console) -> Split:
    index = root / name / "digitStruct.mat"
    if not index.is_file():
        fix = f"put {name}.tar.gz of the Street View House Numbers there, unpacked"
        raise Ai8xError("not found", where=str(index), fix=fix)

    def build(folder: Path) -> None:
        require_pillow()
        houses = list(read_index(index))
        with (
            ArrayWriter(folder / "raw.npy", (3, SIDE, SIDE), np.uint8) as raw,
            ArrayWriter(folder / "targets.npy", (MOST, 5), np.float32) as targets,
            console.progress(f"SVHN {name}", len(houses)) as progress,
        ):
            for number, house in enumerate(houses):
                made = crop(read_image(index.with_name(house.file)), house.digits, np.random.default_rng(number))
                if made is not None:
                    raw.append(made[0].transpose(2, 0, 1)[None])
                    targets.append(made[1][None])
                progress.advance()

    status = index.stat()
    key = {"version": VERSION, "bytes": status.st_size, "changed": status.st_mtime_ns}
    arrays = cached_arrays(root / "prepared", f"{name}-{SIDE}", key, build)
    targets = arrays["targets"]
    if simplified:
        targets = targets.clone()
        targets[..., 4] = (targets[..., 4] > 0).float()
    return Split(arrays["raw"], targets, prepare)


def read_index(path: Path) -> Iterator[House]:
    """Yield the entries of ``digitStruct.mat`` (HDF5). Raises Ai8xError if it cannot be read."""
    try:
        import h5py  # noqa: PLC0415  (optional)
    except ImportError:
        raise Ai8xError("reading SVHN needs h5py", fix="pip install 'ai8x-tool[images]'") from None
    try:
        with h5py.File(path, "r") as file:
            names, boxes = file["digitStruct/name"], file["digitStruct/bbox"]
            for number in range(len(names)):
                text = "".join(map(chr, np.ravel(file[names[number, 0]][()])))
                if Path(text).name != text:
                    raise ValueError(f"{text!r} is not a file name")
                group = file[boxes[number, 0]]
                left, top, width, height, label = (_numbers(file, group[key]) for key in _BOX)
                digits = np.stack([left, top, left + width, top + height, label], axis=1)
                if not (np.abs(digits) < _FARTHEST).all():
                    raise ValueError(f"the boxes of {text!r} are not in any image")
                yield House(text, digits)
    except (OSError, LookupError, ValueError, TypeError, RuntimeError, ArithmeticError, AttributeError) as error:
        raise Ai8xError(f"cannot be read as the index of SVHN: {error}", where=str(path)) from None


def _numbers(file: Any, values: Any) -> NDArray[np.float64]:
    """Return one number per digit; several are stored as references."""
    if len(values) == 1:
        return np.ravel(values[()]).astype(np.float64)
    return np.array([np.ravel(file[reference][()])[0] for reference in np.ravel(values[()])], np.float64)


def crop(
    pixels: NDArray[np.uint8], digits: NDArray[np.float64], random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]] | None:
    """Return a square around all digits, 74×74, and objects (6, 5) relative to it; None if it leaves the image.

    Where along its shorter side the digits lie in it is random.
    """
    corner, far = digits[:, :2].min(axis=0), digits[:, 2:4].max(axis=0)
    if corner.min() < 0 or len(digits) > MOST:
        return None
    size = np.array(pixels.shape[1::-1])
    length = int((far - corner).max())
    spare = (length - (far - corner)).astype(int)
    start = np.maximum(corner.astype(int) - random.integers(0, spare + 1), 0)
    if length < 1 or (start + length > size).any():
        return None
    margin = round(MARGIN * length / 2)
    while margin > 1 and ((start < margin).any() or (start + length + margin > size).any()):
        margin //= 2
    margin = margin if margin > 1 else 0
    start, length = start - margin, length + 2 * margin
    window = pixels[start[1] : start[1] + length, start[0] : start[0] + length]
    objects = np.zeros((MOST, 5), np.float32)
    places = np.rint((digits[:, :4] - np.tile(start, 2)) * (SIDE / length)) / SIDE
    objects[: len(digits), :4] = places.clip(0, 1)
    objects[: len(digits), 4] = digits[:, 4]
    return resized(window, SIDE, SIDE), objects


def prepare(raw: Tensor) -> Tensor:
    """Return the network's input, −128…127."""
    return raw.float() - 128


datasets = [
    DatasetEntry(
        name="SVHN_74",
        input=(3, SIDE, SIDE),
        labels=tuple(str(digit) for digit in range(1, 11)),
        load=partial(load, simplified=False),
        description="house numbers, digits to be detected, 74×74",
        task="detection",
    ),
    DatasetEntry(
        name="SVHN_74_simplified",
        input=(3, SIDE, SIDE),
        labels=("1",),
        load=partial(load, simplified=True),
        description="house numbers, any digit to be detected, 74×74",
        task="detection",
    ),
]
