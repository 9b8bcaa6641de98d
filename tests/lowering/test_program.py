"""Order and completeness of the program: start sequences, initialisation, values that do not fit."""

from __future__ import annotations

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import registers
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import LoweringOptions, Wait, Write
from ai8x_tool.lowering.steps import ClearTram
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import Weights, build, program

ALL = (1 << 64) - 1
FIFO = MappingOptions(fifo=True)
FAST = MappingOptions(fifo=True, fast_fifo=True)
QUAD = MappingOptions(fifo=True, fast_fifo=True, quad=True)
DEFAULT = MappingOptions()


def conv(processors, **keys):
    return {"op": "Conv2d", "pad": 1, "out_offset": 0x4000, "processors": processors, **keys}


def lowered(device=MAX78000, mapping=DEFAULT, streaming=False, bias=None, layers=None, **options):
    """Return the program of two layers that use all quadrants."""
    layers = layers or [conv(7, streaming=streaming), conv(ALL, out_offset=0)]
    network = build(layers, [Weights((64, 3, 3, 3), bias), (4, 64, 3, 3)], (3, 8, 8), device)
    return program(network, mapping, LoweringOptions(**options))


# device, options, writes of the master and of others before the start, last write
STARTS = {
    "memory input": (MAX78000, DEFAULT, {}, 0x0010_0808, 0x0010_0809, 0x0010_0009),
    "FIFO": (MAX78000, FIFO, {}, 0x0010_8808, 0x0010_8809, 0x0010_8809),
    "FIFO and streaming": (MAX78000, FIFO, {"streaming": True}, 0x0018_C808, 0x0018_C809, 0x0018_C809),
    "fast FIFO": (MAX78000, FAST, {}, 0x00D0_8808, 0x0010_8809, 0x00D0_8809),
    "fast FIFO quad": (MAX78002, QUAD, {}, 0x80D0_8808, 0x8010_8809, 0x80D0_8809),
    "no pipeline": (MAX78002, DEFAULT, {"pipeline": False}, 0x0010_0828, 0x0010_0829, 0x0010_0029),
    "one-shot": (MAX78002, DEFAULT, {"one_shot": True}, 0x0010_0908, 0x0010_0909, 0x0010_0109),
    "average rounding": (MAX78000, DEFAULT, {"average_rounding": True}, 0x0010_2808, 0x0010_2809, 0x0010_2009),
    "not packed": (MAX78000, DEFAULT, {"express": False}, 0x0000_0808, 0x0000_0809, 0x0000_0009),
}


@pytest.mark.parametrize("name", STARTS)
def test_start(name):
    device, mapping, options, master, others, last = STARTS[name]
    result = lowered(device, mapping, **options)
    control = registers(device)["CTL"]
    assert [w.address for w in result.start] == [control.address(device, q) for q in range(4)]
    assert [hex(w.value) for w in result.start] == [hex(master), *3 * [hex(others)]]
    assert [(w.address, hex(w.value)) for w in result.go] == [(control.address(device, 0), hex(last))]


@pytest.mark.parametrize(
    ("device", "mapping", "layers", "value"),
    [
        (MAX78000, FIFO, [conv(7), conv(ALL)], 0x1908),
        (MAX78002, FIFO, [conv(7), conv(ALL)], 0x1108),
        (MAX78000, FAST, [conv(7), conv(ALL)], 0xA0),
    ],
)
def test_fifo_control(device, mapping, layers, value):
    last = lowered(device, mapping, layers=layers).configure[-1]
    address = 0x400C_0400 if mapping.fast_fifo else 0x5000_0000
    assert (last.address, last.value) == (address, value)


def test_four_fifos():
    layers = [conv(0x1_0001_0001_0001, data_format="CHW")]
    network = build(layers, [(4, 4, 3, 3)], (4, 8, 8))
    assert program(network, FIFO).configure[-1].value == 0xF908


def test_writes_in_register_order():
    orders = {
        MAX78000: "RCNT CCNT PRCNT PCCNT STRIDE WPTR WTOFF WMOFF WCOFF RPTR LCTL LCTL2 "
        "MCNT ONED TPTR POST ENA STR1 STR2",
        MAX78002: "NEXT RCNT CCNT PRCNT PCCNT STRIDE WPTR WTOFF WMOFF WCOFF RPTR LCTL LCTL2 "
        "MCNT1 MCNT2 OCHAN ONED TPTR POST ENA STR1 STR2",
    }
    for device, text in orders.items():
        writes = lowered(device, write_zero_registers=True).configure
        expected = [(layer, q, name) for layer in (0, 1) for q in range(4) for name in text.split()]
        assert [(w.layer, w.quadrant, w.register) for w in writes] == expected
        streaming = lowered(device, FIFO, streaming=True, write_zero_registers=True).configure
        first = [w.register for w in streaming if (w.layer, w.quadrant) == (0, 2)]
        assert first == [*text.split(), "FMAX", "IFRM"]


def test_zeros_are_not_written():
    for device in (MAX78000, MAX78002):
        full = {w.address: w.value for w in lowered(device, write_zero_registers=True).configure}
        short = {w.address: w.value for w in lowered(device).configure}
        assert short == {address: value for address, value in full.items() if value}
        assert len(short) < len(full)


def test_no_register_is_written_twice():
    """The MAX78002 has stream registers for eight layers only; others follow where those of a ninth would be."""
    for device in (MAX78000, MAX78002):
        layers = [conv(0xF, output_processors=0xF, out_offset=0x4000 * (n % 2 == 0)) for n in range(12)]
        network = build(layers, 12 * [(4, 4, 3, 3)], (4, 8, 8), device)
        writes = program(network, lowering=LoweringOptions(write_zero_registers=True)).configure
        assert len({w.address for w in writes}) == len(writes)


def test_passthrough_leaves_registers_out():
    layers = [{"op": "none", "processors": 7, "out_offset": 0x100, "output_processors": 7}]
    for device, missing in ((MAX78000, {"WMOFF"}), (MAX78002, {"WMOFF", "MCNT1"})):
        network = build(layers, [], (3, 4, 4), device)
        names = {w.register for w in program(network, lowering=LoweringOptions(write_zero_registers=True)).configure}
        assert not names & missing


def test_initialisation_of_the_max78000():
    """A value of 0 in LCNT is not written."""
    layers = [conv(0xF, output_processors=0xF)]
    network = build(layers, [(4, 4, 3, 3)], (4, 4, 4))
    steps = program(network).init
    assert [(hex(s.address), hex(s.value)) for s in steps] == [
        *(("0x50001000", "0x0"), ("0x50100000", "0x100008"), ("0x50100004", "0x40e")),
    ]


@pytest.mark.parametrize(("bias", "code"), [(None, 0x1880), (list(range(64)), 0x1C80), (64 * [0], 0x1C80)])
def test_initialisation_of_the_max78002(bias, code):
    """Bias memory is cleared if any layer has a bias, even one of zeros."""
    steps = lowered(MAX78002, bias=bias).init
    test = registers(MAX78002)["TEST"]
    addresses = [test.address(MAX78002, q) for q in range(4)]
    kinds = [(type(s).__name__, getattr(s, "register", "")) for s in steps]
    assert kinds == [
        *4 * [("Write", "CTL")],
        ("Write", "AON"),
        *4 * [("Write", "SRAM")],
        *4 * [("Write", "TEST")],
        *4 * [("Wait", "")],
        *4 * [("Write", "TEST")],
        *4 * [("Write", "CTL"), ("Write", "LCNT")],
    ]
    assert [s.value for s in steps[9:13]] == 4 * [code]
    assert [(s.address, s.mask) for s in steps[13:17]] == [(a, 0x200_0000) for a in addresses]
    assert [(s.address, s.value) for s in steps[17:21]] == [(a, 0) for a in addresses]


@pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda d: d.name)
def test_memory_tests(device):
    """In all four quadrants, used or not."""
    network = build([conv(0xF, output_processors=0xF)], [(4, 4, 3, 3)], (4, 4, 4), device)
    steps = program(network, lowering=LoweringOptions(zero_memory=True)).init[-48:]
    for i, test in enumerate(device.tests):
        starts, waits, ends = (
            steps[12 * i : 12 * i + 4],
            steps[12 * i + 4 : 12 * i + 8],
            steps[12 * i + 8 : 12 * i + 12],
        )
        assert [s.value for s in starts] == 4 * [test.start]
        assert all(isinstance(s, Wait) and (s.mask, s.error) == (test.done, test.error) for s in waits)
        assert [s.value for s in ends] == 4 * [0]
        addresses = [registers(device)["TEST"].address(device, q) for q in range(4)]
        for group in (starts, waits, ends):
            assert [s.address for s in group] == addresses


@pytest.mark.parametrize(("device", "size"), [(MAX78000, 3072), (MAX78002, 12288)], ids=["MAX78000", "MAX78002"])
def test_clearing_the_tram(device, size):
    steps = [s for s in lowered(device, init_tram=True).init if isinstance(s, ClearTram)]
    assert len(steps) == 64
    assert {s.size for s in steps} == {size}
    assert len({s.address for s in steps}) == 64


def test_clearing_kernel_memory_leaves_out_columns_of_zeros():
    kernels = [[[[[1] * 3] * 3]], [[[[0] * 3] * 3]], [[[[2] * 3] * 3]]]
    kernels = [kernel[0] for kernel in kernels]
    network = build([conv(1)], [kernels], (1, 4, 4))
    assert [len(b.words) for b in program(network).kernels] == [7]
    blocks = program(network, lowering=LoweringOptions(zero_memory=True)).kernels
    assert [(b.address & 0xFFF, len(b.words)) for b in blocks] == [(0, 3), (8, 3)]


def test_powering_unused_memories_down():
    network = build([conv(0xF, output_processors=0xF_0000_0000)], [(4, 4, 3, 3)], (4, 4, 4))
    last = program(network, lowering=LoweringOptions(powerdown=True)).start[-1]
    assert (last.address, last.value) == (0x5000_1000, 0xA000)
    assert len(lowered(powerdown=True).start) == 4


def test_linked_layers():
    writes = [w for w in lowered(MAX78002, link_layers=True).configure if w.register == "NEXT"]
    assert [(w.layer, hex(w.value)) for w in writes] == 4 * [(0, "0x81")] + 4 * [(1, "0x100")]


def test_conditional_execution():
    values = list(range(100, 132))
    layers = [conv(7, snoop_sequence=1), conv(0xF, output_processors=0xF)]
    network = build(layers, [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 4, 4), MAX78002, snoop=values)
    result = program(network)
    writes = [w for w in result.configure if w.register.startswith("SNP")]
    expected = [(0x5110_8080 + 4 * i, 100 + i) for i in range(12)] + [(0x5110_80B0 + 4 * i, 112 + i) for i in range(12)]
    assert [(w.address, w.value) for w in writes] == expected
    assert [w.value for w in result.configure if w.register == "NEXT"] == [0x81]
    assert result.go[0].value & 0x80


@pytest.mark.parametrize(
    ("mask", "device", "options"),
    [
        (0x1001, MAX78000, {}),
        (0x5001, MAX78000, {"mapping": FIFO, "streaming": True}),
        (0x1000, MAX78002, {"one_shot": True}),
    ],
)
def test_interrupt_mask(mask, device, options):
    assert lowered(device, **options).interrupt_mask == mask


def test_values_that_do_not_fit_name_layer_and_register():
    layer = {"op": "none", "processors": 1, "out_offset": 0, "write_gap": 16}
    with pytest.raises(Ai8xError, match=r"net\.yaml:4: layer 0: LCTL2\.write_increment = 16 does not fit its 4 bits"):
        program(build([layer], [], (1, 4, 4)))
    assert program(build([layer], [], (1, 4, 4), MAX78002)).configure


def test_writes_carry_their_fields():
    """Comments and decoders use them: they give the written value back."""
    for device in (MAX78000, MAX78002):
        for write in lowered(device, FIFO, streaming=True).configure:
            if isinstance(write, Write) and write.fields:
                assert registers(device)[write.register].encode(write.fields) == write.value
