"""Action recognition: a 2D network over pairs of frames, then a temporal 1D network."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x

PAIRS = 15
"""Pairs of consecutive frames per sample."""
FEATURES = 32
"""Numbers that the 2D network finds in a pair."""


class AI85ActionTCN(ai8x.SequenceModel):
    """Input (B, 15, num_channels, H, W): 15 pairs of folded frames; output (B, num_classes) with 32 bits.

    The 2D network sees all pairs of a batch at once, on the accelerator one pair in each inference. Needs biases, into
    which the batch normalization is folded.
    """

    length = PAIRS

    def __init__(
        self,
        num_classes: int = 5,
        num_channels: int = 96,
        dimensions: tuple[int, int] = (60, 60),
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if dimensions != (60, 60):
            raise ValueError(f"ai85actiontcn requires frames folded to 60×60, not {dimensions[0]}×{dimensions[1]}")
        one = {"bias": bias, **kwargs}
        three = {"padding": 1, **one}
        self.prep0 = ai8x.FusedConv2dBNReLU(num_channels, 64, 1, **{**one, "batchnorm": "NoAffine"})
        self.conv0 = ai8x.FusedConv2dBNReLU(64, 64, 3, **three)
        self.conv1 = ai8x.FusedMaxPoolConv2dBNReLU(64, 64, 3, **three)
        self.conv1_2 = ai8x.FusedConv2dBNReLU(64, 64, 3, **three)
        for number in (2, 3, 4):
            self.add_module(f"conv{number}", ai8x.FusedMaxPoolConv2dBNReLU(64, 64, 3, **three))
            self.add_module(f"conv{number}_1", ai8x.FusedConv2dBNReLU(64, 64, 1, **one))
            self.add_module(f"conv{number}_p", ai8x.FusedMaxPoolConv2dBNReLU(64, 64, 3, **three))
        self.conv5 = ai8x.FusedConv2dBNReLU(64, FEATURES, 3, **one)
        self.tcn0 = ai8x.FusedConv1dBNReLU(FEATURES, 32, 3, **one)
        self.tcn1 = ai8x.FusedConv1dBNReLU(32, 32, 3, dilation=2, **one)
        self.tcn2 = ai8x.Conv1d(32, num_classes, 3, dilation=4, batchnorm="Affine", wide=True, **one)
        self.add = ai8x.Add()
        self.drop = nn.Dropout2d(0.5)

    def features(self, x: Tensor) -> Tensor:
        """Return what the 2D network finds in pairs of frames (N, num_channels, 60, 60): (N, 32)."""
        x = self.conv1_2(self.conv1(self.conv0(self.prep0(x))))
        for number in (2, 3, 4):
            main, side, pooled = (self.get_submodule(f"conv{number}{part}") for part in ("", "_1", "_p"))
            deep = self.drop(side(main(x)))
            x = self.add(pooled(x), deep)
        found: Tensor = self.conv5(x)
        return found.flatten(1)

    def scores(self, found: Tensor) -> Tensor:
        """Return one score per class for what was found in successive pairs, (N, 32, 15)."""
        scores: Tensor = self.tcn2(self.tcn1(self.tcn0(found)))
        return scores.flatten(1)


def ai85actiontcn(pretrained: bool = False, **kwargs: Any) -> AI85ActionTCN:
    """Action recognition in videos (375,264 weights); needs --use-bias."""
    if pretrained:
        raise ValueError("ai85actiontcn comes without trained weights")
    return AI85ActionTCN(**kwargs)


models = [{"name": "ai85actiontcn", "min_input": 1, "dim": 2}]
