"""Diagnostics of control, registers, sequence and FIFOs: a good program, one small change, one report."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import AON_CONTROL, FIFO_DATA, registers
from ai8x_tool.device.stores import Stores
from ai8x_tool.errors import Ai8xError
from ai8x_tool.virtual import VirtualDevice
from tests.support.diagnosed_programs import (
    BOTH,
    FIFO,
    STREAM,
    STREAM_WEIGHTS,
    Good,
    columns,
    conv,
    expect,
    with_stores,
)
from tests.support.program_stores import replaced
from tests.support.register_programs import Board

# -- Start, clock, power -----------------------------------------------------------------------------------------------


@BOTH
def test_never_started(device):
    (found,) = Board(device).found()
    assert (found.severity, found.message, found.register) == ("error", "the accelerator was never started", "CTL")


def test_start_without_clock(good):
    stores = good.fields("CTL", clock=0)
    expect(good.device, stores, "error", "is started while its clock is off", only=False, quadrant=0, register="CTL")


@BOTH
def test_memory_without_clock(device):
    at = {
        "data": device.instance(20),
        "kernel": device.kernel_base(20),
        "bias": device.quadrant(device.addresses.bias, 1),
    }
    for name, address in at.items():
        for access in ("stored to", "loaded from"):
            virtual = VirtualDevice(device)
            if access == "stored to":
                virtual.write(address, 1)
            else:
                virtual.read(address)
            (found,) = virtual.diagnostics
            assert (found.severity, found.quadrant, found.address) == ("error", 1, address)
            assert found.message == f"{name} memory is {access} while the quadrant's clock is off"


def test_memory_that_is_powered_down(good):
    index = int(np.flatnonzero(good.stores.addresses == good.device.base + AON_CONTROL)[0])
    stores = replaced(good.stores, index, 1 << 13)
    virtual = VirtualDevice(good.device).load(stores)
    texts = [d.message for d in virtual.diagnostics if d.quadrant == 1 and d.severity == "error"]
    assert "kernel memory is stored to while it is powered down" in texts
    assert "data memory is stored to while it is powered down" in texts
    assert "is started while its memories are powered down" in texts
    assert {d.register for d in virtual.diagnostics} == {"AON"}
    with pytest.raises(Ai8xError, match="powered down"):
        VirtualDevice(good.device, strict=True).load(stores)


def test_output_to_memory_that_is_powered_down(good):
    """A layer may write to a quadrant that takes no part."""
    third = 8 << good.device.write_instance_shift
    both = with_stores(good, good.fields("WPTR", layer=1, address=third)).fields("WPTR", 1, 1, address=third)
    assert VirtualDevice(good.device).load(both).run().diagnostics == []
    stores = with_stores(good, both).before_start((good.device.base + AON_CONTROL, 1 << 14))
    expect(good.device, stores, "error", "uses memory that is powered down", layer=1, quadrant=2, register="AON")


def test_quadrant_that_is_not_synchronized(good):
    stores = good.fields("CTL", 1, sync=0)
    expect(good.device, stores, "error", "not synchronized to quadrant 0", quadrant=1, register="CTL")


def test_quadrant_that_names_another_master(good):
    virtual = VirtualDevice(good.device).load(good.fields("CTL", 1, master=1))
    assert any(d.severity in ("error", "warning") and d.register == "CTL" for d in virtual.diagnostics)


def test_memory_control(good):
    index = good.find("SRAM", 1)
    stores = replaced(good.stores, index, 0)
    expect(good.device, stores, "warning", "data memory control is 0x0, not 0x40e", quadrant=1, register="SRAM")


@pytest.mark.parametrize("field", ["average_round", "stream", "simple_1bit"])
def test_control_that_differs_between_quadrants(good, field):
    expect(
        good.device,
        good.fields("CTL", 1, **{field: 1}),
        "warning",
        f"{field} = 0x1, but 0x0 in quadrant 0",
        only=False,
        quadrant=1,
        register="CTL",
    )


@pytest.mark.parametrize("field", ["simple_1bit", "external_ready"])
def test_options_that_are_not_modeled(good, field):
    stores = good.fields("CTL", 0, **{field: 1})
    message = rf"{field} = 1, but .* is not modeled"
    expect(good.device, stores, "warning", message, only=False, quadrant=0, register="CTL")


def test_layer_count_that_differs_between_quadrants(good):
    stores = good.fields("LCNT", 1, last=2)
    expect(good.device, stores, "warning", "0x2, but 0x1 in quadrant 0", quadrant=1, register="LCNT")


# -- Registers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields"),
    [("LCTL", {"relu": 0}), ("CCNT", {"next": 9, "count": 3}), ("POST", {"absolute": 1}), ("RPTR", {"address": 5})],
)
def test_inconsistent_quadrants(good, name, fields):
    known = {f.name for f in registers(good.device)[name].fields}
    (field, value), *_ = [(k, v) for k, v in fields.items() if k in known]
    if name == "RPTR":
        stores = good.before_start((good.address("RPTR", 1, 0), value))
    else:
        stores = good.fields(name, 1, 0, **{field: value})
    message = f"^{field} = {value:#x}, but 0x[0-9a-f]+ in quadrant 0"
    expect(good.device, stores, "warning", message, layer=0, quadrant=1, register=name)


def test_write_pointer_that_differs_between_quadrants(good):
    stores = good.fields("WPTR", 1, 0, address=0x100)
    expect(good.device, stores, "warning", "0x100, but 0x800 in quadrant 0", layer=0, quadrant=1, register="WPTR")


def test_enabled_kernels_that_do_not_belong_to_processors(good):
    stores = good.fields("ENA", layer=1, kernels=0x7F)
    message = "kernels = 0x007f, but 0x00ff follows"
    expect(good.device, stores, "warning", message, layer=1, quadrant=0, register="ENA")


@pytest.mark.parametrize(("value", "message"), [(0, "sources = 0x0, but 0x2"), (6, "sources = 0x6, but 0x2")])
def test_sources(good, value, message):
    stores = good.fields("LCTL", sources=value)
    expect(good.device, stores, "warning", message, layer=0, quadrant=0, register="LCTL")


# What should stand in a field when everything else stays as it is: device, register, layer, changed field.
REDUNDANT = [
    (None, "ONED", 0, {"time_slots": 3}),
    (None, "ONED", 0, {"kernel_length": 5}),
    (None, "ONED", 0, {"eltwise_convolution": 1}),
    (None, "ONED", 0, {"eltwise_function": 2}),
    (None, "ONED", 0, {"operands": 1}),
    (None, "ONED", 0, {"pool_first": 1}),
    (None, "WTOFF", 0, {"offset": 1}),
    (None, "WMOFF", 0, {"offset": 4}),
    (None, "WCOFF", 0, {"offset": 2}),
    (None, "PRCNT", 0, {"window": 1}),
    (None, "PCCNT", 0, {"window": 2}),
    (None, "LCTL", 0, {"enable": 0}),
    (None, "LCTL", 0, {"max_pool": 0}),
    (None, "LCTL", 0, {"pool": 1}),
    (None, "LCTL2", 0, {"output_span": 60}),
    (None, "LCTL2", 1, {"output_span": 56}),
    (None, "TPTR", 0, {"maximum": 9}),
    (None, "TPTR", 0, {"start": 1}),
    (None, "POST", 0, {"passthrough": 1}),
    (None, "POST", 1, {"bias_offset": 4}),
    (None, "POST", 0, {"flatten_high": 1}),
    (None, "POST", 0, {"shift_right": 1}),
    (MAX78002, "RCNT", 0, {"next": 2}),
    (MAX78002, "PRCNT", 0, {"dilation": 1}),
    (MAX78002, "LCTL", 0, {"readahead_passes": 3}),
    (MAX78002, "LCTL", 0, {"broadcast": 1}),
    (MAX78002, "POST", 0, {"tcalc": 1}),
    (MAX78002, "CCNT", 0, {"next": 3}),
    (MAX78000, "POST", 0, {"calcx4": 1}),
    (MAX78000, "POST", 0, {"depthwise": 1}),
]


@pytest.mark.parametrize(
    ("device", "register", "layer", "change"), REDUNDANT, ids=lambda x: getattr(x, "name", str(x)).replace(" ", "")
)
def test_redundant_fields(device, register, layer, change):
    """The change, made in all quadrants alike, contradicts the rest of the layer."""
    for part in (device,) if device else (MAX78000, MAX78002):
        good = Good(part)
        changed = good
        for quadrant in good.program.mapping.quadrants:
            changed = with_stores(good, changed.fields(register, quadrant, layer, **change))
        found = VirtualDevice(part).load(changed.stores).run().diagnostics
        (field,) = change
        mine = [d for d in found if d.layer == layer and d.register == register and field in d.message]
        assert {d.severity for d in mine} == {"warning"}, [str(d) for d in found]


def test_pitch(new):
    """Pixels of two passes are two words apart."""
    layers, weights = [conv((1 << 36) - 1, 0xFF)], [(8, 72, 3, 3)]
    good = Good(MAX78002, layers, weights, (72, 8, 8))
    changed = good
    for quadrant in good.program.mapping.quadrants:
        changed = with_stores(good, changed.fields("STRIDE", quadrant, row_words=4))
    found = VirtualDevice(MAX78002).load(changed.stores).run().diagnostics
    mine = [d for d in found if d.register == "STRIDE"]
    assert [(d.severity, d.layer, d.message) for d in mine] == [
        ("warning", 0, "pixels are 4 words apart, but consist of 2 words")
    ]


def test_registers_written_while_the_accelerator_runs(stream):
    """FIFO input: between start and the last word it runs."""
    at = stream.find("CTL") + 1
    s = stream.stores
    rows = (stream.address("RPTR", 0, 1), 0x33, 4)
    addresses, values, sizes = (np.insert(x, at, y) for x, y in zip(columns(s), rows, strict=True))
    message = "0x33 is written while the accelerator runs"
    stores = Stores.of(addresses, values, sizes)
    expect(stream.device, stores, "warning", message, only=False, layer=1, quadrant=0, register="RPTR")


def test_memory_written_while_the_accelerator_runs(stream):
    at = stream.find("CTL") + 1
    rows = (stream.device.instance(8), 0x33, 4)
    addresses, values, sizes = (np.insert(x, at, y) for x, y in zip(columns(stream.stores), rows, strict=True))
    message = "data memory is stored to while the accelerator runs"
    expect(stream.device, Stores.of(addresses, values, sizes), "warning", message, quadrant=0, address=rows[0])


def test_bits_without_meaning(good):
    stores = good.before_start((good.address("RPTR", 0, 1), 1 << 30 | 0x800))
    expect(good.device, stores, "warning", "bits 0x40000000 of the value", layer=1, quadrant=0, register="RPTR")


def test_unknown_test_code(good):
    stores = good.before_start((good.address("TEST"), 0x2))
    expect(good.device, stores, "warning", "code 0x2 does not start a known function", quadrant=0, register="TEST")


@pytest.mark.parametrize(
    ("device", "offset"),
    [(MAX78000, 0x2_0000), (MAX78000, 0x10_0014 + 0x80 * 24), (MAX78002, 0x100_0010), (MAX78002, 0x110_8060 + 0x10)],
)
def test_unknown_addresses(device, offset):
    address = device.base + offset
    for use in (lambda v: v.write(address, 1), lambda v: v.read(address)):
        virtual = VirtualDevice(device)
        use(virtual)
        (found,) = virtual.diagnostics
        assert (found.severity, found.address) == ("error", address)
        assert f"{address:#010x}" in str(found)
        with pytest.raises(Ai8xError, match=f"{address:#010x}"):
            strict = VirtualDevice(device, strict=True)
            use(strict)
            _ = strict.diagnostics


# -- Sequence ----------------------------------------------------------------------------------------------------------


def test_endless_sequence(new):
    stores = new.before_start((new.address("NEXT", 0, 1), 0x80), (new.address("NEXT", 1, 1), 0x80))
    message = f"more than {MAX78002.layers} layers were executed"
    expect(MAX78002, stores, "error", message, only=False, register="NEXT")


def test_more_layers_than_there_are(good):
    index = good.find("LCNT", 1)
    stores = replaced(replaced(good.stores, index, 0xC8), good.find("LCNT"), 0xC8)
    virtual = VirtualDevice(good.device).load(stores)
    found = [d for d in virtual.diagnostics if d.severity == "error" and d.register in ("LCNT", "NEXT")]
    assert len(found) == 1
    assert str(good.device.layers) in found[0].message


@pytest.mark.parametrize(
    ("layer", "fields", "message"),
    [
        (0, {"target": 1}, "names layer 1, but does not continue there"),
        (0, {"stop": 1}, "stops, but the last layer is 1"),
        (1, {"stop": 1, "link": 1}, "sets both stop and link"),
    ],
)
def test_links_that_contradict_themselves(new, layer, fields, message):
    value = registers(MAX78002)["NEXT"].encode(fields)
    stores = new.before_start(*((new.address("NEXT", q, layer), value) for q in (0, 1)))
    expect(MAX78002, stores, "warning", message, layer=layer, register="NEXT")


def test_layer_without_output(good):
    name, fields = (
        ("RCNT", {"count": 0, "pad": 0}) if good.device is MAX78000 else ("RCNT", {"stop": 0, "pad_enable": 0})
    )
    stores = with_stores(good, good.fields(name, layer=1, **fields)).fields(name, 1, 1, **fields)
    expect(good.device, stores, "error", "there is no output", only=False, layer=1, register="RCNT")


def test_layer_without_processors(good):
    stores = good.fields("ENA", layer=1, processors=0, kernels=0)
    expect(good.device, stores, "warning", "no processor is enabled", only=False, layer=1, register="ENA")


# -- FIFOs and streams -------------------------------------------------------------------------------------------------


def test_fifo_that_starves(stream):
    port = stream.device.base + FIFO_DATA
    last = np.flatnonzero(stream.stores.addresses == port)[-1]
    stores = stream.without([last])
    message = "FIFO 0 starves: it received 255 of 256 words"
    expect(stream.device, stores, "error", message, layer=0, register="IFRM")
    assert VirtualDevice(stream.device).load(stores).run().completed == 0


def test_fifo_that_is_not_in_use(stream):
    port = stream.device.base + FIFO_DATA
    first = int(np.flatnonzero(stream.stores.addresses == port)[0])
    s = stream.stores
    rows = (port + 8, 5, 4)
    stores = Stores.of(*(np.insert(x, first, y) for x, y in zip(columns(s), rows, strict=True)))
    expect(stream.device, stores, "error", "FIFO 2 receives data, but is not in use", layer=0, register="CTL")


def test_fifo_that_receives_too_much(stream):
    port = stream.device.base + FIFO_DATA
    s = stream.stores
    stores = Stores.of(*(np.append(x, y) for x, y in zip(columns(s), (port, 5, 4), strict=True)))
    expect(stream.device, stores, "warning", "FIFO 0 holds 1 words that no run has used", register="CTL")


def test_frame_of_another_size(stream):
    stores = stream.fields("IFRM", words=255)
    virtual = VirtualDevice(stream.device).load(stores).run()
    found = [d for d in virtual.diagnostics if d.register == "IFRM"]
    assert [(d.severity, d.layer) for d in found] == [("warning", 0)]
    assert "a frame has 255 words, but 16 × 16 pixels need 256" in found[0].message


def test_start_after_more_words_than_arrive(stream):
    stores = stream.fields("STR1", start=0x200)
    message = "starts after 0x200 input words, but only 0x100 arrive"
    expect(stream.device, stores, "error", message, only=False, layer=0, register="STR1")


def test_later_start_after_more_words_than_arrive(stream):
    """A note: known programs with very small images do so."""
    stores = with_stores(stream, stream.fields("STR1", layer=1, start=0x300)).fields("FMAX", layer=1, words=0x300)
    expect(stream.device, stores, "note", "starts after 0x300 input words", layer=1, register="STR1")


def test_stream_that_is_read_elsewhere(stream):
    stores = stream.fields("RPTR", layer=1, address=0x401)
    message = "reads from word 0x401, but the preceding layer writes to 0x400"
    expect(stream.device, stores, "error", message, only=False, layer=1, register="RPTR")


def test_rolling_buffer_that_leaves_memory(stream):
    size = stream.device.instance_size // 4
    stores = stream.fields("FMAX", layer=1, words=size)
    expect(stream.device, stores, "error", "exceeds data memory", only=False, layer=1, register="FMAX")


def test_rolling_buffer_that_is_too_small(stream):
    stores = stream.fields("FMAX", layer=1, words=1)
    expect(stream.device, stores, "warning", "the rolling buffer holds 0x1 words", layer=1, register="FMAX")


def test_pass_offset(stream):
    stores = stream.fields("STR2", layer=1, pass_offset=3)
    message = "pass_offset = 3, but the preceding layers have 1 passes"
    expect(stream.device, stores, "warning", message, layer=1, register="STR2")


def test_stream_registers_of_layers_that_do_not_stream(good):
    for name in ("STR1", "STR2", "FMAX"):
        value = 0x20
        stores = good.before_start(*((good.address(name, q, 1), value) for q in (0, 1)))
        expect(good.device, stores, "warning", "the layer does not stream", layer=1, register=name)


@pytest.mark.parametrize("field", ["fifo_stream", "sync"])
def test_control_of_streams(stream, field):
    stores = stream.fields("CTL", **{field: 0})
    expect(stream.device, stores, "warning", f"{field} = 0, but 1 follows", quadrant=0, register="CTL")


def test_mark_of_chw_streams():
    good = Good(MAX78002, STREAM, STREAM_WEIGHTS, (3, 16, 16), FIFO)
    stores = good.fields("CTL", stream_chw=1)
    expect(MAX78002, stores, "warning", "stream_chw = 1", quadrant=0, register="CTL")


def test_binary_weights_that_no_layer_has(new):
    stores = with_stores(new, new.fields("CTL", binary=1)).fields("CTL", 1, binary=1)
    expect(MAX78002, stores, "note", "no layer that was executed has 1-bit weights", quadrant=0, register="CTL")


def test_snooping_without_a_unit(new):
    stores = with_stores(new, new.fields("CTL", snoop=1)).fields("CTL", 1, snoop=1)
    expect(MAX78002, stores, "note", "no unit is enabled", quadrant=0, register="CTL")


def test_local_outputs_of_several_quadrants(good):
    stores = with_stores(good, good.fields("LCTL", shared_output=0)).fields("LCTL", 1, shared_output=0)
    expect(good.device, stores, "warning", "local outputs of several quadrants", layer=0, register="LCTL")


def test_byte_streams_with_several_passes():
    """A contradiction, which is reported and does no harm otherwise."""
    good = Good(MAX78002, [conv((1 << 36) - 1, 0xFF)], [(8, 72, 3, 3)], (72, 8, 8))
    changed = good
    for quadrant in good.program.mapping.quadrants:
        changed = with_stores(good, changed.fields("LCTL", quadrant, chw=1))
    message = "chw = 0x1, but 0x0 follows from the number of passes and operands"
    expect(MAX78002, changed.stores, "warning", message, only=False, layer=0, quadrant=0, register="LCTL")
