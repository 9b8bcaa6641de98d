"""Placements of networks on a device, their verification, and the resulting memory images."""

from ai8x_tool.mapping.check import violations
from ai8x_tool.mapping.mapping import LayerMapping, Mapping, map_network
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import LayerPlacement, Placement

__all__ = [
    "LayerMapping",
    "LayerPlacement",
    "Mapping",
    "MappingOptions",
    "Placement",
    "map_network",
    "violations",
]
