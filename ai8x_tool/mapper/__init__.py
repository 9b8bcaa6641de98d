"""Automatic mapping of a network: processors, offsets, inserted copies and the input path."""

from ai8x_tool.mapper.remedies import Remedy, remedies
from ai8x_tool.mapper.result import MappingResult, Shortage, UnmappableError
from ai8x_tool.mapper.search import map_automatically

__all__ = ["MappingResult", "Remedy", "Shortage", "UnmappableError", "map_automatically", "remedies"]
