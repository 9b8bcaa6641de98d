"""Dot products of an embedding with a database of embeddings."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class DotProduct(nn.Module):
    """Input (B, 64, 1, 1) or (B, 64): an embedding; output (B, `entries`): its product with each one in the weights.

    The application fills the weights with embeddings of known faces.
    """

    def __init__(
        self,
        entries: int,
        num_classes: int | None = None,
        num_channels: int = 64,
        dimensions: tuple[int, int] = (1, 1),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.dot = ai8x.Linear(num_channels, entries, bias=False, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the products."""
        products: Tensor = self.dot(x.flatten(1))
        return products


def AI85DotProd(pretrained: bool = False, **kwargs: Any) -> DotProduct:  # noqa: N802  (the name in checkpoints)
    """Dot products with 512 embeddings."""
    _refuse(pretrained)
    return DotProduct(512, **kwargs)


def AI87DotProd(pretrained: bool = False, **kwargs: Any) -> DotProduct:  # noqa: N802
    """Dot products with 1024 embeddings (MAX78002)."""
    _refuse(pretrained)
    return DotProduct(1024, **kwargs)


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("databases of embeddings come without trained weights")


models = [
    {"name": "AI85DotProd", "min_input": 1, "dim": 2},
    {"name": "AI87DotProd", "min_input": 1, "dim": 2},
]
