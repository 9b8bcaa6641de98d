"""Diagnostics of data, pointers, kernels and biases: a good program, one small change, one report."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.stores import Stores
from ai8x_tool.errors import Ai8xError
from ai8x_tool.virtual import Diagnostic, VirtualDevice
from tests.support.diagnosed_programs import (
    BOTH,
    Good,
    columns,
    expect,
    with_stores,
)
from tests.support.register_programs import Board, copy, point_wise

# -- The reports themselves --------------------------------------------------------------------------------------------


def test_text_of_a_diagnostic():
    full = Diagnostic("error", "is wrong", layer=3, quadrant=1, address=0x50100000, register="CTL")
    assert str(full) == "layer 3, quadrant 1, CTL, address 0x50100000: is wrong"
    assert str(Diagnostic("note", "is wrong")) == "is wrong"


def test_each_diagnostic_once():
    virtual = VirtualDevice(MAX78000)
    for _ in range(3):
        virtual.read(0x5FFF_0000)
    assert len(virtual.diagnostics) == 1


# -- Data --------------------------------------------------------------------------------------------------------------


def test_input_that_was_never_written(good):
    start = good.device.instance(16)
    stores = good.without(good.inside(start, start + 0x8000))
    expect(good.device, stores, "warning", r"processor 16, pass 0: 64 of 64", layer=0, quadrant=1, register="RPTR")


def test_a_single_byte_that_was_never_written(good):
    expect(
        good.device,
        good.without(good.inside(good.device.instance(0), good.device.instance(0) + 4)),
        "warning",
        "processor 0, pass 0: 1 of 64 input bytes were never written",
        layer=0,
    )


@BOTH
def test_bytes_behind_the_data_of_a_folded_convolution_are_a_note(device):
    """A widely dilated 1D convolution reads whole rows; its kernels make nothing useful of the last one's end."""
    layer = {"op": "Conv1d", "kernel_size": 3, "dilation": 10, "pad": 0, "processors": 0xF, "out_offset": 0x2000}
    folded = Good(device, [{**layer, "output_processors": 0xF}], [(4, 4, 3, 1)], (4, 25, 1))
    expect(device, folded.stores, "note", "5 of 30 input bytes were never written", layer=0, register="RPTR")
    start = device.instance(0)
    stores = folded.without(folded.inside(start + 4 * 12, start + 4 * 13))
    expect(device, stores, "warning", "6 of 30 input bytes were never written", layer=0, register="RPTR")


@BOTH
def test_a_single_byte_that_is_copied_is_a_warning(device):
    board = Board(device)
    board.pixels([0], 0, [range(15)])
    board.layer(**copy(device, 4, 4))
    found = board.start().found()
    assert [(d.severity, d.layer, d.quadrant, d.register) for d in found] == [("warning", 0, 0, "RPTR")]
    assert "1 of 16 input bytes were never written" in found[0].message


@BOTH
def test_input_of_several_writers_is_a_note(device):
    """Concatenation along rows is legal."""
    board = Board(device)
    board.pixels([0], 0, [range(8)])
    board.layer(0, **copy(device, 2, 4, WPTR=0x100))
    board.layer(1, **copy(device, 2, 4, WPTR=0x108))
    board.layer(2, **copy(device, 4, 4, WPTR=0x400), RPTR=0x100)
    found = board.start(last=2).virtual.diagnostics
    assert [(d.severity, d.layer) for d in found] == [("note", 2)]
    assert "layer 0 and layer 1" in found[0].message


# -- Pointers ----------------------------------------------------------------------------------------------------------


@BOTH
def test_read_pointer_outside_memory(device):
    words = device.instance_size // 4
    for pointer, messages in ((words, 2), (words - 8, 1)):
        board = Board(device)
        board.pixels([0], words - 16, [range(16)])
        board.layer(**copy(device, 4, 4), RPTR=pointer)
        found = [d for d in board.start().found() if d.severity == "error"]
        assert [(d.layer, d.register) for d in found] == [(0, "RPTR")] * messages
        assert f"{words:#x}" in found[0].message


@BOTH
def test_write_pointer_outside_memory(device):
    words, shift = device.instance_size // 4, device.write_instance_shift
    for pointer, count in ((words - 10, 6), (15 << shift | words - 2, 14)):
        board = Board(device)
        board.pixels([0], 0, [range(16)])
        board.layer(**copy(device, 4, 4, WPTR=pointer))
        (found,) = board.start().found()
        assert (found.severity, found.layer, found.register) == ("error", 0, "WPTR")
        assert found.message.startswith(f"{count} results are written outside data memory")


def test_instance_outside_memory(good):
    stores = good.fields("WPTR", layer=1, address=15 << good.device.write_instance_shift)
    quadrants = good.program.mapping.quadrants
    stores = Good.fields(with_stores(good, stores), "WPTR", 1, 1, address=15 << good.device.write_instance_shift)
    assert quadrants == (0, 1)
    four = with_stores(good, stores)
    virtual = VirtualDevice(good.device).load(four.stores).run()
    assert [d for d in virtual.diagnostics if d.severity != "note"] == []
    wider = with_stores(good, four.fields("WPTR", address=15 << good.device.write_instance_shift))
    stores = wider.fields("WPTR", 1, address=15 << good.device.write_instance_shift)
    message = "256 results are written outside data memory, the first to instance 16"
    expect(good.device, stores, "error", message, only=False, layer=0, register="WPTR")


@BOTH
def test_stores_outside_an_instance(device):
    board = Board(device)
    at = board.data_address(0, device.instance_size // 4)
    board.virtual.write(at, 1)
    found = board.virtual.diagnostics
    if device is MAX78000:
        # The next instance follows immediately.
        assert found == [] or found[0].address == at
        return
    assert [(d.severity, d.quadrant, d.address) for d in found] == [("error", 0, at)]


# -- Kernels and bias --------------------------------------------------------------------------------------------------


def test_kernels_that_were_never_stored(good):
    kernels = good.inside(good.device.kernel_base(0), good.device.kernel_base(15) + good.device.addresses.kernel_stride)
    stores = good.without(kernels)
    expect(good.device, stores, "warning", "none of the layer's kernels", only=False, layer=1, register="ENA")


def test_kernels_of_one_processor_that_were_never_stored(good):
    start = good.device.kernel_base(5)
    stores = good.without(good.inside(start, start + good.device.addresses.kernel_stride))
    register = "MCNT" if good.device is MAX78000 else "MCNT2"
    message = "output 0, pass 0: the kernel of processor 5 was never stored"
    expect(good.device, stores, "warning", message, layer=1, quadrant=0, register=register)
    virtual = VirtualDevice(good.device)
    virtual._machine.kernels.clear(slice(0, 16))  # then they are zeros, which programs need not store
    assert [d for d in virtual.load(stores).run().diagnostics if d.severity != "note"] == []


def test_bias_that_was_never_stored(good):
    start = good.device.quadrant(good.device.addresses.bias, 0)
    stores = good.without(good.inside(start, start + 4 * good.device.bias_size)[3:])
    expect(good.device, stores, "warning", "bias entry 3 was never stored", layer=0, quadrant=0, register="POST")


def test_kernel_column_stored_twice_with_another_value(good):
    """The same value again is harmless."""
    block = good.program.kernels[0]
    assert block.address == good.device.kernel_base(0)
    for change, count in ((0, 0), (0x100, 1)):
        words = block.words[:3].copy()
        words[0] ^= change
        s, at = good.stores, good.find("CTL")
        rows = [(block.address | 1, 1, 1), *((block.address + 4 * i, int(w), 4) for i, w in enumerate(words))]
        addresses, values, sizes = (
            np.insert(x, at, y) for x, y in zip(columns(s), zip(*rows, strict=True), strict=True)
        )
        stores = Stores.of(addresses, values, sizes)
        if count:
            message = "kernel column 0 of processor 0 is stored again with another value"
            expect(good.device, stores, "warning", message, address=block.address)
        else:
            assert VirtualDevice(good.device).load(stores).run().diagnostics == []


@BOTH
def test_kernel_column_beyond_the_last(device):
    columns = device.kernel_columns(1)
    board = Board(device)
    board.kernels(1, [1] * 18, column=columns - 1)
    (found,) = board.virtual.diagnostics
    assert (found.severity, found.address) == ("error", device.kernel_base(1))
    assert f"kernel column {columns} of processor 1" in found.message


@BOTH
def test_layer_that_wants_columns_beyond_the_last(device):
    board = Board(device)
    board.pixels([1], 0, [[1]])
    start = 8 * 9 * device.kernel_columns(1)
    registers_ = point_wise(device, 1, 1, processors=2)
    if device.next_layer:
        registers_ |= {"MCNT1": {"end": start}, "MCNT2": {"start": start}}
    else:
        registers_ |= {"MCNT": {"start": start, "end": start}}
    board.layer(**registers_)
    found = [d for d in board.start().found() if d.severity == "error"]
    assert [(d.layer, d.register) for d in found] == [(0, "MCNT" if device is MAX78000 else "MCNT1")]
    assert "of processor 1 does not exist" in found[0].message


def test_kernels_that_end_before_they_start(good):
    name = "MCNT" if good.device is MAX78000 else "MCNT2"
    end = good.fields(name, layer=1, start=0x7FF8)
    expect(good.device, end, "error", "lies before the first", only=False, layer=1)


def test_kernels_that_cannot_be_divided(good):
    stores = good.fields("LCTL2", layer=1, input_passes=2)
    expect(good.device, stores, "error", "cannot be divided equally among 3 passes", only=False, layer=1)


def test_output_count_that_does_not_fit(new):
    stores = new.fields("OCHAN", layer=1, count=6)
    expect(MAX78002, stores, "warning", "7 outputs times passes, but 4 kernels", only=False, layer=1, register="OCHAN")


def test_sums_that_leave_32_bits():
    """2^31 needs more than the largest layer: 1024 passes and processors cannot, a bias does not. Hence the machine."""
    from ai8x_tool.virtual.arithmetic import finish
    from ai8x_tool.virtual.diagnostics import Diagnostics

    board = Board(MAX78000)
    board.pixels([0], 0, [[1]])
    board.kernels(0, [1])
    board.layer(**point_wise(MAX78000, 1, 1))
    layer = board.start().virtual.layers[0].layer
    for total, wrong in ((2**31 - 1, False), (2**31, True), (-(2**31), False), (-(2**31) - 1, True)):
        diagnostics = Diagnostics()
        finish(layer, np.array([[[total]]]), diagnostics)
        assert [(d.severity, d.layer) for d in diagnostics.found] == [("error", 0)] * wrong
        if wrong:
            with pytest.raises(Ai8xError, match=r"layer 0: sums .* exceed the 32-bit range of the accumulator"):
                finish(layer, np.array([[[total]]]), Diagnostics(strict=True))
