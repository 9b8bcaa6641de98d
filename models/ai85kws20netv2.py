"""Keyword spotting, second version: 1D convolutions over 128 columns of 128 samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85KWS20NetV2(nn.Module):
    """Eight 1D convolutions, optionally with batch normalization, and a linear classifier.

    Input (B, num_channels, 128), output (B, num_classes) with 32 bits. Batch normalization needs biases, into which
    it is folded.
    """

    def __init__(
        self,
        num_classes: int = 21,
        num_channels: int = 128,
        dimensions: tuple[int, int] = (128, 1),
        bias: bool = False,
        *,
        batchnorm: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions[0] != 128:
            raise ValueError(f"this network requires 128 columns, not {dimensions[0]}")
        plain = {"bias": bias, "batchnorm": batchnorm, **kwargs}
        padded = {"padding": 1, **plain}
        self.conv1 = ai8x.FusedConv1dReLU(num_channels, 100, 1, **plain)
        self.conv2 = ai8x.FusedConv1dReLU(100, 48, 3, **plain)
        self.conv3 = ai8x.FusedMaxPoolConv1dReLU(48, 96, 3, **padded)
        self.conv4 = ai8x.FusedConv1dReLU(96, 128, 3, **plain)
        self.conv5 = ai8x.FusedMaxPoolConv1dReLU(128, 160, 3, **padded)
        self.conv6 = ai8x.FusedConv1dReLU(160, 192, 3, **plain)
        self.conv7 = ai8x.FusedAvgPoolConv1dReLU(192, 192, 3, **padded)
        self.conv8 = ai8x.FusedConv1dReLU(192, 32, 3, **plain)
        self.fc = ai8x.Linear(32 * 12, num_classes, bias=bias, wide=True, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        x = self.conv8(self.conv7(self.conv6(self.conv5(x))))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def ai85kws20netv2(pretrained: bool = False, **kwargs: Any) -> AI85KWS20NetV2:
    """Keyword spotting, second version (368,576 weights)."""
    _refuse(pretrained)
    return AI85KWS20NetV2(**kwargs)


def ai85kws20netv2batchnorm(pretrained: bool = False, **kwargs: Any) -> AI85KWS20NetV2:
    """Keyword spotting, second version, with batch normalization; needs --use-bias."""
    _refuse(pretrained)
    return AI85KWS20NetV2(batchnorm="Affine", **{"bias": True, **kwargs})


def _refuse(pretrained: bool) -> None:
    if pretrained:
        raise ValueError("keyword-spotting networks of the second version come without trained weights")


models = [
    {"name": "ai85kws20netv2", "min_input": 1, "dim": 1},
    {"name": "ai85kws20netv2batchnorm", "min_input": 1, "dim": 1},
]
