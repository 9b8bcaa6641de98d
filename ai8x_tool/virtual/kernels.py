"""Fetching a layer's kernels from kernel memory. spec: execution, section 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.virtual.diagnostics import Diagnostics
from ai8x_tool.virtual.kernel_memory import KernelMemory
from ai8x_tool.virtual.layer import HardwareLayer, Kernels, Kind

Array = npt.NDArray[Any]

_INSTANCE_COLUMNS = 1024
_PARALLEL = 4
"""Kernel instances that work in parallel, and their size in columns (MAX78002)."""


def output_count(layer: HardwareLayer, diagnostics: Diagnostics) -> int:
    """Return how many outputs the layer computes, unused lanes included. spec: execution, section 6.2."""
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
        text = f"{kernels.output_count + 1} outputs times passes, but {count} kernels from {kernels.start:#x}"
        diagnostics.report("warning", text, layer=layer.index, register="OCHAN")
    if count % passes:
        _report(layer, diagnostics, f"{count} kernels cannot be divided among {passes} passes")
    return count // passes


def _report(layer: HardwareLayer, diagnostics: Diagnostics, text: str) -> None:
    register = "MCNT" if layer.kernels.output_count is None else "MCNT1"
    diagnostics.report("error", text, layer=layer.index, register=register)


def fetch_kernels(
    layer: HardwareLayer, memory: KernelMemory, outputs: int, diagnostics: Diagnostics
) -> tuple[Array, Array]:
    """Return (weights, loaded): weights (outputs, passes, processors, taps) of int8, loaded (outputs,) of bool.

    Depth-wise layers have one output, that of their own processor. `loaded` is False for outputs none of whose kernels
    were ever stored: unused lanes.
    """
    kernels, passes = layer.kernels, layer.passes
    taps = kernels.size[0] * kernels.size[1]
    count = len(layer.processors)
    if kernels.bypass:
        return np.ones((outputs, passes, count, taps), np.int8), np.ones(outputs, bool)
    index = np.arange(outputs)[:, None] * passes + np.arange(passes)
    column = np.zeros((outputs, 1), np.int64)
    if kernels.four_instances:
        index = np.arange(outputs)[:, None] // _PARALLEL * passes + np.arange(passes)
        column = _INSTANCE_COLUMNS * (np.arange(outputs)[:, None] % _PARALLEL)
    elif kernels.quad:
        index = np.arange(outputs)[:, None] // _PARALLEL * passes + np.arange(passes)
    unit = kernels.start + index * kernels.bits
    base = (unit >> 3) * taps + kernels.offset + COLUMN_BYTES * column
    weights, loaded = _unpack(layer, memory, base, unit & 7, taps, diagnostics)
    if kernels.quad:
        own = layer.processors // 16 == np.arange(outputs)[:, None] % _PARALLEL
        weights = weights * own[:, None, :, None].astype(np.int8)
        loaded = loaded & own[:, None]
        return weights, loaded.any(axis=(1, 2))
    weights[:, :, ~layer.kernel_enabled] = 0
    _check_loaded(layer, loaded, diagnostics)
    return weights, loaded.any(axis=(1, 2))


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
        text = f"kernel column {last} of processor {processor} is beyond the last, {memory.columns[processor] - 1}"
        _report(layer, diagnostics, text)
        place = np.minimum(place, size - 1)
    data = memory.stream[layer.processors][:, place]
    columns = place[..., (0, -1)] // COLUMN_BYTES
    loaded = memory.loaded[layer.processors][:, columns].all(axis=-1)
    weights = _extend(data >> bit.astype(np.uint8)[..., None], layer.kernels)
    return np.moveaxis(weights, 0, -2), np.moveaxis(loaded, 0, -1)


def _extend(data: Array, kernels: Kernels) -> Array:
    """Return the low bits of bytes as signed weights (int8)."""
    if kernels.bits == 1:
        one = (data & 1).astype(np.int8)
        return 1 - 2 * one if kernels.binary else -one
    shift = 8 - kernels.bits
    return (data << shift).view(np.int8) >> shift


def _check_loaded(layer: HardwareLayer, loaded: Array, diagnostics: Diagnostics) -> None:
    """Report outputs for which only some processors' kernels were stored. spec: execution, section 12."""
    enabled = loaded[:, :, layer.kernel_enabled]
    if enabled.size and not enabled.any():
        text = "none of the layer's kernels were ever stored"
        diagnostics.report("warning", text, layer=layer.index, register="ENA")
        return
    partly = enabled.any(axis=(1, 2)) & ~enabled.all(axis=(1, 2))
    if partly.any():
        output = int(partly.argmax())
        step, rank = np.argwhere(~enabled[output])[0]
        processor = int(layer.processors[layer.kernel_enabled][rank])
        diagnostics.report(
            "warning",
            f"output {output}, pass {step}: the kernel of processor {processor} was never stored",
            layer=layer.index,
            quadrant=processor // 16,
            register="MCNT" if layer.kernels.output_count is None else "MCNT2",
        )


def fetch_depthwise(layer: HardwareLayer, memory: KernelMemory, diagnostics: Diagnostics) -> Array:
    """Return the kernels of a depth-wise layer (passes, processors, taps). spec: execution, section 6.5."""
    assert layer.kind is Kind.DEPTHWISE
    taps = layer.kernels.size[0] * layer.kernels.size[1]
    if layer.kernels.bypass:
        return np.ones((layer.passes, len(layer.processors), taps), np.int8)
    unit = layer.kernels.start + np.arange(layer.passes) * layer.kernels.bits
    base = (unit >> 3) * taps + layer.kernels.offset
    weights, loaded = _unpack(layer, memory, base, unit & 7, taps, diagnostics)
    weights[:, ~layer.kernel_enabled] = 0
    _check_loaded(layer, loaded[None], diagnostics)
    return weights
