"""Tensor representation of boxes, priors and objects of images.

Corner boxes are (x0, y0, x1, y1), center boxes (cx, cy, w, h), both relative to the image, 0 … 1. The objects of N
images are one tensor (N, M, 4 + 2K + 1): a corner box, K key points, and the label, which is 0 for padding if an image
has fewer than M objects. Key points are relative to the box, as learned by the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai8x_tool.data.boxes import centers, corners, decode_centers, encode_centers, overlaps

BACKGROUND = 0


def pad_objects(images: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return the objects of images, given as (boxes, labels) or (boxes, key points, labels), as one padded tensor."""
    flat = [torch.cat([part.float().view(len(part), -1) for part in parts], dim=1) for parts in images if len(parts[0])]
    result = torch.zeros(len(images), max(map(len, flat), default=0), flat[0].shape[1] if flat else 5)
    occupied = (number for number, parts in enumerate(images) if len(parts[0]))
    for number, objects in zip(occupied, flat, strict=True):
        result[number, : len(objects)] = objects
    return result


def encode(boxes: Tensor, priors: Tensor) -> Tensor:
    """Return corner boxes (…, P, 4) encoded as network outputs, relative to center priors (P, 4)."""
    return encode_centers(centers(boxes), priors)


def decode(codes: Tensor, priors: Tensor) -> Tensor:
    """Return the corner boxes decoded from network outputs (…, P, 4)."""
    return corners(decode_centers(codes, priors))


@dataclass(frozen=True)
class Detections:
    """Detections in one image: corner boxes (D, 4), labels (D,) from 1, scores (D,) in descending order.

    `priors` (D,) are the indices of their priors. D is 0 if nothing was detected.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor
    priors: Tensor


@torch.no_grad()
def detect(
    codes: Tensor, scores: Tensor, priors: Tensor, *, min_score: float, max_overlap: float, top_k: int
) -> list[Detections]:
    """Return the detections in N images from locations (N, P, 4 + 2K) and class scores (N, P, classes).

    Non-maximum suppression visits candidates in the order of their scores, over all classes; each remaining candidate
    suppresses worse ones of its class that overlap it by more than `max_overlap`. At most `top_k` are returned, in as
    many steps, each for all images at once.
    """
    likely = scores.softmax(dim=-1)
    boxes = decode(codes, priors)
    image, prior, label = (likely[..., 1:] > min_score).nonzero().unbind(dim=1)
    chosen = likely[image, prior, label + 1]
    order = chosen.argsort(descending=True, stable=True)
    order = order[image[order].argsort(stable=True)]
    image, prior, label, chosen = image[order], prior[order], label[order] + 1, chosen[order]
    counts = torch.bincount(image, minlength=len(scores))
    column = torch.arange(len(image), device=image.device) - (counts.cumsum(0) - counts)[image]
    shape = (len(scores), int(counts.max()) if len(image) else 0)
    open_scores, labels = chosen.new_zeros(shape), label.new_zeros(shape)
    candidates = boxes.new_zeros((*shape, 4))
    open_scores[image, column], labels[image, column] = chosen, label
    candidates[image, column] = boxes[image, prior]
    picked = _suppress(candidates, labels, open_scores, max_overlap, top_k)
    keep = picked[image, column]
    return [
        Detections(*(values[keep & (image == number)] for values in (boxes[image, prior], label, chosen, prior)))
        for number in range(len(scores))
    ]


def _suppress(candidates: Tensor, labels: Tensor, scores: Tensor, max_overlap: float, top_k: int) -> Tensor:
    """Return a mask of the selected candidates (N, n), which are sorted by score with 0 after the last one."""
    picked = torch.zeros_like(scores, dtype=torch.bool)
    is_open = scores > 0
    rows = torch.arange(len(scores), device=scores.device)
    for _ in range(min(top_k, scores.shape[1])):
        if not is_open.any():
            break
        first = is_open.int().argmax(dim=1)
        picked[rows, first] |= is_open[rows, first]
        shared = overlaps(candidates[rows, first].unsqueeze(1), candidates).squeeze(1) > max_overlap
        is_open &= ~(shared & (labels == labels[rows, first].unsqueeze(1)))
        is_open[rows, first] = False
    return picked
