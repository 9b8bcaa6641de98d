"""Execution of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ai8x_tool.engine.operators import (
    Array,
    convolve,
    eltwise,
    insert_zeros,
    pad_zeros,
    pool,
    reduce_to_8_bits,
)
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network


@dataclass(frozen=True, eq=False)
class LayerTensors:
    """Outputs of every executed layer: `outputs[index]` is (batch, channels, rows, columns).

    8-bit layers hold int8, 32-bit layers int32. `order` lists the layers as executed.
    """

    outputs: dict[int, Array]
    order: tuple[int, ...]

    @property
    def last(self) -> Array:
        """The output of the layer executed last."""
        return self.outputs[self.order[-1]]


def run(
    network: Network, samples: Array, layers: Sequence[str] | None = None, *, average_rounding: bool = False
) -> LayerTensors:
    """Run integer samples −128…127 through the network; return the outputs of all executed layers.

    `samples` is (batch, channels, rows, columns), with all operands of the first layer among its channels. `layers` are
    the layers to execute, in order (default: all). A layer whose source is not among them, because of conditional
    execution, reads the output of the layer executed before it. With `average_rounding`, averages of 2D data are
    rounded instead of truncated. Raises Ai8xError if data do not fit a layer or an accumulator leaves the signed
    32-bit range.
    """
    channels_first = np.ascontiguousarray(samples.transpose(1, 0, 2, 3))
    runner = _Runner(network, channels_first, average_rounding)
    order = [network[name] for name in layers or network.evaluation_order()]
    before: Source = INPUT
    for layer in order:
        runner.execute(layer, before)
        before = layer.name
    outputs = {layer.index: runner.tensors[layer.name].transpose(1, 0, 2, 3) for layer in order}
    return LayerTensors(outputs, tuple(layer.index for layer in order))


class _Runner:
    """State of one run: tensors are (channels, batch, rows, columns)."""

    def __init__(self, network: Network, samples: Array, average_rounding: bool) -> None:
        self.network = network
        self.average_rounding = average_rounding
        self.tensors: dict[Source, Array] = {INPUT: samples}
        buffer = network.buffer
        if buffer is not None:
            shape = (buffer.size[0], samples.shape[1], buffer.channels, buffer.size[1])
            self.buffer = np.zeros(shape, np.int8)

    def execute(self, layer: Layer, before: Source) -> None:
        """Compute the output of `layer`, executed after `before`."""
        try:
            if layer.buffer_shift:
                self.tensors[layer.name] = self._shift_buffer(layer)
                return
            y = self._compute(layer, self._collect(layer, before))
        except ValueError as error:
            raise Ai8xError(str(error), where=layer.where) from None
        self.tensors[layer.name] = y
        if layer.buffer_insert:
            self._insert_into_buffer(layer, y)

    def _compute(self, layer: Layer, x: Array) -> Array:
        if x.shape[0] % layer.operands:
            raise ValueError(f"{x.shape[0]} channels cannot be divided equally among {layer.operands} operands")
        operands = np.split(x, layer.operands)
        if layer.operands > 1 and not layer.pool_first:
            operands = [eltwise(layer.eltwise or "add", operands)]
        operands = [self._pool(layer, self._reshape(layer, operand)) for operand in operands]
        y = eltwise(layer.eltwise or "add", operands) if len(operands) > 1 else operands[0]
        expected = (layer.channels_in, *layer.pooled_size)
        actual = (y.shape[0], *y.shape[2:])
        if actual != expected:
            raise ValueError(f"expected data of {_text(expected)}, got {_text(actual)}")
        return self._convolution(layer, y) if layer.is_convolution else y.astype(np.int8, copy=False)

    def _collect(self, layer: Layer, before: Source) -> Array:
        left_out = layer.inputs[0] is not BUFFER and layer.inputs[0] not in self.tensors
        sources = (before,) if left_out else layer.inputs
        tensors = [self._source(layer, source) for source in sources]
        if len(tensors) == 1:
            return tensors[0]
        if len({t.shape[2:] for t in tensors}) == 1:
            return np.concatenate(tensors)
        if len({t.shape[0] for t in tensors}) > 1:
            raise ValueError("sources that differ in both size and number of channels cannot be joined")
        pixels = np.concatenate([t.reshape(*t.shape[:2], -1) for t in tensors], axis=2)
        return pixels.reshape(*pixels.shape[:2], *layer.in_size)

    def _source(self, layer: Layer, source: Source) -> Array:
        if source is not BUFFER:
            if source not in self.tensors:
                raise ValueError(f"its source, {self.network[str(source)].label}, has not been executed")
            return self.tensors[source]
        if layer.operator == "conv1d":
            return np.ascontiguousarray(self.buffer[..., 0].transpose(2, 1, 0))[..., None]
        return self.buffer

    def _reshape(self, layer: Layer, x: Array) -> Array:
        first, last = layer.in_crop
        if first or last:
            x = x[:, :, first : x.shape[2] - last]
        if x.shape[2:] == layer.in_size:
            return x
        rows, columns = layer.in_size
        per_sample = x.shape[0] * x.shape[2] * x.shape[3]
        if per_sample % (rows * columns):
            raise ValueError(f"{per_sample} values cannot be reshaped to {rows}×{columns}")
        batch_first = np.ascontiguousarray(x.transpose(1, 0, 2, 3)).reshape(x.shape[1], -1, rows, columns)
        return batch_first.transpose(1, 0, 2, 3)

    def _pool(self, layer: Layer, x: Array) -> Array:
        if layer.pool == (1, 1) and x.shape[2:] == layer.pooled_size:
            return x
        rounding = self.average_rounding and layer.operator != "conv1d"
        size, stride, dilation = layer.pool, layer.pool_stride, layer.pool_dilation
        if x.shape[3] == 1:
            size, stride, dilation = (size[0], 1), (stride[0], 1), (dilation[0], 1)
        average = layer.pool_average
        return pool(x, size, stride, dilation, layer.pooled_size, average=average, rounding=rounding)

    def _convolution(self, layer: Layer, x: Array) -> Array:
        if layer.flatten:
            x = np.ascontiguousarray(x.transpose(1, 0, 2, 3)).reshape(x.shape[1], -1).T[..., None, None]
        weights = _weights(layer)
        pad = layer.pad
        if layer.operator == "convtranspose2d":
            before = (layer.kernel[0] - 1 - pad[0], layer.kernel[1] - 1 - pad[1])
            after = (before[0] + layer.output_pad[0], before[1] + layer.output_pad[1])
            x = pad_zeros(insert_zeros(x), before, after)
        else:
            x = pad_zeros(x, pad, pad)
        total = convolve(x, weights, layer.dilation, depthwise=layer.depthwise)
        if layer.parameters is not None and layer.parameters.bias is not None:
            total += 128 * layer.parameters.bias.reshape(-1, 1, 1, 1)
        low, high = int(total.min(initial=0)), int(total.max(initial=0))
        if low < -(1 << 31) or high >= 1 << 31:
            raise ValueError(f"sums {low} … {high} leave the 32-bit range of the accumulator")
        if layer.output_width != 8:
            return total.astype(np.int32)
        return reduce_to_8_bits(total, layer.shift, layer.activation)

    def _shift_buffer(self, layer: Layer) -> Array:
        shifted = np.zeros_like(self.buffer)
        shifted[: -layer.buffer_shift] = self.buffer[layer.buffer_shift :]
        self.buffer = shifted
        return shifted[: -layer.buffer_shift].transpose(2, 1, 0, 3)

    def _insert_into_buffer(self, layer: Layer, y: Array) -> None:
        count = layer.buffer_insert
        flat = y.transpose(2, 1, 3, 0).reshape(y.shape[2], y.shape[1], -1)
        target = self.buffer[-count:]
        if flat.shape[0] * flat.shape[2] != count * target.shape[2] * target.shape[3]:
            raise ValueError(f"an output of {_text((y.shape[0], *y.shape[2:]))} does not fit {count} buffer positions")
        self.buffer[-count:] = flat.reshape(count, y.shape[1], target.shape[2], target.shape[3])


def _weights(layer: Layer) -> Array:
    if layer.parameters is not None:
        weights = layer.parameters.weights
        exchanged = layer.depthwise and layer.operator == "convtranspose2d"  # its kernels are (1, channels, …)
        return weights.transpose(1, 0, 2, 3) if exchanged else weights
    inputs = 1 if layer.depthwise else layer.channels_in * layer.flat_pixels
    return np.ones((layer.channels_out, inputs, *layer.kernel), np.int64)


def _text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
