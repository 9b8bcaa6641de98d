"""Hypothesis strategy for networks of which one offset, gap, map or source lies elsewhere than it should."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from ai8x_tool.engine import run
from ai8x_tool.lowering import lower, lower_sample
from ai8x_tool.mapping.check import layer_violations
from ai8x_tool.mapping.mapping import build_mapping
from ai8x_tool.mapping.placed import place
from tests.support.random_networks.choices import choices
from tests.support.random_networks.strategies import legal_networks

STEPS = (0, 1, 2, 3, 5, 8, 13, 17, 33, 64, 100, -1, -2, -5, -20, -60)
_OTHER_PROGRAMS = ("one_shot", "energy", "forever")


def lively(net, content=None):
    """Return `net`, or one with other `content`, with outputs of many different values.

    There are no biases, and output shifts such that few outputs are 0 or clamped: where all values are the same, nobody
    can tell that data are the wrong ones.
    """
    options = {key: value for key, value in net.options.items() if key not in _OTHER_PROGRAMS}
    content = copy.deepcopy(content or net.content)
    for layer in content["layers"]:
        layer.pop("output_shift", None)
    state = {name: array for name, array in net.state.items() if not name.endswith(".bias")}
    for name in [name for name in state if name.endswith(".output_shift")]:
        weights = state[name.replace("output_shift", "op.weight")]
        terms = weights.size // weights.shape[0]
        state[name] = np.array([-round(np.log2(terms) / 2)])
    return replace(net, content=content, state=state, options=options)


@st.composite
def moved_placements(draw):
    """Draw a legal network and move something in one layer."""
    net, r = draw(legal_networks()), draw(choices())
    content = copy.deepcopy(net.content)
    layers = content["layers"]
    index = r.number(0, len(layers) - 1)
    layer, kind = layers[index], r.number(0, 7)
    if kind <= 4:
        others = [entry[key] for entry in layers for key in ("in_offset", "out_offset") if key in entry]
        base = layer.get("in_offset", layer["out_offset"]) if kind <= 2 else r.pick(others)
        layer["out_offset"] = max(0, base + 4 * r.pick(STEPS))
        if kind == 1 and index + 1 < len(layers):
            layers[index + 1]["in_offset"] = layer["out_offset"]
    elif kind == 5:
        layer["in_offset"] = max(0, r.pick((layer["out_offset"], layer.get("in_offset", 0))) + 4 * r.pick(STEPS))
    elif kind == 6:
        layer[r.pick(("write_gap", "read_gap"))] = r.number(0, 3)
    else:
        _move_map(r, layer)
    return lively(net, content)


def _move_map(r, layer):
    key = r.pick(("processors", "output_processors"))
    if isinstance(layer.get(key), int):
        up, down = layer[key] << 4 & (1 << 64) - 1, layer[key] >> 4
        layer[key] = r.pick([m for m in (up, down) if m.bit_count() == layer[key].bit_count()] or [layer[key]])


@dataclass(frozen=True, eq=False)
class Unjudged:
    """A network in its places and its program with a sample, whatever overwrites what in data memory."""

    placed: object
    order: tuple
    program: object
    sample: object
    tensors: object


def unjudged(net):
    """Return the program of a drawn network. Raises Ai8xError for what is wrong elsewhere than in data memory."""
    network, chosen, _ = net.resolved()
    placed = place(network, network.placement, network.device, chosen.mapping)
    for violation in layer_violations(placed, errors_only=True):
        raise violation.error()
    order = network.simulated
    tensors = run(network, net.sample[None], order, average_rounding=chosen.lowering.average_rounding)
    program = lower(build_mapping(placed), chosen.lowering)
    return Unjudged(placed, order, program, lower_sample(program, net.sample, tensors), tensors)
