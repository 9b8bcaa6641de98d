"""Detection of QR codes on photographs. The codes are drawn; the photographs (BG-20k) must be downloaded manually.

Every access draws another code; for the test it depends on the number of the sample alone.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from ai8x_tool.data.cache import cached_arrays
from ai8x_tool.data.colors import FULL, Jitter, jittered, normalized, uniform
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.image_classes import image_files
from ai8x_tool.data.image_store import ImageStore, store_images
from ai8x_tool.data.images import read_image, resized
from ai8x_tool.data.qr_code import qr_code
from ai8x_tool.data.speech import COMMAND_WORDS
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
SIZE = (120, 160)
KEY_POINTS = 4
BLACK, WHITE = 10.0, 255.0
RATIOS, LARGE_RATIOS = (0.05, 0.95), (0.75, 0.99)
"""Largest extent of the code as a share of the image, and that of the samples that only the extended set has."""
COUNTS = {"plain": (10000, 2000, 0, 0), "points": (10000, 2500, 0, 0), "extended": (10000, 2500, 3000, 750)}
"""Samples for training and test, and those with large codes."""
_FIX = "put the folders train and testval of BG-20k into BG-20k"


class Scenes(Dataset):
    """Splits whose images and boxes are drawn together."""


def load(data_dir: Path, console: Console, *, kind: str) -> Dataset:
    """Return both splits, with backgrounds from `data_dir`/BG-20k. Raises Ai8xError if there are none."""
    root = Path(data_dir) / "BG-20k"
    train, test = image_files(root / "train"), image_files(root / "testval")
    splits = []
    for name, files, number in (("train", train, 0), ("test", test[len(test) // 5 :], 1)):
        if not files:
            raise Ai8xError("no images", where=str(root / ("train" if name == "train" else "testval")), fix=_FIX)
        count, large = COUNTS[kind][number], COUNTS[kind][number + 2]
        codes = Codes(_backgrounds(root, name, files, console), 0 if kind == "plain" else KEY_POINTS)
        ranges = torch.tensor([RATIOS] * count + [LARGE_RATIOS] * large)
        splits.append(CodeSplit(ranges, torch.zeros(count + large, 1, 5 + 2 * codes.key_points), codes))
    return Scenes(splits[0], None, splits[1])


def _backgrounds(root: Path, name: str, files: list[Path], console: Console) -> tuple[ImageStore, Tensor]:
    def build(folder: Path) -> None:
        with console.progress(f"backgrounds, {name}", len(files)) as progress:
            store_images(folder, "images", (resized(read_image(file), *SIZE) for file in files), progress.advance)

    key = {"version": VERSION, "files": [(file.name, file.stat().st_size) for file in files]}
    arrays = cached_arrays(root / "prepared", name, key, build)
    return ImageStore(arrays["images-pixels"]), arrays["images-places"]


@dataclass(frozen=True)
class Codes:
    """Draws scenes; an object has `key_points` corners: top left, top right, bottom left, bottom right of the code."""

    backgrounds: tuple[ImageStore, Tensor]
    key_points: int

    def __call__(self, raw: Tensor) -> Tensor:
        """Return inputs (B, 3, 120, 160), always the same ones."""
        return torch.stack([self.scene(row, torch.Generator().manual_seed(0))[0] for row in raw])

    def scene(self, limits: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return an input and its object (1, 5 + 2·key points); `limits` (2,) are those of the code's extent."""
        store, places = self.backgrounds
        background = store.image(places[int(torch.randint(len(places), (), generator=generator))]).float()
        words = random.Random(int(torch.randint(2**31, (), generator=generator)))
        text = " ".join(words.choices(COMMAND_WORDS, k=words.randint(1, 4)))
        corners = placed_corners(limits, generator)
        code, inside = drawn(torch.from_numpy(qr_code(text)), corners, words.choice((2, 3, 4)))
        code = _tinted(code, generator)
        image = torch.where(inside, code, background)
        return normalized(_photographed(image, generator).round()), objects(corners, self.key_points)


@dataclass(frozen=True)
class CodeSplit(Split):
    """Scenes; those of the test depend on their position only."""

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return inputs (B, 3, 120, 160) and objects (B, 1, 5 or 13)."""
        codes: Codes = self.prepare  # type: ignore[assignment]
        made = [
            codes.scene(self.raw[index], generator or torch.Generator().manual_seed(index))
            for index in indices.tolist()
        ]
        return torch.stack([one for one, _ in made]), torch.stack([other for _, other in made])


def placed_corners(limits: Tensor, generator: torch.Generator) -> Tensor:
    """Return the corners (4, 2: x, y) in pixels of a code that is turned and seen from the side."""
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    one = torch.rand(4, generator=generator).tolist()
    angle = math.radians(90 * one[0] - 45) if one[1] < 0.9 else 0.0
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    if one[2] < 0.5:
        corners = corners + uniform((4, 2), -0.2, 0.2, generator)
    corners = corners @ turn.T
    low, high = corners.amin(dim=0), corners.amax(dim=0)
    size = torch.tensor([float(SIZE[1]), float(SIZE[0])])
    ratio = float(limits[0] + (limits[1] - limits[0]) * one[3])
    extent = (high - low) * float((ratio * size / (high - low)).min())
    room = size - extent
    return (corners - low) / (high - low) * extent + room * torch.rand(2, generator=generator)


def drawn(dark: Tensor, corners: Tensor, border: int) -> tuple[Tensor, Tensor]:
    """Return a code as an image (1, 120, 160), with a white border of some modules, and which pixels belong to it."""
    back = homography(corners)
    rows, columns = (torch.arange(length) + 0.5 for length in SIZE)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ back.T
    modules = len(dark) + 2 * border
    place = (points[..., :2] / points[..., 2:] * modules).floor().long()
    inside = ((place >= 0) & (place < modules)).all(dim=-1) & (points[..., 2] > 0)
    white = functional.pad(dark, (border,) * 4)
    place = place.clamp(0, modules - 1)
    return torch.where(white[place[..., 1], place[..., 0]], BLACK, WHITE)[None], inside[None]


def homography(corners: Tensor) -> Tensor:
    """Return the homography (3, 3) from pixels (x, y, 1) to the unit square whose corners (4, 2) they are."""
    wanted = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    equations, values = [], []
    for (x, y), (u, v) in zip(corners.double().tolist(), wanted.tolist(), strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    found = torch.linalg.solve(torch.tensor(equations, dtype=torch.float64), torch.tensor(values, dtype=torch.float64))
    return torch.cat([found, torch.ones(1, dtype=torch.float64)]).view(3, 3).float()


def objects(corners: Tensor, key_points: int) -> Tensor:
    """Return box, corners relative to it and label 1 of a code."""
    low, high = corners.amin(dim=0), corners.amax(dim=0)
    size = torch.tensor([float(SIZE[1]), float(SIZE[0])])
    points = ((corners - low) / (high - low))[:key_points].flatten()
    return torch.cat([(low / size).clamp(0, 1), (high / size).clamp(0, 1), points, torch.ones(1)])[None]


def _tinted(code: Tensor, generator: torch.Generator) -> Tensor:
    """Return a code (3, …) in other colors, with grain and blurred."""
    one = torch.rand(3, generator=generator).tolist()
    tinted = code.expand(3, *SIZE)
    if one[0] < 0.9:
        tinted = (tinted + uniform((3, 1, 1), -64, 64, generator)).clamp(0, FULL)
    tinted = jittered(tinted[None], Jitter(0.5, 0.5, 0.5, 0.5), generator, probability=0.9)[0]
    if one[1] < 0.7:
        tinted = tinted * uniform((3, *SIZE), 0.5, 1.5, generator)
    return _blurred(tinted, 3, generator) if one[2] < 0.7 else tinted.clamp(0, FULL)


def _photographed(image: Tensor, generator: torch.Generator) -> Tensor:
    """Return an image as a camera sees it: other colors, noise, blur and another white balance."""
    one = torch.rand(3, generator=generator).tolist()
    image = jittered(image[None], Jitter(0.25, 0.25, 0.25, 0.25), generator, probability=0.75)[0]
    if one[0] < 0.9:
        image = image + 8 * torch.rand((), generator=generator) * torch.randn(image.shape, generator=generator)
    if one[1] < 0.9:
        image = _blurred(image, 3, generator)
    if one[2] < 0.75:
        image = image * uniform((3, 1, 1), 0.8, 1.2, generator)
    return image.clamp(0, FULL)


def _blurred(image: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Return the mean of neighbors in a row or in a column."""
    size = (1, length) if float(torch.rand((), generator=generator)) < 0.5 else (length, 1)
    padding = tuple(part // 2 for part in size)
    return functional.avg_pool2d(image[None], size, 1, padding, count_include_pad=False)[0].clamp(0, FULL)


def _entry(name: str, kind: str, description: str) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        input=(3, *SIZE),
        labels=("1",),
        load=partial(load, kind=kind),
        task="detection",
        key_points=0 if kind == "plain" else KEY_POINTS,
        description=description,
    )


datasets = [
    _entry("qrcode_160_120", "plain", "QR codes to be detected, 120×160"),
    _entry("qrcode_160_120_kpts", "points", "QR codes and their corners to be detected, 120×160"),
    _entry("qrcode_160_120_kpts_ext", "extended", "QR codes, also large ones, and their corners, 120×160"),
]
