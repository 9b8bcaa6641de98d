"""Rules about dilated convolutions, which the hardware executes with another kernel."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.network.layer import Layer
from ai8x_tool.rule import Finding

STRETCHED_REACH = 9
"""Kernels with a smaller reach, in samples, are stretched with zeros; the others are folded into a 2D convolution."""
FOLDED_KERNEL = 3


class DilatedLayer(NamedTuple):
    """A layer and the device that executes it."""

    layer: Layer
    device: Device

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.layer.where

    @property
    def folded(self) -> bool:
        """True if the kernel is folded because it is too long to be stretched."""
        return (self.layer.kernel[0] - 1) * self.layer.dilation[0] >= STRETCHED_REACH

    @property
    def reach(self) -> str:
        """The kernel's span, as text for messages."""
        length, dilation = self.layer.kernel[0], self.layer.dilation[0]
        return f"{length} taps with dilation {dilation} span {(length - 1) * dilation + 1} samples"


def constraint_dilation(s: DilatedLayer) -> Finding | None:
    """Only Conv1d kernels of two or more taps can have dilation."""
    layer = s.layer
    if layer.dilation == (1, 1) or (layer.operator == "conv1d" and layer.kernel[0] > 1):
        return None
    taps = f"{layer.kernel[0]}×{layer.kernel[1]}"
    return Finding(f"dilation = {list(layer.dilation)}, operation = {layer.operator}, kernel {taps}", "set it to 1")


def constraint_dilation_limit(s: DilatedLayer) -> Finding | None:
    """The dilation of a Conv1d that spans more than 9 samples must not exceed the limit of the device."""
    limit = s.device.conv1d_dilation
    if not s.folded or s.layer.dilation[0] <= limit:
        return None
    return Finding(f"dilation = {s.layer.dilation[0]}, the {s.device.name} supports up to {limit}")


def constraint_dilation_combination(s: DilatedLayer) -> Finding | None:
    """A dilated Conv1d that spans more than 9 samples must have at most 3 taps, pad 0 and no other operation."""
    layer = s.layer
    broken = [
        text
        for bad, text in [
            (layer.kernel[0] > FOLDED_KERNEL, "a kernel of at most 3 taps"),
            (layer.has_pool, "no pooling"),
            (layer.pad[0] != 0, "pad 0"),
            (layer.operands > 1, "one operand"),
            (layer.bypass or layer.flatten, "no bypass or flatten"),
        ]
        if bad
    ]
    return Finding(f"{s.reach}, which needs {', '.join(broken)}") if s.folded and broken else None


DILATION_RULES = (constraint_dilation, constraint_dilation_limit, constraint_dilation_combination)
