"""The cycle model and operation counts."""

from __future__ import annotations

import pytest

from ai8x_tool.device import MAX78002
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.mapping.cycles import layer_cycles
from ai8x_tool.mapping.statistics import statistics
from tests.support.golden_cases import read_case
from tests.support.networks import build, mapped

DEFAULT = MappingOptions()


@pytest.mark.golden
def test_mnist(golden):
    mapping = read_case(golden / "accept/max78000/demo-mnist").mapping()
    figures = statistics(mapping)
    assert [layer_cycles(m) for m in mapping.layers] == [48_956, 16_664, 4_012, 332, 192]
    assert figures.cycles == 70_157
    assert figures.microseconds == pytest.approx(70_157 / 50)
    operations = figures.operations
    counts = (operations.total, operations.macc, operations.comparisons, operations.additions)
    assert counts == (10_883_968, 10_751_808, 128_576, 3_584)
    assert (operations.multiplications, operations.bitwise) == (0, 0)
    assert (figures.weight_bytes, figures.bias_bytes) == (71_148, 10)
    assert (figures.weight_total, figures.bias_total) == (442_368, 2_048)


@pytest.mark.golden
def test_keyword_spotting(golden):
    figures = statistics(read_case(golden / "accept/max78000/demo-kws20_v3").mapping())
    assert figures.cycles == 71_782
    assert "estimate" not in figures.cycle_basis


def counted(layers, weights, shape, mapping=DEFAULT, device=MAX78002):
    return statistics(mapped(build(layers, weights, shape, device), mapping))


@pytest.mark.parametrize(
    ("layer", "weights", "channels", "expected"),
    [
        # macc, comparisons, additions, bitwise for 8×8 pixels
        ({"op": "Conv2d", "activate": "ReLU"}, [(4, 3, 3, 3)], 3, (3 * 9 * 4 * 64, 4 * 64, 0, 0)),
        ({"op": "Conv2d", "activate": "Abs", "pad": 0}, [(4, 3, 3, 3)], 3, (3 * 9 * 4 * 36, 4 * 36, 0, 0)),
        ({"op": "Conv2d", "max_pool": 2, "pool_stride": 2}, [(4, 3, 3, 3)], 3, (3 * 9 * 4 * 16, 4 * 3 * 16, 0, 0)),
        ({"op": "none", "avg_pool": 2, "pool_stride": 2}, [], 3, (0, 0, 4 * 3 * 16, 0)),
        ({"op": "none", "pool_stride": 2}, [], 3, (0, 0, 0, 0)),
        ({"op": "add", "operands": 3}, [], 6, (0, 0, 2 * 2 * 64, 0)),
        ({"op": "xor"}, [], 6, (0, 0, 0, 3 * 64)),
        ({"op": "sub", "max_pool": 2, "pool_stride": 2}, [], 6, (0, 2 * 4 * 3 * 16, 3 * 16, 0)),
        ({"op": "sub", "max_pool": 2, "pool_stride": 2, "pool_first": False}, [], 6, (0, 4 * 3 * 16, 3 * 64, 0)),
        ({"op": "ConvTranspose2d"}, [(4, 3, 3, 3)], 3, (3 * 9 * 4 * 256, 0, 0, 0)),
        ({"op": "Conv2d", "groups": 3}, [(3, 1, 3, 3)], 3, (9 * 3 * 64, 0, 0, 0)),
        ({"op": "Linear", "flatten": True}, [(5, 192, 1, 1)], 3, (192 * 5, 0, 0, 0)),
    ],
    ids=str,
)
def test_operation_counts(layer, weights, channels, expected):
    operands = layer.get("operands", 2 if layer["op"] in ("add", "sub", "xor") else 1)
    given = {"processors": (1 << channels // operands) - 1, "out_offset": 0, **layer}
    operations = counted([given], weights, (channels, 8, 8)).operations
    assert (operations.macc, operations.comparisons, operations.additions, operations.bitwise) == expected


def test_streaming_one_by_one_kernels_count_nine_taps():
    """147,456 for 8 → 8 channels, 16×16."""
    layers = [
        {"op": "Conv2d", "processors": 0x7, "out_offset": 0, "streaming": True, "output_processors": 0xFF},
        {"op": "Conv2d", "kernel_size": "1x1", "pad": 0, "processors": 0xFF, "out_offset": 0, "in_offset": 0x1000},
    ]
    figures = counted(layers, [(8, 3, 3, 3), (8, 8, 1, 1)], (3, 16, 16), MappingOptions(fifo=True))
    assert figures.layers[1].operations.macc == 147_456
    assert figures.layers[1].weight_bytes == 8 * 8 * 9
    assert "estimate" in figures.cycle_basis
