"""The comparison of a description, read by its format alone, with the network and the placement it was written from."""

from __future__ import annotations

import io

import numpy as np
import torch

from ai8x_tool.network.layer import Special
from tests.support.specification_reader import Entry, read_description

SAME = (
    *("operator", "eltwise", "operands", "pool_first", "groups", "kernel", "dilation", "stride", "pad", "output_pad"),
    *("pool", "pool_dilation", "flatten", "bypass", "in_crop", "output_width", "output", "buffer_shift"),
    *("buffer_insert", "channels_in", "channels_out", "in_size", "pooled_size", "out_size", "activation"),
)
PLACED = (
    *("processors", "output_processors", "in_offset", "out_offset", "write_gap", "read_gap", "streaming", "readahead"),
    "calcx4",
)


def entries_of(checkpoint):
    """Return the weights of a checkpoint (the bytes of its file) in their order."""
    state = torch.load(io.BytesIO(checkpoint), weights_only=False)["state_dict"]
    found = []
    for key, weights in state.items():
        if key.endswith(".weight"):
            module = key.removesuffix(".weight").removesuffix(".op")
            bits, shift = (int(state.get(f"{module}.{name}", 0)) for name in ("weight_bits", "output_shift"))
            found.append(Entry(key, np.asarray(weights), bits, shift))
    return found


def differences(read, network, placement):
    """Return in what a description that was read differs from a network and its placement."""
    names = [layer.name for layer in network.layers]
    if len(read.layers) != len(names):
        return [f"{len(read.layers)} layers for {len(names)}"]
    found = []

    def same(what, have, want):
        if have != want:
            found.append(f"{what}: {have} for {want}")

    def named(source):
        return names[source] if isinstance(source, int) else source

    for layer, have in zip(network.layers, read.layers, strict=True):
        at = placement.layers[layer.name]
        flat = layer.in_size[1] == 1
        for key in SAME:
            same(f"{layer.name} {key}", have[key], getattr(layer, key))
        strides = [pair[: 1 if flat else 2] for pair in (have["pool_stride"], layer.pool_stride)]
        same(f"{layer.name} pool_stride", *strides)
        for key in PLACED:
            same(f"{layer.name} {key}", have[key], getattr(at, key))
        sources = tuple(x.value if isinstance(x, Special) else x for x in layer.inputs)
        same(f"{layer.name} sources", tuple(map(named, have["sources"])), sources)
        same(f"{layer.name} bias_groups", have["bias_group"], at.bias_groups)
        if at.readahead:
            same(f"{layer.name} tcalc", have["tcalc"], at.tcalc)
        if layer.has_pool:
            same(f"{layer.name} average", have["pool_average"], layer.pool_average)
        same(f"{layer.name} shares", named(have["shares"]), layer.shares)
        if layer.parameters is not None:
            same(
                f"{layer.name} weights",
                have["entry"].key.removesuffix(".weight"),
                layer.parameters.key.removesuffix(".weight"),
            )
            same(f"{layer.name} number format", (have["bits"], have["shift"]), (layer.bits, layer.shift))
    same("order", [names[at] for at in read.order], list(placement.order))
    same("chw", read.chw, placement.chw)
    return found


def misread(text, checkpoint, network, placement, device):
    """Return in what a description differs from what it was written from; `checkpoint` are the bytes of its file."""
    read = read_description(text, entries_of(checkpoint), network.input_shape, device.name)
    return differences(read, network, placement) + list(read.warnings)
