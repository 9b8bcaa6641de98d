"""Finding places for a network: processors, offsets, copies, the way of its input."""

from ai8x_tool.mapper.search import Found, UnmappableError, map_automatically

__all__ = ["Found", "UnmappableError", "map_automatically"]
