"""Images with boxes for object detection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import AugmentBoth
from ai8x_tool.data.own.box_files import Objects
from ai8x_tool.data.own.files import DataFile, FolderContent
from ai8x_tool.data.own.image_folder import STRENGTH, ImageFolder
from ai8x_tool.data.own.images import (
    GROUP,
    Move,
    chosen,
    drawn_move,
    fit_of,
    read_image_and_size,
    require_torchvision,
    varied_colours,
    varied_light,
)
from ai8x_tool.data.own.prepare import Array, Prepared, Reading, build_samples, prepared
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_MOST_OBJECTS = 100
_LABEL = 4
"""Column of the label in the row of an object; the preceding four columns are its corners."""
_LEAST_SHARE = 1e-3
"""Smallest width and height of an object, as a share of the image."""


@dataclass(frozen=True)
class BoxSource:
    """Objects of images by image name, as read from the files.

    `unused` are unused files, and problems of files of several images, with the reasons; `kind` is the kind of files.
    """

    objects: Mapping[str, Objects]
    unused: tuple[tuple[str, str], ...]
    kind: str


class BoxFolder(ImageFolder):
    """Images as (channels, rows, columns) uint8 with their objects (M, 5): corners relative to the image, label."""

    counted = "boxes"

    def __init__(self, content: FolderContent, own: OwnDataSettings, source: BoxSource) -> None:
        super().__init__(content, own)
        self._source = source
        self._numbers = {name: number for number, name in enumerate(content.classes, 1)}

    @cached_property
    def _most(self) -> int:
        """The largest number of objects in an image."""
        most = max((len(self._source.objects[file.name].boxes) for file in self._content.files), default=0)
        return max(1, min(_MOST_OBJECTS, most))

    def facts(self) -> list[str]:
        """Return lines about sizes and boxes."""
        every = [self._source.objects[file.name] for file in self._content.files]
        counts = Counter(len(objects.boxes) for objects in every)
        total = sum(number * images for number, images in counts.items())
        boxes = f"boxes ({self._source.kind}): {total:,}, {total / max(1, len(every)):.1f} per image"
        lines = [*super().facts(), f"{boxes}, {max(counts)} at most, none in {counts[0]:,} images"]
        outside = sum(_reaches_outside(objects) for objects in every)
        return lines + ([f"{outside} boxes extend beyond their image and are cropped"] if outside else [])

    def model(self, own: OwnDataSettings) -> str:
        """Return the name of the shipped model for detection."""
        return "compactdetector"

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared images and objects."""
        require_torchvision()

        def count(targets: Array) -> list[int]:
            labels = targets[..., _LABEL].astype(np.int64).ravel() if targets.ndim > 1 else targets
            return np.bincount(labels, minlength=len(self._numbers) + 1)[1:].tolist()

        def build(folder: Path) -> None:
            console.info(f"reading {len(self._content.files)} images of {self._content.root} (once)")
            reading = Reading(self._sample, self.input, np.uint8, count)
            build_samples(folder, self._content, self._own, reading, list(self._source.unused), console)

        return prepared(self._content, self._own, parent, {"input": list(self.input), "boxes": self._most}, build)

    def _sample(self, file: DataFile) -> tuple[Array, Array]:
        objects = self._source.objects[file.name]
        data = (self._content.root / file.name).read_bytes()
        image, size = read_image_and_size(data, self._channels, self._size)
        if objects.size is not None and objects.size != size:
            rows, columns = objects.size
            raise ValueError(f"its boxes are for {columns}×{rows} pixels, but the image has {size[1]}×{size[0]}")
        return image.numpy(), self._rows(objects, size)

    def _rows(self, objects: Objects, size: tuple[int, int]) -> Array:
        """Return the objects (M, 5) relative to the scaled image."""
        fit, result = fit_of(*size, self._size), np.zeros((self._most, _LABEL + 1), np.float32)
        unit = np.array([size[1], size[0]] * 2 if objects.pixels else [1, 1, 1, 1])
        known = [box for box in objects.boxes if box.label in self._numbers]
        number = 0
        for box in known:
            corners = (np.array(box.corners) / unit).clip(0, 1)
            if number == self._most or (corners[2:] - corners[:2]).min() < _LEAST_SHARE:
                continue
            scale, start = np.array([fit.columns, fit.rows] * 2), np.array([fit.left, fit.above] * 2)
            place = (corners * scale + start) / np.array([self._size[1], self._size[0]] * 2)
            result[number] = [*place, self._numbers[box.label]]
            number += 1
        if number < min(len(known), self._most):
            raise ValueError(f"{min(len(known), self._most) - number} of its boxes have no area inside the image")
        return result

    def augmentation_of_both(self) -> AugmentBoth | None:
        """Return the augmentation of training images and their boxes."""
        own = self._own
        return None if own.augment == "none" else BoxVariation(STRENGTH[own.augment], bool(own.any_colour), own.flip)


def _reaches_outside(objects: Objects) -> int:
    """Return the number of boxes that extend by more than a pixel or a hundredth beyond images of known size."""
    if objects.pixels and objects.size is None:
        return 0
    rows, columns = objects.size or (1, 1)
    limit = 1.0 if objects.pixels else 0.01
    return sum(
        min(box.corners) < -limit or box.corners[2] > columns + limit or box.corners[3] > rows + limit
        for box in objects.boxes
    )


@dataclass(frozen=True)
class BoxVariation:
    """Augmentation: varies position, size and light of images, and moves their boxes accordingly."""

    strength: float
    colours: bool
    flip: bool

    def __call__(self, raw: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images (B, C, H, W) and objects (B, M, 5), randomly changed."""
        images, objects = [], []
        for some, theirs in zip(torch.split(raw, GROUP), torch.split(targets, GROUP), strict=True):
            move = drawn_move(generator, self.strength)
            images.append(varied_light(move.of_images(some, turned=False), move))
            objects.append(moved_objects(theirs, move, raw.shape[-2], raw.shape[-1]))
        pictures, boxes = torch.cat(images), torch.cat(objects)
        pictures = varied_colours(pictures, generator) if self.colours else pictures
        if self.flip:
            mirrored = chosen(pictures, generator)
            pictures = torch.where(mirrored, pictures.flip(-1), pictures)
            other = boxes[..., [2, 1, 0, 3, 4]]
            other[..., [0, 2]] = 1 - other[..., [0, 2]]
            other = other * (other[..., _LABEL:] > 0)
            boxes = torch.where(mirrored[:, 0], other, boxes)
        return pictures, boxes


def moved_objects(objects: Tensor, move: Move, rows: int, columns: int) -> Tensor:
    """Return objects (B, M, 5) moved like images by :class:`Move` without rotation.

    Objects whose center leaves the image are removed: their label is set to 0.
    """
    right, down = move.shift(rows, columns)
    shift = torch.tensor([right / columns, down / rows] * 2, device=objects.device)
    corners = (objects[..., :_LABEL] - 0.5) * move.scale + 0.5 + shift
    middle = (corners[..., :2] + corners[..., 2:]) / 2
    kept = ((middle > 0) & (middle < 1)).all(dim=-1, keepdim=True) & (objects[..., _LABEL:] > 0)
    return torch.cat([corners.clamp(0, 1), objects[..., _LABEL:]], dim=-1) * kept
