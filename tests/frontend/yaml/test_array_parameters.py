"""Hand-made networks: weights and biases from files of consecutive arrays."""

import numpy as np
import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.array_parameters import load_test_parameters
from tests.support.networks import describe

LAYERS = [
    {"op": "Conv2d", "pad": 1, "processors": 3, "out_offset": 0x1000, "quantization": 4, "output_shift": -2},
    {"op": "none", "processors": 15, "out_offset": 0},
    {"op": "Linear", "flatten": True, "processors": 15, "out_offset": 0x1000},
]


def arrays(path, *values):
    with path.open("wb") as file:
        for value in values:
            np.save(file, value)
    return path


def test_arrays_belong_to_layers_with_weights(tmp_path):
    kernels = np.arange(-36, 36).reshape(4, 2, 3, 3)
    weights = arrays(tmp_path / "weights.npy", kernels, np.ones((5, 64), np.int64))
    bias = arrays(tmp_path / "bias.npy", np.array([1, 2, 3, 4]))
    parameters = load_test_parameters(describe(LAYERS), weights, bias)
    assert sorted(parameters) == [0, 2]
    assert (parameters[0].bits, parameters[0].shift, parameters[2].bits) == (4, -2, 8)
    np.testing.assert_array_equal(parameters[0].weights, kernels >> 3)  # 7 bits are needed, 4 configured
    np.testing.assert_array_equal(parameters[0].bias, [1, 2, 3, 4])
    assert parameters[2].bias is None
    assert parameters[2].weights.shape == (5, 64, 1, 1)


def test_binary_takes_the_sign(tmp_path):
    layer = {**LAYERS[0], "quantization": "binary"}
    weights = arrays(tmp_path / "weights.npy", np.array([-3, 0, 5] * 3).reshape(1, 1, 3, 3))
    parameters = load_test_parameters(describe([layer]), weights, None)
    assert parameters[0].weights.reshape(-1).tolist() == [-1, 1, 1] * 3


def test_one_array_enumerates_the_layers(tmp_path):
    layers = [{"op": "Conv2d", "processors": 1, "out_offset": 0x1000 * i} for i in (1, 0)]
    weights = arrays(tmp_path / "weights.npy", np.arange(18).reshape(2, 1, 1, 3, 3))
    parameters = load_test_parameters(describe(layers), weights, None)
    assert parameters[1].weights.min() == 9


@pytest.mark.parametrize(
    "values", [[np.ones((4, 2, 3, 3))], [np.full((4, 2, 3, 3), 128)], [np.ones((4, 2, 1, 1), int)], []], ids=str
)
def test_other_files_are_refused(tmp_path, values):
    weights = arrays(tmp_path / "weights.npy", *values)
    with pytest.raises(Ai8xError, match=r"weights\.npy"):
        load_test_parameters(describe(LAYERS[:1]), weights, None)


def test_no_objects_are_loaded(tmp_path):
    np.save(tmp_path / "weights.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Ai8xError):
        load_test_parameters(describe(LAYERS[:1]), tmp_path / "weights.npy", None)
