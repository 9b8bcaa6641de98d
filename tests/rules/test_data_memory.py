"""Outputs that overwrite what is still needed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import build, examined

DEFAULT, FIFO = MappingOptions(), MappingOptions(fifo=True)


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
    refused(check, "layer 0: overwrites input data behind what the layer has read", [passing(0)])
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
    refused(check, "lies beyond data memory", [passing(0x7F80, write_gap=3)])
    assert not check([passing(0x7F80, write_gap=1)])


def test_frame_of_a_fifo_lies_in_data_memory(check):
    layer = {"op": "Conv2d", "pad": 1, "processors": 7, "out_offset": 0}
    refused(check, "overwrites input data", [layer], [(4, 3, 3, 3)], (3, 4, 4))
    refused(check, "overwrites input data", [layer], [(4, 3, 3, 3)], (3, 4, 4), FIFO)


def test_options(check):
    assert not check([passing(0)], allow=True)
    (warning,) = check([passing(4)], warn=True)
    assert "layer 0: An output overwrites neither itself nor" in warning
    assert "the output overwrites input data" in warning


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
    refused(check, "leaves data memory", layers, CONVOLUTIONS, (3, 16, 16), FIFO)


def test_output_of_the_last_streaming_layer(check):
    """It must not lie in any rolling buffer, here that of layer 0."""
    layers = [stream(), stream(0xF0, 0, output_processors=0xF)]
    refused(check, "layer 1: the output", layers, CONVOLUTIONS, (3, 16, 16), FIFO, MAX78002)
