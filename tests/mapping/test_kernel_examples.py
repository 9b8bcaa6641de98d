"""Worked examples of kernel memory: placement, packing, incomplete passes, lead-in and gaps, parallel modes."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapping import MappingOptions
from tests.support.golden_cases import read_case
from tests.support.networks import Weights, build, mapped, program, random_kernels

ALL = (1 << 64) - 1


def hexadecimal(memory, processor, column):
    """Return the nine bytes of a column in hexadecimal."""
    return memory.data[processor, column].tobytes().hex(" ").upper()


def places(mapping):
    return [(m.kernels.offset, m.kernels.length, m.kernels.count) for m in mapping.layers]


MNIST_PLACES = {
    "max78000": [(0, 60, 60), (0, 60, 60), (60, 56, 56), (116, 12, 12), (128, 18, 160)],
    "max78002": [(5060, 60, 60), (0, 60, 60), (60, 56, 56), (116, 12, 12), (128, 18, 160)],
}


@pytest.mark.golden
@pytest.mark.parametrize("device", ["max78000", "max78002"])
def test_mnist(golden, device):
    mapping = read_case(golden / "accept" / device / "demo-mnist").mapping()
    memory, start = mapping.kernel_memory, MNIST_PLACES[device][0][0]
    assert places(mapping) == MNIST_PLACES[device]
    assert hexadecimal(memory, 0, start) == "33 11 04 29 F6 EA 2C F4 F7"
    assert hexadecimal(memory, 0, start + 1).startswith("76 0E 1B")
    assert hexadecimal(memory, 0, 128) == "95 F9 0C E4 BB 2E 5E 2C F0"
    assert hexadecimal(memory, 0, 129) == "BC CB FF 0B 09 FD 09 F5 BB"
    assert hexadecimal(memory, 0, 145) == "00 00 19 26 4A 14 2B 53 51"
    assert {q: len(values) for q, values in mapping.bias_bytes.items()} == {0: 10}
    assert mapping[4].bias.offsets[0] == 0


@pytest.mark.golden
def test_mnist_loading_formats(golden):
    """Blocks of the packed and of the four-word format."""
    blocks = read_case(golden / "accept/max78000/demo-mnist").program().kernels
    assert (blocks[0].address, len(blocks[0].words)) == (0x5018_0000, 135)
    assert blocks[0].words[:3].tolist() == [0x33110429, 0xF6EA2CF4, 0xF7760E1B]
    assert (blocks[1].address, len(blocks[1].words)) == (0x5018_0200, 41)
    assert len(blocks) == 65
    assert sum(len(block.words) + 2 for block in blocks) + 1 == 17930
    blocks = read_case(golden / "accept/max78000/demo-mnist_nomexpress").program().kernels
    assert (blocks[0].address, len(blocks[0].words)) == (0x5018_0000, 240)
    assert blocks[0].words[:5].tolist() == [0x33, 0x110429F6, 0xEA2CF4F7, 0, 0x76]
    assert (blocks[1].address, len(blocks[1].words)) == (0x5018_0800, 72)
    blocks = read_case(golden / "accept/max78002/demo-mnist").program().kernels
    assert [(b.address, len(b.words)) for b in blocks[:2]] == [(0x5140_0200, 41), (0x5140_4F10, 135)]


@pytest.mark.golden
def test_keyword_spotting(golden):
    case = read_case(golden / "accept/max78000/demo-kws20_v3")
    mapping = case.mapping()
    assert places(mapping) == [
        *((0, 24, 208), (84, 64, 192), (148, 43, 128), (24, 16, 48), (192, 22, 64)),
        *((40, 32, 96), (216, 70, 208), (288, 86, 128), (72, 10, 84)),
    ]
    memory = mapping.kernel_memory
    assert hexadecimal(memory, 0, 0) == "0D 0B 14 FF 01 01 F0 F2 08"
    assert hexadecimal(memory, 0, 84) == "E9 F1 E4 0C 19 01 F8 F7 F6"
    assert hexadecimal(memory, 50, 84) == "03 FE 06 00 00 00 FE 07 FF"
    blocks = case.program().kernels
    assert [(block.address, len(block.words)) for block in blocks[:5]] == [
        *((0x5018_0000, 185), (0x5018_0150, 241), (0x5018_0300, 50), (0x5018_0360, 158), (0x5018_0480, 194)),
    ]


NARROW = {
    4: ([-5, -1, -6, -3, 6, -5, 2, 7, 6, -8], "86 72 B6 DA FB", 2),
    2: ([-2, -1, -2, -1, 1, -2, 0, 1, 1, -2], "49 EE", 1),
    1: ([-1, -1, -1, -1, 0, -1, 0, 0, 0, -1], "2F", 1),
    -1: ([-1, -1, -1, -1, 1, -1, 1, 1, 1, -1], "2F", 1),
}


def conv1d(length, inputs, **keys):
    return {"op": "Conv1d", "kernel_size": length, "pad": 0, "out_offset": 0, "processors": (1 << inputs) - 1, **keys}


@pytest.mark.parametrize("bits", NARROW)
def test_narrow_weights(bits):
    """Length-1 Conv1d, 2 → 33; the bytes that its first ten weights fill."""
    given, expected, length = NARROW[bits]
    kernels = random_kernels((33, 2, 1, 1), bits)
    kernels[:10, 0, 0, 0] = given
    mapping = mapped(build([conv1d(1, 2)], [Weights(kernels, bits=bits)], (2, 8, 1), MAX78002), MappingOptions())
    column = hexadecimal(mapping.kernel_memory, 0, mapping[0].kernels.offset)
    assert column.endswith(expected)
    assert mapping[0].kernels.length == length


def test_narrow_kernels_of_three_taps():
    """Merged taps in bytes 6, 7, 8."""
    kernels = random_kernels((8, 2, 3, 1), 4)
    kernels[0, 0, :, 0], kernels[1, 0, :, 0] = [6, 0, 6], [-5, -8, 5]
    mapping = mapped(build([conv1d(3, 2)], [Weights(kernels, bits=4)], (2, 8, 1)), MappingOptions())
    assert hexadecimal(mapping.kernel_memory, 0, mapping[0].kernels.offset).endswith("B6 80 56")


def test_narrow_flattened_weights():
    """12 → 100, 64 pixels, 4 bit."""
    kernels = random_kernels((100, 768, 1, 1), 4)
    kernels[0, :10, 0, 0] = [2, 0, -4, -7, 6, -8, 6, 5, 3, 4]
    layer = {"op": "Linear", "flatten": True, "processors": 0xFFF, "out_offset": 0}
    mapping = mapped(build([layer], [Weights(kernels, bits=4)], (12, 8, 8)), MappingOptions())
    assert (mapping[0].kernels.length, mapping[0].kernels.count) == (356, 6400)
    assert hexadecimal(mapping.kernel_memory, 0, 0).endswith("43 56 86 9C 02")


def conv2d(processors, size=3, **keys):
    pad = 1 if size == 3 else 0
    return {
        **{"op": "Conv2d", "kernel_size": f"{size}x{size}", "pad": pad, "out_offset": 0, "processors": processors},
        **keys,
    }


def test_incomplete_last_pass_of_narrow_weights():
    """130 → 8, three passes over 44 processors, 4 bit, one lead-in output."""
    kernels = random_kernels((8, 130, 3, 3), 4)
    kernels[0, 43] = np.reshape([3, -1, -8, 6, 5, -5, 3, -7, -5], (3, 3))
    kernels[0, 87] = np.reshape([-3, -1, 1, -6, 0, 4, -7, 2, 4], (3, 3))
    layer = conv2d((1 << 44) - 1, output_processors=0x1FE)
    mapping = mapped(build([layer], [Weights(kernels, bits=4)], (130, 3, 3)), MappingOptions())
    start, memory = mapping[0].kernels.offset, mapping.kernel_memory
    assert (mapping[0].kernels.length, mapping[0].kernels.count) == (12, 27)
    assert not memory.loaded[43, start : start + 3].any()
    assert hexadecimal(memory, 43, start + 3) == "D3 FF 18 A6 05 4B 93 29 4B"
    assert hexadecimal(memory, 43, start + 5).endswith("00 00 00 00")
    assert hexadecimal(memory, 43, start + 5)[:2] != "00"


def used_columns(mapping, processor=0):
    start = mapping[0].kernels.offset
    return (np.flatnonzero(mapping.kernel_memory.loaded[processor]) - start).tolist()


def test_unaligned_outputs_with_a_gap():
    """3×3, 4 → 4, output map 0x66."""
    layer = conv2d(0xF, output_processors=0x66)
    mapping = mapped(build([layer], [(4, 4, 3, 3)], (4, 4, 4)), MappingOptions())
    assert places(mapping) == [(0, 6, 7)]
    assert used_columns(mapping) == [1, 2, 5, 6]


def test_lead_in_byte():
    """1×1, 4 → 8, output map 0x1FE."""
    kernels = random_kernels((8, 4, 1, 1))
    kernels[:, 0, 0, 0] = [-128, -66, -83, 42, -24, 65, 123, 28]
    layer = conv2d(0xF, 1, output_processors=0x1FE)
    mapping = mapped(build([layer], [kernels], (4, 4, 4)), MappingOptions())
    assert places(mapping) == [(0, 1, 9)]
    assert hexadecimal(mapping.kernel_memory, 0, 0) == "1C 7B 41 E8 2A AD BE 80 00"
    assert used_columns(mapping) == [0, 1]
    assert not mapping.kernel_memory.data[0, 1].any()


def test_gap_of_eight_outputs():
    """1×1, 4 → 16, output map 0xFF00FF."""
    kernels = random_kernels((16, 4, 1, 1))
    kernels[:8, 0, 0, 0] = [-128, 36, -65, 82, 78, -105, -105, -51]
    layer = conv2d(0xF, 1, output_processors=0xFF00FF)
    mapping = mapped(build([layer], [kernels], (4, 4, 4)), MappingOptions())
    assert places(mapping) == [(0, 3, 24)]
    assert hexadecimal(mapping.kernel_memory, 0, 0) == "00 CD 97 97 4E 52 BF 24 80"
    assert used_columns(mapping) == [0, 8]
    assert hexadecimal(mapping.kernel_memory, 0, 8).startswith("00 ")


@pytest.mark.parametrize(("deduplicate", "starts"), [(True, [0, 8, 8, 16]), (False, [0, 8, 16, 24])])
def test_shared_kernels(deduplicate, starts):
    """Layers 1 to 3 have the same weights; the outputs of layer 3 begin at another lane, which kernels skip."""
    shared = random_kernels((8, 8, 3, 3), seed=7)
    layers = [conv2d(0xFF), conv2d(0xFF), conv2d(0xFF), conv2d(0xFF, output_processors=0x1FE)]
    network = build(layers, [random_kernels((8, 8, 3, 3)), shared, shared, shared], (8, 4, 4))
    mapping = mapped(network, MappingOptions(deduplicate=deduplicate))
    assert [m.kernels.offset for m in mapping.layers] == starts
    assert [m.kernels.count for m in mapping.layers] == [8, 8, 8, 9]
    assert mapping[2].kernels.duplicate_of == (1 if deduplicate else None)
    assert mapping.weight_bytes(2) == (0 if deduplicate else 576)


@pytest.mark.parametrize("change", ["width", "processors", "values"])
def test_kernels_are_shared_only_if_all_is_equal(change):
    kernels = random_kernels((8, 8, 3, 3), 2)
    other = Weights(kernels, bits=2)
    layers = [conv2d(0xFF), conv2d(0xFF)]
    if change == "width":
        other = Weights(kernels, bits=4)
    elif change == "processors":
        layers[1] = conv2d(0xFF0)
    else:
        other = Weights(np.where(kernels == 1, 0, kernels), bits=2)
    mapping = mapped(build(layers, [Weights(kernels, bits=2), other], (8, 4, 4)), MappingOptions())
    assert mapping[1].kernels.duplicate_of is None


def physical_blocks(network, processor):
    base = network.device.kernel_base(processor)
    blocks = program(network).kernels
    return [
        ((b.address - base) // 4, len(b.words))
        for b in blocks
        if 0 <= b.address - base < network.device.addresses.kernel_stride
    ]


def test_four_instances_in_parallel():
    """Calcx4, two layers 64 → 64."""
    layers = [conv2d(ALL, calcx4=True), conv2d(ALL, calcx4=True, out_offset=0x1000)]
    network = build(layers, [(64, 64, 3, 3), (64, 64, 3, 3)], (64, 4, 4), MAX78002)
    assert [m.kernels.offset for m in mapped(network, MappingOptions()).layers] == [0, 64]
    assert physical_blocks(network, 0) == [(0, 72), (1024, 72), (2048, 72), (3072, 72)]


def test_parallel_instances_behind_an_ordinary_layer():
    """320 → 4 with calcx4 behind 3 → 320 without."""
    layers = [conv2d(7), conv2d(ALL, calcx4=True, out_offset=0x1000)]
    network = build(layers, [(320, 3, 3, 3), (4, 320, 3, 3)], (3, 4, 4), MAX78002)
    mapping = mapped(network, MappingOptions())
    assert [m.kernels.offset for m in mapping.layers] == [20, 0]
    assert physical_blocks(network, 63) == [(0, 12), (1024, 12), (2048, 12), (3072, 12)]


QUAD = MappingOptions(fifo=True, fast_fifo=True, quad=True)


def quad_layers():
    """Return a network of 3 → 128 in quad mode, then multi-pass layers."""
    parallel = {"calcx4": True, "readahead": True, "streaming": True}
    return [
        conv2d(7, streaming=True, out_offset=0x4000),
        conv2d(ALL, out_offset=0x8000, max_pool=2, pool_stride=2, **parallel),
        conv2d(ALL, out_offset=0xC000, max_pool=2, pool_stride=2, **parallel),
        conv2d(ALL, out_offset=0x10000, avg_pool=2, pool_stride=2, **parallel),
    ]


def test_quad_mode():
    """The kernel of output o is in processor 16·(o mod 4), column 544 + o div 4."""
    kernels = random_kernels((128, 3, 3, 3))
    weights = [kernels, (128, 128, 3, 3), (128, 128, 3, 3), (16, 128, 3, 3)]
    mapping = mapped(build(quad_layers(), weights, (3, 32, 32), MAX78002), QUAD)
    assert places(mapping)[0] == (544, 32, 32)
    for o in range(128):
        for channel in range(3):
            stored = mapping.kernel_memory.data[16 * (o % 4) + channel, 544 + o // 4]
            np.testing.assert_array_equal(stored.view(np.int8), kernels[o, channel].ravel())


def test_quad_mode_with_narrow_weights():
    """2 bit, processor 0 merges outputs 0, 4, 8, 12, processor 16 outputs 1, 5, 9, 13."""
    kernels = random_kernels((320, 3, 3, 3), 2)
    mapping = mapped(build([conv2d(7)], [Weights(kernels, bits=2)], (3, 8, 8), MAX78002), QUAD)
    start = mapping[0].kernels.offset
    assert mapping[0].kernels.length == 20
    for quadrant in range(4):
        outputs = [quadrant, quadrant + 4, quadrant + 8, quadrant + 12]
        merged = sum((kernels[o, 0].ravel() % 4) << (2 * i) for i, o in enumerate(outputs))
        np.testing.assert_array_equal(mapping.kernel_memory.data[16 * quadrant, start], merged)


@pytest.mark.parametrize(("outputs", "options"), [(6, {"calcx4": True}), (10, {"quantization": 2})])
def test_outputs_that_cannot_be_reordered(outputs, options):
    quad = QUAD if "quantization" in options else MappingOptions()
    weights = Weights((outputs, 3, 3, 3), bits=options.get("quantization", 8))
    network = build([conv2d(7, **options)], [weights], (3, 8, 8), MAX78002)
    with pytest.raises(Ai8xError, match=rf"layer 0: .*multiple of .*output channels.* {outputs}\b"):
        mapped(network, quad)


def test_parallel_instances_need_ordinary_memory():
    """Columns from 4096 on have no such addresses: refused, or placed lower."""
    network = build([conv2d(1, calcx4=True)], [(64, 1, 3, 3)], (1, 8, 8), MAX78002)
    try:
        mapping = mapped(network, MappingOptions())
    except Ai8xError as error:
        assert "calcx4 kernels do not fit the ordinary kernel memory" in str(error)
    else:
        assert not mapping.kernel_memory.loaded[:, 4096:].any()
