"""Random models, traced, against their 8-bit mode in torch. AI8X_RANDOM_MODELS sets how many, AI8X_SEED the first."""

import copy
import os
import re

import pytest
import torch
from torch import nn

from ai8x_tool import nn as ai8x
from ai8x_tool.device import MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import legalize
from ai8x_tool.nn import BuildContext
from tests.support.random_models import RandomModel
from tests.support.random_plain_models import RandomPlainModel
from tests.support.traced_models import agree, randomize, simulated

COUNT, FIRST = int(os.environ.get("AI8X_RANDOM_MODELS", "120")), int(os.environ.get("AI8X_SEED", "0"))
GROUPS = 10
REFUSALS = (
    r"the activation relu of .* stands alone",
    r"parts of different size are joined along the channels",
    r"only a part of .* is used",
    r"flatten must not take more than 256 pixels",
    r"the model's output does not come from a layer",
)


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_models(group):
    """Each model computes the same in the engine, or is refused for one of the reasons above; few are."""
    accepted = refused = 0
    for seed in range(FIRST + group, FIRST + COUNT, GROUPS):
        print("seed", seed)
        with simulated():
            model = RandomModel(seed)
        randomize(model, seed)
        try:
            assert agree(model, model.shape, seed=seed) > 0
            accepted += 1
        except Ai8xError as error:
            assert any(re.search(pattern, str(error)) for pattern in REFUSALS), error
            refused += 1
    assert refused <= max(1, accepted / 2)


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_plain_models(group):
    """Each becomes a fused model of the same function, which the engine computes in 8-bit mode."""
    accepted = 0
    for seed in range(FIRST + group, FIRST + COUNT // 2, GROUPS):
        print("seed", seed)
        torch.manual_seed(seed)
        model = RandomPlainModel(seed)
        with torch.no_grad():
            for _ in range(3):
                model(torch.rand(8, *model.shape) - 0.5)
        model.eval()
        x, twin = torch.rand(4, *model.shape) - 0.5, copy.deepcopy(model)
        with torch.no_grad():
            expected = model(x)
            legalize(model, model.shape, BuildContext(MAX78002, measured_ranges=True))
            assert torch.allclose(model(x), expected, rtol=1e-4, atol=1e-5)
        legalize(twin, twin.shape, BuildContext(MAX78002, simulate=True))
        try:
            assert agree(randomize(twin, seed), twin.shape, seed=seed) > 0
            accepted += 1
        except Ai8xError as error:
            assert re.search(r"the activation abs of .* stands alone", str(error)), error
    assert accepted


class Reshaped(nn.Module):
    """Flattens an image beside a row of as many pixels."""

    shape = (1, 6, 10)

    def __init__(self):
        super().__init__()
        self.row, self.fc = ai8x.FusedConv2dReLU(1, 2, 1), ai8x.Linear(180, 5, wide=False)

    def forward(self, x):
        row = x.reshape(len(x), 1, 1, 60)
        return self.fc(torch.cat([row, self.row(row)], 1).flatten(1))


def test_sources_of_as_many_pixels_are_flattened_together():
    with simulated():
        model = randomize(Reshaped(), 1)
    assert agree(model, model.shape) > 0
