"""What rules about resolved layers look at."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.mapping.hardware import HardwareView
from ai8x_tool.mapping.mapping import MappingOptions, input_processors
from ai8x_tool.network.network import Layer, Network


@dataclass(frozen=True, eq=False)
class Subject:
    """What a rule looks at: one layer, as described and as executed, in its network."""

    network: Network
    layer: Layer
    view: HardwareView
    options: MappingOptions

    @property
    def where(self) -> str:
        """File, line and layer."""
        return self.layer.where

    @property
    def device(self) -> Device:
        """The part."""
        return self.network.device

    @property
    def processors(self) -> int:
        """The layer's input processors, repeated over all quadrants in quad mode."""
        return input_processors(self.network, self.layer, self.options)

    @property
    def is_start(self) -> bool:
        """True for the layer executed first."""
        return self.layer.index == self.network.start.index

    @property
    def is_final(self) -> bool:
        """True for the layer executed last."""
        return self.layer.index == self.network.final.index
