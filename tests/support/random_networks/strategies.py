"""Hypothesis strategy for legal networks of all operators and modes of both parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from ai8x_tool.device import DEVICES
from tests.support.random_networks import groups, operators
from tests.support.random_networks import inputs as begin
from tests.support.random_networks.choices import Choices, choices
from tests.support.random_networks.draft import Draft
from tests.support.random_networks.finish import finished

_PLAIN = (operators.convolution, operators.convolution, operators.convolution_1d, operators.passthrough)
_OTHERS = (
    *(operators.transposed, operators.linear, operators.bypass, operators.shared_weights, operators.depthwise),
    *(groups.elementwise, groups.concatenation, groups.interleaving, groups.stacking, groups.rolling_buffer),
)
_ENDS = (operators.linear, operators.convolution, operators.convolution_1d, operators.transposed)
_WITHOUT_KERNELS = (operators.passthrough, operators.bypass)
_ON_CHW = (operators.convolution, operators.convolution, operators.convolution_1d, operators.transposed)


@st.composite
def legal_networks(draw):
    """Draw a network that every rule accepts and that fits all memories, with its weights, sample and options."""
    return legal_network(draw(choices()), draw(st.integers(0, 1 << 20)))


def numbered_network(number):
    """Return one of many such networks, always the same for a `number`; faster than drawing it."""
    return legal_network(Choices(np.random.default_rng(number).bytes(2400)), number)


def legal_network(chosen: Choices, seed):
    """Return the network that `chosen` makes."""
    d = Draft(chosen, chosen.pick(DEVICES), seed)
    d.narrow = d.pick((-1, 1)) if d.new else 1
    shape = _begin(d)
    for _ in range(d.number(0, 6)):
        if d.room > 3:
            _continue(d)
    if not d.finished and d.flag():
        _head(d)
    if not d.finished and d.flag():
        d.wide = True
        d.pick(_ENDS)(d, _source(d))
    return finished(d, shape)


def _begin(d: Draft):
    """Add the input and the layers that depend on it; return the sample's shape."""
    fed = d.rarely()
    tensor, count = (begin.fifo_input(d), 1) if fed else begin.memory_input(d)
    shape = tensor.channels * count, tensor.rows, tensor.columns
    d.used.append((tensor.start, tensor.end))
    d.latest = tensor
    if not fed and d.chw is False and count == 1:
        d.tensors.append(tensor)
    if fed and d.flag() and begin.streams(d, tensor) is not None:
        return shape
    if fed:  # the whole frame lies in data memory
        tensor = d.latest = replace(tensor, end=max(tensor.end, 4 * tensor.pixels))
        d.used.append((tensor.start, tensor.end))
    if "fast_fifo_quad" in d.options:
        output = begin.quad_layer(d, tensor)
    elif count > 1:
        output = groups.combine(d, tensor, count)
    elif d.new and not fed and not d.chw and d.rarely() and tensor.channels > 1:
        output = begin.fourfold(d, tensor)
    elif d.chw or "riscv" in d.options:
        output = d.pick(_ON_CHW)(d, tensor)
    else:
        output = d.pick((*_PLAIN, operators.transposed, operators.linear, operators.depthwise))(d, tensor)
    if output is None and not d.layers:
        _simplest(d, tensor, count)
    return shape


def _simplest(d, tensor, count):
    """A layer that always fits: pointwise convolution to four channels, behind the element-wise operation if any."""
    keys = {"op": "Conv2d", "kernel_size": "1x1", "pad": 0}
    if count > 1:
        keys = {"op": "add", "operands": count}
        place = d.place((tensor.channels, *tensor.size), [tensor], tensor.processors)
        d.add(d.reading(tensor, whole=True) | keys, (tensor.channels, *tensor.size), place)
        return
    shape = (4, *tensor.size)
    place = d.place(shape, [tensor], 15)
    drawn = d.kernels((4, tensor.channels, 1, 1), tensor, 15, area=1)
    d.add(d.reading(tensor) | keys | drawn[0], shape, place, drawn[1])


def _source(d: Draft):
    """Return data for the next layer: most often what was written last, and that always lies somewhere."""
    known = [t for t in d.tensors if d.new or not t.gap]
    known = [t for t in known if not (t.gap and t.passes > 1)]
    return known[-1] if not d.rarely() else d.pick(known)


def _continue(d: Draft):
    saved = d.saved()
    if not [t for t in d.tensors if not t.gap]:
        return
    tensor = _source(d)
    if d.rarely():
        tensor = d.pick((operators.crop, operators.reshape))(d, tensor)
    choices = _WITHOUT_KERNELS if d.finished else d.pick((_PLAIN, _OTHERS, _OTHERS))
    for _ in range(3):
        output = d.pick(choices)(d, tensor)
        if output is not None:
            break
    if not d.tensors or len(d.layers) > 30 - 2 * (not d.new):
        d.restore(saved)
        return
    if output is not None and d.rarely() and output.sources == (d.last,):
        _mark(d, output)


def _mark(d, output):
    d.layers[-1]["output"] = True
    d.held.append((output.start, output.end))


def _head(d: Draft):
    """An output that no layer reads, which may be 32 bits wide."""
    saved = d.saved()
    d.wide = True
    output = d.pick(_ENDS)(d, _source(d))
    d.wide = False
    if output is None or not d.tensors:
        d.restore(saved)
    else:
        _mark(d, output)
