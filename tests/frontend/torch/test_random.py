"""Random models, traced, against their 8-bit mode in torch. AI8X_RANDOM_MODELS sets how many, AI8X_SEED the first."""

import os
import re

import pytest

from ai8x_tool.errors import Ai8xError
from tests.support.random_models import RandomModel
from tests.support.traced_models import agree, randomize, simulated

COUNT, FIRST = int(os.environ.get("AI8X_RANDOM_MODELS", "200")), int(os.environ.get("AI8X_SEED", "0"))
GROUPS = 10
REFUSALS = (
    r"the activation relu of .* stands alone",
    r"parts of different size are joined along the channels",
    r"only a part of .* is used",
    r"flatten takes at most 256 pixels",
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
