"""Each rule about memories, streams and dilation is broken by a small network; the message is its own."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78002
from tests.support.networks import Weights
from tests.support.rule_cases import (
    check_message,
    conv,
    conv1,
    each_case,
    makes,
    maps,
    passing,
    point,
    rules_tested,
    stores,
)

ALL = (1 << 64) - 1
STREAM = {"streaming": True}
TWO = [(4, 3, 3, 3), (4, 4, 3, 3)]

RING = {"name": "ring", "processors": 0xF, "channels": 4, "dim": 8, "offset": 0x100}
RING_INPUT = passing(0xF, out_offset=0x400)


def shifting(**keys):
    """Return a layer that shifts the rolling buffer RING."""
    reads = {"in_sequences": "ring", "in_offset": 0x104, "in_dim": [7, 1], "in_channels": 4, "buffer_shift": 1}
    return passing(0xF, **{"out_offset": 0x100, **reads, **keys})


def inserting(**keys):
    """Return a layer that inserts one position into the rolling buffer RING."""
    return passing(0xF, **{"max_pool": 8, "pool_stride": 8, "in_offset": 0x400, "buffer_insert": 1, **keys})


CASES = {
    "constraint_dilation": [
        maps([conv(dilation=2)], [TWO[0]], words="operation = conv2d"),
        maps([conv1(1, dilation=2)], [(4, 3, 1, 1)], (3, 30, 1), words="kernel 1×1"),
    ],
    "constraint_dilation_limit": [
        maps([conv1(2, dilation=1024)], [(4, 3, 2, 1)], (3, 1030, 1), words="dilation = 1024, the MAX78000")
    ],
    "constraint_dilation_combination": [
        maps([conv1(4, dilation=5)], [(4, 3, 4, 1)], (3, 60, 1), words="span 16 samples, which needs a kernel of"),
        maps([conv1(3, dilation=5, pad=1)], [(4, 3, 3, 1)], (3, 60, 1), words="needs pad 0"),
    ],
    "constraint_quadrant_0": [maps([conv(7 << 16, output_processors=0xF0000)], [TWO[0]], words="quadrants 1 are used")],
    "constraint_even_passes": [
        maps([point((1 << 36) - 1, flatten=True)], [(4, 280, 1, 1)], (70, 2, 2), words="70 channels cannot be divided")
    ],
    "constraint_calcx4_outputs": [maps([conv(calcx4=True)], [(6, 3, 3, 3)], device=MAX78002, words="6 output")],
    "constraint_quad_outputs": [
        maps([conv()], [Weights((10, 3, 3, 3), bits=2)], device=MAX78002, quad=True, words="a multiple of 16")
    ],
    "constraint_kernel_memory": [
        maps(
            [point(ALL), conv(ALL, out_offset=0x400)],
            [(64, 64, 1, 1), (1024, 64, 3, 3)],
            (64, 4, 4),
            words="layer 1: The kernels of all layers must fit",
        )
    ],
    "constraint_calcx4_memory": [
        stores(0, 0xF, (4, 1, 3, 3), "ordinary kernel memory", flags={"calcx4": True}, reserved=(1 << 4100) - 1)
    ],
    "constraint_kernel_conflict": [
        stores(1, 0xF, (4, 1, 3, 3), "kernels of layer 0", flags={}, stored=(1 << 5120) - 1)
    ],
    "constraint_bias_memory": [
        maps(
            [conv(bias_group=0), point(ALL, bias_group=0, output_processors=ALL)],
            [Weights((512, 3, 3, 3), np.full(512, 1)), Weights((64, 512, 1, 1), np.arange(64))],
            words="64 bytes (64 values) are needed, 0 of 512 are left in quadrant 0 (by quadrant 0: 0, 1: 512",
        )
    ],
    "constraint_buffer_output": [
        makes(
            [conv(**STREAM, out_offset=0x1000), conv(0xF0, **STREAM, out_offset=0x1010, output_processors=0xF0)],
            TWO,
            (3, 16, 16),
            fifo=True,
            words="layer 1: ",
        )
    ],
    "constraint_buffer_memory": [
        makes(
            [conv(**STREAM, out_offset=0x7FF0), conv(0xF0, **STREAM, out_offset=0x2000, output_processors=0xF00)],
            TWO,
            (3, 16, 16),
            fifo=True,
            words="exceeds data memory (0x8000)",
        )
    ],
    "constraint_buffers_apart": [
        makes(
            [
                conv(**STREAM, out_offset=0x1000, output_processors=0xF0),
                conv(0xF0, **STREAM, out_offset=0x2000, output_processors=0xF00),
                conv(0xF00, **STREAM, out_offset=0x1004, output_processors=0xF0),
                conv(0xF0, **STREAM, out_offset=0x3000, output_processors=0xF000),
            ],
            [TWO[0], *3 * [TWO[1]]],
            (3, 16, 16),
            fifo=True,
            words="layer 3: ",
        )
    ],
    "constraint_buffers_readahead": [
        makes(
            [
                conv(**STREAM, out_offset=0x1000, output_processors=0xF0),
                conv(0xF0, **STREAM, readahead=True, out_offset=0x5000, output_processors=0xF00),
            ],
            TWO,
            (3, 16, 16),
            MAX78002,
            fifo=True,
            words="begins at 0x1000, that of layer 0 at 0x0",
        )
    ],
    "constraint_stream_output": [
        makes(
            [conv(**STREAM, out_offset=0x1000), conv(0xF0, **STREAM, output_processors=0xF)],
            TWO,
            (3, 16, 16),
            MAX78002,
            fifo=True,
            words="of layer 0",
        )
    ],
    "constraint_output_memory": [
        makes([passing(out_offset=0x7F80, write_gap=3)], shape=(3, 4, 4), words="exceeds data memory (0x8000)")
    ],
    "constraint_overwriting": [
        makes(
            [conv(out_offset=0x40)],
            [TWO[0]],
            words="overwrites input data that the layer has yet to read: offset 0x40 in the data memory of processors",
        )
    ],
    "constraint_output_kept": [
        makes(
            [
                conv(**STREAM, out_offset=0x1000, output=True),
                conv(0xF0, **STREAM, out_offset=0x2000, output_processors=0xF00),
            ],
            TWO,
            (3, 16, 16),
            fifo=True,
            words="the next layer streams",
        )
    ],
    "constraint_buffer_use": [
        makes([RING_INPUT, shifting(out_offset=0xFC)], shape=(4, 8, 1), words="out_offset = 0xfc", data_buffer=[RING]),
        makes([RING_INPUT, shifting(write_gap=1)], shape=(4, 8, 1), words="write_gap = 1", data_buffer=[RING]),
        makes(
            [RING_INPUT, inserting(out_offset=0x118)], shape=(4, 8, 1), words="out_offset: 0x11c", data_buffer=[RING]
        ),
    ],
    "constraint_input_memory": [
        makes([point(7, in_offset=0x13F80, read_gap=3)], [(4, 3, 1, 1)], (3, 4, 4), MAX78002, words="exceeds data")
    ],
    "constraint_reads_source": [
        makes([conv(out_offset=0x1000), conv(0xF, in_offset=0x1004)], TWO, words="lies at processor 0, offset 0x1000")
    ],
    "constraint_trailing_overlap": [makes([passing()], words="overwrites input data that the layer has already read")],
    "hint_overlapping_tail": [
        makes(
            [
                passing(out_offset=0x400),
                passing(out_offset=0x800),
                passing(out_offset=0x400, in_sequences=0, in_offset=0x400),
            ],
            words="overwrites output of layer 0",
        )
    ],
    "constraint_chw_flatten": [
        makes(
            [{"op": "Linear", "processors": 0x111, "flatten": True, "data_format": "CHW", "out_offset": 0x1000}],
            [(4, 48, 1, 1)],
            (3, 4, 4),
            words="16 pixels",
        )
    ],
    "constraint_chw_passes": [
        makes(
            [point(0x1111_1111_1111_1111, data_format="CHW", eltwise="add", out_offset=0x1000)],
            [(4, 16, 1, 1)],
            (32, 4, 4),
        )
    ],
    "constraint_fifo_order": [
        makes([conv(0xF_0000_000F, out_offset=0x1000)], [(4, 8, 3, 3)], (8, 6, 6), fifo=True, words="use [0, 2]"),
        makes(
            [conv(0x1_0000_0001, data_format="CHW", out_offset=0x1000)],
            [(4, 2, 3, 3)],
            (2, 6, 6),
            fifo=True,
            words="CHW",
        ),
    ],
    "constraint_tram": [
        makes(
            [conv(7 << 4 * i, **STREAM, output_processors=7 << 4 * (i + 1)) for i in range(8)],
            8 * [(3, 3, 3, 3)],
            (3, 4, 1000),
            fifo=True,
            words="TRAM exhausted: ",
        )
    ],
    "constraint_stream_step": [
        makes(
            [conv(**STREAM, out_offset=0x1000), conv(0xF0, **STREAM, out_offset=0x4000, pool_stride=8)],
            TWO,
            (3, 16, 600),
            fifo=True,
            words="a row step of",
        )
    ],
    "constraint_stream_start": [
        makes(
            [
                conv(**STREAM, out_offset=0x1000, max_pool=2, pool_stride=2),
                conv(0xF0, **STREAM, out_offset=0x4000),
            ],
            TWO,
            (3, 3, 2),
            fifo=True,
            words="starts after 8 words, a frame has 6",
        )
    ],
    "constraint_fifo_rows": [
        makes(
            [conv1(3, dilation=5, out_offset=0x1000)],
            [(4, 3, 3, 1)],
            (3, 39, 1),
            fifo=True,
            words="39 samples in 8 rows of 5",
        )
    ],
}


def test_every_rule_has_a_case():
    assert set(CASES) == rules_tested("memories")


@pytest.mark.parametrize(("name", "case"), each_case(CASES))
def test_rule(name, case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_message(name, case, capsys)
