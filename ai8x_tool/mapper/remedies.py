"""Remedies for networks that do not fit: changes that the mapper has tried, with their effects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ai8x_tool.device import Device
from ai8x_tool.device.facts import DEVICES
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper.given import given_layout
from ai8x_tool.mapper.result import MappingResult, Shortage, UnmappableError
from ai8x_tool.mapper.search import map_automatically
from ai8x_tool.mapper.variants import with_bits, with_fewer_channels, with_folded_input
from ai8x_tool.mapping.mapping import map_network
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import LayerPlacement, Placement
from ai8x_tool.mapping.statistics import statistics
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes, processors_per_pass

Kind = Literal["placement", "input", "weight bits", "folding", "channels", "device"]
"""What the remedy changes: given places, the input path, the widths of weights, the input's shape, the channels of the
model, or the device."""
_FOLDS = (2, 4)
_NARROWER = (4, 2, 1)
_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
_MANY, _FEW = 8, 2
"""Divisors of the remaining time for one trial: if many further trials follow, and if few do."""


@dataclass(frozen=True)
class Remedy:
    """A change with which the network has a placement, and its costs.

    `cycles` and `microseconds` are estimates of an inference, `peak` is the number of bytes used in the fullest
    data-memory instance, `weight_bytes` that of all weights. `layers` are the changed layers. `retraining` is whether
    the model must be trained again.
    """

    kind: Kind
    text: str
    device: str
    retraining: bool
    cycles: int
    microseconds: float
    peak: int
    weight_bytes: int
    layers: tuple[str, ...] = ()

    @property
    def effect(self) -> str:
        """Latency and memory with the remedy, as text for messages."""
        return (
            f"{self.microseconds / 1000:,.2f} ms on the {self.device}, {self.peak:,} bytes of each data-memory "
            f"instance, {self.weight_bytes:,} bytes of weights"
        )

    def __str__(self) -> str:
        """The remedy with its effect."""
        return f"{self.text}: {self.effect}"


@dataclass(frozen=True)
class _Trial:
    """Runs the mapper on one changed network after another, until the time is up."""

    device: Device
    options: MappingOptions
    ends: float
    shortage: Shortage

    @property
    def left(self) -> float:
        """Remaining seconds."""
        return self.ends - time.process_time()

    @property
    def other_device(self) -> Device:
        """The device that is not the target."""
        return next(device for device in DEVICES if device is not self.device)

    def map(
        self, network: Network, device: Device | None = None, given: Placement | None = None
    ) -> MappingResult | None:
        """Return a placement; None if none was found or no time is left."""
        if self.left <= 0:
            return None
        try:
            seconds = min(self.left, max(1.0, self.left / (_MANY if device is None else _FEW)))
            target, moves = device or self.device, given is None
            return map_automatically(network, target, self.options, given=given, moves=moves, seconds=seconds)
        except Ai8xError:
            return None


def remedies(
    network: Network,
    device: Device,
    options: MappingOptions | None = None,
    *,
    given: Placement | None = None,
    shortage: Shortage | None = None,
    seconds: float = 20.0,
) -> tuple[Remedy, ...]:
    """Return the remedies that make `network` fit, the cheapest first; an empty tuple if the network fits as it is.

    Only remedies for which a placement was found within `seconds` are returned. They are ordered by the kind of change:
    the description, the input path, the widths of weights, the shape of the input, the channels, the device. `given`
    and `options` are those of the failed mapping; if nothing is given, layers that move data may be inserted.
    `shortage` is the one that the mapper reported, if it is known.
    """
    ends = time.process_time() + seconds
    asked = options or MappingOptions()
    if shortage is None:
        try:
            map_automatically(network, device, asked, given=given, moves=given is None, first=True, seconds=seconds / 4)
            return ()
        except UnmappableError as error:
            shortage = error.shortage
    trial = _Trial(device, asked, ends, shortage)
    found: list[Remedy] = []
    for kind in _KINDS:
        found += [remedy for remedy in kind(trial, network, given) if remedy is not None]
    return tuple(found)


def _remedy(
    trial: _Trial,
    kind: Kind,
    text: str,
    found: MappingResult | None,
    *,
    retraining: bool = False,
    layers: tuple[str, ...] = (),
) -> Remedy | None:
    if found is None:
        return None
    device = trial.other_device if kind == "device" else trial.device
    mapping = map_network(found.network, found.placement, device, found.options)
    clock_mhz, pipeline = device.inference_clock()
    figures = statistics(mapping, clock_mhz=clock_mhz, pipeline=pipeline)
    if found.trailing and not trial.options.overlap_data:
        text += "; some outputs overwrite input of their layer that has already been read (--overlap-data)"
    return Remedy(
        kind,
        text,
        device.name,
        retraining,
        figures.estimate.cycles,
        1e6 * figures.estimate.inference.seconds,
        found.peak,
        figures.weight_bytes,
        layers,
    )


def _released(trial: _Trial, network: Network, given: Placement | None) -> Iterator[Remedy | None]:
    """Try the network without the places that the description fixes."""
    layers = {} if given is None else given.layers
    fixed = any(at.processors or at.output_processors or at.out_offset or at.bias_groups for at in layers.values())
    if given is not None and fixed:
        freed = replace(given, layers={name: _without_places(at) for name, at in layers.items()})
        text = "remove processors, offsets and bias_group from the description"
        yield _remedy(trial, "placement", text, trial.map(network, given=freed))


def _without_places(at: LayerPlacement) -> LayerPlacement:
    return replace(
        at, processors=None, output_processors=None, in_offset=None, out_offset=None, bias_groups=None, write_gap=0
    )


def _other_input(trial: _Trial, network: Network, given: Placement | None) -> Iterator[Remedy | None]:
    """Try other input paths than the one that the description or the options require."""
    streams = given is not None and any(at.streaming for at in given.layers.values())
    if not (trial.options.fifo or streams or given_layout(given) is not None):
        return
    free = replace(trial, options=replace(trial.options, fifo=False, fast_fifo=False, quad=False))
    found = free.map(network)
    if found is not None:
        yield _remedy(trial, "input", f"use another input path: {found.path.text}", found)


def _fewer_bits(trial: _Trial, network: Network, given: Placement | None) -> Iterator[Remedy | None]:
    """Try narrower weights for the largest layers, as few of them as possible."""
    if trial.shortage.resource != "kernel memory":
        return
    owners = [layer for layer in network.layers if layer.has_weights and layer.shares is None and _can_narrow(layer)]
    for bits in _NARROWER:
        wider = sorted(
            (layer for layer in owners if abs(layer.bits) > bits), key=lambda layer: layer.weight_size, reverse=True
        )

        def narrowed(count: int, bits: int = bits, wider: list[Layer] = wider) -> Network:
            return with_bits(network, {layer.name: bits for layer in wider[:count]})

        count, found = _fewest(trial, narrowed, len(wider))
        if found is not None:
            names = tuple(layer.name for layer in wider[:count])
            text = f"train {_listed(names)} with {bits}-bit weights"
            yield _remedy(trial, "weight bits", text, found, retraining=True, layers=names)
            return


def _can_narrow(layer: Layer) -> bool:
    """Return whether the layer's weights can have fewer than 8 bits: its channels fill all passes."""
    whole = passes(layer.channels_in) * processors_per_pass(layer.channels_in) == layer.channels_in
    return whole or layer.depthwise or layer.flatten


def _fewest(trial: _Trial, variant: Callable[[int], Network], most: int) -> tuple[int, MappingResult | None]:
    """Return the smallest number up to `most` for which the variant has a placement, and that placement."""
    low, high = 1, most
    best = trial.map(variant(most)) if most else None
    if best is None:
        return most, None
    while low < high:
        middle = (low + high) // 2
        found = trial.map(variant(middle))
        if found is None:
            low = middle + 1
        else:
            high, best = middle, found
    return high, best


def _folded(trial: _Trial, network: Network, given: Placement | None) -> Iterator[Remedy | None]:
    """Try to fold rows and columns of the input into channels."""
    if trial.shortage.resource not in ("data memory", "structure"):
        return
    for factor in _FOLDS:
        try:
            variant = with_folded_input(network, factor)
        except Ai8xError:
            continue
        found = None if variant is None else trial.map(variant)
        if variant is not None and found is not None:
            shape = "×".join(map(str, variant.input_shape))
            text = f"fold the input by {factor} to {shape}, which also changes the size of the output"
            if _sizes(variant) == _sizes(network):
                text = f"fold the input by {factor} to {shape}"
            yield _remedy(trial, "folding", text, found, retraining=True)
            return


def _sizes(network: Network) -> list[tuple[int, tuple[int, int]]]:
    return [(layer.channels_out, layer.out_size) for layer in network.outputs()]


def _fewer_channels(trial: _Trial, network: Network, given: Placement | None) -> Iterator[Remedy | None]:
    """Try fewer channels for all layers before the output: the largest share that has a placement."""
    if _with_share(trial, network, _SHARES[-1]) is None:
        return  # not even the smallest network fits
    for share in _SHARES:
        found = _with_share(trial, network, share)
        if found is not None:
            text = f"give the layers before the output {share:.0%} of their channels"
            yield _remedy(trial, "channels", text, found, retraining=True)
            return


def _with_share(trial: _Trial, network: Network, share: float) -> MappingResult | None:
    try:
        variant = with_fewer_channels(network, share)
    except Ai8xError:
        return None
    return None if variant is None else trial.map(variant)


def _other_device(trial: _Trial, network: Network, given: Placement | None) -> Iterator[Remedy | None]:
    """Try the other device."""
    other = trial.other_device
    yield _remedy(trial, "device", f"use the {other.name}", trial.map(network, other))


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


_Kind = Callable[[_Trial, Network, "Placement | None"], Iterator["Remedy | None"]]
_KINDS: tuple[_Kind, ...] = (_released, _other_input, _fewer_bits, _folded, _fewer_channels, _other_device)
