"""Sub-centre ArcFace: classes as directions on a sphere, three for each."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

SUB_CENTERS = 3


def initial_centers(length: int, classes: int, generator: torch.Generator) -> Tensor:
    """Return random centres (length, classes·3) of embeddings of `length` numbers."""
    return torch.randn(length, classes * SUB_CENTERS, generator=generator)


def arcface_loss(embeddings: Tensor, targets: Tensor, centers: Tensor, *, margin: float, scale: float) -> Tensor:
    """Return the loss of embeddings (B, D) of classes (B,); `margin`, in radians, is kept to the own class's centre."""
    cosines = normalize(embeddings, dim=1) @ normalize(centers, dim=0)
    cosines = cosines.view(len(embeddings), -1, SUB_CENTERS).amax(dim=2)
    own = cosines.gather(1, targets[:, None]).clamp(-1 + 1e-7, 1 - 1e-7)
    angle = own.acos()
    # Beyond π − m the cosine would rise again; a straight line continues it.
    moved = torch.where(angle <= math.pi - margin, (angle + margin).cos(), own - margin * math.sin(margin))
    return cross_entropy(cosines.scatter(1, targets[:, None], moved) * scale, targets)
