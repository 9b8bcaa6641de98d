"""Data that are lost between their writer and a reader: to other layers, to rolling buffers, before the next run."""

from __future__ import annotations

import pytest

from ai8x_tool.device import MAX78002
from ai8x_tool.virtual import VirtualDevice
from tests.support.diagnosed_programs import BOTH, FIFO, conv
from tests.support.networks import build, program
from tests.support.register_programs import Board, copy


def copying(device, *moves, pixels=4, before=()):
    """Return a board whose layers copy `pixels` words each: (from, to), or (from, to, pixels). Word n holds n + 1."""
    board = Board(device)
    for word in before:
        board.words(0, word, [word + 1])
    for number, (source, target, *count) in enumerate(moves):
        board.layer(number, **copy(device, 1, *(count or [pixels]), WPTR=target), RPTR=source)
    return board.start(last=len(moves) - 1)


def lines(board, *severities):
    return [(d.severity, d.layer, d.message) for d in board.virtual.run().diagnostics if d.severity in severities]


def alarms(board):
    return lines(board, "error", "warning")


# -- Within a run ------------------------------------------------------------------------------------------------------


@BOTH
def test_part_of_an_older_output_is_replaced(device):
    board = copying(device, (0, 0x100), (0x10, 0x102), (0x100, 0x200), before=(*range(4), *range(0x10, 0x14)))
    message = "processor 0, pass 0: layer 1 replaced 2 of the input bytes that layer 0 wrote"
    assert alarms(board) == [("error", 2, message)]


@BOTH
def test_part_of_the_host_data_is_replaced(device):
    board = copying(device, (0, 0x12, 2), (0x10, 0x200), before=(*range(4), *range(0x10, 0x14)))
    message = "processor 0, pass 0: layer 0 replaced 2 of the input bytes that the host wrote"
    assert alarms(board) == [("error", 1, message)]


@BOTH
def test_replaced_by_the_same_values(device):
    board = Board(device)
    board.words(0, 0, [5] * 4)
    for number, (source, target) in enumerate([(0, 0x100), (0, 0x102), (0x100, 0x200)]):
        board.layer(number, **copy(device, 1, 4, WPTR=target), RPTR=source)
    message = "processor 0, pass 0: layer 1 replaced 2 of the input bytes that layer 0 wrote, with the same values"
    assert alarms(board.start(last=2)) == [("warning", 2, message)]


@BOTH
@pytest.mark.parametrize(
    "moves",
    [
        [(0, 0x100), (0x100, 0x200), (0, 0x102), (0x102, 0x300)],  # what is read is of one layer
        [(0, 0x100), (0x100, 0x200), (0, 0x102), (0x100, 0x300, 2)],  # the rest of the older one
        [(0, 0x100, 2), (0, 0x102, 2), (0x100, 0x300)],  # one behind the other
        [(0, 0x100), (0x100, 0x200), (0, 0x100), (0x100, 0x300)],  # all of it replaced
    ],
)
def test_legal_uses_of_memory(device, moves):
    assert alarms(copying(device, *moves, before=range(4))) == []


def cleared(device):
    """Return a board whose data memory was cleared."""
    board = Board(device)
    board.put("TEST", next(test.start for test in device.tests if test.memory == "data"))
    return board


@BOTH
def test_cleared_memory_is_nobodys_data(device):
    """A layer that writes into cleared memory replaces nothing, and one that reads it finds zeros."""
    board = cleared(device)
    board.words(0, 0, range(1, 5))
    board.layer(0, **copy(device, 1, 4, WPTR=0x102), RPTR=0)
    board.layer(1, **copy(device, 1, 8, WPTR=0x200), RPTR=0x100)
    assert lines(board.start(last=1), "error", "warning", "note") == []


@BOTH
def test_cleared_memory_is_good_state(device):
    board = cleared(device)
    board.words(0, 0, range(1, 5))
    for number, (source, target, count) in enumerate((SHIFT, INSERT, READ)):
        board.layer(number, **copy(device, 1, count, WPTR=target), RPTR=source)
    assert [found for found in lines(board.start(last=2), "error", "warning", "note") if "never" in found[2]] == []


@BOTH
def test_output_that_nothing_read(device):
    board = copying(device, (0, 0x100), (0, 0x200), (0x200, 0x100), before=range(4))
    assert lines(board, "error", "warning", "note") == [
        ("note", 2, "replaces all output of layer 0 before any layer has read it")
    ]


# -- From run to run ---------------------------------------------------------------------------------------------------

SHIFT, INSERT, READ = (0x41, 0x40, 3), (0, 0x43, 1), (0x40, 0x80, 4)
"""A rolling buffer of four words from 0x40 on."""


@BOTH
@pytest.mark.parametrize(
    "others",
    [
        [],
        [(0x80, 0x44, 4)],  # beside the buffer
        [(0x80, 0x40, 4)],  # all of it: new state of another kind
    ],
)
def test_legal_rolling_buffers(device, others):
    board = copying(device, SHIFT, INSERT, READ, *others, before=range(4))
    assert alarms(board) == []
    board.put("CTL", board.control)
    board.go()
    assert board.virtual.completed == 2
    assert alarms(board) == []


@BOTH
def test_first_run_finds_undefined_state(device):
    board = copying(device, SHIFT, INSERT, READ, before=range(4))
    notes = [found for found in lines(board, "note") if "never" in found[2]]
    message = "processor 0, pass 0: 3 of 3 input bytes were never written before, but later: the next run reads them"
    assert notes == [("note", 0, message)]


@BOTH
def test_buffer_that_is_overwritten_after_its_last_use(device):
    """The run is right, the next one is not."""
    board = copying(device, SHIFT, INSERT, READ, (1, 0x43, 1), before=range(4))
    message = (
        "processor 0, pass 0: replaces 1 bytes of the state that layer 2 read and that layer 0 reads in the next run"
    )
    assert alarms(board) == [("error", 3, message)]


@BOTH
def test_buffer_that_is_overwritten_with_the_same(device):
    board = copying(device, SHIFT, INSERT, READ, (0, 0x43, 1), before=range(4))
    ((severity, layer, message),) = alarms(board)
    assert (severity, layer) == ("warning", 3)
    assert message.endswith("with the same values")


@BOTH
def test_scratch_data_in_a_free_place_of_the_buffer(device):
    """Between shifting and inserting, the last word may hold something else."""
    assert alarms(copying(device, SHIFT, (0, 0x43, 1), (0x43, 0x90, 1), INSERT, READ, before=range(4))) == []


@BOTH
def test_state_of_two_parts(device):
    """Each half is read and written by its own layers; one reads both."""
    board = cleared(device)
    moves = [(0x40, 0x80, 2), (0x80, 0x40, 2), (0x40, 0x90, 4), (0x92, 0x42, 2)]
    for number, (source, target, count) in enumerate(moves):
        board.layer(number, **copy(device, 1, count, WPTR=target), RPTR=source)
    assert alarms(board.start(last=3)) == []
    board.put("CTL", board.control)
    board.go()
    assert board.virtual.completed == 2
    assert alarms(board) == []


# -- Rolling buffers of streaming layers -------------------------------------------------------------------------------


def stream(device, first=0, ring=0x1000, out=0x4000, out_map=0xFF, channels=8, last=None, **keys):
    """Return (virtual device, length of the first two rings) of two streaming layers and one behind them."""
    layers = [
        conv(0x7, 0xF, ring, in_offset=first, streaming=True),
        conv(0xF, out_map, out, in_offset=ring, streaming=True, **keys),
        conv(out_map, 0xF, 0x7000 if last is None else last, in_offset=out),
    ]
    network = build(layers, [(4, 3, 3, 3), (channels, 4, 3, 3), (4, channels, 3, 3)], (3, 16, 16), device)
    virtual = VirtualDevice(device).load(program(network, FIFO).stores()).run()
    registers = virtual._machine.registers
    return virtual, [registers.read("FMAX", 0, n) for n in (0, 1)]


def severe(virtual):
    return [(d.severity, d.layer, d.register) for d in virtual.diagnostics if d.severity != "note"]


@BOTH
def test_output_beside_and_in_a_ring(device):
    _, (_, words) = stream(device)
    for offset, hit in ((0x1000 + 4 * words, False), (0x1000 + 4 * words - 4, True), (0xC00, False), (0xC04, True)):
        virtual, _ = stream(device, out=offset)
        assert severe(virtual) == [("error", 1, "WPTR")] * hit
        assert all("rolling buffer of layer 1" in str(d) for d in virtual.diagnostics if d.severity == "error")
        assert severe(stream(device, out=offset, out_map=0xFF00)[0]) == []


@BOTH
@pytest.mark.parametrize("keys", [{"out_map": (1 << 36) - 1, "channels": 70}, {"write_gap": 1}])
def test_long_outputs_reach_a_ring(device, keys):
    """Two words for each pixel, by output passes or by a gap: 0x400 bytes are no longer enough."""
    assert severe(stream(device, first=0x1C00, out=0x1800)[0]) == []
    virtual, _ = stream(device, first=0x1C00, out=0x1800, **keys)
    assert ("error", 1, "WPTR") in severe(virtual)
    assert any("rolling buffer of layer 0" in d.message for d in virtual.diagnostics)


@BOTH
def test_rings_that_share_words(device):
    _, (words, _) = stream(device)
    assert severe(stream(device, first=0x1000 - 4 * words)[0]) == []
    virtual, _ = stream(device, first=0x1000 - 4 * words + 4)
    assert severe(virtual) == [("error", 1, "RPTR")]
    assert any("shares words with that of layer 0" in d.message for d in virtual.diagnostics)


@BOTH
def test_data_that_a_ring_destroyed(device):
    """A later layer reads what the host stored where the ring is now."""
    layers = [
        conv(0x7, 0xF0, 0x1000, streaming=True),
        conv(0xF0, 0xF00, 0x4000, in_offset=0x1000, streaming=True),
        conv(0xF0, 0xF, 0x2000, in_offset=0x1010, in_sequences=[1]),
    ]
    network = build(layers, [(4, 3, 3, 3), (4, 4, 3, 3), (4, 4, 3, 3)], (3, 16, 16), device)
    virtual = VirtualDevice(device).load(program(network, FIFO).stores()).run()
    assert any("rolling buffers destroyed" in d.message and d.layer == 2 for d in virtual.diagnostics)


@BOTH
def test_layer_behind_the_streaming_ones_in_place(device):
    """It reads data memory as others do."""
    virtual, _ = stream(device, last=0x4000 + 4 * 17, out_map=0xF, channels=4)
    assert severe(virtual) == [("error", 2, "WPTR")]
    assert severe(stream(device, last=0x4000 + 4 * 16, out_map=0xF, channels=4)[0]) == []


# -- Reading ahead -----------------------------------------------------------------------------------------------------


def ahead(source, target, **keys):
    layer = conv(0xF, 0xF, target, in_offset=source, kernel_size="1x1", pad=0, readahead=True, **keys)
    network = build([layer], [(4, 4, 1, 1)], (4, 64, 64), MAX78002)
    return severe(VirtualDevice(MAX78002).load(program(network).stores()).run())


def test_blocks_that_are_read_and_written_at_once():
    """The input fills a block of 0x4000 bytes."""
    assert ahead(0x0, 0x4000) == []
    assert ahead(0x0, 0x8000) == []
    assert ahead(0x4000, 0x1000) == [("error", 0, "LCTL")]
    assert ahead(0x2000, 0x8000) == []
    assert ahead(0x2000, 0xA000) == []
    assert ahead(0x2000, 0x6000 + 0x10) == []


def test_blocks_without_reading_ahead():
    layer = conv(0xF, 0xF, 0x1000, in_offset=0x4000, kernel_size="1x1", pad=0)
    network = build([layer], [(4, 4, 1, 1)], (4, 64, 64), MAX78002)
    assert severe(VirtualDevice(MAX78002).load(program(network).stores()).run()) == []


# -- Accesses ----------------------------------------------------------------------------------------------------------


@BOTH
def test_accesses_across_words(device):
    board = Board(device)
    at = board.data_address(0, 3)
    for offset, size, wrong in ((0, 4, False), (1, 1, False), (2, 2, False), (1, 2, True), (2, 4, True)):
        board.virtual.write(at + offset, 1, size)
        assert len(board.virtual.diagnostics) == wrong, (offset, size)
        board.virtual._diagnostics.found.clear()
        board.virtual.read(at + offset, size)
        assert len(board.virtual.diagnostics) == wrong, (offset, size)
        board.virtual._diagnostics.found.clear()
