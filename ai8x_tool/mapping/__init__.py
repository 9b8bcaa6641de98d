"""Where everything lives: processors, kernel columns, bias bytes, time slots."""

from ai8x_tool.mapping.mapping import LayerMapping, Mapping, MappingOptions, map_network

__all__ = ["LayerMapping", "Mapping", "MappingOptions", "map_network"]
