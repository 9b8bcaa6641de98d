"""Keyword spotting, third version: 1D convolutions over 128 columns of 128 samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

DROPOUT = 0.2


class KeywordNet(nn.Module):
    """Eight 1D convolutions and a linear classifier.

    Input (B, num_channels, 128), output (B, num_classes) with 32 bits. `pad` is the padding of the pooled
    convolutions, `last_kernel` the kernel of the last convolution.
    """

    def __init__(
        self,
        num_classes: int = 21,
        num_channels: int = 128,
        dimensions: tuple[int, int] = (128, 1),
        bias: bool = False,
        *,
        pad: int,
        last_kernel: int,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        plain = {"bias": bias, **kwargs}
        padded = {"padding": pad, **plain}
        self.drop = ai8x.Dropout(DROPOUT)
        self.voice_conv1 = ai8x.FusedConv1dReLU(num_channels, 100, 1, **plain)
        self.voice_conv2 = ai8x.FusedConv1dReLU(100, 96, 3, **plain)
        self.voice_conv3 = ai8x.FusedMaxPoolConv1dReLU(96, 64, 3, **padded)
        self.voice_conv4 = ai8x.FusedConv1dReLU(64, 48, 3, **plain)
        self.kws_conv1 = ai8x.FusedMaxPoolConv1dReLU(48, 64, 3, **padded)
        self.kws_conv2 = ai8x.FusedConv1dReLU(64, 96, 3, **plain)
        self.kws_conv3 = ai8x.FusedAvgPoolConv1dReLU(96, 100, 3, **padded)
        self.kws_conv4 = ai8x.FusedMaxPoolConv1dReLU(100, 64, last_kernel, **padded)
        length = _length(dimensions[0], pad, last_kernel)
        self.fc = ai8x.Linear(64 * length, num_classes, wide=True, **plain)
        # torch's default lets the signal fade in eight layers without batch normalization.
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.drop(self.voice_conv2(self.voice_conv1(x)))
        x = self.drop(self.voice_conv4(self.voice_conv3(x)))
        x = self.drop(self.kws_conv2(self.kws_conv1(x)))
        x = self.kws_conv4(self.kws_conv3(x))
        scores: Tensor = self.fc(x.flatten(1))
        return scores


def _length(length: int, pad: int, last_kernel: int) -> int:
    """Columns that arrive at the classifier."""
    length -= 2
    length = length // 2 + 2 * pad - 2 - 2
    length = length // 2 + 2 * pad - 2 - 2
    length = length // 2 + 2 * pad - 2
    return length // 2 + 2 * pad - last_kernel + 1


def ai85kws20netv3(pretrained: bool = False, **kwargs: Any) -> KeywordNet:
    """Keyword spotting with 20 words and "unknown" (169,472 weights)."""
    if pretrained:
        raise ValueError("ai85kws20netv3 comes without trained weights")
    return KeywordNet(pad=1, last_kernel=6, **kwargs)


def ai87kws20netv3(pretrained: bool = False, **kwargs: Any) -> KeywordNet:
    """Keyword spotting for the MAX78002, whose 1D convolutions of many channels have no padding."""
    if pretrained:
        raise ValueError("ai87kws20netv3 comes without trained weights")
    return KeywordNet(pad=0, last_kernel=3, **kwargs)


models = [
    {"name": "ai85kws20netv3", "min_input": 1, "dim": 1},
    {"name": "ai87kws20netv3", "min_input": 1, "dim": 1},
]
