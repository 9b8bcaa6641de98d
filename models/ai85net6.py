"""Image classifier whose layer of most channels fills the kernel memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x
from ai8x_tool.nn.context import resolve_context

FEATURES = 12 * 4 * 4


class AI85Net6(nn.Module):
    """Four 3×3 convolutions and a 1×1 convolution as classifier.

    Input (B, num_channels, 28 or 32, the same), output (B, num_classes). The third convolution has as many channels as
    kernels fit into the memory of a processor, less 72.
    """

    def __init__(
        self,
        num_classes: int = 10,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (32, 32),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions not in ((28, 28), (32, 32)):
            raise ValueError(f"ai85net6 requires images of 28×28 or 32×32 pixels, not {dimensions[0]}×{dimensions[1]}")
        many = resolve_context(None, "ai85net6").device.kernels_large - 72
        pad = 2 if dimensions[0] == 28 else 1
        options = {"padding": 1, "bias": bias, **kwargs}
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 60, 3, **options)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(60, 60, 3, **{**options, "padding": pad})
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(60, many, 3, **options)
        self.conv4 = ai8x.FusedAvgPoolConv2dReLU(many, 12, 3, **options)
        self.conv5 = ai8x.Conv2d(FEATURES, num_classes, 1, bias=bias, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        scores: Tensor = self.conv5(x.reshape(x.shape[0], FEATURES, 1, 1))
        return scores.flatten(1)


def ai85net6(pretrained: bool = False, **kwargs: Any) -> AI85Net6:
    """Image classifier with a 1×1 convolution at its end (CIFAR-10)."""
    if pretrained:
        raise ValueError("ai85net6 comes without trained weights")
    return AI85Net6(**kwargs)


models = [{"name": "ai85net6", "min_input": 1, "dim": 2}]
