"""Autoencoder for vibration spectra."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x


class AI85Autoencoder(nn.Module):
    """Spectra of 256 bins (channels) and three axes through a bottleneck of four numbers and back.

    Input and output (B, num_channels, 3). Needs biases, into which the batch normalization is folded.
    """

    def __init__(
        self,
        num_classes: int = 1,
        num_channels: int = 256,
        dimensions: tuple[int, int] = (3, 1),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions[0] != 3:
            raise ValueError(f"ai85autoencoder requires three axes, not {dimensions[0]}")
        self.shape = (num_channels, dimensions[0])
        self.en_conv1 = ai8x.FusedConv1dBNReLU(num_channels, 128, 1, bias=bias, **kwargs)
        self.en_conv2 = ai8x.FusedConv1dBNReLU(128, 64, 3, bias=bias, **kwargs)
        self.en_lin1 = ai8x.FusedLinearReLU(64, 32, bias=bias, **kwargs)
        self.en_lin2 = ai8x.Linear(32, 4, bias=False, **kwargs)
        self.de_lin1 = ai8x.FusedLinearReLU(4, 32, bias=bias, **kwargs)
        self.de_lin2 = ai8x.FusedLinearReLU(32, 96, bias=bias, **kwargs)
        self.out_lin = ai8x.Linear(96, num_channels * dimensions[0], bias=False, **kwargs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstructed spectra."""
        x = self.en_conv2(self.en_conv1(x))
        x = self.en_lin2(self.en_lin1(x.flatten(1)))
        x = self.out_lin(self.de_lin2(self.de_lin1(x)))
        return x.view(x.shape[0], *self.shape)


def ai85autoencoder(pretrained: bool = False, **kwargs: Any) -> AI85Autoencoder:
    """Autoencoder for vibration spectra (256 bins, 3 axes); needs --use-bias."""
    if pretrained:
        raise ValueError("ai85autoencoder comes without trained weights")
    return AI85Autoencoder(**kwargs)


models = [{"name": "ai85autoencoder", "min_input": 1, "dim": 1}]
