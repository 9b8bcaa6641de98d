"""The given parts of a placement, which the mapper must keep."""

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
"""Keys on which nothing else depends."""


@dataclass(frozen=True)
class GivenPlacement:
    """Placements of some layers, by their name in the original network. Inserted layers have none."""

    layers: dict[str, LayerPlacement]

    def maps(self, network: Network) -> Iterator[tuple[Source, int, bool, str]]:
        """Yield the values whose processors are given.

        Each comes with the processors, whether they also hold other values, and the place of the layer that gives them.
        """
        for layer in network.layers:
            at = self.layers.get(layer.name)
            if at is None:
                continue
            if at.processors is not None:
                yield layer.inputs[0], at.processors, len(layer.inputs) > 1, layer.where
            if at.output_processors is not None:
                yield layer.name, at.output_processors, False, layer.where

    def extended(self, name: str, found: LayerPlacement) -> LayerPlacement:
        """Return `found` for the layer `name`, with the given values of keys on which nothing else depends."""
        at = self.layers.get(name)
        return found if at is None else replace(found, **{key: getattr(at, key) for key in _KEPT})

    def fixed_offsets(self, network: Network, memory: Memory, skipped: dict[str, int]) -> dict[str, int]:
        """Return the places of groups of blocks whose offsets are given. Raises Ai8xError for contradictions."""
        fixed: dict[str, int] = {}
        for layer in network.layers:
            at = self.layers.get(layer.name)
            if at is None:
                continue
            wanted = ((layer.name, at.out_offset, 0), (layer.inputs[0], at.in_offset, skipped[layer.name]))
            for source, offset, skip in wanted:
                if offset is None or source not in memory.values:
                    continue
                group, distance = memory.values[source]
                place = offset // 4 - skip - distance
                if fixed.setdefault(group, place) != place:
                    message = f"offset {offset:#x} contradicts those given for other layers that share the data"
                    fix = "remove it here or from the layers that share the data"
                    raise Ai8xError(message, where=layer.where, fix=fix)
        return fixed

    def check(self, network: Network, placement: Placement) -> None:
        """Raise Ai8xError if `placement` differs from the given values."""
        for layer in network.layers:
            at, found = self.layers.get(layer.name), placement.layers[layer.name]
            if at is None:
                continue
            for key in ("processors", "output_processors", "in_offset", "out_offset"):
                if getattr(at, key) not in (None, getattr(found, key)):
                    message = f"{key} = {getattr(at, key):#x} cannot be kept"
                    raise Ai8xError(message, where=layer.where, fix=f"remove {key} from the layer")
            for key in ("write_gap", "read_gap"):
                if getattr(at, key) not in (0, getattr(found, key)):
                    raise Ai8xError(
                        f"{key} = {getattr(at, key)} is given, but {getattr(found, key)} is needed",
                        where=layer.where,
                        fix=f"remove {key} from the layer",
                    )


def given_placement(placement: Placement | None) -> GivenPlacement:
    """Return the given values of a complete or partial placement, or of none."""
    return GivenPlacement({} if placement is None else dict(placement.layers))


def given_streaming_layers(network: Network, placement: Placement | None) -> int | None:
    """Return the number of streaming layers of a given placement; None if it leaves that open."""
    if placement is None:
        return None
    streaming = [at.streaming for at in placement.layers.values()]
    if not any(streaming):
        return None
    names = [layer.name for layer in network.layers]
    count = sum(streaming)
    if any(not placement.layers[name].streaming for name in names[:count] if name in placement.layers):
        raise Ai8xError("streaming layers must be the first layers of the network", where=network.name)
    return count


def given_layout(placement: Placement | None) -> bool | None:
    """Return whether the input is in CHW format by the given placement; None if it leaves that open."""
    if placement is None or not (placement.chw or placement.layout_given):
        return None
    return placement.chw


def required_options(options: MappingOptions | None, placement: Placement | None) -> MappingOptions:
    """Return the options of the mapping, with a FIFO if the given placement has streaming layers."""
    chosen = options or MappingOptions()
    streaming = placement is not None and any(at.streaming for at in placement.layers.values())
    return replace(chosen, fifo=True) if streaming else chosen
