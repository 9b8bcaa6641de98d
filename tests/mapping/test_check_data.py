"""Outputs that overwrite what is still needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import MappingOptions, Placement, violations
from ai8x_tool.mapping.check_data import data_violations
from ai8x_tool.mapping.placed import place
from tests.support.layer_kinds import INPUT, KINDS
from tests.support.networks import build, examined
from tests.support.reference_words import last_uses, never_read, writing_steps

DEFAULT, FIFO = MappingOptions(), MappingOptions(fifo=True)
OVERWRITING, TRAILING, REMARK = "constraint_overwriting", "constraint_trailing_overlap", "hint_overlapping_tail"


def passing(out, processors=0xF, **keys):
    return {"op": "none", "processors": processors, "out_offset": out, "output_processors": processors, **keys}


@pytest.fixture
def check(console):
    """Return a function that checks layers on 4 channels of 4×4 pixels and returns the warnings."""

    def function(layers, weights=(), shape=(4, 4, 4), mapping=DEFAULT, device=MAX78000, **options):
        network = build(layers, list(weights), shape, device)
        mapping = replace(mapping, overlap_data=options.get("allow", False))
        examined(network, console, mapping, accept_wrong_data=options.get("warn", False))
        return console.warnings

    return function


def refused(check, text, *arguments, **options):
    """Expect one line with `text`; "layer N: words" stand on both sides of the rule."""
    with pytest.raises(Ai8xError) as caught:
        check(*arguments, **options)
    message = str(caught.value)
    assert all(part in message for part in text.split(": ")), message
    assert "net.yaml:" in message
    assert "\n" not in message


@pytest.mark.parametrize("out", [4, 0x3C])
def test_input_is_needed_while_it_is_read(check, out):
    refused(check, "layer 0: the output overwrites input data that the layer has yet to read", [passing(out)])


def test_overlap_that_trails_must_be_asked_for(check):
    refused(check, "layer 0: overwrites input data that the layer has already read", [passing(0)])
    assert not check([passing(0)], allow=True)
    refused(check, "that the layer has yet to read", [passing(4)], allow=True)


@pytest.mark.parametrize(("layer", "free"), [(passing(4), 0x40), (passing(0, write_gap=1), 0x40)])
def test_message_names_a_free_offset(check, layer, free):
    """The output is 16 words, or 31 with gaps; the input takes the first 16."""
    refused(check, f"out_offset: {free:#x} is free for it", [layer])
    assert not check([{**layer, "out_offset": free}])


@pytest.mark.parametrize("out", [0x40, 0x100])
def test_output_behind_the_input(check, out):
    assert not check([passing(out)])


def test_other_instances_do_not_matter(check):
    assert not check([passing(0, output_processors=0xF0)])


def test_previous_output_is_needed(check):
    layers = [passing(0x40), passing(0x7C, in_offset=0x40)]
    refused(check, "layer 1: the output overwrites output of layer 0", layers)
    assert not check([passing(0x40), passing(0x80, in_offset=0x40)])


def test_older_data_may_be_overwritten(check):
    assert not check([passing(0x40), passing(0), passing(0x40)])


def test_outputs_are_kept(check):
    """Data of output layers may not be overwritten by any later layer."""
    layers = [passing(0x40, output=True), passing(0), passing(0x40, output=True)]
    refused(check, "layer 2: the output overwrites output of layer 0", layers)


def test_sources_of_later_layers_are_kept(check):
    """Beyond the reference: what a later layer reads through in_sequences must still be there."""
    layers = [
        passing(0x100, write_gap=1),
        passing(0x400, in_sequences="input", in_offset=0),
        passing(0x100, in_offset=0x400),
        passing(0x104, in_sequences=1, in_offset=0x400, write_gap=1),
        {**passing(0x800, in_sequences=[0, 3], in_offset=0x100), "op": "add"},
    ]
    refused(check, "that layer 4 reads", layers)


def test_a_layer_does_not_overwrite_itself(check):
    """Two passes of 36 processors, 32 bits wide: everything has its place."""
    layer = {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0x1000, "output_width": 32}
    assert not check([layer], [(65, 3, 3, 3)], (3, 4, 4))


def test_output_beyond_the_memory(check):
    """The gap counts, too."""
    refused(check, "exceeds data memory", [passing(0x7F80, write_gap=3)])
    assert not check([passing(0x7F80, write_gap=1)])


def test_frame_of_a_fifo_lies_in_data_memory(check):
    layer = {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0}
    refused(check, "overwrites input data", [layer], [(4, 3, 3, 3)], (3, 4, 4))
    refused(check, "overwrites input data", [layer], [(4, 3, 3, 3)], (3, 4, 4), FIFO)


def test_options(check):
    assert not check([passing(0)], allow=True)
    (warning,) = check([passing(4)], warn=True)
    assert "layer 0: An output must overwrite neither itself nor" in warning
    assert "the output overwrites input data" in warning


# -- The order of reads and writes -----------------------------------------------------------------------------------


def moved(network, offset):
    """Return the network's only layer in its place, with its output at `offset`."""
    places = {name: replace(at, out_offset=offset) for name, at in network.placement.layers.items()}
    placement = replace(network.placement, layers=places)
    return place(network, placement, network.device, MappingOptions(overlap_data=True))


def expected_rule(at):
    """Return the rule that an execution in order breaks, None if no word is read and written."""
    uses, steps = last_uses(at), writing_steps(at)
    both = set(uses) & set(steps)
    if at.layer.flatten:  # all windows are read before anything is written
        return REMARK if both else None
    if any(uses[word] > steps[word] for word in both):
        return OVERWRITING
    return REMARK if both else None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "read gap"])  # nobody stores an input with gaps
def test_own_input_at_every_offset(kind):
    """Refused is what changes a word before its last use, and nothing else."""
    *parts, device = KINDS[kind]
    layer, weights, shape = parts
    network = build([{**layer, "out_offset": INPUT}], list(weights), shape, device)
    seen = set()
    for offset in (*range(-30, 31), *range(-150, 150, 7)):
        placed = moved(network, INPUT + 4 * offset)
        (at,) = placed.layers
        found = {v.rule for v in data_violations(placed) if v.rule in (OVERWRITING, TRAILING, REMARK)}
        expected = expected_rule(at)
        seen.add(expected)
        if expected is None and never_read(at) & set(writing_steps(at)):
            expected = REMARK  # the input is overwritten, though nobody reads these words
        assert found == {expected} - {None}, offset
    assert REMARK in seen
    assert kind == "flatten" or OVERWRITING in seen


# -- Who still needs what ----------------------------------------------------------------------------------------------


def rules(layers, shape=(4, 4, 4), device=MAX78000, mapping=DEFAULT, **top):
    """Return (layer, rule) of everything that is said about data memory."""
    network = build(layers, [], shape, device, **top)
    placed = place(network, network.placement, device, mapping)
    return [(int(v.where.rpartition(" ")[2]), v.rule) for v in data_violations(placed)]


def test_trailing_overlap_with_an_older_layer_is_remarked():
    """Only those with the output of the layer before, or the host's input, must be asked for."""
    older = [passing(0x400), passing(0x800, in_offset=0x400), passing(0x400, in_sequences=0, in_offset=0x400)]
    assert rules(older) == [(2, REMARK)]
    again = [passing(0x400), passing(0, in_sequences="input", in_offset=0)]
    assert rules(again) == [(1, TRAILING)]
    previous = [passing(0x400), passing(0x400)]
    assert rules(previous) == [(1, TRAILING)]
    assert rules(previous, mapping=MappingOptions(overlap_data=True)) == [(1, REMARK)]


def test_an_overlap_trails_only_the_last_reader():
    """Layer 1 writes where it reads, but layer 2 reads the same data."""
    layers = [passing(0x400), passing(0x400), passing(0x800, in_sequences=0, in_offset=0x400)]
    assert rules(layers, mapping=MappingOptions(overlap_data=True))[0] == (1, OVERWRITING)


def test_input_that_is_read_later():
    layers = [passing(0x400), passing(0, in_offset=0x400), passing(0x800, in_sequences="input", in_offset=0)]
    assert rules(layers) == [(1, OVERWRITING)]
    layers[2] = passing(0x800, in_sequences=0, in_offset=0x400)
    assert rules(layers) == []


def test_gaps_are_free():
    """Two outputs share words by turns, one in the gaps of the other."""
    layers = [
        passing(0x1000, write_gap=1),
        passing(0x1004, in_sequences="input", in_offset=0, write_gap=1),
        {**passing(0x2000, in_sequences=[0, 1], in_offset=0x1000), "op": "add"},
    ]
    assert rules(layers) == []
    assert rules([layers[0], {**layers[1], "write_gap": 0}, layers[2]])[0] == (1, OVERWRITING)


def test_what_is_unloaded_is_kept():
    unload = [{"processors": 0xF, "channels": 4, "dim": [4, 4], "offset": 0x400}]
    layers = [passing(0x400), passing(0x800), passing(0x400)]
    assert rules(layers) == []
    layers = [passing(0x400), passing(0x800), passing(0xC00), passing(0x420)]
    assert rules(layers) == []
    assert (3, OVERWRITING) in rules(layers, unload=unload)


BUFFER = {"data_buffer": [{"name": "past", "processors": 0xF, "channels": 4, "dim": 16, "offset": 0x1000}]}
SHIFT = {"buffer_shift": 1, "in_sequences": "past", "in_offset": 0x1004, "in_dim": 15, "in_channels": 4}


def test_rolling_buffer():
    """The layers that shift it, and insert into it, change it; nobody else may, since the next inference reads it."""
    layers = [
        passing(0x2000),
        passing(0x1000, **SHIFT),
        passing(0x103C, in_sequences=0, in_offset=0x2000, buffer_insert=1),
        passing(0x3000, in_sequences=0, in_offset=0x2000),
    ]
    assert rules(layers, (4, 1, 1), **BUFFER) == []
    layers[3]["out_offset"] = 0x1020
    assert rules(layers, (4, 1, 1), **BUFFER) == [(3, OVERWRITING)]


def test_order_of_execution_counts():
    """Executed last, layer 1 may overwrite what layer 2 has read before."""
    layers = [
        passing(0x400, next_sequence=2),
        passing(0x400, in_sequences=2, in_offset=0x800, next_sequence="stop"),
        passing(0x800, in_sequences=0, in_offset=0x400, next_sequence=1),
    ]
    assert rules(layers, device=MAX78002) == []
    listed = [passing(0x400), passing(0x400, in_sequences="input", in_offset=0), passing(0x800, in_sequences=0)]
    listed[2]["in_offset"] = 0x400
    assert rules(listed)[0] == (1, OVERWRITING)


def test_scratch_of_a_folded_convolution_counts():
    """It writes 11 words before its output; there lies the input of 50 words."""
    folded = {"op": "Conv1d", "kernel_size": 3, "dilation": 11, "pad": 0, "processors": 0xF, "activate": "none"}
    for out, expected in ((0xF4, []), (0xF0, [OVERWRITING])):
        network = build([{**folded, "out_offset": out}], [(4, 4, 3, 1)], (4, 50, 1))
        placed = place(network, network.placement, MAX78000, DEFAULT)
        assert [v.rule for v in data_violations(placed) if v.rule == OVERWRITING] == expected


def test_every_conflict_is_reported():
    """Both layers that overwrite the input are named, and the data that layer 3 finds no more."""
    layers = [
        passing(0x400),
        passing(0x10, in_offset=0x400),
        passing(0x20, in_offset=0x400, in_sequences=0),
        passing(0x800, in_sequences="input", in_offset=0),
    ]
    network = build(layers, [], (4, 4, 4))
    placement: Placement = network.placement
    found = [v for v in violations(network, placement, MAX78000) if v.rule == OVERWRITING]
    assert [v.where.rpartition(" ")[2] for v in found] == ["1", "2"]
    assert all("input data that layer 3 reads" in v.message for v in found)


# -- Streaming -------------------------------------------------------------------------------------------------------


def stream(processors=7, out=0x1000, **keys):
    return {"op": "Conv2d", "pad": 1, "processors": processors, "out_offset": out, "streaming": True, **keys}


CONVOLUTIONS = [(4, 3, 3, 3), (4, 4, 3, 3)]


def last(out, processors=0xF0, **keys):
    keys = {"output_processors": 0xF, "streaming": False, **keys}
    return stream(processors, out, **keys)


def test_streaming_buffers(check):
    """The first layer's buffer begins at 0, the second one's at 0x1000: no conflict."""
    layers = [stream(), stream(0xF0, 0x2000, output_processors=0xF00)]
    assert not check(layers, CONVOLUTIONS, (3, 16, 16), FIFO)


def test_streaming_buffers_that_overlap(check):
    layers = [stream(out=0x4), stream(0xF, 0x2000, output_processors=0xF00)]
    refused(check, "buffer", layers, CONVOLUTIONS, (3, 16, 16), FIFO)


def test_streaming_buffer_that_reaches_the_layers_output(check):
    """The rolling buffer of layer 1 from 0x1000 reaches its own output at 0x1010."""
    layers = [stream(out=0x1000), stream(0xF0, 0x1010, output_processors=0xF0)]
    refused(check, "layer 1: the rolling buffer", layers, CONVOLUTIONS, (3, 16, 16), FIFO)
    (*warnings,) = check(layers, CONVOLUTIONS, (3, 16, 16), FIFO, warn=True, allow=True)
    assert warnings


def test_streaming_buffer_that_leaves_the_memory(check):
    layers = [stream(out=0x7FF0), stream(0xF0, 0x2000, output_processors=0xF00)]
    refused(check, "exceeds data memory", layers, CONVOLUTIONS, (3, 16, 16), FIFO)


def test_output_of_the_last_streaming_layer(check):
    """It must not lie in any rolling buffer, here that of layer 0."""
    layers = [stream(), stream(0xF0, 0, output_processors=0xF)]
    refused(check, "layer 1: the output", layers, CONVOLUTIONS, (3, 16, 16), FIFO, MAX78002)
