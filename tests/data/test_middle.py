"""Networks that are described for the middle of the samples of their dataset."""

from __future__ import annotations

import numpy as np
import pytest

import ai8x_tool
from ai8x_tool.data.middle import is_middle, middle, seen
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.training.evaluation import why_not_compared


def test_the_middle():
    values = np.arange(2 * 3 * 6 * 5).reshape(2, 3, 6, 5)
    found = middle(values, (3, 2, 3))
    assert found.shape == (2, 3, 2, 3) and np.array_equal(found, values[:, :, 2:4, 1:4])
    assert middle(values, (2, 2, 3)) is values and middle(values, (3, 6, 5)) is values


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 8), (3, 8, 8), (8, 8)])
def test_other_shapes_are_not_the_middle(shape):
    assert not is_middle(shape, (3, 8, 8)) and not is_middle((3, 4, 4), (8, 8))


def test_the_u_nets_see_the_middle_of_their_samples():
    camvid = find_dataset("CamVid_s352_c3")
    assert seen(camvid, (48, 48, 48)).input == (48, 48, 48) and seen(camvid, (3, 48, 48)) is camvid
    assert ai8x_tool.analyze("camvid_unet", device="MAX78000").input_shape == (48, 48, 48)


@pytest.mark.parametrize(
    ("recipe", "network", "reason"), [("camvid_unet", None, "the middle 48×48"), ("kinetics", "kinetics", "one input")]
)
def test_evaluation_says_why_the_engine_is_not_compared(recipe, network, reason):
    given = {"checkpoint": "q.pth.tar", "simulate": True, **({} if network is None else {"network": network})}
    settings = resolve(EvaluateSettings, "evaluate", recipe, given=given)
    assert reason in why_not_compared(settings, find_dataset(settings.dataset))
