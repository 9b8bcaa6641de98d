"""Face identification with 160×120 pixels."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85FaceIDNet(nn.Module):
    """Eight convolutions and an average over the image.

    Input (B, num_channels, 160, 120), output (B, 512, 1, 1): the embedding of a face.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        num_channels: int = 3,
        dimensions: tuple[int, int] = (160, 120),
        bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        rows, columns = (size // 32 for size in dimensions)
        plain = {"padding": 1, "bias": False, **kwargs}
        options = {**plain, "bias": bias}
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 16, 3, **plain)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(16, 32, 3, **plain)
        self.conv3 = ai8x.FusedMaxPoolConv2dReLU(32, 32, 3, **options)
        self.conv4 = ai8x.FusedMaxPoolConv2dReLU(32, 64, 3, **options)
        self.conv5 = ai8x.FusedMaxPoolConv2dReLU(64, 64, 3, **options)
        self.conv6 = ai8x.FusedConv2dReLU(64, 64, 3, **options)
        self.conv7 = ai8x.FusedConv2dReLU(64, 64, 3, **options)
        self.conv8 = ai8x.FusedMaxPoolConv2d(64, 512, 1, **{**plain, "padding": 0})
        self.avgpool = ai8x.AvgPool2d((rows, columns), stride=1, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the embeddings."""
        x = self.conv4(self.conv3(self.conv2(self.conv1(x))))
        x = self.conv8(self.conv7(self.conv6(self.conv5(x))))
        embedding: Tensor = self.avgpool(x)
        return embedding


def ai85faceidnet(pretrained: bool = False, **kwargs: Any) -> AI85FaceIDNet:
    """Face identification with 160×120 pixels, 512 numbers per face (176,048 weights)."""
    if pretrained:
        raise ValueError("ai85faceidnet comes without trained weights")
    return AI85FaceIDNet(**kwargs)


models = [{"name": "ai85faceidnet", "min_input": 1, "dim": 2}]
