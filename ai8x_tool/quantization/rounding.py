"""Rounding of weights input by input; the weights still to be rounded compensate for each error.

This is the method of GPTQ (Frantar et al., 2022), for the convolutions and linear layers of the accelerator.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LARGEST = 4096
"""Most weights per output: the size of their correlation matrix is its square."""
_ROWS = 32768
_DAMPING = 0.01


class CompensatedRounding:
    """Rounds the weights of one operator. `given` are its inputs in real numbers, after pooling: (B, C, …)."""

    def __init__(self, op: nn.Module, given: Tensor) -> None:
        rows = _rows(op, given)
        self._factor = None if rows is None or rows.shape[1] > _LARGEST else _inverse_factor(rows)

    def __call__(self, weights: Tensor, scale: float, bits: int) -> Tensor | None:
        """Return `weights`·`scale` as integers of `bits` bits; None if errors cannot be compensated."""
        if self._factor is None:
            return None
        levels = 2 ** (bits - 1)
        rest = weights.flatten(1).double() * scale
        result = torch.empty_like(rest)
        for i, row in enumerate(self._factor):
            result[:, i] = torch.floor(rest[:, i] + 0.5).clamp(-levels, levels - 1)
            error = (rest[:, i] - result[:, i]) / row[i]
            rest[:, i:] -= torch.outer(error, row[i:])
        return result.view_as(weights).to(weights.dtype)


def _rows(op: nn.Module, given: Tensor) -> Tensor | None:
    """Return the inputs that the weights of an output multiply (samples·positions, weights); None if outputs differ."""
    if isinstance(op, nn.Linear):
        return given.flatten(0, -2)
    if not isinstance(op, nn.Conv1d | nn.Conv2d) or op.groups > 1:
        return None
    flat = isinstance(op, nn.Conv1d)
    image = given.unsqueeze(-1) if flat else given
    sizes = [(*map(int, size), neutral) if flat else size for size, neutral in _geometry(op)]
    columns = F.unfold(image, *sizes)
    rows = columns.transpose(1, 2).flatten(0, 1)
    return rows[:: -(-len(rows) // _ROWS)]


def _geometry(op: nn.Conv1d | nn.Conv2d) -> list[tuple[tuple[int, ...], int]]:
    """Return kernel, dilation, padding and stride as for ``unfold``, each with its value for a missing axis."""
    assert not isinstance(op.padding, str)
    return [(op.kernel_size, 1), (op.dilation, 1), (op.padding, 0), (op.stride, 1)]


def _inverse_factor(rows: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the inverse correlation matrix of the rows."""
    correlation = rows.double().T @ rows.double()
    damping = _DAMPING * correlation.diagonal().mean().clamp(min=1e-9)
    correlation.diagonal().add_(damping)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(correlation)), upper=True)
