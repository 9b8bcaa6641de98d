"""Layers of whole networks against loops over Python integers."""

from __future__ import annotations

import numpy as np

from ai8x_tool.lowering.input_data import synthesize_sample
from ai8x_tool.network.layer import BUFFER, INPUT
from tests.support import reference_engine as reference

_WORK = 20_000
"""Multiplications and comparisons per layer up to which the loops are run."""


def compare_with_reference(result, sample, *, rounding, counts):
    """Compare small layers of `result` (a Synthesis) with the plain loops, each on the engine's own input."""
    network, tensors = result.network, result.tensors
    pattern = result.program.options.synthesized_input
    if pattern is not None:
        sample = synthesize_sample(sample, pattern, result.mapping.start)
    for index in tensors.order:
        layer = network[index]
        counts["layers"] += 1
        if layer.buffer_shift or BUFFER in layer.inputs or work(layer) > _WORK:
            continue
        data = [sample if s is INPUT else tensors.outputs[network[s].index][0] for s in layer.inputs]
        expected = reference.layer_output(layer, collected(layer, data).tolist(), rounding)
        np.testing.assert_array_equal(tensors.outputs[index][0], expected, err_msg=layer.where)
        counts["layers compared with the reference"] += 1


def work(layer):
    """Return how many products, and values under pooling windows, the layer takes."""
    rows, columns = layer.out_size if not layer.flatten else layer.pooled_size
    taps = layer.kernel[0] * layer.kernel[1] if layer.is_convolution else 1
    outputs = layer.channels_out if layer.is_convolution and not layer.depthwise else 1
    windows = layer.pooled_size[0] * layer.pooled_size[1] * layer.pool[0] * layer.pool[1] * layer.operands
    return layer.channels_in * (rows * columns * taps * outputs + windows)


def collected(layer, data):
    """Join, crop and reshape the sources."""
    if len({x.shape[1:] for x in data}) == 1:
        joined = np.concatenate(data)
    else:
        joined = np.concatenate([x.reshape(len(x), -1) for x in data], axis=1)
        joined = joined.reshape(-1, *layer.in_size)
    first, last = layer.in_crop
    joined = joined[:, first : joined.shape[1] - last]
    return joined.reshape(-1, *layer.in_size)
