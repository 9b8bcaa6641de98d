"""Stores and loads, start and completion."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import FAST_FIFO_STATUS, FIFO_STATUS
from ai8x_tool.device.stores import Stores
from ai8x_tool.virtual import VirtualDevice
from tests.support.register_programs import Board, copy, point_wise

BOTH = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


# -- Memories ----------------------------------------------------------------------------------------------------------


@BOTH
def test_data_memory_keeps_words_and_bytes(device):
    board = Board(device)
    for instance in range(4):
        board.words(instance, 7, [0x01020304 + instance])
    at = board.data_address(2, 7)
    board.virtual.write(at + 1, 0xAB, 1)
    assert board.out(2, 7) == [0x0102AB06]
    assert [board.virtual.read(at + i, 1) for i in range(4)] == [0x06, 0xAB, 0x02, 0x01]
    assert [board.out(i, 7)[0] for i in (0, 1, 3)] == [0x01020304, 0x01020305, 0x01020307]


@BOTH
def test_data_memory_of_other_quadrants(device):
    board = Board(device, (0, 1, 2, 3))
    for instance in range(16):
        board.words(instance, 3, [instance + 1])
    base = device.base + device.addresses.data
    for instance in range(16):
        quadrant, inside = divmod(instance, 4)
        at = base + quadrant * device.addresses.quadrant_stride + inside * device.addresses.instance_stride + 12
        assert board.virtual.read(at) == instance + 1


@BOTH
def test_packed_kernels(device):
    """Nine bytes make a column, byte 0 first; surplus bytes are dropped."""
    board = Board(device)
    base = device.kernel_base(3)
    board.virtual.write(base + 4 * 5 + 1, 1, 1)
    for i, word in enumerate([0x11223344, 0x55667788, 0x99AABBCC, 0xDDEEFF01, 0x02030405]):
        board.virtual.write(base + 4 * i, word)
    columns = [[board.virtual.read(base + 16 * c + 4 * i) for i in range(4)] for c in (4, 5, 6, 7)]
    assert columns == [
        [0, 0, 0, 0],
        [0x11, 0x22334455, 0x66778899, 0],
        [0xAA, 0xBBCCDDEE, 0xFF010203, 0],
        [0, 0, 0, 0],
    ]
    # A new selection drops the two surplus bytes.
    board.virtual.write(base + 4 * 9 + 1, 1, 1)
    for word in (0x0A0B0C0D, 0x0E0F1011, 0x12000000):
        board.virtual.write(base, word)
    assert [board.virtual.read(base + 16 * 9 + 4 * i) for i in range(3)] == [0x0A, 0x0B0C0D0E, 0x0F101112]


@BOTH
def test_packed_kernels_of_two_processors_do_not_mix(device):
    """The buffer and the column belong to the processor."""
    board = Board(device)
    bases = [device.kernel_base(p) for p in (0, 1)]
    for base in bases:
        board.virtual.write(base + 1, 1, 1)
    for i, word in enumerate([0x01020304, 0x05060708, 0x09000000]):
        for p, base in enumerate(bases):
            board.virtual.write(base + 4 * i, word + 0x10101010 * p & 0xFFFFFFFF)
    assert [board.virtual.read(base + 4) for base in bases] == [0x02030405, 0x12131415]


@BOTH
def test_unpacked_kernels(device):
    """Bytes 0; 1 to 4; 5 to 8; the fourth word completes the column."""
    board = Board(device, express=0)
    at = device.kernel_base(2) + 16 * 3
    for i, word in enumerate([0xFFFFFF21, 0x22232425, 0x26272829]):
        board.virtual.write(at + 4 * i, word)
    assert board.virtual.read(at) == 0
    board.virtual.write(at + 12, 0)
    assert [board.virtual.read(at + 4 * i) for i in range(4)] == [0x21, 0x22232425, 0x26272829, 0]


@BOTH
def test_bias_memory_is_a_byte_in_every_word(device):
    board = Board(device)
    board.bias(0, [1, -1, 0x7F, -128])
    base = device.quadrant(device.addresses.bias, 0)
    assert [board.virtual.read(base + 4 * i) for i in range(5)] == [1, 0xFF, 0x7F, 0x80, 0]


@BOTH
def test_registers_are_plain_storage(device):
    board = Board(device)
    board.put("RCNT", 0x1234, 0, 3)
    assert [board.get("RCNT", 0, n) for n in (2, 3, 4)] == [0, 0x1234, 0]
    assert board.get("RCNT", 1, 3) == 0
    assert board.virtual.read(board.address("RCNT", 0, 3), 1) == 0x34
    assert board.virtual.read(FAST_FIFO_STATUS) == board.virtual.read(device.base + FIFO_STATUS) == 0


@BOTH
def test_clear_functions(device):
    """Each TEST code clears one memory of its quadrant, and says that it is done."""
    board = Board(device, (0, 1))
    memories = {
        "data": lambda q: board.out(4 * q, 5)[0],
        "kernel": lambda q: board.virtual.read(device.kernel_base(16 * q) + 4),
        "bias": lambda q: board.virtual.read(device.quadrant(device.addresses.bias, q)),
    }
    for quadrant in (0, 1):
        board.words(4 * quadrant, 5, [99])
        board.kernels(16 * quadrant, [7] * 9)
        board.bias(quadrant, [55])
    assert all(read(q) for read in memories.values() for q in (0, 1))
    for test in device.tests:
        board.put("TEST", test.start, 1)
        assert board.get("TEST", 1) & (test.done | test.error) == test.done
        if test.memory in memories:
            assert memories[test.memory](1) == 0
    assert all(read(0) for read in memories.values())
    assert board.virtual.diagnostics == []


def test_clearing_registers():
    """0x1880 clears layers, 0x1C80 bias memory, too; control registers stay."""
    board = Board(MAX78002)
    board.bias(0, [5])
    for code, bias in ((0x1880, 5), (0x1C80, 0)):
        board.put("LCNT", 3)
        board.put("RPTR", 0x77, 0, 2)
        board.put("STR1", 0x55, 0, 1)
        board.put("TEST", code)
        assert board.get("TEST") == 0x200_0000
        assert (board.get("RPTR", 0, 2), board.get("STR1", 0, 1), board.get("LCNT")) == (0, 0, 3)
        assert board.get("CTL") & 8
        assert board.virtual.read(MAX78002.quadrant(MAX78002.addresses.bias, 0)) == bias


@BOTH
def test_byte_collector(device):
    """Four pixels of one lane in each word, after a first load that says nothing."""
    board = Board(device)
    board.put("WPTR", 1 << device.write_instance_shift | 0x100)
    board.put("LCTL2", {"write_increment": 1})
    pixels = np.arange(1, 17)
    for i, value in enumerate(pixels.tolist()):
        board.words(1, 0x100 + 2 * i, [value << 16 | 0xEE0000EE])
    board.put("CTL", board.control | {"mlator": 1, "mlator_lane": 2})
    board.get("MLAT")
    assert [hex(board.get("MLAT")) for _ in range(4)] == ["0x4030201", "0x8070605", "0xc0b0a09", "0x100f0e0d"]
    board.put("CTL", board.control)
    board.put("CTL", board.control | {"mlator": 1, "mlator_lane": 3})
    board.get("MLAT")
    assert board.get("MLAT") == 0xEEEEEEEE


# -- Start and completion ----------------------------------------------------------------------------------------------


def copying(device, quadrants=(0,), layers=1, **control):
    """A board whose layers copy 4 × 4 pixels of processor 0 from word 0x200·n to 0x200·(n + 1)."""
    board = Board(device, quadrants, **control)
    board.pixels([0], 0, [np.arange(1, 17)])
    for n in range(layers):
        registers = copy(device, 4, 4, WPTR=0x200 * (n + 1))
        if len(quadrants) > 1:
            registers["ENA"] = [registers["ENA"]] + [0] * (len(quadrants) - 1)
        board.layer(n, RPTR=0x200 * n, **registers)
    return board


@BOTH
def test_run_and_completion(device):
    board = copying(device)
    assert not board.virtual.interrupt
    assert board.start().found() == []
    assert board.lanes(0, 0x200, 16) == list(range(1, 17))
    assert board.virtual.completed == 1
    assert board.virtual.interrupt
    # The handler clears the flags, which starts nothing.
    board.put("CTL", board.get("CTL") & ~(1 << 12 | 1))
    assert not board.virtual.interrupt
    assert board.virtual.completed == 1


@BOTH
def test_clearing_the_flag_alone_starts_nothing(device):
    board = copying(device).start()
    board.put("CTL", board.get("CTL") & ~(1 << 12))
    assert board.virtual.completed == 1


@BOTH
def test_second_inference_keeps_everything_but_the_data(device):
    board = copying(device).start()
    board.put("CTL", 8)
    board.pixels([0], 0, [np.arange(-16, 0)])
    board.go()
    assert board.virtual.completed == 2
    assert board.lanes(0, 0x200, 16) == list(range(-16, 0))
    assert board.found() == []


@BOTH
def test_other_quadrants_do_not_start(device):
    """Only the store to the master starts, and it counts who is enabled then."""
    board = copying(device, (0, 2))
    board.put("CTL", board.control | {"run": 1, "sync": 1, "master": 0}, 2)
    assert board.virtual.completed == 0
    board.start()
    assert board.virtual.layers[0].layer.quadrants == (0, 2)
    assert all(board.get("CTL", q) >> 12 & 1 for q in (0, 2))
    assert not board.get("CTL", 1) >> 12 & 1
    assert board.found() == []


@BOTH
def test_processors_of_quadrants_that_do_not_run_are_ignored(device):
    board = copying(device)
    board.put("ENA", 0xFFFF, 1)
    board.start()
    assert board.virtual.layers[0].layer.processors.tolist() == [0]


@BOTH
def test_layers_in_order(device):
    board = copying(device, layers=4).start(last=3)
    assert list(board.virtual.layers) == [0, 1, 2, 3]
    assert board.lanes(0, 0x800, 16) == list(range(1, 17))
    assert board.found() == []


def test_start_layer_and_jumps():
    """1 → 3 → 2: a jump, the next number would be 4, and the stop."""
    board = copying(MAX78002, layers=4)
    for n, registers in {1: {"target": 3, "link": 1}, 3: {"target": 2, "link": 1}, 2: {"stop": 1}}.items():
        board.put("NEXT", registers, 0, n)
    board.pixels([0], 0x200, [np.arange(16)])
    board.put("RPTR", 0x400, 0, 3)
    board.put("WPTR", 0xA00, 0, 3)
    board.put("RPTR", 0xA00, 0, 2)
    board.start(first=1, last=2)
    assert list(board.virtual.layers) == [1, 3, 2]
    assert board.lanes(0, 0x600, 16) == list(range(16))
    assert board.found() == []


def test_sequence_that_ends_below_its_highest_layer():
    """After a jump beyond `last`, execution goes on until `last` itself."""
    board = copying(MAX78002, layers=4)
    for n, fields in {0: {"target": 2, "link": 1}, 3: {"target": 1, "link": 1}}.items():
        board.put("NEXT", fields, 0, n)
    board.put("RPTR", 0x200, 0, 2)
    board.put("RPTR", 0x800, 0, 1)
    board.start(last=1)
    assert list(board.virtual.layers) == [0, 2, 3, 1]


def test_one_shot_executes_a_layer_for_each_start():
    """The handler clears the completion flag; each further store with the start bit executes the next layer."""
    board = copying(MAX78002, layers=3, one_shot=1)
    board.start(last=2)
    for executed in (1, 2, 3):
        assert len(board.virtual.layers) == executed
        assert board.virtual.interrupt
        assert board.virtual.completed == (executed == 3)
        assert board.lanes(0, 0x200 * executed, 16) == list(range(1, 17))
        assert board.lanes(0, 0x200 * (executed + 1), 16) == [0] * 16
        board.put("CTL", board.get("CTL") & ~(1 << 12))
        assert len(board.virtual.layers) == executed
        assert not board.virtual.interrupt
        if executed < 3:
            board.put("CTL", board.get("CTL") | 1)
    # There is nothing to continue, but a complete start begins again.
    board.put("CTL", board.get("CTL") | 1)
    assert not board.virtual.interrupt
    board.put("CTL", board.control)
    board.pixels([0], 0, [np.arange(5, 21)])
    board.go()
    assert board.lanes(0, 0x200, 16) == list(range(5, 21))
    assert board.lanes(0, 0x400, 16) == list(range(1, 17))


@BOTH
def test_stores_and_loads_mix(device):
    """A load sees all stores before it, and blocks and single stores are the same thing."""
    board = copying(device)
    addresses = board.data_address(0, 0) + 4 * np.arange(16)
    board.virtual.load(Stores.of(addresses, np.arange(100, 116), np.full(16, 4)))
    board.virtual.write(int(addresses[3]), 9)
    board.start()
    assert board.lanes(0, 0x200, 16) == [100, 101, 102, 9, *range(104, 116)]


def test_block_reads_are_for_data_memory():
    with pytest.raises(ValueError, match="must lie in data memory"):
        VirtualDevice(MAX78000).words(np.array([MAX78000.kernel_base(0)]))


def test_hooks_see_what_trace_keeps():
    """A hook gets inputs, weights and sums; they are kept with `trace` only."""
    plain = VirtualDevice(MAX78000)
    board = Board(MAX78000)
    seen = []
    for virtual in (plain, board.virtual):
        virtual.hooks.append(lambda run: seen.append(run.work.sums.ravel().tolist()))
        board.virtual = virtual
        board.put("CTL", board.control)
        board.put("SRAM", 0x40E)
        board.pixels([0], 0, [[1, 2, 3, 4]])
        board.kernels(0, [5])
        board.layer(**point_wise(MAX78000, 2, 2))
        board.start()
    assert board.virtual.layers[0].work.weights.tolist() == [[[[5]]]]
    assert plain.layers[0].work is None
    assert seen == [[5, 10, 15, 20]] * 2
