"""Models of sequences, of which the accelerator sees one input at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

_IMAGES = 4
"""Dimensions of a batch of inputs; with one more, it is a batch of sequences."""


class SequenceModel(nn.Module, ABC):
    """One part for each input of a sequence, and one for what the first finds in `length` successive inputs.

    On the accelerator, an inference takes one input. What was found in the inputs before it is kept in a rolling
    buffer in data memory, which is 0 at first.
    """

    length: int

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Return what is found in inputs (N, channels, rows, columns): (N, features)."""

    @abstractmethod
    def scores(self, found: Tensor) -> Tensor:
        """Return the outputs for what was found in successive inputs, (N, features, length)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for sequences (B, length, …), or for first inputs (B, …), before which there are zeros."""
        if x.dim() > _IMAGES:
            found = self.features(x.flatten(0, 1)).view(*x.shape[:2], -1).transpose(1, 2)
        else:
            found = nn.functional.pad(self.features(x)[:, :, None], (self.length - 1, 0))
        return self.scores(found)
