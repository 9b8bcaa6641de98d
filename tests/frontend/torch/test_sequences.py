"""Models of sequences: a part for each input, a rolling buffer, and a part over what was found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ai8x_tool import nn as ai8x
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import trace
from ai8x_tool.mapper import map_automatically
from ai8x_tool.network.layer import BUFFER
from tests.support.traced_models import agree, randomize, simulated


class Gestures(ai8x.SequenceModel):
    """Features of 4×4 pixels, and two layers over five of them."""

    length = 5

    def __init__(self) -> None:
        super().__init__()
        self.first = ai8x.FusedConv2dReLU(3, 8, 3, bias=True)
        self.second = ai8x.FusedMaxPoolConv2dReLU(8, 8, 1, bias=True)
        self.third = ai8x.FusedConv1dReLU(8, 8, 3, bias=True)
        self.last = ai8x.Conv1d(8, 2, 3, bias=True, wide=True)

    def features(self, x: Tensor) -> Tensor:
        """Return eight values for each input."""
        found: Tensor = self.second(self.first(x))
        return found.flatten(1)

    def scores(self, found: Tensor) -> Tensor:
        """Return two scores."""
        scores: Tensor = self.last(self.third(found))
        return scores.flatten(1)


@pytest.fixture
def gestures():
    with simulated(MAX78000):
        return randomize(Gestures(), 3, widths=(8,))


def test_the_buffer_is_shifted_and_filled(gestures):
    network = trace(gestures, (3, 4, 4), "gestures", device=MAX78000)
    assert [layer.name for layer in network.layers] == ["first", "buffer_shift", "second", "third", "last"]
    assert network["buffer_shift"].buffer_shift == 1 and network["second"].buffer_insert == 1
    assert network["third"].inputs == (BUFFER,) and network.buffer.size == (5, 1) and network.buffer.channels == 8
    assert [layer.name for layer in network.outputs()] == ["last"]
    for moves in (False, True):
        assert map_automatically(network, MAX78000, moves=moves).placement.buffer is not None


def test_the_engine_computes_what_the_model_does(gestures):
    assert agree(gestures, (3, 4, 4), MAX78000) == 5


def test_a_first_input_is_one_after_nothing(gestures):
    x = torch.randint(-128, 128, (2, 5, 3, 4, 4)).float()
    found = torch.stack([gestures.features(x[:, number]) for number in range(5)], dim=2)
    assert torch.equal(gestures(x), gestures.scores(found))
    found[:, :, :4] = 0
    assert torch.equal(gestures(x[:, 4]), gestures.scores(found))


def test_features_with_several_pixels_are_refused(gestures):
    gestures.features = lambda x: gestures.first(x).flatten(2)
    with pytest.raises(Ai8xError, match=r"features\(\) must end with one value per channel"):
        trace(gestures, (3, 4, 4), "gestures", device=MAX78000)
