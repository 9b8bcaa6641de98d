"""Input words and known answers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.lowering.answers import answer_blocks
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.regions import OutputRegion
from ai8x_tool.network.sizes import passes, processors_per_pass
from tests.support.networks import build, program, random_sample

ALL = (1 << 64) - 1
FIFO = MappingOptions(fifo=True)
DEFAULT = MappingOptions()


def inputs_of(layer, sample, weights=(), mapping=DEFAULT, device=MAX78000):
    network = build([{"out_offset": 0x7000, **layer}], list(weights), sample.shape, device)
    return program(network, mapping, sample=sample).inputs


def pooled(processors, **keys):
    return {"op": "none", "max_pool": 2, "pool_stride": 2, "processors": processors, **keys}


def conv(processors, **keys):
    return {"op": "Conv2d", "pad": 1, "processors": processors, **keys}


def test_several_passes():
    """512 channels, 11×11."""
    sample = random_sample((512, 11, 11))
    sample[:4, 0, 0] = [-124, -49, -110, -95]
    sample[64:68, 0, 0] = [-128, 59, -93, 14]
    layer = conv(ALL, kernel_size="1x1", pad=0)
    blocks = inputs_of(layer, sample, [(4, 512, 1, 1)])
    assert [block.name for block in blocks] == list(range(0, 64, 4))
    assert len(blocks[0].words) == 968
    assert [hex(word) for word in blocks[0].words[:2]] == ["0xa192cf84", "0xea33b80"]


def test_operands():
    """Two operands of four channels."""
    sample = random_sample((8, 12, 12))
    sample[:, 0, 0] = [-124, 28, -32, 97, 12, 106, 98, 3]
    (block,) = inputs_of({"op": "add", "processors": 0xF}, sample)
    assert len(block.words) == 288
    assert [hex(word) for word in block.words[:2]] == ["0x61e01c84", "0x3626a0c"]


def test_fifo_with_one_channel_each():
    """CHW, four channels 11×17."""
    sample = random_sample((4, 11, 17))
    sample[0, 0, :4] = [-97, 17, -105, -70]
    layer = conv(0x1_0001_0001_0001, data_format="CHW")
    blocks = inputs_of(layer, sample, [(4, 4, 3, 3)], FIFO)
    assert [(block.name, len(block.words)) for block in blocks] == [(i, 47) for i in range(4)]
    assert hex(blocks[0].words[0]) == "0xba97119f"


def test_fifo_with_four_channels_each():
    """HWC, 15 channels 13×19."""
    sample = random_sample((15, 13, 19))
    sample[12:, 0, 0] = [-48, -18, 37]
    blocks = inputs_of(conv(0x0007_000F_000F_000F), sample, [(4, 15, 3, 3)], FIFO)
    assert [(block.name, len(block.words)) for block in blocks] == [(i, 247) for i in range(4)]
    assert hex(blocks[3].words[0]) == "0x25eed0"


def memory_of(blocks):
    """Return data memory as {byte address: byte}."""
    memory = {}
    for block in blocks:
        for i, word in enumerate(block.words.tolist()):
            for lane in range(4):
                address = block.address + 4 * i + lane
                assert address not in memory
                memory[address] = word >> 8 * lane & 0xFF
    return memory


@given(st.data())
def test_hwc_layout(data):
    """The byte of every channel, pixel and operand is where its processor reads it."""
    operands = data.draw(st.integers(1, 3))
    channels = data.draw(st.one_of(st.integers(1, 9), st.integers(60, 140)))
    rows, columns = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 4))
    count = processors_per_pass(channels)
    order = data.draw(st.permutations(range(1, 64)))
    used = sorted([0, *order[: count - 1]])
    processors = sum(1 << p for p in used)
    device = data.draw(st.sampled_from([MAX78000, MAX78002]))
    offset = 4 * data.draw(st.integers(0, 9))
    sample = random_sample((operands * channels, rows, columns))
    layer = {"processors": processors, "in_offset": offset}
    layer |= {"op": "add", "operands": operands} if operands > 1 else {"op": "none"}
    memory = memory_of(inputs_of(layer, sample, (), DEFAULT, device))
    rounds = passes(channels)
    for (channel, row, column), value in np.ndenumerate(sample):
        operand, inside = divmod(channel, channels)
        e, rank = divmod(inside, count)
        processor = used[rank]
        word = ((row * columns + column) * rounds + e) * operands + operand
        address = device.instance(processor) + offset + 4 * word + processor % 4
        assert memory.pop(address) == value % 256
    assert not any(memory.values()), "unused lanes are 0"


@given(st.integers(1, 5), st.integers(2, 6), st.integers(2, 6), st.integers(0, 3))
def test_chw_layout(channels, rows, columns, lane):
    """Four pixels in a word, one channel for each instance."""
    used = [4 * i + lane for i in range(channels)]
    sample = random_sample((channels, rows, columns))
    layer = conv(sum(1 << p for p in used), data_format="CHW", in_offset=0x40)
    blocks = inputs_of(layer, sample, [(2, channels, 3, 3)])
    assert [block.name for block in blocks] == used
    memory = memory_of(blocks)
    for (channel, row, column), value in np.ndenumerate(sample):
        address = MAX78000.instance(used[channel]) + 0x40 + row * columns + column
        assert memory.pop(address) == value % 256
    assert not any(memory.values())


def blocks_of(regions, limit=None, device=MAX78000):
    tensors = [random_sample((r.channels, *r.size), i) for i, r in enumerate(regions)]
    return answer_blocks(device, list(zip(regions, tensors, strict=True)), limit)


THREE = [
    OutputRegion(0xFF, 8, (4, 4), 0x4000, 8, 0),
    OutputRegion(0x3FF, 10, (4, 4), 0x2000, 8, 0),
    OutputRegion(0xFFF0, 12, (4, 4), 0x6000, 32, 0),
]


def test_three_outputs():
    """Sorted by mask, then by address."""
    blocks = [(hex(b.address), hex(b.mask), len(b.values)) for b in blocks_of(THREE)]
    every = "0xffffffff"
    assert blocks == [
        *(("0x50412000", "0xffff", 16), ("0x50402000", every, 16), ("0x50404000", every, 16)),
        *(("0x5040a000", every, 16), ("0x5040c000", every, 16), ("0x5040e000", every, 64)),
        *(("0x50416000", every, 64), ("0x5041e000", every, 64)),
    ]


def test_incomplete_last_pass():
    """65 channels in two passes over 36 processors."""
    blocks = blocks_of([OutputRegion((1 << 36) - 1, 65, (4, 4), 0x4000, 8, 0)])
    assert [(hex(b.address), b.mask, len(b.values)) for b in blocks[:16]] == [
        (hex(0x5081_C004 + 8 * i), 0xFF, 1) for i in range(16)
    ]
    places = {b.address: len(b.values) for b in blocks[16:]}
    for nibble in range(7):
        assert places[MAX78000.instance(4 * nibble) + 0x4000] == 32
    for i in range(16):
        assert places[0x5081_C000 + 8 * i] == 1
        assert places[0x50C0_4000 + 8 * i] == 1
    assert len(places) == 7 + 16 + 16


def test_limited_table():
    """--max-verify-length 5 keeps six values."""
    assert sum(len(b.values) for b in blocks_of(THREE, 5)) == 6
    assert sum(len(b.values) for b in blocks_of(THREE, 10_000)) == sum(len(b.values) for b in blocks_of(THREE))


@given(st.data())
def test_answer_layout(data):
    """The words of aligned maps hold every output element, and nothing else."""
    channels = data.draw(st.one_of(st.integers(1, 12), st.integers(60, 140)))
    count, rounds = processors_per_pass(channels), passes(channels)
    first = 4 * data.draw(st.integers(0, (64 - count) // 4))
    size = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    width = data.draw(st.sampled_from([8, 32]))
    gap, offset = data.draw(st.integers(0, 2)), 4 * data.draw(st.integers(0, 5))
    device = data.draw(st.sampled_from([MAX78000, MAX78002]))
    if width == 32:
        gap = 0
    region = OutputRegion((1 << count) - 1 << first, channels, size, offset, width, gap)
    low, high = (-128, 128) if width == 8 else (-(1 << 31), 1 << 31)
    tensor = np.random.default_rng(0).integers(low, high, (channels, *size))
    words = {}
    for block in answer_blocks(device, [(region, tensor)], None):
        for i, value in enumerate(block.values.tolist()):
            assert block.address + 4 * i not in words
            assert value & ~block.mask == 0
            words[block.address + 4 * i] = value, block.mask
    covered = dict.fromkeys(words, 0)
    for (channel, row, column), value in np.ndenumerate(tensor):
        e, r = divmod(channel, count)
        processor, d, z = first + r, row * size[1] + column, width // 8
        address = device.instance(processor) + offset + 4 * (d * rounds * z + e * z) * (gap + 1)
        if width == 32:
            address += 4 * (processor % 4)
            assert words[address][0] == value % (1 << 32)
            covered[address] = 0xFFFF_FFFF
        else:
            lane = 8 * (processor % 4)
            assert words[address][0] >> lane & 0xFF == value % 256
            covered[address] |= 0xFF << lane
    assert covered == {address: mask for address, (_, mask) in words.items()}
