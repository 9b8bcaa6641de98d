"""Selection of the layers that compute four outputs at a time (calcx4).

Kernels of such layers are spread over four memories, in which kernels of ordinary layers leave too little room.
Therefore all suitable layers are tried together, then fewer and fewer of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PARALLEL_OUTPUTS
from ai8x_tool.mapper.result import MappingResult
from ai8x_tool.mapping.check import violations
from ai8x_tool.mapping.cycles import estimated_cycles
from ai8x_tool.mapping.mapping import map_network
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.mapping.replay import replay
from ai8x_tool.mapping.rules.result_rules import constraint_calcx4_kernels
from ai8x_tool.network.layer import Layer


def with_parallel_outputs(
    found: MappingResult, device: Device, stop: Callable[[], bool] = lambda: False
) -> MappingResult:
    """Return the placement with `calcx4` set for as many layers as rules and replay allow.

    The layers with the fewest estimated cycles are left out first, until the placement is allowed or `stop` returns
    True. On devices without `calcx4`, the placement is unchanged.
    """
    if not device.next_layer:
        return found
    mapping = map_network(found.network, found.placement, device, found.options)
    possible = [at for at in mapping.layers if _is_possible(at.layer) and not at.calcx4]
    chosen = sorted(possible, key=lambda at: (estimated_cycles(at, pipeline=True), at.layer.name), reverse=True)
    names = [at.layer.name for at in chosen]
    all_at_once = violations(found.network, _with(found.placement, names), device, found.options)
    wrong = {violation.where for violation in all_at_once if violation.rule == constraint_calcx4_kernels.__name__}
    names = [name for name in names if found.network[name].where not in wrong]
    while names and not stop():
        placement = _with(found.placement, names)
        allowed = not violations(found.network, placement, device, found.options)
        if allowed and not replay(map_network(found.network, placement, device, found.options)):
            return replace(found, placement=placement, parallel=tuple(sorted(names)))
        names.pop()
    return found


def _is_possible(layer: Layer) -> bool:
    return layer.has_weights and not layer.depthwise and layer.channels_out % PARALLEL_OUTPUTS == 0


def _with(placement: Placement, names: Iterable[str]) -> Placement:
    changed = {name: replace(placement.layers[name], calcx4=True) for name in names}
    return replace(placement, layers={**placement.layers, **changed})
