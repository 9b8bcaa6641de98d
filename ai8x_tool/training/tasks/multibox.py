"""MultiBox loss: comparison of the boxes, key points and classes of priors with objects."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

from ai8x_tool.data.boxes import corners, overlaps
from ai8x_tool.training.tasks.boxes import BACKGROUND, encode

THRESHOLD = 0.5
"""Lowest overlap at which a prior is assigned to an object."""


@dataclass(frozen=True)
class MultiBoxLoss:
    """Loss for center `priors` (P, 4): `alpha` weights locations; `neg_pos_ratio` limits negatives per positive."""

    priors: Tensor
    alpha: float
    neg_pos_ratio: float

    def __call__(self, codes: Tensor, scores: Tensor, objects: Tensor) -> Tensor:
        """Return the loss of locations (N, P, 4 + 2K) and scores (N, P, classes) against objects (N, M, 4 + 2K + 1)."""
        owner, labels = self.assign(objects)
        positive = labels != BACKGROUND
        losses = cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        count = positive.sum()
        if not bool(count):
            return losses.mean() + codes[:0].sum()  # a gradient of 0 instead of an unused output
        return self._confidence(losses, positive) / count + self.alpha * self._locations(
            codes, objects, owner, positive
        )

    @torch.no_grad()
    def assign(self, objects: Tensor) -> tuple[Tensor, Tensor]:
        """Return, for every prior (N, P), the index of its object and its label, 0 for background."""
        images, most = objects.shape[:2]
        if most == 0:
            empty = torch.zeros(images, len(self.priors), dtype=torch.long, device=objects.device)
            return empty, empty
        real = objects[..., -1] != BACKGROUND
        shares = overlaps(objects[..., :4], corners(self.priors)).masked_fill(~real.unsqueeze(2), -1.0)
        overlap, owner = shares.max(dim=1)
        # Every object gets the prior with the largest overlap; the last of several with the same prior keeps it.
        wanted = (torch.arange(most, device=objects.device) + 1).expand(images, most) * real
        forced = torch.zeros_like(owner).scatter_reduce_(1, shares.argmax(dim=2), wanted, "amax")
        owner = torch.where(forced > 0, forced - 1, owner)
        labels = objects[..., -1].long().gather(1, owner)
        return owner, labels.masked_fill((overlap < THRESHOLD) & (forced == 0), BACKGROUND)

    def _confidence(self, losses: Tensor, positive: Tensor) -> Tensor:
        """Return the sum of the losses of all positives and of the hardest negatives of each image."""
        hardest = losses.masked_fill(positive, 0.0).sort(dim=1, descending=True).values
        wanted = (positive.sum(dim=1, keepdim=True) * self.neg_pos_ratio).floor()
        ranks = torch.arange(losses.shape[1], device=losses.device)
        return (losses * positive).sum() + (hardest * (ranks < wanted)).sum()

    def _locations(self, codes: Tensor, objects: Tensor, owner: Tensor, positive: Tensor) -> Tensor:
        image, prior = positive.nonzero(as_tuple=True)
        found, wanted = codes[image, prior], objects[image, owner[image, prior]]
        loss = smooth_l1_loss(found[:, :4], encode(wanted[:, :4], self.priors[prior]))
        for column in range(4, objects.shape[2] - 1, 2):
            loss = loss + smooth_l1_loss(found[:, column : column + 2], wanted[:, column : column + 2])
        return loss
