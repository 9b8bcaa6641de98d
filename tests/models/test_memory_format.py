"""The channels-last order is used where nothing in a model depends on the usual one, before QAT and after it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ai8x_tool import nn
from ai8x_tool.device import find_device
from ai8x_tool.model.memory_format import use_channels_last
from ai8x_tool.nn import QatPolicy, start_qat

SHAPE = (3, 8, 8)


class Model(torch.nn.Module):
    """Two convolutions, the first with a given number of channels, and a view of their output."""

    def __init__(self, channels: int, finish: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv1 = nn.FusedConv2dReLU(3, channels, 3, padding=1, bias=False)
        self.conv2 = nn.FusedMaxPoolConv2dReLU(channels, 4, 3, padding=1, bias=False)
        self.finish = finish

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.conv2(self.conv1(x)))


def pooled(x: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(x, 4).view(len(x), -1)


def by_position(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous().view(len(x), -1, 2)


@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize(
    ("finish", "used"),
    [
        (lambda x: x.view(len(x), -1), False),
        (lambda x: x.view_as(torch.zeros(len(x), 64)), False),
        (lambda x: x.flatten(2).view(len(x), -1), False),
        (lambda x: x.view(len(x), 2, 2, 4, 4), True),  # only splits axes
        (lambda x: x.flatten(1), True),
        (lambda x: x.reshape(len(x), -1), True),
        (pooled, True),
        (by_position, True),
    ],
)
def test_views_decide(channels: int, finish: Callable[[Tensor], Tensor], used: bool, measured: bool) -> None:
    with nn.build_context(find_device("MAX78000"), measured_ranges=measured):
        model = Model(channels, finish)
    inputs = torch.rand(4, *SHAPE)
    plain = model(inputs)
    use_channels_last(model, SHAPE)
    assert bool(model._forward_pre_hooks) == used and model.training
    torch.testing.assert_close(model(inputs), plain)
    start_qat(model, QatPolicy(0, 8))
    model(inputs).sum().backward()
    model.eval()(inputs)


def test_one_channel_in_one_dimension() -> None:
    class Sound(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.FusedConv1dReLU(3, 1, 3, padding=1), nn.FusedConv1dReLU(1, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv2(self.conv1(x)).view(len(x), -1)

    with nn.build_context(find_device("MAX78000")):
        model = Sound()
    use_channels_last(model, (3, 16))
    assert not model._forward_pre_hooks
    start_qat(model, QatPolicy(0, 8))
    assert model(torch.rand(2, 3, 16)).shape == (2, 64)
