"""Sizes and addresses of both parts."""

from __future__ import annotations

import pytest

from ai8x_tool.device import DEVICES, MAX78000, MAX78002, find_device
from ai8x_tool.errors import Ai8xError

INSTANCES = {
    "MAX78000": [
        *(0x5040_0000, 0x5040_8000, 0x5041_0000, 0x5041_8000),
        *(0x5080_0000, 0x5080_8000, 0x5081_0000, 0x5081_8000),
        *(0x50C0_0000, 0x50C0_8000, 0x50C1_0000, 0x50C1_8000),
        *(0x5100_0000, 0x5100_8000, 0x5101_0000, 0x5101_8000),
    ],
    "MAX78002": [
        *(0x5180_0000, 0x5182_0000, 0x5184_0000, 0x5186_0000),
        *(0x5280_0000, 0x5282_0000, 0x5284_0000, 0x5286_0000),
        *(0x5380_0000, 0x5382_0000, 0x5384_0000, 0x5386_0000),
        *(0x5480_0000, 0x5482_0000, 0x5484_0000, 0x5486_0000),
    ],
}
KERNELS = {
    "MAX78000": [0x5018_0000, 0x5018_4000, 0x501B_C000, 0x5058_0000, 0x50DB_C000],
    "MAX78002": [0x5140_0000, 0x5142_0000, 0x515E_0000, 0x5240_0000, 0x545E_0000],
}


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_memory_addresses(device):
    assert [device.instance(4 * i) for i in range(16)] == INSTANCES[device.name]
    assert all(device.instance(p) == device.instance(p & ~3) for p in range(64))
    assert [device.kernel_base(p) for p in (0, 1, 15, 16, 63)] == KERNELS[device.name]


def test_bias_and_tram_addresses():
    bias = [[d.quadrant(d.addresses.bias, q) for q in range(4)] for d in DEVICES]
    assert bias[0] == [0x5010_8000, 0x5050_8000, 0x5090_8000, 0x50D0_8000]
    assert bias[1] == [0x5118_0000, 0x5218_0000, 0x5318_0000, 0x5418_0000]
    assert MAX78000.quadrant(MAX78000.addresses.tram, 1) == 0x5051_0000
    assert MAX78002.quadrant(MAX78002.addresses.tram, 1) == 0x5220_0000


@pytest.mark.parametrize(
    ("device", "weights", "data", "bias"),
    [(MAX78000, 442_368, 512 * 1024, 2048), (MAX78002, 2_396_160, 1280 * 1024, 8192)],
    ids=["MAX78000", "MAX78002"],
)
def test_memory_totals(device, weights, data, bias):
    assert 9 * sum(map(device.kernel_columns, range(64))) == weights == device.weight_bytes
    assert 16 * device.instance_size == data
    assert 4 * device.bias_size == bias


def test_large_kernel_memories():
    assert {p for p in range(64) if MAX78002.kernel_columns(p) == 5120} == {0, 16, 32, 48}
    assert {MAX78000.kernel_columns(p) for p in range(64)} == {768}


@pytest.mark.parametrize("name", ["MAX78000", "max78000", "78000", "AI85", "ai85", "85", " MAX78000 "])
def test_names_of_the_max78000(name):
    assert find_device(name) is MAX78000


@pytest.mark.parametrize("name", ["MAX78002", "78002", "ai87", "87"])
def test_names_of_the_max78002(name):
    assert find_device(name) is MAX78002


@pytest.mark.parametrize("name", ["MAX78001", "", "84", "AI"])
def test_unknown_device(name):
    with pytest.raises(Ai8xError, match=r"unknown device.*MAX78000 or MAX78002"):
        find_device(name)


def test_codes_of_the_built_in_tests():
    codes = {device.name: [(t.start, t.done, t.error) for t in device.tests] for device in DEVICES}
    assert codes["MAX78000"] == [
        (0x1, 0x0804_0000, 0x4000),
        (0x4, 0x0808_0000, 0x8000),
        (0x10, 0x0810_0000, 0x1_0000),
        (0x40, 0x0820_0000, 0x2_0000),
    ]
    assert codes["MAX78002"] == [
        (0x1001, 0x0004_0000, 0x4000),
        (0x2004, 0x0008_0000, 0x8000),
        (0x3010, 0x0010_0000, 0x1_0000),
        (0x1C40, 0x0020_0000, 0x2_0000),
    ]
