"""Sizes after pooling and convolution, and the passes that channels need."""

from __future__ import annotations

from ai8x_tool.network.layer import Layer, Pair


def pooled_size(layer: Layer, size: Pair) -> Pair:
    """Return (rows, columns) after pooling. A dilated window counts as size + dilation − 1, as in the hardware."""
    rows = _windows(size[0], layer.pool[0], layer.pool_stride[0], layer.pool_dilation[0])
    if layer.operator == "conv1d" or (layer.operator == "none" and size[1] == 1):
        return rows, 1
    return rows, _windows(size[1], layer.pool[1], layer.pool_stride[1], layer.pool_dilation[1])


def _windows(size: int, window: int, stride: int, dilation: int) -> int:
    return max(0, (size + stride - window - dilation + 1) // stride)


def output_size(layer: Layer, pooled: Pair) -> Pair:
    """Return (rows, columns) of the layer's output for pooled data of size `pooled`."""
    if layer.flatten:
        return 1, 1
    rows = _output(layer, pooled, 0)
    return rows, 1 if layer.operator == "conv1d" else _output(layer, pooled, 1)


def _output(layer: Layer, pooled: Pair, axis: int) -> int:
    size, kernel, pad = pooled[axis], layer.kernel[axis], layer.pad[axis]
    reach = layer.dilation[axis] * (kernel - 1)
    if layer.operator == "convtranspose2d":
        return (size - 1) * layer.stride[axis] - 2 * pad + reach + layer.output_pad[axis] + 1
    return (size - reach - 1 + 2 * pad) // layer.stride[axis] + 1


def passes(channels: int) -> int:
    """Return the number of passes over the 64 processors that `channels` need."""
    return -(-channels // 64)


def processors_per_pass(channels: int) -> int:
    """Return the number of processors of each pass; a multiple of four if there are several passes."""
    count = -(-channels // passes(channels))
    return min((count + 3) & ~3, 64) if channels > 64 else count


def processor_map_for(channels: int) -> int:
    """Return the processor map of `channels` channels packed from processor 0 on."""
    return (1 << processors_per_pass(channels)) - 1
