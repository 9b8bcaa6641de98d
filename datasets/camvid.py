"""CamVid: street scenes with a class for every pixel. The files (Kaggle: "camvid") must be downloaded manually."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.folding import fold
from ai8x_tool.data.images import read_image
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
FEW = ("Building", "Sky", "Tree")
"""The classes of the sets with "c3"; everything else is one more."""
NAMES = (
    *("None", "Animal", "Archway", "Bicyclist", "Bridge", "Building", "Car", "CartLuggagePram", "Child"),
    *("Column_Pole", "Fence", "LaneMkgsDriv", "LaneMkgsNonDriv", "Misc_Text", "MotorcycleScooter", "OtherMoving"),
    *("ParkingBlock", "Pedestrian", "Road", "RoadShoulder", "Sidewalk", "SignSymbol", "Sky", "SUVPickupTruck"),
    *("TrafficCone", "TrafficLight", "Train", "Tree", "Truck_Bus", "Tunnel", "VegetationMisc", "Void", "Wall"),
)


@dataclass(frozen=True)
class Crops:
    """Square windows over an image and how far neighbors (down, right) overlap, in training and test."""

    side: int
    fold_ratio: int
    train: tuple[int, int]
    test: tuple[int, int]


SMALL = Crops(80, 1, (20, 20), (20, 20))
LARGE = Crops(352, 4, (168, 150), (0, 54))


def load(data_dir: Path, console: Console, *, crops: Crops, few: bool) -> Dataset:
    """Return the crops of both splits. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "CamVid"
    return Dataset(
        train=_split(root, "train", crops.train, crops, few, console),
        validation=None,
        test=_split(root, "test", crops.test, crops, few, console),
    )


def _split(root: Path, name: str, overlap: tuple[int, int], crops: Crops, few: bool, console: Console) -> Split:
    images = sorted((root / name).glob("*.png"))
    if not images:
        raise Ai8xError("no images", where=str(root / name), fix="put the Kaggle dataset 'camvid' there, unpacked")
    side = crops.side

    def build(folder: Path) -> None:
        colors = read_colors(root / "class_dict.csv")
        number = _few_classes() if few else np.arange(len(NAMES), dtype=np.uint8)
        with (
            ArrayWriter(folder / "raw.npy", (3, side, side), np.uint8) as raw,
            ArrayWriter(folder / "targets.npy", (side, side), np.uint8) as targets,
            console.progress(f"CamVid {name}", len(images)) as progress,
        ):
            for path in images:
                pixels = read_image(path)
                labels = classes(read_image(root / f"{name}_labels" / f"{path.stem}_L.png"), colors)
                if labels.shape != pixels.shape[:2]:
                    raise Ai8xError("image and labels differ in size", where=str(path))
                for window in windows(labels.shape, side, overlap):
                    raw.append(pixels[window].transpose(2, 0, 1)[None])
                    targets.append(number[labels[window]][None])
                progress.advance()

    key = {"version": VERSION, "side": side, "few": few, "overlap": overlap, "files": [path.name for path in images]}
    arrays = cached_arrays(root / "prepared", f"{name}-{side}", key, build)
    return Split(arrays["raw"], arrays["targets"], partial(prepare, ratio=crops.fold_ratio))


def read_colors(path: Path) -> NDArray[np.int64]:
    """Return the colors, as one number each, of the classes from 1. Raises Ai8xError if the file is not as expected."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
        known = [(row["name"].strip(), *(int(row[key]) for key in "rgb")) for row in rows]
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise Ai8xError(f"cannot be read as a list of classes: {error!r}", where=str(path)) from None
    if tuple(name for name, *_ in known) != NAMES[1:]:
        raise Ai8xError(f"must list the classes {NAMES[1]} … {NAMES[-1]} in this order", where=str(path))
    return np.array([(red << 16) + (green << 8) + blue for _, red, green, blue in known])


def classes(pixels: NDArray[np.uint8], colors: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the class (H, W) of every color (H, W, 3); 0 for unknown ones."""
    numbers = pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    order = np.argsort(colors)
    place = np.searchsorted(colors, numbers, sorter=order).clip(0, len(colors) - 1)
    found = order[place]
    return np.where(colors[found] == numbers, found + 1, 0).astype(np.uint8)


def _few_classes() -> NDArray[np.uint8]:
    """Return the numbers of the few classes by those of all."""
    return np.array([FEW.index(name) if name in FEW else len(FEW) for name in NAMES], np.uint8)


def windows(shape: tuple[int, ...], side: int, overlap: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield the windows that fit into an image."""
    for top in range(0, shape[0] - side + 1, side - overlap[0]):
        for left in range(0, shape[1] - side + 1, side - overlap[1]):
            yield slice(top, top + side), slice(left, left + side)


def prepare(raw: Tensor, ratio: int) -> Tensor:
    """Return the network's input, −128…127, folded."""
    pixels = raw.float() - 128
    return pixels if ratio == 1 else fold(pixels, ratio)


def _entry(name: str, crops: Crops, few: bool, weights: tuple[float, ...] | None) -> DatasetEntry:
    sides = crops.side // crops.fold_ratio
    return DatasetEntry(
        name=name,
        input=(3 * crops.fold_ratio**2, sides, sides),
        labels=(*FEW, "other") if few else NAMES,
        load=partial(load, crops=crops, few=few),
        class_weights=weights,
        description=f"street scenes, {crops.side}×{crops.side}, {'4' if few else '33'} classes",
        task="segmentation",
    )


datasets = [
    _entry("CamVid_s80_c3", SMALL, True, (1, 1, 1, 0.14)),
    _entry("CamVid_s80_c33", SMALL, False, None),
    _entry("CamVid_s352_c3", LARGE, True, (1, 1, 1, 1)),
    _entry("CamVid_s352_c33", LARGE, False, None),
]
