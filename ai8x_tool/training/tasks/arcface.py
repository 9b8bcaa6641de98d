"""Sub-center ArcFace loss: each class is represented by three directions on a sphere."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

SUB_CENTERS = 3


def initial_centers(length: int, classes: int, generator: torch.Generator) -> Tensor:
    """Return random centers (length, classes·3) for embeddings of `length` numbers."""
    return torch.randn(length, classes * SUB_CENTERS, generator=generator)


def arcface_loss(embeddings: Tensor, targets: Tensor, centers: Tensor, *, margin: float, scale: float) -> Tensor:
    """Return the loss of embeddings (B, D) for classes (B,); `margin` (radians) is added to the true class's angle."""
    cosines = normalize(embeddings, dim=1) @ normalize(centers, dim=0)
    cosines = cosines.view(len(embeddings), -1, SUB_CENTERS).amax(dim=2)
    own = cosines.gather(1, targets[:, None]).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = own.acos()
    # Beyond π − m the cosine would rise again; it is continued by a straight line.
    moved = torch.where(angle <= math.pi - margin, (angle + margin).cos(), own - margin * math.sin(margin))
    return cross_entropy(cosines.scatter(1, targets[:, None], moved) * scale, targets)
