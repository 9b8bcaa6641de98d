"""What of a placement is given, and has to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.blocks import Memory
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import LayerPlacement, Placement
from ai8x_tool.network.layer import Source
from ai8x_tool.network.network import Network

_KEPT = ("bias_groups", "readahead", "tcalc", "calcx4")
"""Keys that nothing else depends on."""


@dataclass(frozen=True)
class Given:
    """Places of some layers, by name in the network that was given. Layers that are inserted have none."""

    layers: dict[str, LayerPlacement]

    def maps(self, network: Network) -> Iterator[tuple[Source, int, bool, str]]:
        """Yield values whose processors are given, these, whether others lie beside it in them, and who says so."""
        for layer in network.layers:
            at = self.layers.get(layer.name)
            if at is None:
                continue
            if at.processors is not None:
                yield layer.inputs[0], at.processors, len(layer.inputs) > 1, layer.where
            if at.output_processors is not None:
                yield layer.name, at.output_processors, False, layer.where

    def extended(self, name: str, found: LayerPlacement) -> LayerPlacement:
        """Return the place that was found for a layer, with the given keys that nothing else depends on."""
        at = self.layers.get(name)
        return found if at is None else replace(found, **{key: getattr(at, key) for key in _KEPT})

    def fixed_offsets(self, network: Network, memory: Memory, skipped: dict[str, int]) -> dict[str, int]:
        """Return the places of groups of blocks that offsets are given for. Raises Ai8xError for contradictions."""
        fixed: dict[str, int] = {}
        for layer in network.layers:
            at = self.layers.get(layer.name)
            if at is None:
                continue
            wanted = ((layer.name, at.out_offset, 0), (layer.inputs[0], at.in_offset, skipped[layer.name]))
            for source, offset, behind in wanted:
                if offset is None or source not in memory.values:
                    continue
                group, distance = memory.values[source]
                place = offset // 4 - behind - distance
                if fixed.setdefault(group, place) != place:
                    raise Ai8xError(
                        f"offset {offset:#x} is given, but other values are tied to it",
                        where=layer.where,
                        fix="remove it here, or from the layers that share its data",
                    )
        return fixed

    def check(self, network: Network, placement: Placement) -> None:
        """Raise Ai8xError if a placement changes what is given."""
        for layer in network.layers:
            at, found = self.layers.get(layer.name), placement.layers[layer.name]
            if at is None:
                continue
            for key in ("processors", "output_processors", "in_offset", "out_offset"):
                if getattr(at, key) not in (None, getattr(found, key)):
                    raise Ai8xError(f"{key} = {getattr(at, key):#x} cannot be kept", where=layer.where)
            for key in ("write_gap", "read_gap"):
                if getattr(at, key) not in (0, getattr(found, key)):
                    raise Ai8xError(
                        f"{key} = {getattr(at, key)} is given, but {getattr(found, key)} is needed", where=layer.where
                    )


def given_of(placement: Placement | None) -> Given:
    """Return what a placement, whole, partial or none, gives."""
    return Given({} if placement is None else dict(placement.layers))


def streams_of(network: Network, placement: Placement | None) -> int | None:
    """Return how many layers a given placement lets stream; None if it leaves that open."""
    if placement is None:
        return None
    streaming = [at.streaming for at in placement.layers.values()]
    if not any(streaming):
        return None
    names = [layer.name for layer in network.layers]
    count = sum(streaming)
    if any(not placement.layers[name].streaming for name in names[:count] if name in placement.layers):
        raise Ai8xError("the layers that stream must be the first ones", where=network.name)
    return count


def layout_of(placement: Placement | None) -> bool | None:
    """Return whether the input is stored channel by channel; None if that is open."""
    if placement is None or not (placement.chw or placement.layout_given):
        return None
    return placement.chw


def wanted_options(options: MappingOptions | None, placement: Placement | None) -> MappingOptions:
    """Return the options of the mapping; layers that stream need a FIFO."""
    chosen = options or MappingOptions()
    streaming = placement is not None and any(at.streaming for at in placement.layers.values())
    return replace(chosen, fifo=True) if streaming else chosen
