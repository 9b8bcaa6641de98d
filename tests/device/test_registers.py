"""Register tables: addresses, field layout, encoding."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import registers
from ai8x_tool.errors import Ai8xError

DEVICES = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)

# Name, MAX78000 layer-0 offset, MAX78002 layer-0 offset
LAYER_REGISTERS = """
NEXT   -      0x100000
RCNT   0x010  0x100004
CCNT   0x090  0x100008
ONED   0x110  0x10000C
PRCNT  0x190  0x100010
PCCNT  0x210  0x100014
STRIDE 0x290  0x100018
WPTR   0x310  0x10001C
WTOFF  0x390  0x100020
WMOFF  0x410  0x100024
WCOFF  0x490  0x100028
RPTR   0x510  0x10002C
LCTL   0x590  0x100030
LCTL2  0xA10  0x100034
MCNT   0x610  -
MCNT1  -      0x100038
MCNT2  -      0x10003C
OCHAN  -      0x100040
TPTR   0x690  0x100044
ENA    0x710  0x100048
POST   0x790  0x10004C
"""
STREAM_REGISTERS = {"STR1": (0x810, 0x10_8000), "STR2": (0x890, 0x10_8020), "FMAX": (0x910, 0x10_8040)}
CONTROL_REGISTERS = {
    "CTL": (0x0, 0x0),
    "SRAM": (0x4, 0x4),
    "LCNT": (0x8, 0x8),
    "TEST": (0xC, 0xC),
    "IFRM": (0x990, 0x10_8060),
    "MLAT": (0x1000, 0x11_0000),
}
# Fields that are not masked, and their width where they do not run into the next.
UNMASKED = {("POST", "flatten_high"): 4, ("LCTL", "readahead_passes"): 3}
CTL_BITS = {
    **{"run": 0, "clock": 3, "external_ready": 4, "no_pipeline": 5, "stream_chw": 6, "snoop": 7, "one_shot": 8},
    **{"sync": 11, "done": 12, "average_round": 13, "stream": 14, "fifo": 15, "fifo_stream": 19, "express": 20},
    **{"simple_1bit": 21, "fast_fifo": 22, "fifo_group": 23, "binary": 30, "quad": 31},
}


def width(register, field):
    return UNMASKED.get((register.name, field.name), field.width)


def control(device, quadrant):
    if device is MAX78000:
        return 0x5010_0000 + 0x40_0000 * quadrant
    return 0x5100_0000 + 0x100_0000 * quadrant


def offset_rows():
    for line in LAYER_REGISTERS.split("\n")[1:-1]:
        name, old, new = line.split()
        for device, text in ((MAX78000, old), (MAX78002, new)):
            yield name, device, None if text == "-" else int(text, 16)


@pytest.mark.parametrize(("name", "device", "offset"), list(offset_rows()))
def test_layer_register_addresses(name, device, offset):
    table = registers(device)
    if offset is None:
        assert name not in table
        return
    step = 4 if device is MAX78000 else 0x100
    for quadrant in range(4):
        for layer in (0, 1, device.layers - 1):
            expected = control(device, quadrant) + offset + step * layer
            assert table[name].address(device, quadrant, layer) == expected


@DEVICES
def test_stream_and_control_register_addresses(device):
    table, column = registers(device), int(device is MAX78002)
    for quadrant in range(4):
        for name, offsets in STREAM_REGISTERS.items():
            for layer in range(8):
                expected = control(device, quadrant) + offsets[column] + 4 * layer
                assert table[name].address(device, quadrant, layer) == expected
        for name, offsets in CONTROL_REGISTERS.items():
            assert table[name].address(device, quadrant) == control(device, quadrant) + offsets[column]


def test_snoop_registers():
    names = ["A1", "A2", "D1", "D2", "X1", "X2", "C1", "C2", "ACC", "HIT", "MAX", "AM"]
    table = registers(MAX78002)
    for unit, offset in ((1, 0x10_8080), (2, 0x10_80B0)):
        for i, name in enumerate(names):
            assert table[f"SNP{unit}_{name}"].address(MAX78002, 1) == 0x5200_0000 + offset + 4 * i
    assert not any(name.startswith("SNP") for name in registers(MAX78000))


@DEVICES
def test_every_address_belongs_to_one_register(device):
    seen = {}
    for name, register in registers(device).items():
        for layer in range(register.layers):
            address = register.address(device, 0, layer)
            assert address not in seen, (name, layer, seen.get(address))
            seen[address] = name, layer


@DEVICES
def test_fields_are_apart(device):
    for register in registers(device).values():
        fields = sorted(register.fields, key=lambda f: f.lsb)
        for low, high in pairwise(fields):
            assert low.lsb + width(register, low) <= high.lsb, (register.name, low.name, high.name)
        assert fields[-1].lsb + fields[-1].width <= 32
        assert len({field.name for field in register.fields}) == len(register.fields)


def test_control_bits():
    for device in (MAX78000, MAX78002):
        table = registers(device)["CTL"]
        fields = {field.name: field for field in table.fields}
        for name, bit in CTL_BITS.items():
            if name in fields:
                assert fields[name].mask == 1 << bit, name
        only_new = {"no_pipeline", "stream_chw", "snoop", "one_shot"}
        missing = set(CTL_BITS) - set(fields)
        assert missing == (only_new if device is MAX78000 else set())
        assert fields["wait_states"].mask == 0b110
        assert fields["master"].mask == 0b11 << 9


@DEVICES
@given(data=st.data())
def test_encode_and_decode(device, data):
    register = data.draw(st.sampled_from(list(registers(device).values())))
    values = {f.name: data.draw(st.integers(0, (1 << width(register, f)) - 1)) for f in register.fields}
    word = register.encode(values)
    assert 0 <= word < 1 << 32
    own = {f.name for f in register.fields if f.width == width(register, f)}
    decoded = register.decode(word)
    assert {name: decoded[name] for name in own} == {name: values[name] for name in own}
    assert all(decoded[f.name] & (1 << width(register, f)) - 1 == values[f.name] for f in register.fields)


@DEVICES
def test_fields_not_named_are_zero(device):
    for register in registers(device).values():
        assert register.encode({}) == 0
        for field in register.fields:
            assert register.encode({field.name: 1}) == 1 << field.lsb


@DEVICES
@pytest.mark.parametrize("beyond", [0, 1, 1000])
def test_value_that_does_not_fit(device, beyond):
    for register in registers(device).values():
        field = register.fields[0]
        value = (1 << field.width) + beyond
        with pytest.raises(Ai8xError) as caught:
            register.encode({field.name: value}, "net.yaml:7: layer 2")
        message = str(caught.value)
        assert message.startswith("net.yaml:7: layer 2: ")
        assert f"{register.name}.{field.name} = {value}" in message
        assert f"{field.width} bits" in message
        with pytest.raises(Ai8xError):
            register.encode({field.name: -1})
