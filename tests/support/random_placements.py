"""Placements in which something lies elsewhere than in a legal one, and what a program makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import lower, lower_sample
from ai8x_tool.mapping import map_network
from ai8x_tool.mapping.check import layer_violations
from ai8x_tool.mapping.mapping import build_mapping, raise_first
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.placement import Placement
from ai8x_tool.network.layer import INPUT
from ai8x_tool.network.network import Network, build_network
from ai8x_tool.synthesis.hardware_check import compare_run
from tests.support.random_networks.strategies import numbered_network
from tests.support.reference_order import execute, in_order

STEPS = (0, 1, 2, 3, 5, 8, 13, 17, 33, 64, 100, 256, 1000, -1, -2, -5, -20, -60, -256)
"""Words by which offsets are moved."""
LARGE = 20_000
"""Input values of layers that are too large for an execution in order."""
KNOWN = ("starts after", "powered down")
"""A frame shorter than what the first streaming layer waits for, as in programs of the reference; outputs that nothing
reads in a quadrant that --powerdown switches off."""


@dataclass(frozen=True)
class Placed:
    """A network and a placement, with the device and the options of the synthesis."""

    network: Network
    placement: Placement
    device: object
    options: object
    sample: object

    @property
    def judged(self):
        """What `violations` and `map_network` are called with."""
        return self.network, self.placement, self.device, self.options.mapping

    def mapping(self):
        """Return the mapping whatever is wrong with data memory. Raises Ai8xError for everything else."""
        placed = place(*self.judged)
        raise_first(layer_violations(placed, errors_only=True))
        return build_mapping(placed)


def numbered_placement(number):
    """Return a legal placement, always the same for a `number`; None for networks with conditional execution."""
    net = numbered_network(number)
    if "snoop" in net.content or net.options.get("one_shot") or net.options.get("synthesize_input"):
        return None
    built, options, _ = net.resolved()
    plain = {key: value for key, value in vars(built).items() if key in Network.__dataclass_fields__}
    return Placed(Network(**plain), built.placement, net.device, options, net.sample)


# -- Moving ------------------------------------------------------------------------------------------------------------


def moved(legal, generator):
    """Return a placement in which one offset, gap, map or source differs; None if the draw changes nothing legal."""
    order = list(legal.placement.order)
    name = order[generator.integers(len(order))]
    change = _CHANGES[generator.integers(len(_CHANGES))]
    try:
        return change(legal, name, generator)
    except Ai8xError:
        return None  # the network cannot be


def scattered(legal, generator):
    """Return a placement in which up to four things differ."""
    result = legal
    for _ in range(generator.integers(1, 5)):
        result = moved(result, generator) or result
    return result


def _pick(generator, values):
    return values[generator.integers(len(values))]


def _with(legal, name, **keys):
    layers = {**legal.placement.layers, name: replace(legal.placement.layers[name], **keys)}
    return replace(legal, placement=replace(legal.placement, layers=layers))


def _followed(legal, name, key, own, value):
    """Change a place of a layer's output, and where its readers look for it (`own` is their key)."""
    before = getattr(legal.placement.layers[name], key)
    result = _with(legal, name, **{key: value})
    for reader in legal.network.readers(name):
        if getattr(result.placement.layers[reader.name], own) == before:
            result = _with(result, reader.name, **{own: value})
    return result


def _offset(legal, generator, name=None):
    """Return an offset near one of a layer's own, or of any layer's."""
    layers = [legal.placement.layers[name]] if name else legal.placement.layers.values()
    known = [offset for at in layers for offset in (at.in_offset, at.out_offset)]
    return max(0, _pick(generator, known) + 4 * _pick(generator, STEPS))


def _output(legal, name, generator):
    return _with(legal, name, out_offset=_offset(legal, generator, name))


def _output_followed(legal, name, generator):
    near = name if generator.integers(2) else None
    return _followed(legal, name, "out_offset", "in_offset", _offset(legal, generator, near))


def _input(legal, name, generator):
    return _with(legal, name, in_offset=_offset(legal, generator, name if generator.integers(2) else None))


def _gap(legal, name, generator):
    return _with(legal, name, **{_pick(generator, ("write_gap", "read_gap")): int(generator.integers(4))})


def _shifted_map(legal, name, generator):
    key = _pick(generator, ("processors", "output_processors"))
    before = getattr(legal.placement.layers[name], key)
    moves = [m for step in (1, 4, 8, 16) for m in (before << step & (1 << 64) - 1, before >> step)]
    value = _pick(generator, [m for m in moves if m.bit_count() == before.bit_count()] or [before])
    if key == "output_processors" and generator.integers(2):
        return _followed(legal, name, key, "processors", value)
    return _with(legal, name, **{key: value})


def _map_with_holes(legal, name, generator):
    key = _pick(generator, ("processors", "output_processors"))
    count = getattr(legal.placement.layers[name], key).bit_count()
    room = min(64, count + 4) if generator.integers(2) else 64
    return _with(legal, name, **{key: sum(1 << int(p) for p in generator.choice(room, count, replace=False))})


def _source(legal, name, generator):
    """Let the layer read other data of the same shape."""
    network, layer = legal.network, legal.network[name]
    order = legal.placement.order

    def shape(source):
        if source is INPUT:
            return network.input_shape
        return (network[source].channels_out, *network[source].out_size) if isinstance(source, str) else None

    number = int(generator.integers(len(layer.inputs)))
    before = (INPUT, *order[: order.index(name)])
    others = [x for x in before if x != layer.inputs[number] and shape(x) == shape(layer.inputs[number])]
    if not others:
        return None
    inputs = [*layer.inputs[:number], _pick(generator, others), *layer.inputs[number + 1 :]]
    layers = [replace(x, inputs=tuple(inputs)) if x is layer else x for x in network.layers]
    kept = {"buffer": network.buffer, "has_bias": network.has_bias}
    return replace(legal, network=build_network(network.name, network.input_shape, layers, **kept))


_CHANGES = (
    *(_output, _output, _output_followed, _output_followed, _input, _gap),
    *(_shifted_map, _map_with_holes, _source),
)


# -- Execution ---------------------------------------------------------------------------------------------------------


def differences(placed):
    """Return what is wrong with the program of an accepted placement when every layer runs in order.

    Layers that stream, and large ones, are executed as a whole only.
    """
    mapping = map_network(*placed.judged)
    order = placed.placement.simulated or placed.placement.order
    rounding = placed.options.lowering.average_rounding
    tensors = run(placed.network, placed.sample[None], order, average_rounding=rounding)
    program = lower(mapping, placed.options.lowering)
    virtual, snapshots = execute(placed.device, program.stores(lower_sample(program, placed.sample, tensors)))
    check = compare_run(program, tensors, virtual)
    errors = [d for d in check.problems if d.severity == "error" and not any(k in d.message for k in KNOWN)]
    found = [str(error) for error in errors] + ([] if check.equal else [check.text()])
    layers = {m.hardware_index: m.layer for m in mapping.layers}
    for snapshot in snapshots:
        if not _is_large(snapshot) and not _streams(virtual, snapshot.run.layer):
            result = in_order(snapshot, _folded_pixels(layers.get(snapshot.run.layer.index)))
            found += [f"{snapshot.run.layer.index}: {place}" for place in sorted(result.conflicts)[:1]]
    return found


def _is_large(snapshot):
    if snapshot.before is None or not snapshot.run.work.input.size:
        return True
    layer = snapshot.run.layer
    window = layer.geometry.window[0] * layer.geometry.window[1]
    return snapshot.run.work.input.size * window * layer.operation.operands > LARGE


def _streams(virtual, layer):
    registers, master = virtual._machine.registers, layer.quadrants[0]
    if not registers.fields("CTL", master)["stream"]:
        return False
    return layer.index == 0 or registers.read("STR1", master, layer.index) != 0


def _folded_pixels(layer):
    """Return how many pixels there are where a widely dilated 1D convolution reads beyond its data."""
    if layer is None or layer.operator != "conv1d" or layer.dilation[0] * (layer.kernel[0] - 1) < 9:
        return None
    return layer.in_size[0] * layer.in_size[1]
