"""Kernel memory against a plain, byte-by-byte implementation of the layout in docs/accelerator/kernel-memory.md."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping.kernel_memory import KernelMemory, KernelRequest
from ai8x_tool.mapping.kernel_stream import StreamShape
from ai8x_tool.network.sizes import passes, processors_per_pass
from tests.support import reference_kernel_streams as reference
from tests.support.networks import random_kernels

WIDTHS = [8, 4, 2, 1, -1]


def layer_of(mi, mo, inputs, outputs, taps=9, bits=8, pixels=0, groups=1):
    """Return the sizes of one layer."""
    layer = {"Mi": mi, "Mo": mo, "I": inputs, "O": outputs, "K": taps, "q": bits, "X": pixels, "g": groups}
    layer |= {"P": passes(inputs), "T": processors_per_pass(inputs)}
    layer |= {"R": passes(outputs), "U": processors_per_pass(outputs)}
    layer["len"], layer["count"], layer["ochan"] = reference.counts(layer)
    return layer


def weights_of(layer, seed=0):
    """Return random weights (out, in/groups, taps, 1)."""
    inputs = 1 if layer["g"] > 1 else layer["I"] * max(1, layer["X"])
    return random_kernels((layer["O"], inputs, layer["K"], 1), layer["q"], seed)


def request_of(layer, weights, index=0):
    shape = StreamShape(
        output_map=layer["Mo"],
        inputs=layer["I"],
        outputs=layer["O"],
        input_passes=layer["P"],
        output_passes=layer["R"],
        inputs_per_pass=layer["T"],
        outputs_per_pass=layer["U"],
        area=layer["K"],
        bits=layer["q"],
        pixels=max(1, layer["X"]),
        flatten=layer["X"] > 0,
        depthwise=layer["g"] > 1,
    )
    return KernelRequest(index, f"layer {index}", layer["Mi"], shape, weights)


def expected_streams(layer, weights):
    stored = np.where(weights == 1, 0, weights) if layer["q"] == -1 else weights
    rows = stored.reshape(layer["O"], -1) if layer["X"] else stored.reshape(-1, layer["K"])
    return reference.streams(layer, rows.tolist())


def image_of(memory, processor):
    """Return {column: nine bytes} of the columns that hold data."""
    columns = np.flatnonzero(memory.loaded[processor])
    return {int(x): memory.data[processor, x].tolist() for x in columns}


def moved(streams, start):
    return {p: {start + x: data for x, data in columns.items()} for p, columns in streams.items()}


def compare(layer, seed=0):
    weights = weights_of(layer, seed)
    memory = KernelMemory(MAX78000)
    placed = memory.place_all([request_of(layer, weights)], deduplicate=True)[0]
    assert (placed.length, placed.count, placed.output_count) == (layer["len"], layer["count"], layer["ochan"])
    expected = moved(expected_streams(layer, weights), placed.offset)
    for processor in range(64):
        assert image_of(memory, processor) == expected.get(processor, {}), processor


@st.composite
def maps(draw, count):
    """Return a map of `count` processors anywhere."""
    if draw(st.booleans()):
        return (1 << count) - 1 << draw(st.integers(0, 64 - count))
    order = draw(st.permutations(range(64)))
    return sum(1 << p for p in order[:count])


@st.composite
def layers(draw, limit=140):
    inputs = draw(st.one_of(st.integers(1, 12), st.integers(60, limit)))
    outputs = draw(st.one_of(st.integers(1, 12), st.integers(60, limit) if inputs < 60 else st.integers(1, 20)))
    mi = draw(maps(processors_per_pass(inputs)))
    mo = draw(maps(processors_per_pass(outputs)))
    taps = draw(st.sampled_from([9, 1, *range(1, 10)]))
    return layer_of(mi, mo, inputs, outputs, taps, draw(st.sampled_from(WIDTHS)))


@given(layers(), st.integers(0, 100))
def test_convolutions(layer, seed):
    compare(layer, seed)


@given(st.data())
def test_flattened_layers(data):
    per_pass = 4 * data.draw(st.integers(9, 16))
    inputs = data.draw(st.sampled_from([*range(1, 14), per_pass * 2, per_pass * 3]))
    if passes(inputs) * processors_per_pass(inputs) != inputs:
        inputs = 64 * passes(inputs)
    outputs = data.draw(st.one_of(st.integers(1, 12), st.integers(60, 80)))
    mi = data.draw(maps(processors_per_pass(inputs)))
    mo = data.draw(maps(processors_per_pass(outputs)))
    pixels = data.draw(st.integers(1, 9 if inputs < 60 else 3))
    compare(layer_of(mi, mo, inputs, outputs, 1, data.draw(st.sampled_from(WIDTHS)), pixels))


@given(st.data())
def test_depthwise_layers(data):
    channels = data.draw(st.one_of(st.integers(2, 16), st.integers(60, 200)))
    count = processors_per_pass(channels)
    taps = data.draw(st.sampled_from([9, 1, 3, 7]))
    bits = data.draw(st.sampled_from(WIDTHS))
    compare(layer_of(data.draw(maps(count)), data.draw(maps(count)), channels, channels, taps, bits, 0, channels))


@given(st.data())
def test_every_weight_can_be_located(data):
    """For output maps without gaps."""
    inputs = data.draw(st.one_of(st.integers(1, 8), st.sampled_from([64, 65, 72, 128, 130])))
    outputs = data.draw(st.integers(1, 20))
    bits = data.draw(st.sampled_from(WIDTHS))
    if abs(bits) < 8 and inputs != passes(inputs) * processors_per_pass(inputs):
        inputs = 128  # an incomplete last pass of narrow weights is stored in another order
    mi = data.draw(maps(processors_per_pass(inputs)))
    shift = data.draw(st.integers(0, 3)) if bits == 8 else 4 * data.draw(st.integers(0, 3))
    layer = layer_of(mi, (1 << outputs) - 1 << shift, inputs, outputs, data.draw(st.sampled_from([1, 3, 9])), bits)
    weights = weights_of(layer)
    memory = KernelMemory(MAX78000)
    start = memory.place_all([request_of(layer, weights)], deduplicate=True)[0].offset
    lead = shift % 4
    for c, processor in enumerate(reference.bits(mi)):
        image = image_of(memory, processor)
        for o in range(outputs):
            for e in range(layer["P"]):
                channel = e * layer["T"] + c
                if channel >= inputs:
                    continue
                kernel = weights[o, channel, :, 0]
                kernel = (kernel == -1) * 1 if bits == -1 else kernel % 2 ** abs(bits)
                entry = (o + lead) * layer["P"] + e
                assert reference.locate(layer, image, start, processor, entry) == kernel.tolist()


@st.composite
def stacks(draw):
    device = draw(st.sampled_from([MAX78000, MAX78002]))
    result = []
    for _ in range(draw(st.integers(2, 6))):
        inputs = draw(st.sampled_from([1, 2, 3, 4, 16, 64]))
        outputs = draw(st.integers(1, 64))
        choices = [maps(inputs)]
        if inputs <= 4:
            choices.append(st.just(sum(1 << 16 * q for q in range(inputs))))
        mi = draw(st.one_of(choices))
        mo = draw(st.one_of(st.just((1 << outputs) - 1), maps(outputs)))
        result.append(
            layer_of(mi, mo, inputs, outputs, draw(st.sampled_from([9, 3, 1])), draw(st.sampled_from([8, 2])))
        )
    return device, result


def place_slowly(device, stack, all_weights):
    """Place a stack of layers one after the other; return starts and images, or None where a layer does not fit."""
    images = {p: {} for p in range(64)}

    def used(processor, column):
        return column in images[processor]

    starts = {}
    order = [i for i, x in enumerate(stack) if x["Mi"] == (1 << 64) - 1]
    order += [i for i, x in enumerate(stack) if x["Mi"] != (1 << 64) - 1]
    for i in order:
        layer, start = stack[i], None
        processors = reference.bits(layer["Mi"])
        if device is MAX78002 and all(p % 16 == 0 for p in processors):
            start = reference.backward(layer, used, device.kernels_large)
        if start is None:
            search = reference.forward_depthwise if layer["g"] > 1 and device is MAX78002 else reference.forward
            start = search(layer, used, device.kernel_columns)
        if start is None or start + layer["len"] > device.kernel_columns(processors[-1]):
            return None
        starts[i] = start
        for processor, columns in moved(expected_streams(layer, all_weights[i]), start).items():
            if any(x in images[processor] or x >= device.kernel_columns(processor) for x in columns):
                return None
            images[processor] |= columns
    return starts, images


def compare_another_placement(memory, stack, all_weights, requests):
    """What the search as written does not place is refused, or lies where a longer search has found room."""
    try:
        placed = memory.place_all(requests, deduplicate=False)
    except Ai8xError as error:
        assert re.search(r"layer \d: .*kernel memory (conflict|exhausted)", str(error))
        return
    images = {p: {} for p in range(64)}
    for i, placement in placed.items():
        for processor, columns in moved(expected_streams(stack[i], all_weights[i]), placement.offset).items():
            assert not set(columns) & set(images[processor])
            images[processor] |= columns
    for processor in range(64):
        assert image_of(memory, processor) == images[processor]


def compare_placement(device, stack):
    all_weights = [weights_of(layer, i) for i, layer in enumerate(stack)]
    requests = [
        request_of(layer, weights, i) for i, (layer, weights) in enumerate(zip(stack, all_weights, strict=True))
    ]
    memory = KernelMemory(device)
    expected = place_slowly(device, stack, all_weights)
    if expected is None:
        compare_another_placement(memory, stack, all_weights, requests)
        return
    placed = memory.place_all(requests, deduplicate=False)
    assert {i: placement.offset for i, placement in placed.items()} == expected[0]
    for processor in range(64):
        assert image_of(memory, processor) == expected[1][processor]


@given(stacks())
def test_placement(drawn):
    compare_placement(*drawn)


@pytest.mark.parametrize("rounds", [1, 2, 4, 8])
@pytest.mark.parametrize("filled", [1000, 1012, 1016, 1020, 1023, 1024])
def test_depthwise_layers_stay_in_one_instance(filled, rounds):
    """1024 columns are an instance; one of them is nearly full."""
    full = layer_of(0xF, (1 << processors_per_pass(filled)) - 1, 4, filled)
    # On all 64 processors the depthwise layer would be placed first.
    channels = 60 * rounds
    depthwise = layer_of((1 << 60) - 1, (1 << 60) - 1, channels, channels, groups=channels)
    compare_placement(MAX78002, [full, depthwise])


def test_first_column():
    """--weight-start: rounded up to a multiple of four."""
    layer = layer_of(3, 0xF, 2, 4)
    memory = KernelMemory(MAX78000, 5)
    assert memory.place_all([request_of(layer, weights_of(layer))], deduplicate=True)[0].offset == 8


def test_exhausted_memory_says_how_much_is_needed():
    layer = layer_of((1 << 64) - 1, (1 << 64) - 1, 1024, 64)
    with pytest.raises(Ai8xError) as caught:
        KernelMemory(MAX78000).place_all([request_of(layer, weights_of(layer), 4)], deduplicate=True)
    message = str(caught.value)
    assert message.startswith("layer 4: The kernels of all layers must fit")
    assert "kernel memory exhausted" in message
    assert "1024 columns of 9 bytes in each of its 64 processors (1024 kernels × 9 weights × 8 bits)" in message
    assert "768 of 768 are free in the fullest one, 768 consecutive ones in all of them" in message
    assert "4-bit weights would fit" in message
