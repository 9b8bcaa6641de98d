"""Options that affect registers or memory images, and the context passed to every register function."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.mapping import LayerMapping, Mapping

Fields = dict[str, int]
"""Values of the fields of a register, by name."""


@dataclass(frozen=True)
class SynthesizedInput:
    """Input made of `words` words that are repeated, with `increment` added at each repetition."""

    increment: int
    words: int = 8


@dataclass(frozen=True)
class LoweringOptions:
    """Options of the program; the defaults are those of the command line."""

    express: bool = True
    pipeline: bool = True
    average_rounding: bool = False
    one_shot: bool = False
    link_layers: bool = False
    fifo_go: bool = False
    powerdown: bool = False
    init_tram: bool = False
    zero_memory: bool = False
    write_zero_registers: bool = False
    max_verify_length: int | None = None
    known_answers: bool = True
    synthesized_input: SynthesizedInput | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """Data that register functions use besides their own layer: the whole mapping and the options."""

    mapping: Mapping
    options: LoweringOptions

    @property
    def device(self) -> Device:
        """The target device."""
        return self.mapping.device

    @property
    def fifo(self) -> bool:
        """True if the input passes through a FIFO of either kind."""
        return self.mapping.options.fifo

    @property
    def master(self) -> int:
        """The quadrant that starts the others."""
        return self.mapping.quadrants[0]

    @property
    def pipeline(self) -> bool:
        """True if the device has a pipeline and it is enabled."""
        return self.device.pipeline and self.options.pipeline

    @property
    def streams(self) -> bool:
        """True if any layer streams."""
        return any(m.streaming for m in self.mapping.layers)

    def is_start(self, mapped: LayerMapping) -> bool:
        """Return whether `mapped` is the layer executed first."""
        return mapped is self.mapping.start

    def previous(self, mapped: LayerMapping) -> LayerMapping | None:
        """Return the layer executed before `mapped`; None for the first one."""
        return None if mapped.previous is None else self.mapping[mapped.previous]

    def quad_first(self, mapped: LayerMapping) -> bool:
        """Return whether `mapped` is the first layer in the fast FIFO's quad mode."""
        return self.mapping.options.quad and self.is_start(mapped)
