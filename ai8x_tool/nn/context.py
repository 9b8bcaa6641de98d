"""Build context of fused modules: the device, and whether they simulate its integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError


class ConstraintError(Ai8xError, ValueError):
    """An argument of a fused module is not supported by the accelerator."""


@dataclass(frozen=True)
class BuildContext:
    """Context in which fused modules are built.

    With `simulate`, the modules compute with the integers of the accelerator (evaluation only); with `round_avg`,
    average pooling rounds to the nearest integer instead of towards zero. Without `measured_ranges`, every output is
    clipped to the range of activations from the beginning; with it, nothing is clipped until QAT starts, which then
    scales every layer by a power of two.
    """

    device: Device
    simulate: bool = False
    round_avg: bool = False
    measured_ranges: bool = False


_context: ContextVar[BuildContext | None] = ContextVar("ai8x_build_context", default=None)


@contextmanager
def build_context(
    device: Device, *, simulate: bool = False, round_avg: bool = False, measured_ranges: bool = False
) -> Iterator[BuildContext]:
    """Set the context of all fused modules built inside the block.

    >>> from ai8x_tool import nn
    >>> from ai8x_tool.device import find_device
    >>> with nn.build_context(find_device("MAX78000")):
    ...     layer = nn.FusedConv2dReLU(3, 16, 3, padding=1)
    """
    context = BuildContext(device, simulate, round_avg, measured_ranges)
    token = _context.set(context)
    try:
        yield context
    finally:
        _context.reset(token)


def current_context() -> BuildContext | None:
    """Return the current build context, None outside of :func:`build_context`."""
    return _context.get()


def change_context(context: BuildContext) -> None:
    """Set the context of modules built from now on, until the end of the surrounding block."""
    _context.set(context)


def resolve_context(given: BuildContext | None, owner: str) -> BuildContext:
    """Return `given`, or the context of the surrounding :func:`build_context` block."""
    context = given or _context.get()
    if context is None:
        raise ConstraintError(
            "no device is specified", where=owner, fix="build it inside `with build_context(device):` or pass context="
        )
    return context
