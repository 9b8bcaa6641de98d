"""List of all rules by phase, in the order in which they are checked."""

from __future__ import annotations

from ai8x_tool.frontend.yaml.description_rules import DESCRIPTION_RULES
from ai8x_tool.frontend.yaml.layer_key_rules import LAYER_KEY_RULES
from ai8x_tool.frontend.yaml.parameter_rules import PARAMETER_RULES
from ai8x_tool.frontend.yaml.resolve_rules import RESOLVE_RULES
from ai8x_tool.lowering.program_rules import PROGRAM_RULES, SAMPLE_RULES
from ai8x_tool.mapping.check import LAYER_PHASES, RulePhase
from ai8x_tool.mapping.rules.data_rules import DATA_RULES
from ai8x_tool.mapping.rules.dilation_rules import DILATION_RULES
from ai8x_tool.mapping.rules.memory_rules import MEMORY_RULES
from ai8x_tool.mapping.rules.result_rules import RESULT_RULES
from ai8x_tool.network.device_rules import DEVICE_LAYER_RULES, DEVICE_NETWORK_RULES
from ai8x_tool.network.rules import NETWORK_RULES

CATALOGUE = (
    RulePhase("Layers and references", "The list of layers, `data_buffer` and `unload`.", DESCRIPTION_RULES),
    RulePhase("Keys of a layer", "The layers in the order of the description.", LAYER_KEY_RULES),
    RulePhase("Weights and biases", "The checkpoint, or the arrays of a network without one.", PARAMETER_RULES),
    RulePhase("Order and references", "The layers in the order of execution.", RESOLVE_RULES),
    RulePhase("Network", "The network, layer by layer, each layer after those that it reads.", NETWORK_RULES),
    RulePhase(
        "Network on a device",
        "A model before training.",
        (*DEVICE_LAYER_RULES, *DEVICE_NETWORK_RULES),
    ),
    RulePhase("Dilation", "Each dilated layer.", DILATION_RULES),
    *LAYER_PHASES,
    RulePhase("Sample", "The sample for the known-answer test.", SAMPLE_RULES),
    RulePhase("Kernel and bias memory", "While the layers are placed, one after another.", MEMORY_RULES),
    RulePhase("Results", "In the order of execution; warnings with `--no-error-stop` or `--no-verify`.", RESULT_RULES),
    RulePhase(
        "Data memory", "In the order of execution; warnings with `--no-error-stop` or `--no-verify`.", DATA_RULES
    ),
    RulePhase("Program", "The program of the placed network.", PROGRAM_RULES),
)
"""The first constraint that is broken, in this order, is the one that is reported."""
