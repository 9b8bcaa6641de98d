"""All rules, by phase, in the order in which they are checked."""

from __future__ import annotations

from ai8x_tool.rules.allocation_rules import ALLOCATION_RULES
from ai8x_tool.rules.base import Rule
from ai8x_tool.rules.device_rules import DEVICE_RULES
from ai8x_tool.rules.network_rules import NETWORK_RULES
from ai8x_tool.rules.source_rules import SOURCE_RULES

PHASES: tuple[tuple[str, tuple[Rule, ...]], ...] = (
    ("Network", NETWORK_RULES),
    ("Device and input", DEVICE_RULES),
    ("Allocation", ALLOCATION_RULES),
    ("Several sources", SOURCE_RULES),
)
"""The first broken constraint of the first phase is the one that is reported."""
