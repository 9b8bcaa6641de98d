"""Outputs of projects in words: pixels, numbers in their units, boxes in pixels of the file."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.data.boxes import encode_centers
from ai8x_tool.data.own.images import fit_of
from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.interpretation import (
    BoxInterpretation,
    ImagePlacement,
    NumberInterpretation,
    PixelInterpretation,
    read_interpretation,
)


def test_pixels():
    answers = read_interpretation(PixelInterpretation(("sky", "road")).document(), "file")
    maps = np.zeros((2, 2, 5))
    maps[1, 0, :3] = 1
    assert answers.text([[maps]], None) == "sky 70.0%, road 30.0% of the pixels"


def test_numbers_are_in_the_units_of_the_table():
    answers = read_interpretation(NumberInterpretation(("level", "flow"), (0.5, 2.0), (100.0, -1.0)).document(), "file")
    windows = [[np.array([10, 3]).reshape(2, 1, 1)], [np.array([20, 5]).reshape(2, 1, 1)]]
    assert answers.text(windows[:1], None) == "level 105, flow 5"
    assert answers.text(windows, None) == "level 107.5, flow 7 (mean of 2 windows)"


def test_boxes_are_in_pixels_of_the_file():
    """Two maps of one prior each; a 200×100 image lies in rows 16 to 48 of an input of 64×64."""
    import torch

    priors, unit = torch.tensor([[0.25, 0.5, 0.2, 0.2], [0.75, 0.5, 0.4, 0.4]]), 1 / 1024
    wanted = torch.tensor([[0.25, 0.5, 0.25, 0.25], [0.75, 0.5, 0.4, 0.5]])
    codes = (encode_centers(wanted, priors) / unit).round().numpy()
    locations = [code.reshape(4, 1, 1) for code in codes]
    scores = [np.array(each).reshape(3, 1, 1) for each in ([0, 0, 5000], [9000, 0, 0])]
    answers = BoxInterpretation(("cat", "dog"), unit, unit, 0.4, 9, tuple(map(tuple, priors.tolist())))
    again = read_interpretation({**answers.document(), "priors": priors.tolist()}, "file")
    assert again.text([locations + scores], None) == "dog 99% at (0.125, 0.375, 0.375, 0.625)"
    view = ImagePlacement((64, 64), fit_of(100, 200, (64, 64)), 100, 200)
    assert again.text([locations + scores], view) == "dog 99% at (25, 25, 75, 75)"
    scores[0][:] = 0
    assert again.text([locations + scores], view) == "no object"


@pytest.mark.parametrize("document", [None, {}, {"kind": "poem"}, {"kind": "segmentation", "colors": []}])
def test_unknown_forms(document):
    with pytest.raises(Ai8xError, match="unknown form"):
        read_interpretation(document, "outputs.json")
