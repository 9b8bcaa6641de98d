"""bfloat16 tensors without elements and without dimensions."""

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint


@pytest.mark.parametrize("zip_format", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0)])
def test_bfloat16_of_every_shape(tmp_path, shape, zip_format):
    values = torch.full(shape, 1.5, dtype=torch.bfloat16)
    path = tmp_path / "a.pth.tar"
    torch.save({"epoch": 0, "state_dict": {"x": values}}, path, _use_new_zipfile_serialization=zip_format)
    read = read_checkpoint(path).state["x"]
    assert (read.dtype, read.shape) == (np.float32, shape)
    np.testing.assert_array_equal(read, values.float().numpy())
