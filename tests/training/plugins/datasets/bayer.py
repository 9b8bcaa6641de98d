"""Color images in folders by class, as ImageNet has them, and their Bayer mosaics folded 2×2."""

import numpy as np
import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.images import read_image, resized

SIDE = 32


def load(folder, console):
    root = folder / "ImageNet"
    return Dataset(part(root / "train"), None, part(root / "val"))


def part(folder):
    images = [resized(read_image(path), SIDE, SIDE).transpose(2, 0, 1) for path in sorted(folder.rglob("*.png"))]
    raw = torch.from_numpy(np.stack(images))
    return Split(raw, normalize(raw) / 128, lambda pixels: mosaic(normalize(pixels)))


def normalize(raw):
    return ((raw.float() / 255 - 0.5) * 256).round().clamp(-128, 127)


def mosaic(colors):
    red, green, blue = colors.unbind(dim=1)
    parts = (green[:, ::2, ::2], blue[:, ::2, 1::2], red[:, 1::2, ::2], green[:, 1::2, 1::2])
    return torch.stack(parts, dim=1)


datasets = [DatasetEntry("ImageNet_Bayer", (4, SIDE // 2, SIDE // 2), ("rgb",), load)]
