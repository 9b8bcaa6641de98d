"""Box tensors: corner boxes (x0, y0, x1, y1) and center boxes (cx, cy, w, h)."""

from __future__ import annotations

import torch
from torch import Tensor

CENTER, SIZE = 10.0, 5.0
"""Factors of encoded centers and sizes."""


def corners(boxes: Tensor) -> Tensor:
    """Return center boxes (…, 4) converted to corner boxes."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], dim=-1)


def centers(boxes: Tensor) -> Tensor:
    """Return corner boxes (…, 4) converted to center boxes."""
    return torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], dim=-1)


def encode_centers(boxes: Tensor, priors: Tensor) -> Tensor:
    """Return center boxes (…, P, 4) encoded as network outputs, relative to center priors (P, 4)."""
    center = (boxes[..., :2] - priors[:, :2]) * CENTER / priors[:, 2:]
    return torch.cat([center, (boxes[..., 2:] / priors[:, 2:] + 1e-7).log() * SIZE], dim=-1)


def decode_centers(codes: Tensor, priors: Tensor) -> Tensor:
    """Return the center boxes decoded from network outputs (…, P, 4 or more numbers)."""
    center = codes[..., :2] * priors[:, 2:] / CENTER + priors[:, :2]
    return torch.cat([center, (codes[..., 2:4] / SIZE).exp() * priors[:, 2:]], dim=-1)


def intersections(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection areas (…, A, B) of corner boxes (…, A, 4) and (…, B, 4)."""
    one, two = first.unsqueeze(-2), second.unsqueeze(-3)
    size = (torch.minimum(one[..., 2:], two[..., 2:]) - torch.maximum(one[..., :2], two[..., :2])).clamp(min=0)
    return size.prod(dim=-1)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union (…, A, B) of corner boxes (…, A, 4) and (…, B, 4); 0 for empty boxes."""
    common = intersections(first, second)
    one, two = first.unsqueeze(-2), second.unsqueeze(-3)
    areas = (one[..., 2:] - one[..., :2]).prod(dim=-1) + (two[..., 2:] - two[..., :2]).prod(dim=-1)
    return common / (areas - common).clamp(min=1e-12)
