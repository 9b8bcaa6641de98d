"""Images with masks: one class per pixel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import AugmentBoth
from ai8x_tool.data.own.files import DataFile, FolderContent
from ai8x_tool.data.own.image_folder import STRENGTH, ImageFolder
from ai8x_tool.data.own.images import (
    GROUP,
    chosen,
    drawn_move,
    read_image_and_size,
    require_torchvision,
    varied_colours,
    varied_light,
)
from ai8x_tool.data.own.masks import (
    MaskValues,
    counts_of,
    fitted_classes,
    found_values,
    images_with,
    read_mask,
    value_code,
    value_text,
)
from ai8x_tool.data.own.prepare import Array, Prepared, Reading, build_samples, prepared
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_MULTIPLE = 8


class MaskFolder(ImageFolder):
    """Images as (channels, rows, columns) uint8 with the classes of their pixels, (rows, columns) uint8.

    `masks` are names of masks by names of images, `unused` files without a partner with the reason.
    """

    counted = "images with it"

    def __init__(
        self,
        content: FolderContent,
        own: OwnDataSettings,
        masks: Mapping[str, str],
        unused: tuple[tuple[str, str], ...],
        names: tuple[str, ...],
    ) -> None:
        super().__init__(content, own)
        self._masks, self._unused, self._names = masks, unused, names

    @cached_property
    def _values(self) -> MaskValues:
        """Values of the masks that are classes."""
        if self._own.mask_values:
            return MaskValues(tuple(map(value_code, self._own.mask_values)))
        require_torchvision()
        with ThreadPoolExecutor(4) as pool:
            return found_values(pool.map(self._counts, self._masks.values()))

    def _counts(self, name: str) -> dict[int, int]:
        try:
            return counts_of(read_mask((self._content.root / name).read_bytes()))
        except ValueError:
            return {}  # reported when it is read with its image

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class names: as specified, from a file of names, or derived from the values."""
        values = self._values
        names = self._own.classes or self._names or values.names()
        if len(names) != len(values.codes):
            found = ", ".join(map(value_text, values.codes))
            message = f"there are {len(names)} class names, but the masks have {len(values.codes)} values ({found})"
            raise Ai8xError(message, where=str(self._content.root), fix="specify one class name per value")
        return names

    def suggestions(self) -> dict[str, Any]:
        """Return size, channels, classes and the values of the masks."""
        values = tuple(map(value_text, self._values.codes))
        return {**super().suggestions(), "classes": self.classes, "mask_values": values}

    def facts(self) -> list[str]:
        """Return lines about sizes and masks."""
        values = self._values
        kind = "colours" if values.codes[-1] > 1 << 16 else "grey values"
        shares = ", ".join(f"{name} {share:.1%}" for name, share in zip(self.classes, values.shares, strict=False))
        lines = [*super().facts(), f"masks: {kind} {', '.join(map(value_text, values.codes))}"]
        lines += [f"pixels: {shares}"] if shares else []
        return lines + ([f"{values.rest:.2%} of the pixels have other values"] if values.rest else [])

    def model(self, own: OwnDataSettings) -> str:
        """Return the name of the shipped model for segmentation."""
        return "compactunet"

    def prepare(self, parent: Path, console: Console) -> Prepared:
        """Return the prepared images and masks."""
        require_torchvision()
        if any(size % _MULTIPLE for size in self._size):
            message = f"size {list(self._size)}: rows and columns must be multiples of {_MULTIPLE}"
            raise Ai8xError(message, where=str(self._content.root), fix="change `size`")
        count = len(self.classes)
        reading = Reading(self._pair, self.input, np.uint8, lambda targets: images_with(targets, count))

        def build(folder: Path) -> None:
            console.info(f"reading {len(self._content.files)} images of {self._content.root} (once)")
            build_samples(folder, self._content, self._own, reading, list(self._unused), console)

        parameters = {"input": list(self.input), "masks": list(map(value_text, self._values.codes))}
        return prepared(self._content, self._own, parent, parameters, build)

    def _pair(self, file: DataFile) -> tuple[Array, Array]:
        root = self._content.root
        mask = read_mask((root / self._masks[file.name]).read_bytes())
        image, size = read_image_and_size((root / file.name).read_bytes(), self._channels, self._size)
        if mask.shape != size:
            have = f"{mask.shape[1]}×{mask.shape[0]}"
            raise ValueError(f"its mask has {have} pixels, but the image has {size[1]}×{size[0]}")
        return image.numpy(), fitted_classes(self._values.classes(mask), self._size)

    def augmentation_of_both(self) -> AugmentBoth | None:
        """Return the augmentation of training images and their masks."""
        own = self._own
        return None if own.augment == "none" else MaskVariation(STRENGTH[own.augment], bool(own.any_colour), own.flip)


@dataclass(frozen=True)
class MaskVariation:
    """Augmentation: varies position, size, angle and light of images, and moves their masks accordingly."""

    strength: float
    colours: bool
    flip: bool

    def __call__(self, raw: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images (B, C, H, W) and masks (B, H, W), randomly changed."""
        pairs = list(self._moved(raw, targets, generator))
        images, masks = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        images = varied_colours(images, generator) if self.colours else images
        if self.flip:
            mirrored = chosen(images, generator)
            images = torch.where(mirrored, images.flip(-1), images)
            masks = torch.where(mirrored[:, 0], masks.flip(-1), masks)
        return images, masks

    def _moved(self, raw: Tensor, targets: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for images, masks in zip(torch.split(raw, GROUP), torch.split(targets, GROUP), strict=True):
            move = drawn_move(generator, self.strength)
            yield varied_light(move.of_images(images), move), move.of_images(masks[:, None], exact=True)[:, 0]
