"""Finding places for a network: processors, offsets, copies, the way of its input."""

from ai8x_tool.mapper.found import Found, Shortage, UnmappableError
from ai8x_tool.mapper.remedies import Remedy, remedies
from ai8x_tool.mapper.search import map_automatically

__all__ = ["Found", "Remedy", "Shortage", "UnmappableError", "map_automatically", "remedies"]
