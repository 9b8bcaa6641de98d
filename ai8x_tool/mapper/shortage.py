"""Diagnosis of a failed mapping: the resource that is too small, by how much, and at which layer."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device import Device
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, QUADRANTS
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory
from ai8x_tool.mapper.candidate import Candidate
from ai8x_tool.mapper.offsets import NO_OVERLAPS, Demand, Overlaps, is_unavoidable
from ai8x_tool.mapper.paths import InputPath
from ai8x_tool.mapper.result import Shortage
from ai8x_tool.mapper.starts import class_loads, weight_owners
from ai8x_tool.mapping.rules.memory_rules import (
    constraint_bias_memory,
    constraint_kernel_conflict,
    constraint_kernel_memory,
)
from ai8x_tool.network.layer import BUFFER, INPUT, IntArray, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.selection import selected_channels
from ai8x_tool.network.sizes import passes
from ai8x_tool.rule import BrokenRuleError, Violation

_KERNEL_RULES = {constraint_kernel_memory.__name__, constraint_kernel_conflict.__name__}
_MOST_NAMES = 4
_WORD_BYTES = 4


def has_oversized_value(network: Network, path: InputPath, device: Device) -> bool:
    """Return whether a value in data memory is larger than an instance, whatever its processors are."""
    channels, rows, columns = network.input_shape
    stored = 0 if path.fifo else rows * columns * (1 if path.chw else _WORD_BYTES * passes(channels))
    outputs = network.layers[max(0, path.streams - 1) :]
    sizes = [
        layer.out_size[0] * layer.out_size[1] * passes(layer.channels_out) * layer.output_width // 8 * _WORD_BYTES
        for layer in outputs
    ]
    return max(stored, *sizes) > device.instance_size


def data_shortage(
    network: Network, memory: Memory, device: Device, demand: Demand, overlaps: Overlaps = NO_OVERLAPS
) -> Shortage:
    """Return the shortage of data memory at the step of the greatest demand, `demand`."""
    needed, available = 4 * demand.words, device.instance_size
    values = [source for source, (group, _) in memory.values.items() if group in demand.groups]
    what = _listed(network, values)
    where = "" if demand.step is None or demand.step < 0 else network.layers[demand.step].where
    if needed > available:
        text = (
            f"data memory: {what} need{'s' * (len(values) == 1)} {needed:,} bytes of an instance at the same time, "
            f"which holds {available:,}: {needed - available:,} bytes too many"
        )
        certain = is_unavoidable(memory.groups, demand, overlaps)
        return Shortage("data memory", text, needed, available, where, certain)
    text = (
        f"data memory: no packing of all values was found, although at most {needed:,} of {available:,} bytes of "
        f"an instance are needed at the same time"
    )
    return Shortage("data memory", text, available, available, where)


def _listed(network: Network, values: list[Source]) -> str:
    names = [_label(network, source) for source in values]
    more = len(names) - _MOST_NAMES
    shown = names if more <= 0 else [*names[:_MOST_NAMES], f"{more} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _label(network: Network, source: Source) -> str:
    if source is INPUT:
        return "the input"
    if source is BUFFER:
        return "the rolling buffer"
    layer = network[str(source)]
    return f"the output of {layer.name if layer.is_named else layer.label}"


def memory_shortage(tried: Candidate, device: Device, violation: Violation) -> Shortage:
    """Return the shortage behind a broken rule: kernel memory, bias memory, or the rule itself."""
    if violation.rule in _KERNEL_RULES:
        needed, available = kernel_bytes(tried), _kernel_capacity(device)
        text = _too_many_kernels(needed, available, device) if needed > available else violation.message
        return Shortage("kernel memory", text, max(needed, available), available, violation.where)
    if violation.rule == constraint_bias_memory.__name__:
        needed = sum(layer.channels_out for layer in tried.network.layers if layer.has_bias)
        available = QUADRANTS * device.bias_size
        return Shortage("bias memory", violation.message, max(needed, available), available, violation.where)
    return Shortage("structure", violation.message, where=violation.where)


def kernel_bytes(tried: Candidate) -> int:
    """Return the bytes of kernel memory that all layers need, in whole columns."""
    loads = class_loads(tried.network, tried.classes)
    return sum(len(load.positions) * load.columns * COLUMN_BYTES for each in loads for load in each)


def layer_shortage(tried: Candidate, device: Device) -> Shortage | None:
    """Return the shortage of hardware layers; None if the device has enough."""
    network = tried.network
    count = len(network.layers)
    if count <= device.layers:
        return None
    moving = len(tried.interleaved.copies) + sum(selected_channels(layer) is not None for layer in network.layers)
    of_them = f", of which {moving} only move data" if moving else ""
    text = f"layers: the network has {count}{of_them}, the {device.name} supports {device.layers}"
    return Shortage("layers", text, count, device.layers, network.layers[device.layers].where)


def kernel_shortage(tried: Candidate, device: Device) -> Shortage | None:
    """Return the shortage of kernel memory if the kernels exceed it in any placement; None if they may fit."""
    needed, available = kernel_bytes(tried), _kernel_capacity(device)
    if needed <= available or _has_equal_weights(tried.network):
        return None
    return Shortage("kernel memory", _too_many_kernels(needed, available, device), needed, available)


def _has_equal_weights(network: Network) -> bool:
    seen: dict[tuple[int, ...], list[IntArray]] = {}
    for layer in weight_owners(network):
        if layer.parameters is not None:
            alike = seen.setdefault(layer.parameters.weights.shape, [])
            if any(np.array_equal(layer.parameters.weights, other) for other in alike):
                return True
            alike.append(layer.parameters.weights)
    return False


def _kernel_capacity(device: Device) -> int:
    return sum(map(device.kernel_columns, range(PROCESSORS))) * COLUMN_BYTES


def _too_many_kernels(needed: int, available: int, device: Device) -> str:
    return (
        f"kernel memory: all layers need {needed:,} bytes, the {device.name} has {available:,}: "
        f"{needed - available:,} bytes too many"
    )


def structure_shortage(error: Ai8xError) -> Shortage:
    """Return an error that makes a placement impossible as a shortage without amounts."""
    if isinstance(error, BrokenRuleError):
        return Shortage("structure", error.violation.message, where=error.violation.where)
    return Shortage("structure", str(error))
