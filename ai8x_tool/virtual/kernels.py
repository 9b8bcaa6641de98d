"""Kernels and bias of a layer, as its multipliers use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS_PER_QUADRANT
from ai8x_tool.virtual.arithmetic import output_bias, processor_bias, tap_matrices
from ai8x_tool.virtual.bias_memory import BiasMemory
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.kernel_memory import KernelMemory
from ai8x_tool.virtual.layer import HardwareLayer, KernelRange, Kind

Array = npt.NDArray[Any]

_INSTANCE_COLUMNS = 1024
_PARALLEL = 4
"""Number of kernel-memory instances that work in parallel, and their size in columns (MAX78002)."""


@dataclass(frozen=True, eq=False)
class Kernels:
    """Kernels of a layer, (outputs, passes, processors, taps), without outputs for depthwise layers, and its bias.

    `weights` is int8, and empty if the layer has no outputs; `bias` is int64, 128 times what is stored, for each output
    or (passes, processors). `taps` are the matrices for :func:`convolve`, empty for depthwise layers.
    """

    weights: Array
    bias: Array
    taps: dict[int, Array]


def load_kernels(
    layer: HardwareLayer, memory: KernelMemory, biases: BiasMemory, diagnostics: Diagnostics, *, late: bool
) -> Kernels:
    """Return the kernels and the bias of a layer that multiplies; `late`: its bias begins one entry later."""
    if layer.kind is Kind.DEPTHWISE:
        weights = _fetch_depthwise(layer, memory, diagnostics)
        return Kernels(weights, processor_bias(layer, biases, np.asarray(weights.any(axis=2)), diagnostics), {})
    outputs = _output_count(layer, diagnostics)
    if outputs < 1:
        return Kernels(np.zeros((0, layer.passes, len(layer.processors), 0), np.int8), np.zeros(0, np.int64), {})
    weights, used = _fetch_kernels(layer, memory, outputs, diagnostics)
    nonzero = np.asarray(weights.any(axis=(1, 2, 3)))
    return Kernels(weights, output_bias(layer, biases, used, nonzero, int(late), diagnostics), tap_matrices(weights))


def _output_count(layer: HardwareLayer, diagnostics: Diagnostics) -> int:
    """Return the number of outputs that the layer computes, including unused lanes; report contradictions."""
    kernels, passes = layer.kernels, layer.passes
    if kernels.bypass and kernels.output_count is not None:
        return kernels.output_count + 1
    count = (kernels.end - kernels.start) // kernels.bits + 1
    if kernels.end < kernels.start:
        _report(layer, diagnostics, f"the last kernel ({kernels.end:#x}) lies before the first ({kernels.start:#x})")
        return 0
    if (kernels.four_instances or kernels.quad) and kernels.output_count is not None:
        count = _PARALLEL * (kernels.output_count + 1)
    elif kernels.output_count is not None and kernels.output_count + 1 != count:
        text = f"{kernels.output_count + 1} outputs times passes, but {count} kernels from {kernels.start:#x} on"
        diagnostics.report("warning", text, layer=layer.index, register="OCHAN")
    if count % passes:
        _report(layer, diagnostics, f"{count} kernels cannot be divided equally among {passes} passes")
    return count // passes


def _report(layer: HardwareLayer, diagnostics: Diagnostics, text: str) -> None:
    register = "MCNT" if layer.kernels.output_count is None else "MCNT1"
    diagnostics.report("error", text, layer=layer.index, register=register)


def _fetch_kernels(
    layer: HardwareLayer, memory: KernelMemory, outputs: int, diagnostics: Diagnostics
) -> tuple[Array, Array]:
    """Return (weights, loaded): weights (outputs, passes, processors, taps) of int8, loaded (outputs,) of bool.

    `loaded` is False for outputs none of whose kernels were stored: unused lanes.
    """
    kernels, count = layer.kernels, len(layer.processors)
    taps = kernels.size[0] * kernels.size[1]
    if kernels.bypass:
        return np.ones((outputs, layer.passes, count, taps), np.int8), np.ones(outputs, bool)
    index, column = _kernel_numbers(layer, outputs)
    unit = kernels.start + index * kernels.bits
    base = (unit >> 3) * taps + kernels.offset + COLUMN_BYTES * column
    weights, loaded = _unpack(layer, memory, base, unit & 7, taps, diagnostics)
    concerned = np.broadcast_to(layer.kernel_enabled, (outputs, count))
    if kernels.quad:
        own = layer.processors // PROCESSORS_PER_QUADRANT == np.arange(outputs)[:, None] % _PARALLEL
        concerned = concerned & own
    weights = np.where(concerned[:, None, :, None], weights, np.int8(0))
    _check_loaded(layer, loaded, concerned, memory, diagnostics)
    return weights, np.asarray((loaded & concerned[:, None]).any(axis=(1, 2)))


def _kernel_numbers(layer: HardwareLayer, outputs: int) -> tuple[Array, Array]:
    """Return the kernel numbers and the first columns of their instances, for each output and pass."""
    output, steps = np.arange(outputs)[:, None], np.arange(layer.passes)
    if not (layer.kernels.four_instances or layer.kernels.quad):
        return output * layer.passes + steps, np.zeros_like(output)
    index = output // _PARALLEL * layer.passes + steps
    column = _INSTANCE_COLUMNS * (output % _PARALLEL) if layer.kernels.four_instances else np.zeros_like(output)
    return index, column


def _unpack(
    layer: HardwareLayer, memory: KernelMemory, base: Array, bit: Array, taps: int, diagnostics: Diagnostics
) -> tuple[Array, Array]:
    """Return (weights (…, processors, taps), loaded (…, processors)) for byte and bit addresses of shape (…)."""
    size = memory.stream.shape[1]
    place = base[..., None] + taps - 1 - np.arange(taps)
    last = int(place.max(initial=0)) // COLUMN_BYTES
    short = memory.columns[layer.processors] <= last
    if short.any():
        processor = int(layer.processors[int(short.argmax())])
        text = (
            f"kernel column {last} of processor {processor} does not exist: the last is {memory.columns[processor] - 1}"
        )
        _report(layer, diagnostics, text)
        place = np.minimum(place, size - 1)
    data = memory.stream[layer.processors][:, place]
    columns = place[..., (0, -1)] // COLUMN_BYTES
    loaded = np.asarray(memory.loaded[layer.processors][:, columns].all(axis=-1))
    weights = _extend(data >> bit.astype(np.uint8)[..., None], layer.kernels)
    return np.moveaxis(weights, 0, -2), np.moveaxis(loaded, 0, -1)


def _extend(data: Array, kernels: KernelRange) -> Array:
    """Return the low bits of bytes as signed weights (int8)."""
    if kernels.bits == 1:
        one = (data & 1).astype(np.int8)
        return 1 - 2 * one if kernels.binary else -one
    shift = 8 - kernels.bits
    return (data << shift).view(np.int8) >> shift


def _check_loaded(
    layer: HardwareLayer, loaded: Array, concerned: Array, memory: KernelMemory, diagnostics: Diagnostics
) -> None:
    """Report outputs for which the kernels of some processors only were stored, and the others not cleared.

    `loaded` is (outputs, passes, processors), `concerned` (outputs, processors).
    """
    needed = np.broadcast_to(concerned[:, None], loaded.shape)
    if needed.any() and not (loaded & needed).any():
        text = "none of the layer's kernels were ever stored"
        diagnostics.report("warning", text, layer=layer.index, register="ENA")
        return
    missing = needed & ~loaded & ~memory.cleared[layer.processors]
    partly = (loaded & needed).any(axis=(1, 2)) & missing.any(axis=(1, 2))
    if partly.any():
        output = int(partly.argmax())
        step, rank = np.argwhere(missing[output])[0].tolist()
        processor = int(layer.processors[rank])
        diagnostics.report(
            "warning",
            f"output {output}, pass {step}: the kernel of processor {processor} was never stored",
            layer=layer.index,
            quadrant=processor // PROCESSORS_PER_QUADRANT,
            register="MCNT" if layer.kernels.output_count is None else "MCNT2",
        )


def _fetch_depthwise(layer: HardwareLayer, memory: KernelMemory, diagnostics: Diagnostics) -> Array:
    """Return the kernels of a depthwise layer (passes, processors, taps)."""
    assert layer.kind is Kind.DEPTHWISE
    taps = layer.kernels.size[0] * layer.kernels.size[1]
    if layer.kernels.bypass:
        return np.ones((layer.passes, len(layer.processors), taps), np.int8)
    unit = layer.kernels.start + np.arange(layer.passes) * layer.kernels.bits
    base = (unit >> 3) * taps + layer.kernels.offset
    weights, loaded = _unpack(layer, memory, base, unit & 7, taps, diagnostics)
    weights[:, ~layer.kernel_enabled] = 0
    _check_loaded(layer, loaded[None], layer.kernel_enabled[None], memory, diagnostics)
    return weights
