"""Module that files import as ``utils.object_detection_utils``.

Boxes are tensors (n, 4): corner boxes (x0, y0, x1, y1), or center boxes (cx, cy, w, h) where a name has ``cxcy``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ai8x_tool.data import boxes as geometry


def collate_fn(batch: Sequence[tuple[Tensor, Any]]) -> tuple[Tensor, list[Any]]:
    """Return images (B, …) and the list of targets for a batch of items (image, target)."""
    return torch.stack([image for image, _ in batch]), [target for _, target in batch]


def check_target_exists(targets: Sequence[tuple[Tensor, ...]]) -> bool:
    """Return whether any target (boxes, labels, …) of a batch has a box."""
    return any(len(target[0]) > 0 for target in targets)


def xy_to_cxcy(xy: Tensor) -> Tensor:
    """Return corner boxes as center boxes."""
    return geometry.centers(xy)


def cxcy_to_xy(cxcy: Tensor) -> Tensor:
    """Return center boxes as corner boxes."""
    return geometry.corners(cxcy)


def cxcy_to_gcxgcy(cxcy: Tensor, priors_cxcy: Tensor) -> Tensor:
    """Return center boxes in the encoding of a detector's outputs, relative to center priors (n, 4)."""
    return geometry.encode_centers(cxcy, priors_cxcy)


def gcxgcy_to_cxcy(gcxgcy: Tensor, priors_cxcy: Tensor) -> Tensor:
    """Return the center boxes for a detector's outputs, which are relative to center priors (n, 4)."""
    return geometry.decode_centers(gcxgcy, priors_cxcy)


def find_intersection(set_1: Tensor, set_2: Tensor) -> Tensor:
    """Return the areas (n1, n2) of the intersections of corner boxes (n1, 4) and (n2, 4)."""
    return geometry.intersections(set_1, set_2)


def find_jaccard_overlap(set_1: Tensor, set_2: Tensor) -> Tensor:
    """Return the intersection over union (n1, n2) of corner boxes (n1, 4) and (n2, 4)."""
    return geometry.overlaps(set_1, set_2)
