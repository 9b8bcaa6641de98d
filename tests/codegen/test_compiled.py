"""Generated projects compile without warnings, and do on this machine what they should."""

from __future__ import annotations

import numpy as np
import pytest

from ai8x_tool.device import MAX78000
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import build, program, random_sample
from tests.support.project_variants import UNLOADED, passing, project, two_outputs, variant_files, variants
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


@pytest.mark.parametrize(("name", "device", "options"), variants(), ids=lambda value: getattr(value, "name", None))
def test_compiles_without_warnings(toolchain, name, device, options):
    toolchain.check(variant_files(device, options))


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
    """Return kernel memory as it is read back: four words for each column."""
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


@DEVICES
@pytest.mark.parametrize("name", UNLOADED)
def test_unloading_order(toolchain, device, name):
    """Channel, row, column; outputs one after the other without padding."""
    network = UNLOADED[name](device)
    sample = random_sample(network.input_shape)
    lowered = program(network, DEFAULT, sample=sample)
    memory, expected = filled(network)
    result = toolchain.build(rendered(lowered))("unload", memory)
    assert result.returncode == 0
    assert result.stdout[: len(expected)] == expected
    assert len(result.stdout) == -(-len(expected) // 4) * 4


def test_listed_items_are_unloaded_in_their_order(toolchain):
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
    """Worked examples, and the shifted form changes its input."""
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
