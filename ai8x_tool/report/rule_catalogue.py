"""All rules, by phase, in the order in which they are checked."""

from __future__ import annotations

from typing import Any, NamedTuple

from ai8x_tool.frontend.yaml.description_rules import DESCRIPTION_RULES
from ai8x_tool.frontend.yaml.layer_key_rules import LAYER_KEY_RULES
from ai8x_tool.frontend.yaml.parameter_rules import PARAMETER_RULES
from ai8x_tool.frontend.yaml.resolve_rules import RESOLVE_RULES
from ai8x_tool.lowering.program_rules import PROGRAM_RULES, SAMPLE_RULES
from ai8x_tool.mapping.rules.allocation_rules import ALLOCATION_RULES
from ai8x_tool.mapping.rules.data_rules import DATA_RULES
from ai8x_tool.mapping.rules.device_rules import DEVICE_RULES
from ai8x_tool.mapping.rules.dilation_rules import DILATION_RULES
from ai8x_tool.mapping.rules.memory_rules import MEMORY_RULES
from ai8x_tool.mapping.rules.network_rules import NETWORK_RULES
from ai8x_tool.mapping.rules.source_rules import SOURCE_RULES
from ai8x_tool.rule import Rule


class Phase(NamedTuple):
    """Rules that are checked together; `summary` says when, and on what."""

    title: str
    summary: str
    rules: tuple[Rule[Any], ...]


LAYER_PHASES = (
    Phase("Network", "Each layer with its channels and sizes.", NETWORK_RULES),
    Phase("Device and input", "What the part offers, FIFOs and streaming.", DEVICE_RULES),
    Phase("Allocation", "Where the data and processors of each layer are.", ALLOCATION_RULES),
    Phase("Several sources", "Layers that read several others.", SOURCE_RULES),
)
"""Phases whose rules see resolved layers; each rule is checked on all layers before the next rule."""

CATALOGUE = (
    Phase("Layers and references", "The list of layers, `data_buffer` and `unload`.", DESCRIPTION_RULES),
    Phase("Keys of a layer", "Each layer as described, one after the other.", LAYER_KEY_RULES),
    Phase("Weights and biases", "The checkpoint, or the arrays of a hand-made network.", PARAMETER_RULES),
    Phase("Order, sources and sizes", "Each layer in the order of execution.", RESOLVE_RULES),
    Phase("Dilation", "Each dilated layer.", DILATION_RULES),
    *LAYER_PHASES,
    Phase("Sample", "The sample for the known-answer test.", SAMPLE_RULES),
    Phase("Kernel and bias memory", "While layers are placed one after the other.", MEMORY_RULES),
    Phase("Data memory", "In the order of execution; warnings with `--no-error-stop`.", DATA_RULES),
    Phase("Program", "What is computed from the placed network.", PROGRAM_RULES),
)
"""The first broken constraint of the first phase is the one that is reported."""
