"""Context in which fused modules are built: the device, and whether they simulate its integer arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError


class ConstraintError(Ai8xError, ValueError):
    """A fused module was asked for something that the accelerator cannot do."""


@dataclass(frozen=True)
class BuildContext:
    """Conditions under which fused modules are built.

    With `simulate` the modules compute with the integers of the accelerator (evaluation only); with `round_avg` average
    pooling rounds to the nearest integer instead of towards zero. `measured_ranges` chooses how activations get into
    the range of 8 bits: False, every output is clipped to it from the beginning; True, nothing is clipped until QAT
    starts, which then scales every layer by a power of two.
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
    """Give every fused module built inside the block its context.

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
    """Return the context that modules built now would get, if there is one."""
    return _context.get()


def change_context(context: BuildContext) -> None:
    """Let what is built from now on have `context`, to the end of the surrounding block."""
    _context.set(context)


def resolve_context(given: BuildContext | None, owner: str) -> BuildContext:
    """Return `given`, or the context of the surrounding :func:`build_context` block."""
    context = given or _context.get()
    if context is None:
        raise ConstraintError(
            "no device chosen", where=owner, fix="build it inside `with build_context(device):` or pass context="
        )
    return context
