"""Networks whose programs are wrong by themselves: a rule says so."""

from __future__ import annotations

from ai8x_tool.mapping.check_data import result_violations


def warned(placed):
    """Return whether a rule says that results of a network in its places are wrong."""
    return any(result_violations(placed))
