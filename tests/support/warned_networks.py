"""Networks whose programs are, or may be, wrong by themselves: a rule says so."""

from __future__ import annotations

from ai8x_tool.mapping.rules.allocation_rules import (
    caution_binary_zeros,
    caution_depthwise_lanes,
    caution_incomplete_pass,
    caution_passthrough_lane,
    caution_transposed_stride,
    caution_unaligned_flatten,
)
from ai8x_tool.mapping.rules.subject import LayerSubject

WRONG = (
    caution_binary_zeros,
    caution_depthwise_lanes,
    caution_incomplete_pass,
    caution_passthrough_lane,
    caution_transposed_stride,
    caution_unaligned_flatten,
)
"""Rules that say that the program's results are, or may be, wrong."""


def warned(placed):
    """Return whether one of them speaks up about a network in its places."""
    subjects = [LayerSubject(placed, at) for at in placed.layers]
    return any(rule(s) for s in subjects for rule in WRONG)
