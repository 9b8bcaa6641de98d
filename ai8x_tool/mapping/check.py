"""Verification of placements: finds all violations, without console output and lowering."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.bias_memory import BiasMemory
from ai8x_tool.mapping.check_data import data_violations
from ai8x_tool.mapping.kernel_allocation import KernelAllocation
from ai8x_tool.mapping.memories import fill_bias_memory, fill_kernel_memory, used_quadrants
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placed import PlacedLayer, PlacedNetwork, place
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.mapping.rules.allocation_rules import ALLOCATION_RULES
from ai8x_tool.mapping.rules.device_rules import DEVICE_RULES
from ai8x_tool.mapping.rules.network_rules import PLACED_NETWORK_RULES
from ai8x_tool.mapping.rules.source_rules import SOURCE_RULES
from ai8x_tool.mapping.rules.streaming_rules import STREAMING_RULES
from ai8x_tool.mapping.rules.subject import LayerSubject
from ai8x_tool.network.network import Network
from ai8x_tool.rule import BrokenRuleError, Rule, Violation, find, rule_kind

__all__ = ["LAYER_PHASES", "RulePhase", "Violation", "examine", "violations"]


class RulePhase(NamedTuple):
    """Rules that are checked together; `summary` describes their subjects."""

    title: str
    summary: str
    rules: tuple[Rule[Any], ...]


LAYER_PHASES = (
    RulePhase("Order and formats", "Each layer in the order of the list.", PLACED_NETWORK_RULES),
    RulePhase("Device and input", "What the device offers, FIFOs and streaming.", DEVICE_RULES),
    RulePhase("Allocation", "Where the data and processors of each layer are.", ALLOCATION_RULES),
    RulePhase("Streaming", "What streaming layers need of registers and memories.", STREAMING_RULES),
    RulePhase("Several sources", "Layers that read several others.", SOURCE_RULES),
)
"""Phases of rules about placed layers; each rule is checked on all layers before the next rule."""

_RULES = tuple(rule for phase in LAYER_PHASES for rule in phase.rules)
_CONSTRAINTS = tuple(rule for rule in _RULES if rule_kind(rule) == "constraint")


def violations(
    network: Network, placement: Placement, device: Device, options: MappingOptions | None = None
) -> list[Violation]:
    """Return all violations that make `placement` impossible or wrong; an empty list if it is valid.

    The order is that of the rules: layers, kernel and bias memory, data memory. An incomplete placement has a single
    violation, which states that.
    """
    return [v for v in examine(network, placement, device, options, errors_only=True) if v.severity == "error"]


def examine(
    network: Network,
    placement: Placement,
    device: Device,
    options: MappingOptions | None = None,
    *,
    errors_only: bool = False,
) -> Iterator[Violation]:
    """Yield all violations of a placement, including warnings and remarks unless `errors_only` is set."""
    try:
        placed = place(network, placement, device, options or MappingOptions())
    except Ai8xError as error:
        yield as_violation(error)
        return
    yield from layer_violations(placed, errors_only=errors_only)
    if all(_has_maps(at) for at in placed.layers):
        yield from memory_violations(placed)
        yield from data_violations(placed)


def _has_maps(at: PlacedLayer) -> bool:
    """Return whether a layer's maps have a processor for each channel; otherwise its memories cannot be checked."""
    inputs, outputs = at.view.inputs_per_pass, at.view.outputs_per_pass
    return (at.own_processors.bit_count(), at.output_map.bit_count()) == (inputs, outputs)


def as_violation(error: Ai8xError) -> Violation:
    """Return an exception as a violation."""
    return error.violation if isinstance(error, BrokenRuleError) else Violation("error", "", str(error))


def layer_violations(placed: PlacedNetwork, *, errors_only: bool = False) -> Iterator[Violation]:
    """Yield the violations of rules about single layers."""
    subjects = [LayerSubject(placed, at) for at in placed.layers]
    for rule in _CONSTRAINTS if errors_only else _RULES:
        for subject in subjects:
            if rule(subject) is not None:
                violation = find(rule, subject)
                assert violation is not None
                yield violation


def memory_violations(placed: PlacedNetwork) -> Iterator[Violation]:
    """Yield violations for the first kernels and for the first bias without space."""
    device = placed.device
    for fill in (
        lambda: fill_kernel_memory(placed, KernelAllocation(device, placed.options.weight_start)),
        lambda: fill_bias_memory(placed, BiasMemory(device), used_quadrants(placed)),
    ):
        try:
            fill()
        except Ai8xError as error:
            yield as_violation(error)
