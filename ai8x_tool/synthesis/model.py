"""A network that comes from a model instead of a description."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.mapping.placement import LayerPlacement, Placement
from ai8x_tool.network.network import Network


@dataclass(frozen=True, eq=False)
class ModelNetwork:
    """A network with weights, without places, and the name of the dataset that its model was trained on."""

    network: Network
    dataset: str

    @property
    def description(self) -> PlacedDescription:
        """The network, with everything left open."""
        names = tuple(layer.name for layer in self.network.layers)
        return PlacedDescription(self.network, Placement({name: LayerPlacement() for name in names}, names))
