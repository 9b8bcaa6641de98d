"""Corner cases of the engine."""

import numpy as np

from ai8x_tool.device import MAX78002
from ai8x_tool.engine import run
from tests.support import reference_engine as reference
from tests.support.networks import build, random_kernels, random_sample


def test_depthwise_transposed():
    """Stored (C, 1, 3, 3), exchanged to (1, C, 3, 3)."""
    layer = {
        "op": "ConvTranspose2d",
        "groups": 3,
        "processors": 7,
        "out_offset": 0x100,
        "output_width": 32,
        "output_processors": 7,
    }
    kernels = random_kernels((1, 3, 3, 3))
    sample = random_sample((3, 4, 5))
    network = build([layer], [kernels], sample.shape, MAX78002)
    assert (network.start.channels_in, network.start.channels_out) == (3, 3)
    expected = reference.convolve_transposed(sample.tolist(), kernels.transpose(1, 0, 2, 3).tolist(), None, 1, True)
    np.testing.assert_array_equal(run(network, sample[None]).last[0], expected)


def test_pool_of_one_with_dilation():
    """Dilation does not move a window of one value; it only shrinks the output."""
    layer = {"op": "none", "processors": 1, "out_offset": 0, "max_pool": [1, 1], "pool_stride": 1, "pool_dilation": 2}
    sample = np.arange(12).reshape(1, 3, 4)
    network = build([layer], [], sample.shape, MAX78002)
    np.testing.assert_array_equal(run(network, sample[None]).last[0], sample[:, :2, :3])
