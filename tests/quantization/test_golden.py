"""Trained networks give exactly the integers of their quantized counterparts."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.quantization import quantize

NAMES = ["ai85-camvid-unet-large", "ai85-catsdogs-qat8", "ai85-kws20_v3-qat8", "ai87-kws20_v3-qat8"]


@pytest.mark.golden
def test_every_folder_is_tested(golden):
    assert sorted(path.name for path in (golden / "quantize").iterdir()) == NAMES


@pytest.mark.golden
@pytest.mark.parametrize("name", NAMES)
def test_trained_networks(golden, tmp_path, console, name):
    folder = golden / "quantize" / name
    target = tmp_path / "quantized.pth.tar"
    quantize(folder / "trained.pth.tar", target, MAX78002 if name.startswith("ai87") else MAX78000, console)
    result, expected = read_checkpoint(target), read_checkpoint(folder / "quantized.pth.tar")
    assert list(result.state) == list(expected.state)
    for key, value in expected.state.items():
        assert result.state[key].dtype == value.dtype, key
        np.testing.assert_array_equal(result.state[key], value, err_msg=key)
    assert (result.epoch, result.arch) == (expected.epoch, expected.arch)
    assert result.extras["clipping_method"] == expected.extras["clipping_method"]
