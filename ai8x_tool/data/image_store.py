"""Images of different sizes in one byte array, from which batches are cropped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ai8x_tool.data.cache import ArrayWriter
from ai8x_tool.data.images import require_pillow

PLACE = 3
"""Numbers per image: first byte, rows, columns."""


def with_smallest_side(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return pixels (H, W, 3) scaled so that the smaller side is `side`, bilinear and antialiased."""
    height, width = pixels.shape[:2]
    smaller = min(height, width)
    size = (max(side, round(width * side / smaller)), max(side, round(height * side / smaller)))
    module = require_pillow()
    return np.array(module.fromarray(pixels).resize(size, module.Resampling.BILINEAR))


class ImageWriter:
    """Writes images to ``NAME-pixels.npy`` and their places to ``NAME-places.npy`` in a cache folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._pixels = ArrayWriter(folder / f"{name}-pixels.npy", (), np.uint8)
        self._places = ArrayWriter(folder / f"{name}-places.npy", (PLACE,), np.int64)
        self._next = 0

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Add an image (H, W, 3)."""
        self._pixels.append(pixels.reshape(-1))
        self._places.append(np.array([[self._next, *pixels.shape[:2]]], np.int64))
        self._next += pixels.size

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pixels.__exit__(kind, error, trace)
        self._places.__exit__(kind, error, trace)


@dataclass(frozen=True)
class ImageStore:
    """The bytes of all images; samples are places (N, 3), from which batches of images of the same size are cropped."""

    pixels: Tensor

    def image(self, place: Tensor) -> Tensor:
        """Return one image (3, H, W), uint8."""
        first, rows, columns = place.tolist()[:PLACE]
        return self.pixels[first : first + rows * columns * 3].view(rows, columns, 3).permute(2, 0, 1)

    def cut(self, places: Tensor, corners: Iterable[tuple[int, int]], size: tuple[int, int]) -> Tensor:
        """Return crops (B, 3, rows, columns), uint8, of images, starting at `corners` (top, left)."""
        parts = []
        for place, (top, left) in zip(places, corners, strict=True):
            parts.append(self.image(place)[:, top : top + size[0], left : left + size[1]])
        return torch.stack(parts)

    def centers(self, places: Tensor, size: tuple[int, int]) -> Tensor:
        """Return center crops (B, 3, rows, columns), uint8."""
        corners = [(round((h - size[0]) / 2), round((w - size[1]) / 2)) for _, h, w in places[:, :PLACE].tolist()]
        return self.cut(places, corners, size)

    def resized_parts(self, places: Tensor, parts: Tensor, size: tuple[int, int]) -> Tensor:
        """Return crops (B, 4: top, left, height, width) of images, scaled to `size`: (B, 3, rows, columns), float."""
        found = []
        for place, (top, left, height, width) in zip(places, parts.tolist(), strict=True):
            found.append(scaled(self.image(place)[:, top : top + height, left : left + width], size))
        return torch.stack(found)

    def sampled(self, places: Tensor, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return images (B, 3, rows, columns), float, whose pixel p = (x, y, 1) is source pixel `maps` (B, 2, 3) · p.

        Coordinates are pixels from the upper left corner; beyond their edges, images are continued by reflection.
        """
        pairs = zip(places, maps, strict=True)
        return torch.stack([warped(self.image(place), there, size, "reflection") for place, there in pairs])


def warped(image: Tensor, to_source: Tensor, size: tuple[int, int], outside: str = "zeros") -> Tensor:
    """Return an image (3, rows, columns), float, whose pixel p = (x, y, 1) is `image`'s at `to_source` (2, 3) · p."""
    rows, columns = (torch.arange(length) + 0.5 for length in size)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ to_source.T
    grid = points * torch.tensor([2 / image.shape[2], 2 / image.shape[1]]) - 1
    return functional.grid_sample(image[None].float(), grid[None], padding_mode=outside, align_corners=False)[0]


def scaled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return an image (3, H, W) scaled to (rows, columns), float, bilinear and antialiased."""
    source = image[None].float()
    return functional.interpolate(source, size=size, mode="bilinear", align_corners=False, antialias=True)[0]


def random_parts(
    places: Tensor, generator: torch.Generator, *, area: tuple[float, float] = (0.08, 1), aspect: float = 4 / 3
) -> Tensor:
    """Return a random crop (B, 4: top, left, height, width) of each image: random area and aspect ratio."""
    found, tries = [], 10
    for _, rows, columns in places[:, :PLACE].tolist():
        share = torch.rand(tries, generator=generator) * (area[1] - area[0]) + area[0]
        shape = aspect ** (torch.rand(tries, generator=generator) * 2 - 1)
        size = torch.stack([rows * columns * share / shape, rows * columns * share * shape]).sqrt().round().long()
        fits = ((size[0] <= rows) & (size[1] <= columns) & (size.amin(dim=0) > 0)).nonzero()
        height, width = size[:, fits[0, 0]].tolist() if len(fits) else (min(rows, columns),) * 2
        room = torch.tensor([rows - height + 1, columns - width + 1])
        corner = (torch.rand(2, generator=generator) * room).long().tolist()
        found.append([*corner, height, width])
    return torch.tensor(found)


def store_images(folder: Path, name: str, images: Iterable[NDArray[np.uint8]], advance: Callable[[], None]) -> None:
    """Write images in order; call `advance` after each."""
    with ImageWriter(folder, name) as writer:
        for pixels in images:
            writer.append(pixels)
            advance()
