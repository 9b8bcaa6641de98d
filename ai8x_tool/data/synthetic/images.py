"""Drawn images: one shape for classes or numbers, several for detection and segmentation, moving ones for actions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ai8x_tool.data.dataset import Split
from ai8x_tool.data.synthetic.pictures import Layout, integers
from ai8x_tool.data.synthetic.shapes import CHECKERS, HUES, KINDS, color, mask, noise, paint

_NOISE = 0.06
_FEWEST, _MOST = 1, 3
_ROOM = 1 / _MOST
_AT_A_TIME = 16
"""Number of maps drawn at a time, which limits the memory."""
CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
"""Corners of a square around 0: top left, top right, bottom left, bottom right."""


def _uniform(count: int, low: float, high: float, random: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=random)


def classes(count: int, labels: int, random: torch.Generator) -> Tensor:
    """Return class numbers (count,): equally many of each class, or of the first classes if there are fewer samples."""
    return (torch.arange(count) % max(1, min(labels, count // 4)))[torch.randperm(count, generator=random)]


@dataclass(frozen=True)
class OneShape:
    """Draws images of one shape.

    Samples are rows of numbers: class, position (x, y), radius, angle, background and seed of the noise. Shape, hue,
    hue of the background and position of a dot follow from the digits of the class.
    """

    layout: Layout

    def samples(self, targets: Tensor, random: torch.Generator) -> Tensor:
        """Return one row (7,) for each class number."""
        (height, width), count = self.layout.size, len(targets)
        place = [_uniform(count, 0.42, 0.58, random) * length for length in (width, height)]
        radius = _uniform(count, 0.24, 0.34, random) * min(height, width)
        rest = [_uniform(count, -0.2, 0.2, random), _uniform(count, 0, 0.25, random), _uniform(count, 0, 1, random)]
        return torch.stack([targets.float(), *place, radius, *rest], dim=1)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return inputs."""
        return integers(self.layout.convert(self.pictures(samples)))

    def pictures(self, samples: Tensor) -> Tensor:
        """Return images (B, C, H, W), 0 … 1."""
        number, x, y, radius, angle, ground, seed = samples.unbind(dim=1)
        size, channels = self.layout.size, self.layout.channels
        number = number.long()
        ground_hue = color((number // (KINDS * HUES) % HUES) / HUES, channels)
        shade = ground[:, None].expand(-1, channels) * (0.5 + ground_hue if channels > 1 else 1)
        picture = shade[:, :, None, None].expand(-1, -1, *size)
        place = torch.stack([x, y], dim=1)
        hue = color((number // KINDS % HUES) / HUES, channels)
        picture = paint(picture, mask(number % KINDS, place, radius, angle, size), hue)
        dot = number // (KINDS * HUES * HUES)
        if bool(dot.any()):
            way = 2 * math.pi * dot / HUES
            there = place + 0.6 * radius[:, None] * torch.stack([way.cos(), way.sin()], dim=1)
            inside = mask(torch.zeros_like(number), there, radius / 4, angle, size) & (dot > 0)[:, None, None]
            picture = paint(picture, inside, 1 - hue)
        return (picture + _NOISE * noise(seed, (channels, *size))).clamp(0, 1)


@dataclass(frozen=True)
class ManyShapes:
    """Draws images with up to three objects, one in each third of the columns or rows.

    Samples are (3, 6): label from 1 (0: no object), position (x, y), radius, angle, seed.
    """

    layout: Layout
    labels: int
    solid: bool = False

    def samples(self, count: int, random: torch.Generator) -> Tensor:
        """Return rows (count, 3, 6)."""
        height, width = self.layout.size
        each = _MOST * count
        many = torch.randint(_FEWEST, _MOST + 1, (count, 1), generator=random)
        label = torch.randint(1, self.labels + 1, (count, _MOST), generator=random)
        label = torch.where(torch.arange(_MOST) < many, label, 0)
        along = _ROOM * (torch.arange(_MOST) + _uniform(each, 0.4, 0.6, random).view(count, _MOST))
        across = _uniform(each, 0.25, 0.75, random).view(count, _MOST)
        order = torch.rand(count, _MOST, generator=random).argsort(dim=1)
        along = along.gather(1, order)
        x, y = (along, across) if width >= height else (across, along)
        radius = _uniform(each, 0.6, 1, random).view(count, _MOST) * 0.4 * _ROOM * max(height, width)
        radius = radius.clamp(max=0.2 * min(height, width))
        angle = _uniform(each, -0.3, 0.3, random).view(count, _MOST)
        seed = _uniform(each, 0, 1, random).view(count, _MOST)
        return torch.stack([label.float(), x * width, y * height, radius, angle, seed], dim=2)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return inputs."""
        channels, size = self.layout.channels, self.layout.size
        ground = 0.1 + 0.2 * samples[:, 0, 5]
        picture = ground[:, None, None, None].expand(-1, channels, *size)
        for label, place, inside in self._objects(samples):
            picture = paint(picture, inside, color((label - 1) / max(self.labels, 2) * (label > 0), channels))
            if not self.solid:
                core = mask(torch.zeros_like(label).long(), place[:, :2], place[:, 2] / 3, place[:, 3], size)
                picture = paint(picture, core & inside, torch.full((len(label), channels), 0.05))
        picture = picture + _NOISE * noise(samples[:, 0, 5], (channels, *size))
        return integers(self.layout.convert(picture.clamp(0, 1)))

    def _objects(self, samples: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return, for each object, label (B,), position, radius and angle (B, 4) and pixels (B, H, W)."""
        found = []
        for one in samples.unbind(dim=1):
            label = one[:, 0]
            kind = (label.long() - 1).clamp(min=0) % 2 if self.solid else torch.ones_like(label).long()
            inside = mask(kind, one[:, 1:3], one[:, 3], one[:, 4], self.layout.size)
            found.append((label, one[:, 1:5], inside & (label > 0)[:, None, None]))
        return found

    def maps(self, samples: Tensor) -> Tensor:
        """Return class numbers (N, H, W), uint8: label − 1 of the object, the last class for the background."""
        maps = torch.full((len(samples), *self.layout.size), self.labels, dtype=torch.uint8)
        for first in range(0, len(samples), _AT_A_TIME):
            few = maps[first : first + _AT_A_TIME]
            for label, _, inside in self._objects(samples[first : first + _AT_A_TIME]):
                few[inside] = (label - 1)[:, None, None].expand_as(inside)[inside].to(torch.uint8)
        return maps

    def boxes(self, samples: Tensor, key_points: int) -> Tensor:
        """Return objects (N, 3, 4 + 2·`key_points` + 1): box, corners of the square relative to it, label."""
        label, place, radius, angle = samples[..., 0:1], samples[..., 1:3], samples[..., 3:4], samples[..., 4]
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([cos, -sin], dim=2), torch.stack([sin, cos], dim=2)], dim=2)
        corners = place[:, :, None] + radius[..., None] * (CORNERS @ turn.transpose(2, 3))
        low, high = corners.amin(dim=2), corners.amax(dim=2)
        points = (corners - low[:, :, None]) / (high - low)[:, :, None]
        box = torch.cat([low, high], dim=2) / torch.tensor(self.layout.size[::-1] * 2)
        parts = [box.clamp(0, 1), points[:, :, :key_points].flatten(2), label]
        return torch.cat(parts, dim=2) * (label > 0)


@dataclass(frozen=True)
class MovingShapes:
    """Draws sequences of pairs of consecutive images in which a shape moves; the class is the direction.

    Samples are rows: class, position (x, y), speed, seed. Inputs are (B, frames, 2·C, H, W).
    """

    layout: Layout
    frames: int
    labels: int

    def samples(self, targets: Tensor, random: torch.Generator) -> Tensor:
        """Return one row (5,) for each class number."""
        count = len(targets)
        columns = [_uniform(count, low, high, random) for low, high in ((0.4, 0.6), (0.4, 0.6), (0.2, 0.3), (0, 1))]
        return torch.stack([targets.float(), *columns], dim=1)

    def __call__(self, samples: Tensor) -> Tensor:
        """Return inputs."""
        number, x, y, speed, seed = samples.unbind(dim=1)
        height, width = self.layout.size
        way = 2 * math.pi * number / self.labels
        grain, pictures = _NOISE * noise(seed, (self.layout.channels, height, width)), []
        for share in torch.linspace(-1, 1, self.frames + 1):
            place = torch.stack([(x + share * speed * way.cos()) * width, (y + share * speed * way.sin()) * height], 1)
            radius = torch.full_like(x, 0.15 * min(height, width))
            inside = mask(torch.full_like(x, CHECKERS).long(), place, radius, 0 * x, (height, width))
            ground = torch.full((len(x), self.layout.channels, height, width), 0.15)
            picture = paint(ground, inside, torch.full((len(x), self.layout.channels), 0.9)) + grain
            pictures.append(self.layout.convert(picture.clamp(0, 1)))
        folded = integers(torch.stack(pictures, dim=1))
        return torch.cat([folded[:, :-1], folded[:, 1:]], dim=2)


def shape_split(draw: OneShape, count: int, labels: int, random: torch.Generator) -> Split:
    """Return a split of images of shapes and their class numbers."""
    targets = classes(count, labels, random)
    return Split(draw.samples(targets, random), targets, draw)


def number_split(draw: OneShape, count: int, random: torch.Generator) -> Split:
    """Return a split of images of discs and, as targets, their radius: −0.9 for the smallest, 0.9 for the largest."""
    samples = draw.samples(torch.zeros(count), random)
    smallest, largest = (share * min(draw.layout.size) for share in (0.24, 0.34))
    return Split(samples, (0.9 * (2 * (samples[:, 3:4] - smallest) / (largest - smallest) - 1)), draw)


def picture_split(draw: OneShape, count: int, random: torch.Generator) -> Split:
    """Return a split of mosaics and, as targets, the original images in the unit of outputs."""
    samples = draw.samples(classes(count, KINDS * HUES, random), random)
    return Split(samples, integers(draw.pictures(samples)) / 128, draw)
