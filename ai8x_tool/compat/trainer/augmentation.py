"""Module that files import as ``utils.augmentation_utils``: the augmentations of the single-shot detector's paper.

Images are float tensors (3, H, W) with values 0 … 1, boxes (n, 4) corner boxes in pixels. Random numbers come from the
module `random`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ai8x_tool.data.boxes import centers, overlaps

_WEAKEST, _STRONGEST = 0.5, 1.5
_HUE = 18 / 255
_MOST_ENLARGED = 4.0
_OVERLAPS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)
_TRIES = 50
_SMALLEST_SIDE = 0.3
_GRAY = (0.2989, 0.587, 0.114)
"""Contribution of each color to the brightness."""


def photometric_distort(image: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, each with probability 1/2, in random order."""
    changes = [_brightness, _contrast, _saturation, _hue]
    random.shuffle(changes)
    for change in changes:
        if random.random() < 0.5:
            image = change(image)
    return image


def _brightness(image: Tensor) -> Tensor:
    return (image * random.uniform(_WEAKEST, _STRONGEST)).clamp(0, 1)


def _contrast(image: Tensor) -> Tensor:
    return _blend(image, _gray(image).mean(), random.uniform(_WEAKEST, _STRONGEST))


def _saturation(image: Tensor) -> Tensor:
    return _blend(image, _gray(image), random.uniform(_WEAKEST, _STRONGEST))


def _gray(image: Tensor) -> Tensor:
    weights = torch.tensor(_GRAY, dtype=image.dtype, device=image.device).view(3, 1, 1)
    return (image * weights).sum(dim=0, keepdim=True)


def _blend(image: Tensor, other: Tensor, share: float) -> Tensor:
    return (share * image + (1 - share) * other).clamp(0, 1)


def _hue(image: Tensor) -> Tensor:
    """Return the image with its hue rotated by up to ±18/255 of the color circle."""
    largest, smallest = image.amax(dim=0), image.amin(dim=0)
    spread = largest - smallest
    red, green, blue = image
    safe = torch.where(spread == 0, torch.ones_like(spread), spread)
    sector = torch.where(
        largest == red,
        (green - blue) / safe,
        torch.where(largest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = sector / 6 + random.uniform(-_HUE, _HUE)
    # Each color is the largest value, less the spread by its distance from the hue on the circle.
    distances = [(hue * 6 + offset) % 6 for offset in (5, 3, 1)]
    return torch.stack([largest - spread * torch.minimum(d, 4 - d).clamp(0, 1) for d in distances])


def expand(image: Tensor, boxes: Tensor, filler: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return the image at a random position on a canvas of color `filler`, 1 to 4 times as large, and its boxes."""
    rows, columns = image.shape[1:]
    scale = random.uniform(1, _MOST_ENLARGED)
    canvas = image.new_tensor(list(filler)).view(3, 1, 1).repeat(1, int(scale * rows), int(scale * columns))
    left, top = random.randint(0, canvas.shape[2] - columns), random.randint(0, canvas.shape[1] - rows)
    canvas[:, top : top + rows, left : left + columns] = image
    return canvas, boxes + boxes.new_tensor([left, top, left, top])


def random_crop(
    image: Tensor, boxes: Tensor, labels: Tensor, difficulties: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Crop the image so that some box overlaps the crop by at least a random minimum, or leave it as it is.

    Boxes remain whose center is inside, clipped, with their labels and difficulties.
    """
    while (least := random.choice(_OVERLAPS)) is not None:
        for _ in range(_TRIES):
            crop = _crop(image.shape[1], image.shape[2])
            if crop is None or not len(boxes):
                continue
            left, top, right, bottom = crop
            frame = boxes.new_tensor([crop])
            center = centers(boxes)[:, :2]
            inside = ((center > frame[:, :2]) & (center < frame[:, 2:])).all(dim=1)
            if overlaps(frame, boxes).max() < least or not inside.any():
                continue
            origin = frame[:, :2].repeat(1, 2)
            kept = torch.cat([boxes[inside, :2].maximum(frame[:, :2]), boxes[inside, 2:].minimum(frame[:, 2:])], dim=1)
            return image[:, top:bottom, left:right], kept - origin, labels[inside], difficulties[inside]
    return image, boxes, labels, difficulties


def _crop(rows: int, columns: int) -> tuple[int, int, int, int] | None:
    """Return a random part (left, top, right, bottom) of an image; None if it is twice as long as wide, or more."""
    height = int(random.uniform(_SMALLEST_SIDE, 1) * rows)
    width = int(random.uniform(_SMALLEST_SIDE, 1) * columns)
    if not min(height, width) or not 0.5 < height / width < 2:
        return None
    left, top = random.randint(0, columns - width), random.randint(0, rows - height)
    return left, top, left + width, top + height


def flip(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the image and its boxes mirrored left to right."""
    last = image.shape[2] - 1
    return image.flip(2), torch.stack([last - boxes[:, 2], boxes[:, 1], last - boxes[:, 0], boxes[:, 3]], dim=1)


def resize(
    image: Tensor, boxes: Tensor, dims: tuple[int, int] = (300, 300), return_percent_coords: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the image resized to `dims` (rows, columns), and its boxes.

    With `return_percent_coords`, the boxes are fractions of the image, otherwise pixels of the resized image.
    """
    rows, columns = image.shape[1:]
    resized = F.interpolate(image[None], size=tuple(dims), mode="bilinear", align_corners=False, antialias=True)[0]
    shares = boxes / boxes.new_tensor([columns, rows, columns, rows])
    return resized, shares if return_percent_coords else shares * boxes.new_tensor([dims[1], dims[0]] * 2)
