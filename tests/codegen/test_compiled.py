"""Generated projects compile without warnings, and do on this machine what the specification says."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import build, program, random_sample
from tests.support.small_projects import (
    DEFAULT,
    DEVICES,
    classifier,
    conv,
    elements,
    expected_softmax,
    memory_after,
    rendered,
)


def two_outputs(device=MAX78000):
    layers = [
        conv(7, out_offset=0x2000, output=True),
        conv(0xFF, out_offset=0x4000, output=True, output_width=32, output_processors=0x3F0),
    ]
    return build(layers, [(8, 3, 3, 3), (6, 8, 3, 3)], (3, 4, 4), device)


def project(network, mapping=DEFAULT, lowering=None, **options):
    return rendered(program(network, mapping, LoweringOptions(**(lowering or {}))), **options)


VARIANTS = {
    "default": {},
    "FIFO": {"mapping": MappingOptions(fifo=True)},
    "streaming": {"mapping": MappingOptions(fifo=True), "first": {"streaming": True}},
    "no FIFO wait": {"mapping": MappingOptions(fifo=True), "fifo_wait": False},
    "RISC-V": {"riscv": True},
    "RISC-V debugging": {"riscv": True, "riscv_debug": True, "riscv_exclusive": True, "deepsleep": True},
    "RISC-V without sleep": {"riscv": True, "no_wfi": True, "riscv_flash": False, "softmax": True, "timer": 0},
    "fast FIFO": {"mapping": MappingOptions(fifo=True, fast_fifo=True), "riscv": True},
    "not packed": {"lowering": {"express": False}},
    "verify kernels": {"verify_kernels": True},
    "verify writes": {"verify_writes": True, "mapping": MappingOptions(fifo=True), "first": {"streaming": True}},
    "softmax": {"softmax": True, "timer": 0},
    "softmax, 4-bit weights": {"softmax": True, "bits": 4},
    "softmax, bytes": {"softmax": True, "width": 8},
    "memory tests": {"lowering": {"zero_memory": True, "init_tram": True}},
    "no known answers": {"lowering": {"known_answers": False}},
    "no unloading": {"unload": False},
    "no bias": {"bias": False},
    "boost": {"boost": (2, 5), "no_wfi": True, "debug_wait": 0},
    "all zero registers": {"lowering": {"write_zero_registers": True, "powerdown": True, "average_rounding": True}},
}
ONLY_MAX78002 = {
    "no pipeline": {"lowering": {"pipeline": False}},
    "no PLL": {"pll": False},
    "full speed": {"balance_speed": False},
    "one-shot": {"lowering": {"one_shot": True}},
    "linked": {"lowering": {"link_layers": True}},
}


def variants():
    for name, options in VARIANTS.items():
        yield pytest.param(MAX78000, options, id=f"MAX78000 {name}")
        yield pytest.param(MAX78002, options, id=f"MAX78002 {name}")
    for name, options in ONLY_MAX78002.items():
        yield pytest.param(MAX78002, options, id=f"MAX78002 {name}")


@pytest.mark.parametrize(("device", "options"), list(variants()))
def test_compiles_without_warnings(toolchain, device, options):
    options = dict(options)
    shape = {key: options.pop(key) for key in ("bits", "width", "bias") if key in options}
    network = classifier(device, **shape, **options.pop("first", {}))
    toolchain.check(project(network, **options))


@DEVICES
def test_two_outputs_compile(toolchain, device):
    toolchain.check(project(two_outputs(device)))


@pytest.mark.parametrize("lowering", [{}, {"express": False}, {"write_zero_registers": True}], ids=str)
def test_program_passes(toolchain, lowering):
    """The whole test program of the MAX78000: known answers, unloading, classification."""
    lowered = program(classifier(), DEFAULT, LoweringOptions(**lowering))
    run = toolchain.build(rendered(lowered, softmax=True, timer=1))
    result = run("run", memory_after(lowered))
    text = result.stdout.decode()
    assert result.returncode == 0, text
    assert "*** PASS ***" in text
    assert "1234 us" in text
    outputs = [b for b in lowered.answers if b.mask == 0xFFFF_FFFF]
    values = np.concatenate([b.values for b in outputs]).astype(np.uint32).view(np.int32).tolist()
    for i, (value, share) in enumerate(zip(values, expected_softmax(values), strict=True)):
        tenths = (1000 * share + 0x4000) >> 15
        assert f"[{value:7d}] -> Class {i}: {tenths // 10}.{tenths % 10}%" in text


def test_program_passes_with_a_fifo(toolchain):
    lowered = program(classifier(), MappingOptions(fifo=True))
    result = toolchain.build(rendered(lowered))("run", memory_after(lowered))
    assert b"*** PASS ***" in result.stdout


def test_wrong_answer_is_noticed(toolchain):
    """Every bit under the mask counts, bits outside it do not."""
    lowered = program(classifier(width=8))
    files = rendered(lowered)
    files["main.c"] = files["main.c"].replace("while (1) {", "exit(7); while (1) {")
    run = toolchain.build(files)
    right = memory_after(lowered)
    (last,) = [b for b in lowered.answers if b.mask == 0xFFFF]
    assert run("run", right).returncode == 0
    assert run("run", {**right, last.address: right[last.address] | 0xABCD_0000}).returncode == 0
    for bit in (0, 15):
        result = run("run", {**right, last.address: right[last.address] ^ 1 << bit})
        assert result.returncode == 7
        assert b"FAIL" in result.stdout


def test_configuration_reads_back(toolchain):
    run = toolchain.build(project(classifier(), verify_writes=True))
    assert run("configure").returncode == 0


def kernel_image(lowered):
    """Return kernel memory as it is read back: four words for each column. spec: memory, section 2.2."""
    memory, device = lowered.mapping.kernel_memory, lowered.mapping.device
    image = {}
    for processor in range(64):
        for column in np.flatnonzero(memory.loaded[processor]).tolist():
            data = memory.data[processor, column].tolist()
            address = device.kernel_base(processor) + 16 * column
            words = [data[0], int.from_bytes(bytes(data[1:5]), "big"), int.from_bytes(bytes(data[5:]), "big"), 0]
            image |= {address + 4 * i: word for i, word in enumerate(words)}
    return image


@DEVICES
@pytest.mark.parametrize("express", [True, False], ids=["packed", "four words"])
def test_kernel_verification(toolchain, device, express):
    """Columns above 256 are found, too; a single wrong bit anywhere is noticed."""
    layers = [conv(7, out_offset=0x4000), conv(0xFF, out_offset=0)]
    network = build(layers, [(8, 3, 3, 3), (400, 8, 3, 3)], (3, 4, 4), device)
    network_layers = program(network, DEFAULT, LoweringOptions(express=express))
    run = toolchain.build(rendered(network_layers, verify_kernels=True))
    image = kernel_image(network_layers)
    assert run("verify", image).returncode == 0
    addresses = sorted(image)
    for address in (addresses[0], addresses[len(addresses) // 2 | 1], addresses[-2]):
        assert run("verify", {**image, address: image[address] ^ 0x10}).returncode == 1
    if not express:
        assert run("reload").returncode == 0


def filled(network):
    """Return data memory with a different value in every output element, and the elements in order as bytes."""
    memory, order = {}, []
    for counter, (address, lane) in enumerate(elements(network), 1):
        if lane is None:
            value = 0x0101_0101 * (counter % 200) ^ counter << 8
            memory[address] = value & 0xFFFF_FFFF
            order.append(memory[address].to_bytes(4, "little"))
        else:
            value = counter * 37 % 256
            memory[address] = memory.get(address, 0) | value << 8 * lane
            order.append(bytes([value]))
    return memory, b"".join(order)


def passing(processors, **keys):
    return {"op": "none", "processors": processors, "out_offset": 0x100, "output_processors": processors, **keys}


def flat(device, layers, weights, shape):
    return build(layers, weights, shape, device)


UNLOADED = {
    "bytes": lambda d: flat(d, [passing(0xFF)], [], (8, 3, 4)),
    "bytes, one pixel": lambda d: flat(d, [passing(0x3FF)], [], (10, 1, 1)),
    "bytes, incomplete nibble first": lambda d: flat(
        d, [conv(7, output_processors=0xF0007)], [(7, 3, 3, 3)], (3, 1, 2)
    ),
    "bytes, unaligned": lambda d: flat(d, [conv(7, output_processors=0x1F8)], [(6, 3, 3, 3)], (3, 2, 3)),
    "bytes, holes": lambda d: flat(d, [conv(7, output_processors=0xA5)], [(4, 3, 3, 3)], (3, 2, 3)),
    "bytes, two passes": lambda d: flat(d, [conv(7, output_processors=(1 << 36) - 1)], [(65, 3, 3, 3)], (3, 2, 3)),
    "bytes with gap": lambda d: flat(d, [passing(0xFF, write_gap=1)], [], (8, 3, 2)),
    "words, one pixel": lambda d: flat(d, [conv(7, output_width=32)], [(10, 3, 3, 3)], (3, 1, 1)),
    "words, one pixel, two passes": lambda d: flat(d, [conv(7, output_width=32)], [(70, 3, 3, 3)], (3, 1, 1)),
    "bytes and words": lambda d: flat(
        d,
        [conv(7, output=True, out_offset=0x400), conv(0xFF, output_width=32, output=True, out_offset=0x800)],
        [(8, 3, 3, 3), (5, 8, 3, 3)],
        (3, 1, 1),
    ),
    "words and bytes": lambda d: flat(
        d,
        [conv(7, output=True, output_width=32, out_offset=0x400), passing(0x7, output=True, in_channels=3)],
        [(3, 3, 3, 3)],
        (3, 1, 1),
    ),
}


@DEVICES
@pytest.mark.parametrize("name", UNLOADED)
def test_unloading_order(toolchain, device, name):
    """spec: memory, section 7.3: channel, row, column; outputs one after the other without padding."""
    network = UNLOADED[name](device)
    sample = random_sample(network.input_shape)
    lowered = program(network, DEFAULT, sample=sample)
    memory, expected = filled(network)
    result = toolchain.build(rendered(lowered))("unload", memory)
    assert result.returncode == 0
    assert result.stdout[: len(expected)] == expected
    assert len(result.stdout) == -(-len(expected) // 4) * 4


def test_listed_items_are_unloaded_in_their_order(toolchain):
    """spec: network-yaml, section 1.3."""
    unload = [
        {"processors": 0xF0, "channels": 4, "dim": [2, 2], "offset": 0x100},
        {"processors": 0x0F, "channels": 3, "dim": 1, "offset": 0x200, "width": 32},
    ]
    network = build([passing(0xFF)], [], (8, 2, 2), unload=unload)
    run = toolchain.build(project(network))
    first = {MAX78000.instance(4) + 0x100 + 4 * i: 0x1010101 * i + 0x0403_0201 for i in range(4)}
    second = {MAX78000.instance(0) + 0x200 + 4 * i: 0xDEAD_0000 + i for i in range(3)}
    expected = bytes(lane + 1 + pixel for lane in range(4) for pixel in range(4))
    expected += b"".join(value.to_bytes(4, "little") for value in second.values())
    assert run("unload", first | second).stdout == expected


SOFTMAX = [
    (-1, [16384, 0, -16384], [18724, 9362, 4681]),
    (-1, [100, 100], [16384, 16384]),
    (-1, [5], [32767]),
    (
        -1,
        [-77992, 93377, 45484, 29850, -36248, -130974, -272399, 416616, -148783, 25073],
        [0, 0, 0, 0, 0, 0, 0, 32767, 0, 0],
    ),
    (4, [1000, -200, 30], [16384, 8192, 8192]),
]


def test_softmax(toolchain):
    """spec: arithmetic, section 12: worked examples, and the shifted form changes its input."""
    run = toolchain.build(project(classifier()))
    generator = np.random.default_rng(0)
    cases = list(SOFTMAX)
    for scale in (100, 20_000, 400_000, 2**30):
        values = generator.integers(-scale, scale, 12).tolist()
        cases.append((-1, values, expected_softmax(values)))
    for shift, values, expected in cases:
        lines = run("softmax", (), shift, *values).stdout.decode().split("\n")[:-1]
        results = [tuple(map(int, line.split())) for line in lines]
        assert [y for y, _ in results] == expected
        assert [x for _, x in results] == [x << max(shift, 0) for x in values]
