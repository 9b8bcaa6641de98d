"""Photographs of cats and dogs. The files (Kaggle: "dogs-vs-cats") must be downloaded manually."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ai8x_tool.data.cache import cached_arrays
from ai8x_tool.data.colors import FULL, Jitter, chance, jittered, mirrored, normalized, uniform
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.image_classes import classified_files
from ai8x_tool.data.image_store import ImageStore, store_images, with_smallest_side
from ai8x_tool.data.images import read_image

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
CLASSES = ("cats", "dogs")
SIDE = 128
STORED = 153
"""The smaller side of the images before they are cropped: 1.2 times that of the input."""
_FIX = "put the images of the Kaggle dataset 'dogs-vs-cats' there: cats_vs_dogs/{train,test}/{cats,dogs}/*.jpg"
NOISE = (1.0, 20.0)
"""Variances of the noise that is added."""
SHIFT, SCALE, ANGLE, COLOR = 0.05, 0.05, math.radians(15), 15


def load(data_dir: Path, console: Console) -> Dataset:
    """Return both splits from `data_dir`/cats_vs_dogs. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "cats_vs_dogs"
    return Dataset(_split(root, "train", console, augmented=True), None, _split(root, "test", console, augmented=False))


def _split(root: Path, name: str, console: Console, *, augmented: bool) -> Split:
    files = classified_files(root / name, CLASSES, fix=_FIX)

    def build(folder: Path) -> None:
        with console.progress(f"cats and dogs, {name}", len(files)) as progress:
            images = (with_smallest_side(read_image(file), STORED) for file, _ in files)
            store_images(folder, "images", images, progress.advance)

    key = {"version": VERSION, "files": [(f"{file.parent.name}/{file.name}", file.stat().st_size) for file, _ in files]}
    arrays = cached_arrays(root / "prepared", name, key, build)
    photographs = Photographs(ImageStore(arrays["images-pixels"]))
    targets = torch.tensor([number for _, number in files])
    return Split(arrays["images-places"], targets, photographs, photographs.augment if augmented else None)


@dataclass(frozen=True)
class Photographs:
    """Conversion of images in a memory map, or of augmented ones, into inputs."""

    store: ImageStore

    def __call__(self, raw: Tensor) -> Tensor:
        """Return inputs (B, 3, 128, 128): the middle of images that are not augmented."""
        return normalized(self.store.centers(raw, (SIDE, SIDE)) if raw.dim() == 2 else raw)

    def augment(self, places: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return random parts (B, 3, 128, 128) of images, turned, mirrored, in other colors and with noise."""
        count = len(places)
        images = self.store.sampled(places, _maps(places, generator), (SIDE, SIDE))
        deviation = uniform((count,), *NOISE, generator).sqrt() * chance(count, 0.25, generator)
        images = images + deviation.view(-1, 1, 1, 1) * torch.randn(images.shape, generator=generator)
        shift = uniform((count, 3), -COLOR, COLOR, generator) * chance(count, 0.5, generator)[:, None]
        images = (images + shift[:, :, None, None]).clamp(0, FULL)
        return mirrored(jittered(images, Jitter(), generator, probability=0.5), generator).round()


def _maps(places: Tensor, generator: torch.Generator) -> Tensor:
    """Return maps (B, 2, 3) from pixels of a crop to those of the whole image, half of which are turned and scaled."""
    count, size = len(places), places[:, [2, 1]].float()  # columns, rows
    moved = chance(count, 0.5, generator).float()
    angle = uniform((count,), -ANGLE, ANGLE, generator) * moved
    scale = 1 + uniform((count,), -SCALE, SCALE, generator) * moved
    shift = uniform((count, 2), -SHIFT, SHIFT, generator) * moved[:, None] * size
    corner = (torch.rand(count, 2, generator=generator) * (size - SIDE + 1)).floor()
    cos, sin = angle.cos() / scale, angle.sin() / scale
    turn = torch.stack([torch.stack([cos, sin], dim=1), torch.stack([-sin, cos], dim=1)], dim=1)
    middle = size / 2
    offset = (turn @ (corner - middle - shift)[:, :, None]).squeeze(2) + middle
    return torch.cat([turn, offset[:, :, None]], dim=2)


datasets = [
    DatasetEntry(
        name="cats_vs_dogs",
        input=(3, SIDE, SIDE),
        labels=("cat", "dog"),
        load=load,
        description="photographs of cats and dogs, 128×128",
    )
]
