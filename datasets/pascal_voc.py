"""Pascal VOC 2007 and 2012: detection of objects of 20 classes. The files must be downloaded manually."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.compat.trainer import augmentation
from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.colors import normalized
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.image_store import ImageStore, ImageWriter
from ai8x_tool.data.images import read_image
from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import read_text

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
NAMES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
SIZE = (256, 320)
GRAY = (0.5, 0.5, 0.5)
SETS = {"train": (("VOC2007", "trainval"), ("VOC2012", "trainval")), "test": (("VOC2007", "test"),)}
MOST = 56
"""The most objects in any image."""
_FIX = "unpack VOCtrainval_06-Nov-2007.tar, VOCtest_06-Nov-2007.tar and VOCtrainval_11-May-2012.tar of "
_FIX += "host.robots.ox.ac.uk/pascal/VOC into PascalVOC"
_MOST_BYTES = 1 << 22


class Detections(Dataset):
    """Splits whose boxes change with the images."""


def load(data_dir: Path, console: Console) -> Dataset:
    """Return both splits from `data_dir`/PascalVOC. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "PascalVOC"
    return Detections(_split(root, "train", console), None, _split(root, "test", console))


def _split(root: Path, name: str, console: Console) -> Split:
    images = [(root / "VOCdevkit" / year, number) for year, part in SETS[name] for number in listed(root, year, part)]

    def build(folder: Path) -> None:
        with (
            ImageWriter(folder, "images") as writer,
            ArrayWriter(folder / "objects.npy", (MOST, 5), np.float32) as objects,
            console.progress(f"Pascal VOC {name}", len(images)) as progress,
        ):
            for year, number in images:
                objects.append(read_objects(year / "Annotations" / f"{number}.xml")[None])
                writer.append(read_image(year / "JPEGImages" / f"{number}.jpg"))
                progress.advance()

    key = {"version": VERSION, "images": [f"{year.name}/{number}" for year, number in images]}
    arrays = cached_arrays(root / "prepared", name, key, build)
    scenes = Scenes(ImageStore(arrays["images-pixels"]), augmented=name == "train")
    return SceneSplit(arrays["images-places"], arrays["objects"], scenes)


def listed(root: Path, year: str, part: str) -> list[str]:
    """Return the numbers of the images of a set. Raises Ai8xError if there is no list."""
    path = root / "VOCdevkit" / year / "ImageSets" / "Main" / f"{part}.txt"
    if not path.is_file():
        raise Ai8xError("not found", where=str(path), fix=_FIX)
    numbers = read_text(path, _MOST_BYTES).split()
    if not numbers or any(Path(number).name != number for number in numbers):
        raise Ai8xError("is not a list of images", where=str(path), fix=_FIX)
    return numbers


def read_objects(path: Path) -> NDArray[np.float32]:
    """Return objects (56, 5) of an image: corners in pixels from 0, label from 1. Raises Ai8xError."""
    found = np.zeros((MOST, 5), np.float32)
    text = read_text(path, _MOST_BYTES)
    try:
        if "<!" in text:
            raise ValueError("it has a declaration, and annotations have none")
        for number, entry in enumerate(ElementTree.fromstring(text).iter("object")):
            box = [float(entry.findtext(f"bndbox/{side}", "?")) - 1 for side in ("xmin", "ymin", "xmax", "ymax")]
            found[number] = [*box, 1 + NAMES.index(entry.findtext("name", "?"))]
    except (ElementTree.ParseError, ValueError, IndexError) as error:
        raise Ai8xError(f"cannot be read as an annotation: {error}", where=str(path), fix=_FIX) from None
    return found


@dataclass(frozen=True)
class Scenes:
    """Conversion of images into inputs, and of their boxes into relative ones."""

    store: ImageStore
    augmented: bool

    def __call__(self, places: Tensor) -> Tensor:
        """Return inputs (B, 3, 256, 320) without augmentation."""
        return torch.stack([self.scene(place, torch.zeros(0, 5))[0] for place in places])

    def scene(self, place: Tensor, objects: Tensor, *, augment: bool = False) -> tuple[Tensor, Tensor]:
        """Return the input made of one image, and its objects (56, 5)."""
        image, boxes, labels = self.store.image(place) / 255, objects[:, :4], objects[:, 4]
        if augment:
            image = augmentation.photometric_distort(image)
            if random.random() < 0.5:
                image, boxes = augmentation.expand(image, boxes, GRAY)
            image, boxes, labels, _ = augmentation.random_crop(image, boxes, labels, labels)
            if random.random() < 0.5:
                image, boxes = augmentation.flip(image, boxes)
        image, boxes = augmentation.resize(image, boxes, SIZE)
        padded = torch.zeros(MOST, 5)
        padded[: len(boxes)] = torch.cat([boxes.clamp(0, 1), labels[:, None]], dim=1)
        return normalized(image * 255), padded


@dataclass(frozen=True)
class SceneSplit(Split):
    """Images with objects; in training both are augmented."""

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return inputs (B, 3, 256, 320) and objects (B, 56, 5)."""
        scenes: Scenes = self.prepare  # type: ignore[assignment]
        state = random.getstate()
        if generator is not None:
            random.seed(int(torch.randint(2**31, (), generator=generator)))
        made = []
        for place, objects in zip(self.raw[indices], self.targets[indices], strict=True):
            known = objects[objects[:, 4] > 0]
            made.append(scenes.scene(place, known, augment=scenes.augmented and generator is not None))
        random.setstate(state)
        return torch.stack([one for one, _ in made]), torch.stack([other for _, other in made])


datasets = [
    DatasetEntry(
        name="PascalVOC_2007_2012_256_320_augmented",
        input=(3, *SIZE),
        labels=NAMES,
        load=load,
        description="photographs, objects of 20 kinds to be detected, 256×320",
        task="detection",
    )
]
