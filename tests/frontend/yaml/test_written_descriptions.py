"""Written descriptions say, to a reader of the published format alone, what they were written from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78002
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.mapper import map_automatically
from ai8x_tool.quantization.added import for_network
from tests.support.described_alike import misread
from tests.support.specification_reader import Entry, read_description
from tests.support.specification_syntax import FormatError
from tests.support.traced_models import randomize, traced
from tests.support.zoo import zoo

FAMILIES = {
    "ai85actiontcn": "a rolling buffer",
    "ai85net5": "a chain, flattened at its end",
    "ai85kws20netv3": "1D data",
    "ai85ressimplenet": "additions with copies",
    "ai85unetsmall": "transposed convolutions and joined values",
    "ai85squeezenet": "parts of joined values, and weights in another order",
    "ai87netmobilenetv2cifar100_m0_5": "depthwise convolutions",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_models(name, tmp_path):
    model, file = zoo()[name], tmp_path / "q.pth.tar"
    device = MAX78002 if name == "ai85squeezenet" else model.device
    built = randomize(model.build(simulate=True, device=device), 1)
    torch.save({"epoch": 0, "state_dict": built.state_dict()}, file)
    network = traced(built, model.shape[-3:], device)  # of a sequence, one frame after the other
    found = map_automatically(network, device, moves=True)
    text = write_description(found.network, found.placement, device, options=found.options)
    checkpoint = for_network(read_checkpoint(file), found.network) or file.read_bytes()
    assert misread(text, checkpoint, found.network, found.placement, device) == []


PLAIN = """
arch: net
dataset: none
layers:
  - name: One
    op: Conv2d
    kernel_size: 3x3
    activate: ReLU
    processors: 0x7
    out_offset: 0x100
  - op: none
    in_sequences: one
    max_pool: 2
    pool_stride: 2
    processors: 0xff
    out_offset: 0x0
"""


def read(text, device="MAX78000"):
    return read_description(text, [Entry("one.op.weight", np.full((8, 3, 3, 3), 5))], (3, 8, 8), device)


def test_defaults_of_the_format():
    """The reader itself: what is not given is what the format says."""
    one, other = read(PLAIN).layers
    assert (one["pad"], one["in_offset"], one["output_processors"], one["channels_out"]) == ((1, 1), 0, 0xFF, 8)
    assert (other["sources"], other["in_offset"], other["out_size"], other["output"]) == ((0,), 0x100, (4, 4), True)
    assert other["output_processors"] == 0xFF


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("op: none", "op: copy"),
        ("op: none", "opp: none"),
        ("op: none", "op: none\n    operator: none"),
        ("op: none", "op: none\n    op: none"),
        ("op: none", "op: none\n    read_gap: 1"),
        ("op: none", "op: none\n    activate: ReLU"),
        ("op: none", "op: none\n    flatten: 1"),
        ("kernel_size: 3x3", "kernel_size: 5x5"),
        ("kernel_size: 3x3", "pad: 1.0"),
        ("in_sequences: one", "in_sequences: two"),
        ("in_sequences: one", "in_dim: [8, 8, 1]"),
        ("in_sequences: one", "in_dim: [4, 8]\n    in_sequences: 0"),
        ("pool_stride: 2", "pool_stride: [2, 1]"),
        ("processors: 0xff", "processors: 0x7f"),
        ("out_offset: 0x0", "out_offset: 0x2"),
        ("out_offset: 0x0", "streams: true"),
    ],
)
def test_what_the_format_does_not_know(old, new):
    with pytest.raises(FormatError):
        read(PLAIN.replace(old, new))
