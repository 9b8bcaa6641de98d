"""Files as inputs of shipped datasets, as their recipes make them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import PREPROCESSING
from ai8x_tool.data.colors import normalized
from ai8x_tool.data.own.preprocessing import read_preprocessing
from ai8x_tool.data.speech import fold_audio
from ai8x_tool.data.stock_inputs import STOCK_INPUTS, stock_input
from ai8x_tool.plugins.find import dataset_input, find_dataset


@pytest.mark.parametrize("name", STOCK_INPUTS)
def test_values_are_those_of_the_dataset(name):
    shape = dataset_input(name)
    stock = stock_input(name, (*shape, 1))
    assert stock is not None and stock.shape == shape and stock_input(name, (2, *shape[1:])) is None
    size = (1, 128 * 128) if stock.kind == "sound" else (1, *shape)
    raw = torch.from_numpy(np.random.default_rng(0).integers(0, 256, size, np.uint8))
    wanted = fold_audio(raw) if stock.kind == "sound" else normalized(raw)
    assert torch.equal(read_preprocessing(stock.document(), PREPROCESSING).integers(raw), wanted)


def test_names_are_those_of_the_dataset():
    named = {name: stock.classes for name, stock in STOCK_INPUTS.items() if stock.classes}
    assert {name: tuple(find_dataset(name).labels) for name in named} == named
    assert stock_input("Photographs", (3, 32, 32)) is None
