"""What layers compute, by hand and by plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import FIFO_CONTROL, FIFO_DATA
from tests.support.reference_device import place, pooled
from tests.support.register_programs import Board, copy, point_wise

BOTH = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


def signed(shape, seed=0):
    return np.random.default_rng([seed, *shape]).integers(-128, 128, shape)


# -- A flattened layer -------------------------------------------------------------------------------------------------


def test_flattened_layer():
    """All numbers are known by themselves: registers, input words, kernels, result."""
    board = Board(MAX78000)
    registers = {"WPTR": 0x800, "WTOFF": 1, "WMOFF": 0x2000, "LCTL": 0x920, "LCTL2": 0x803, "MCNT": 0x38}
    board.layer(**registers, ONED=0x100, ENA=0x70007)
    board.words(0, 0, [0x00EAD6CB, 0x00C8B8F5, 0x0022CE2C, 0x0010D28C])
    base = MAX78000.kernel_base(0)
    board.virtual.write(base | 1, 1, 1)
    for word in (0x002918FE, 0x9DDB439B, 0xE3000000):
        board.virtual.write(base, word)
    for processor in (1, 2):
        board.kernels(processor, [0] * 8)
    board.start()
    weights = board.virtual.layers[0].work.weights
    assert weights[:, :, 0, 0].tolist() == [[-29, -101, 67, -37], [-99, -2, 24, 41]]
    x = [-53, -11, 44, -116]
    sums = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weights[:, :, 0, 0].tolist()]
    assert board.virtual.layers[0].work.sums.ravel().tolist() == sums
    assert board.lanes(0, 0x800, 1) == [max(-128, min(127, (sums[0] + 64) >> 7))]
    assert board.lanes(1, 0x800, 1) == [max(-128, min(127, (sums[1] + 64) >> 7))]


# -- Output value (7.3) ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("shift", [-15, -3, -1, 0, 1, 6, 7, 8, 15])
@pytest.mark.parametrize("activation", ["none", "relu", "absolute"])
def test_shift_rounding_and_activation(device, shift, activation):
    board = Board(device)
    x = signed((64,))
    board.pixels([0], 0, [x])
    board.kernels(0, [77])
    post = {"shift": abs(shift), "shift_right": int(shift < 0), "absolute": int(activation == "absolute")}
    board.layer(**point_wise(device, 8, 8, POST=post, LCTL={"relu": int(activation == "relu")}))
    assert board.start().found() == []
    expected = []
    for total in (77 * x).tolist():
        # Round half up: floor(x + 1/2), with exact integers.
        scaled = (2 * total * 2**15 + 2 ** (22 - shift)) // 2 ** (23 - shift) if shift < 7 else total << shift - 7
        y = max(-128, min(127, scaled))
        expected.append({"none": y, "relu": max(y, 0), "absolute": min(abs(y), 127)}[activation])
    assert board.lanes(0, 0x800, 64) == expected


@BOTH
def test_wide_output(device):
    """The accumulator itself, each in a word."""
    board = Board(device)
    x = signed((6,))
    board.pixels([0], 0, [x])
    board.kernels(0, [3, -100])
    registers = point_wise(device, 2, 3, outputs=2, LCTL={"wide": 1}, POST={"shift": 3})
    board.layer(**registers)
    assert board.start().found() == []
    words = np.array(board.out(0, 0x800, 24), np.uint32).view(np.int32).reshape(6, 4)
    assert words[:, :2].tolist() == np.stack([3 * x, -100 * x], axis=1).tolist()
    assert not words[:, 2:].any()


@BOTH
@pytest.mark.parametrize("shift", [0, 3])
def test_bias_is_128_times_its_byte(device, shift):
    board = Board(device)
    x = signed((4,))
    board.pixels([0], 0, [x])
    board.kernels(0, [1, 1, 1])
    board.bias(0, [99, 5, -7, 100])
    post = {"bias_enable": 1, "bias_offset": 1, "shift": shift}
    board.layer(**point_wise(device, 2, 2, outputs=3, POST=post))
    assert board.start().found() == []
    for processor, bias in enumerate((5, -7, 100)):
        expected = [max(-128, min(127, (int(v) + 128 * bias + (64 >> shift)) >> 7 - shift)) for v in x]
        assert board.lanes(processor, 0x800, 4) == expected


def test_bias_of_all_quadrants_is_added():
    """Each quadrant has its own offset and memory."""
    board = Board(MAX78000, (0, 1))
    board.pixels([0, 16], 0, [[0], [0]])
    for processor in (0, 16):
        board.kernels(processor, [1])
    board.bias(0, [0, 0, 9])
    board.bias(1, [4])
    registers = point_wise(MAX78000, 1, 1)
    registers["POST"] = [{"bias_enable": 1, "bias_offset": 2}, {"bias_enable": 1}]
    registers["LCTL"] = [registers["LCTL"] | {"sources": 2}, registers["LCTL"]]
    board.layer(**registers)
    assert board.start().found() == []
    assert board.lanes(0, 0x800, 1) == [13]


# -- Kernels (6) -------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("bits", "code"), [(8, 0), (4, 3), (2, 2), (1, 1)])
def test_narrow_weights_share_bytes(device, bits, code):
    """Consecutive kernels take the next bits of a byte, lowest first."""
    board = Board(device)
    board.pixels([0], 0, [[1]])
    stream = [0xE4, 0x1B, 0x93, 0x5A, 0xC7, 0x38, 0x6D, 0xF0]
    board.kernels(0, stream)
    count = 64 // bits
    lanes = min(count, 64)
    registers = point_wise(device, 1, 1, outputs=lanes, LCTL={"wide": 1}, POST={"weight_bits": code})
    registers["LCTL2"] = {"output_span": bits * (lanes - 1)}
    end = bits * (count - 1)
    if device.next_layer:
        registers |= {"MCNT1": {"end": end}, "OCHAN": {"count": count - 1}}
    else:
        registers["MCNT"] = {"end": end}
    board.layer(**registers)
    board.start()
    packed = sum(byte << 8 * i for i, byte in enumerate(stream))
    expected = []
    for o in range(count):
        value = packed >> bits * o & (1 << bits) - 1
        expected.append(value - (1 << bits) if value >> bits - 1 else value)
    assert board.virtual.layers[0].work.weights.ravel().tolist() == expected


def test_binary_weights():
    """MAX78002: 0 is +1 and 1 is −1."""
    board = Board(MAX78002, binary=1)
    board.pixels([0], 0, [[1]])
    board.kernels(0, [0b0110_0101])
    registers = point_wise(MAX78002, 1, 1, outputs=8, POST={"weight_bits": 1})
    board.layer(**registers | {"LCTL2": {"output_span": 7}, "MCNT1": {"end": 7}})
    assert board.start().found() == []
    assert board.virtual.layers[0].work.weights.ravel().tolist() == [-1, 1, -1, 1, 1, -1, -1, 1]


@BOTH
def test_last_tap_first(device):
    """A 3×3 kernel lies in a column with its last tap first; the kernel's start is a column."""
    board = Board(device)
    kernel, x = signed((3, 3)), signed((5, 5))
    board.pixels([0], 0, [x.ravel()])
    board.kernels(0, kernel.ravel()[::-1], column=4)
    registers = point_wise(device, 5, 5, LCTL={"wide": 1})
    registers["ONED"] = 0
    registers["WTOFF"] = 0
    registers["TPTR"] = {"maximum": 2}
    if device.next_layer:
        registers["LCTL"] |= {"kernel_rows": 2, "kernel_columns": 2}
        registers |= {"MCNT1": {"end": 32}, "MCNT2": {"start": 32}}
    else:
        registers["MCNT"] = {"start": 32, "end": 32}
    board.layer(**registers)
    assert board.start().found() == []
    expected = [int((kernel * x[i : i + 3, j : j + 3]).sum()) for i in range(3) for j in range(3)]
    assert board.virtual.layers[0].work.sums.ravel().tolist() == expected


@BOTH
def test_kernel_offset_and_passes(device):
    """Passes are consecutive words and consecutive kernels; a byte offset moves the start."""
    board = Board(device)
    x, weights = signed((3, 4)), signed((2, 3))
    board.words(0, 0, [int(v) & 0xFF for v in x.T.ravel()])
    board.kernels(0, [0] * 5 + weights.ravel().tolist())
    registers = point_wise(device, 2, 2, outputs=2, ONED={"kernel_offset": 5}, LCTL2={"input_passes": 2})
    registers["LCTL"] |= {"wide": 1}
    if device.next_layer:
        registers |= {"RCNT": {"stop": 1, "next": 3}, "STRIDE": {"row_words": 3}}
        registers |= {"MCNT1": {"end": 40}, "OCHAN": {"count": 5}}
    else:
        registers |= {"MCNT": {"end": 40}}
    board.layer(**registers)
    assert board.start().found() == []
    np.testing.assert_array_equal(board.virtual.layers[0].work.sums.reshape(2, 4), weights @ x)


def test_four_instances_in_parallel():
    """Output o takes its kernel from the o-th instance of 1024 columns, and biases count in fours."""
    board = Board(MAX78002)
    x, kernels = signed((5, 5)), signed((8, 3, 3))
    board.pixels([0], 0, [x.ravel()])
    for o in range(8):
        board.kernels(0, kernels[o].ravel()[::-1], column=1024 * (o % 4) + 3 + o // 4)
    board.bias(0, [0] * 8 + list(range(1, 9)))
    registers = point_wise(MAX78002, 5, 5, outputs=8, LCTL={"kernel_rows": 2, "kernel_columns": 2, "wide": 1})
    registers |= {"ONED": 0, "WTOFF": 0, "TPTR": {"maximum": 2}, "OCHAN": {"count": 1}}
    registers |= {"MCNT2": {"start": 24}, "MCNT1": {"end": 24 + 56}}
    registers["POST"] = {"calcx4": 1, "bias_enable": 1, "bias_offset": 2}
    board.layer(**registers)
    assert board.start().found() == []
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3))
    expected = [(windows * kernels[o]).sum(axis=(2, 3)) + 128 * (o + 1) for o in range(8)]
    np.testing.assert_array_equal(board.virtual.layers[0].work.sums, expected)


@BOTH
def test_processors_without_kernels_contribute_nothing(device):
    board = Board(device)
    board.pixels([0, 1], 0, [[10], [20]])
    for processor in (0, 1):
        board.kernels(processor, [64])
    board.layer(**point_wise(device, 1, 1, processors=3) | {"ENA": {"processors": 3, "kernels": 1}})
    board.start()
    assert board.virtual.layers[0].work.sums.ravel().tolist() == [640]
    assert [d.register for d in board.found()] == ["ENA"]


# -- Pooling and operators, by loops (5) -------------------------------------------------------------------------------


POOLING = [(2, 2, 1, 1), (2, 3, 2, 1), (3, 3, 2, 1), (1, 4, 3, 1), (2, 2, 1, 3), (3, 2, 2, 2), (1, 1, 3, 1)]


def pooled_copy(device, rows, columns, window, stride, dilation, operands, operation):
    """Return registers of a copying layer with pooling and operands."""
    height, width = window
    registers = copy(device, rows, columns, processors=0x13)
    registers["LCTL"] = registers["LCTL"] | {"pool": int(window != (1, 1)), "max_pool": int(operation.get("max", 1))}
    registers["STRIDE"] = {"stride": stride - 1}
    registers["PRCNT"] = {"window": (height - 1) * dilation}
    registers["PCCNT"] = {"window": (width - 1) * dilation}
    if device.next_layer:
        stop = [(n - a - dilation + 1) // stride * stride for n, a in ((rows, height), (columns, width))]
        rest = columns - stop[1]
        registers["RCNT"] = {"stop": stop[0], "next": (rest + (stride - 1) * columns) * operands}
        registers["CCNT"] = {"stop": stop[1], "next": rest}
        registers["STRIDE"]["row_words"] = stride * operands
        registers["PRCNT"]["dilation"] = registers["PCCNT"]["dilation"] = dilation - 1
        if window == (1, 1):
            registers["PRCNT"] = registers["PCCNT"] = 0
    if operands > 1:
        registers["ONED"] = {"eltwise": 1, "operands": operands - 1, "eltwise_function": operation["function"]}
        registers["ONED"]["pool_first"] = operation["first"] if window != (1, 1) else 0
        registers["POST"] = {"time_slots": 1}
    return registers


@BOTH
@pytest.mark.parametrize("pooling", POOLING)
@pytest.mark.parametrize("maximum", [0, 1])
@pytest.mark.parametrize(("operands", "function", "first"), [(1, 0, 0), (2, 0, 1), (2, 1, 0), (3, 2, 0), (4, 3, 1)])
@pytest.mark.parametrize("rounding", [0, 1])
def test_pooling_and_operators_by_loops(device, pooling, maximum, operands, function, first, rounding):
    *window, stride, dilation = pooling
    if dilation > 1 and not device.next_layer:
        pytest.skip("no pooling dilation")
    if tuple(window) == (1, 1):
        maximum = 1
    rows, columns, processors = 9, 8, (0, 1, 4)
    board = Board(device, average_round=rounding)
    x = signed((3, rows * columns * operands))
    board.pixels(processors, 0, x)
    operation = {"max": maximum, "function": function, "first": first}
    board.layer(**pooled_copy(device, rows, columns, tuple(window), stride, dilation, operands, operation))
    assert board.start().found() == []
    run = board.virtual.layers[0]
    geometry = run.layer.geometry
    size = [(n - (a - 1) * dilation - 1) // stride + 1 for n, a in zip((rows, columns), window, strict=True)]
    assert all(0 <= s - p <= dilation - 1 for s, p in zip(size, geometry.pooled, strict=True))
    assert (geometry.window, geometry.stride, geometry.columns) == (tuple(window), stride, columns)
    for rank, processor in enumerate(processors):
        expected = []
        for i, j in np.ndindex(*geometry.pooled):

            def read(y, x_, k, rank=rank, processor=processor):
                word = place(run.layer, 0, processor, y, x_, 0, k)[1]
                return int(x[rank, word])

            expected.append(pooled(run.layer, read, i, j))
        # Holes between processors are closed: 0, 1, 4 become lanes 0, 1, 2.
        assert board.lanes(rank, 0x800, len(expected)) == expected


@BOTH
def test_channel_per_byte_stream(device):
    """CHW: four pixels of one channel in a word."""
    board = Board(device)
    x = signed((2, 12))
    for instance in (0, 1):
        board.words(instance, 0x10, x[instance].astype(np.int8).view("<u4").tolist())
    board.layer(**copy(device, 3, 4, processors=0x11, LCTL={"chw": 1}, RPTR=0x10))
    assert board.start().found() == []
    assert [board.lanes(p, 0x800, 12) for p in (0, 1)] == x.tolist()


# -- Write side (8) ----------------------------------------------------------------------------------------------------


@BOTH
def test_copies_close_holes_in_each_quadrant(device):
    """Four processors of quadrant 0 become lanes 0 to 3 of one instance, one of quadrant 1 lane 0 of another."""
    board = Board(device, (0, 1))
    processors = (0, 4, 8, 12, 16)
    x = signed((5, 6))
    board.pixels(processors, 0, x)
    shift = device.write_instance_shift
    registers = copy(device, 2, 3, processors=0x1111)
    board.layer(**registers | {"ENA": [0x1111, 1], "WPTR": [0x800, 4 << shift | 0x800], "WTOFF": 1 << shift})
    assert board.start().found() == []
    assert [board.lanes(p, 0x800, 6) for p in (0, 1, 2, 3, 16)] == x.tolist()


@BOTH
def test_unused_lanes_are_preserved(device):
    """Only the bytes of outputs change: nothing known tells whether the part clears the others."""
    board = Board(device)
    board.words(0, 0x800, [0x44332211])
    board.pixels([0, 1], 0, [[1], [2]])
    board.layer(**copy(device, 1, 1, processors=3))
    board.start()
    assert board.out(0, 0x800) == [0x44330201]


@BOTH
def test_output_passes_gaps_and_instances(device):
    """Twelve outputs in two passes of six lanes, two words apart, from instance 2 on."""
    board = Board(device)
    x = signed((5,))
    board.pixels([0], 0, [x])
    board.kernels(0, list(range(1, 13)))
    shift = device.write_instance_shift
    registers = point_wise(device, 1, 5, outputs=12, WPTR=2 << shift | 0x100, WCOFF=2, POST={"shift": 7})
    registers["LCTL2"] = {"output_span": 8 * 5, "write_increment": 3}
    board.layer(**registers)
    assert board.start().found() == []
    for o in range(12):
        words = board.lanes(8 + o % 6, 0x100 + 2 * (o // 6), 20)
        assert words[::4] == np.clip((o + 1) * x, -128, 127).tolist()


@BOTH
def test_layer_reads_all_before_it_writes(device):
    """A layer may overwrite its own input."""
    board = Board(device)
    x = signed((8,))
    board.pixels([0], 0x10, [x])
    board.layer(**copy(device, 2, 4, RPTR=0x10, WPTR=0x11))
    board.start()
    assert board.lanes(0, 0x11, 8) == x.tolist()


# -- FIFO (9) ----------------------------------------------------------------------------------------------------------


def fifo_board(device, words, **control):
    board = Board(device)
    board.virtual.write(device.base + FIFO_CONTROL, 1 << 12)
    board.put("IFRM", words)
    board.layer(**point_wise(device, 2, 4, processors=3, RPTR=0x40))
    for processor in (0, 1):
        board.kernels(processor, [64])
    board.start(fifo=1, sync=1, **control)
    return board


@BOTH
def test_fifo_without_streaming_waits_for_the_frame(device):
    """The frame appears at the read pointer, and nothing happens before it is complete."""
    board = fifo_board(device, 8)
    x = signed((2, 8))
    for i in range(8):
        assert board.virtual.completed == 0
        assert not board.virtual.interrupt
        board.virtual.write(device.base + FIFO_DATA, int(x[0, i]) & 0xFF | (int(x[1, i]) & 0xFF) << 8)
    assert board.virtual.completed == 1
    assert board.found() == []
    assert board.lanes(0, 0x40, 8) == x[0].tolist()
    expected = np.clip((64 * x.sum(axis=0) + 64) >> 7, -128, 127)
    assert board.lanes(0, 0x800, 8) == expected.tolist()


@BOTH
def test_second_frame(device):
    """What is pushed beyond a frame waits for the next start."""
    board = fifo_board(device, 8)
    for i in range(16):
        board.virtual.write(device.base + FIFO_DATA, 2 * i)
    assert board.virtual.completed == 1
    assert board.lanes(0, 0x800, 8) == list(range(8))
    board.put("CTL", board.control)
    board.go(fifo=1, sync=1)
    assert board.virtual.completed == 2
    assert board.lanes(0, 0x800, 8) == list(range(8, 16))


# -- Conditional execution (10) ----------------------------------------------------------------------------------------


def snooping(unit, **registers):
    """Layer 0 copies bytes 10 … 25 (lane 3) and would jump to layer 2, layer 1 copies them further."""
    board = Board(MAX78002, snoop=1)
    board.words(0, 0, [v << 24 | 0x123456 for v in range(10, 26)])
    for n, (source, target) in enumerate(((0, 0x200), (0x200, 0x400), (0x200, 0x600))):
        board.layer(n, RPTR=source, **copy(MAX78002, 4, 4, processors=0xF, WPTR=target))
    board.put("NEXT", {"target": 2, "link": 1}, 0, 0)
    for name, value in registers.items():
        board.put(f"SNP{unit}_{name}", value)
    board.start(last=2)
    return board


RANGE = {"A1": 0x200000 | 0x202, "A2": 0x200000 | 0x207, "D1": 14, "D2": 30, "C2": 0}


@pytest.mark.parametrize("unit", [1, 2])
def test_snooping_a_range(unit):
    """Words 0x202 … 0x207 hold 12 … 17 in their highest bytes; those from 14 on are hits."""
    board = snooping(unit, C1=0x6205_503D, ACC=100, HIT=5, MAX=15, AM=7, **RANGE)
    hits = [14, 15, 16, 17]
    assert board.get(f"SNP{unit}_ACC") == 100 + sum(hits)
    assert board.get(f"SNP{unit}_HIT") == 5 + len(hits)
    assert board.get(f"SNP{unit}_MAX") == 17
    assert board.get(f"SNP{unit}_AM") == 0x200000 | 0x207
    assert list(board.virtual.layers) == [0, 2]


def test_no_hit_leaves_the_results_and_the_jump_alone():
    board = snooping(1, C1=0x6205_503D, ACC=100, HIT=5, MAX=15, AM=7, **RANGE | {"D1": 20})
    assert [board.get(f"SNP1_{name}") for name in ("ACC", "HIT", "MAX", "AM")] == [100, 5, 15, 7]
    assert list(board.virtual.layers) == [0, 1, 2]


def test_a_hit_can_stop():
    board = snooping(1, C1=0x6205_5003, **RANGE)
    assert list(board.virtual.layers) == [0]
    assert board.virtual.completed == 1


@pytest.mark.parametrize(("change", "stops"), [(0, True), (1, False)])
def test_exact_mode_compares_address_and_word(change, stops):
    word = {"A1": 0x200000 | 0x203, "D1": 13 << 24 | 0x123456}
    for name in ("A1", "D1"):
        changed = word | {name: word[name] + change}
        assert (list(snooping(1, C1=0x8202_2003, **changed).virtual.layers) == [0]) == stops


def test_units_watch_one_layer():
    assert list(snooping(1, C1=0x6205_5003, **RANGE | {"C2": 1}).virtual.layers) == [0, 2]


def test_unconditional_jump_beside_a_unit_that_only_counts():
    assert list(snooping(1, C1=0x6205_5011, **RANGE | {"D1": 99, "D2": 100}).virtual.layers) == [0, 2]


def test_unknown_modes_are_reported():
    board = snooping(1, C1=0x1205_5003, **RANGE)
    assert [(d.register, d.severity) for d in board.found()] == [("SNP1_C1", "warning")]
