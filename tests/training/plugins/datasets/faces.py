"""Faces in folders by identity, as VGGFace2 has them, already cut out; 16×16 to be quick."""

import numpy as np
import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.images import read_image, resized

SIDE = 16


def load(folder, console):
    root = folder / "VGGFace-2"
    return Dataset(part(root / "train"), None, part(root / "test"))


def part(folder):
    raw, targets = [], []
    for number, identity in enumerate(sorted(folder.iterdir())):
        for path in sorted(identity.glob("*.jpg")):
            raw.append(resized(read_image(path), SIDE, SIDE).transpose(2, 0, 1))
            targets.append(number)
    return Split(torch.from_numpy(np.stack(raw)), torch.tensor(targets), lambda pixels: pixels.float() - 128)


def load_pairs(folder, console):
    data = load(folder, console)
    return Dataset(twice(data.train), None, twice(data.test))


def twice(part):
    """The network's image and the teacher's, six channels."""
    return Split(part.raw, part.targets, lambda pixels: torch.cat([pixels, pixels], dim=1).float() - 128)


IDENTITIES = tuple(f"n{number:06d}" for number in range(1, 5))
datasets = [
    DatasetEntry("VGGFace2_FaceID_dr", (3, SIDE, SIDE), IDENTITIES, load, task="embeddings"),
    DatasetEntry("VGGFace2_FaceID", (6, SIDE, SIDE), IDENTITIES, load_pairs, task="embeddings"),
]
