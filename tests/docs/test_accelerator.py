"""The pages on the accelerator: their tables agree with the facts in code, their links lead somewhere."""

from __future__ import annotations

import re
from math import isqrt
from pathlib import Path

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.network.sizes import passes, processors_per_pass
from tests.support.golden_cases import read_case
from tests.support.networks import MAPPING, Weights, build, mapped, program
from tests.support.reference_order import execute, in_order
from tests.support.register_examples import REGISTERS

DOCS = Path(__file__).resolve().parents[2] / "docs"
DEVICES = (MAX78000, MAX78002)
BOTH = "| MAX78000 | MAX78002"
INSTANCES = PROCESSORS // PROCESSORS_PER_INSTANCE


def section(page, heading):
    """Return the text from `heading` to the end of a page."""
    return (DOCS / "accelerator" / page).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]


def rows(page, heading, columns):
    """Return {first cell: other cells} of the table below `heading` whose header begins with `columns`."""
    text = section(page, heading)
    lines = text[text.index(f"\n| {columns}") + 1 :].split("\n\n")[0].splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: rest for first, *rest in table[2:]}


def number(text):
    return int(text.strip("`").replace(",", "").replace("_", ""), 0)


def largest(size):
    return f"{isqrt(size)} × {isqrt(size)}"


SIZES = {
    "processors": lambda d: PROCESSORS,
    "data memory instances": lambda d: INSTANCES,
    "bytes per instance": lambda d: d.instance_size,
    "words per instance": lambda d: d.instance_size // 4,
    "data memory in bytes": lambda d: d.instance_size * INSTANCES,
    "kernel columns of 9 bytes, processors 0, 16, 32, 48": lambda d: d.kernel_columns(16),
    "kernel columns, other processors": lambda d: d.kernel_columns(17),
    "kernel memory in bytes": lambda d: COLUMN_BYTES * sum(map(d.kernel_columns, range(PROCESSORS))),
    "bias bytes per quadrant": lambda d: d.bias_size,
    "TRAM entries of 16 bits per processor": lambda d: d.tram_entries,
    "layers": lambda d: d.layers,
    "streaming layers": lambda d: d.streaming_layers,
    "rows and columns": lambda d: d.dimension,
    "channels": lambda d: d.channels,
}
ADDRESSES = {
    "stride of quadrants": "quadrant_stride",
    "control registers": "control",
    "bias memory, one byte per word address": "bias",
    "TRAM": "tram",
    "TRAM, from processor to processor": "tram_stride",
    "kernel memory": "kernel",
    "kernel memory, from processor to processor": "kernel_stride",
    "data memory": "data",
    "data memory, from instance to instance": "instance_stride",
}


def test_sizes():
    found = {
        name: [number(cell) for cell in cells]
        for name, cells in rows("index.md", "Sizes of both devices", BOTH).items()
    }
    assert found == {name: [value(device) for device in DEVICES] for name, value in SIZES.items()}
    assert [d.weight_bytes for d in DEVICES] == found["kernel memory in bytes"]


def test_addresses():
    text = section("index.md", "Addresses")
    found = dict(re.findall(r"^\| ([^|`]+) \| `(\w+)` \|", text, re.M))
    other = dict(re.findall(r"^\| ([^|`]+) \| `\w+` \| `(\w+)` \|", text, re.M))
    for device, column in zip(DEVICES, (found, other), strict=True):
        expected = {name: getattr(device.addresses, field) for name, field in ADDRESSES.items()}
        assert {name: number(cell) for name, cell in column.items()} == expected


def test_largest_images():
    words = [d.instance_size // 4 for d in DEVICES]
    assert rows("memory-layout.md", "How much memory", "Largest square image") == {
        "HWC, up to 64 channels": [largest(n) for n in words],
        "HWC, up to 64 channels, two operands": [largest(n // 2) for n in words],
        "HWC, 65 … 128 channels": [largest(n // 2) for n in words],
        "CHW": [largest(4 * n) for n in words],
    }


def test_passes():
    table = rows("passes.md", "Number of passes", "Channels")
    for channels, cells in table.items():
        count = number(channels)
        rounds, used = passes(count), processors_per_pass(count)
        assert [number(cell) for cell in cells] == [rounds, used, rounds * used - count], channels


def test_limits():
    limits = rows("streaming.md", "Limits", BOTH)
    assert limits["streaming layers"] == [str(d.streaming_layers) for d in DEVICES]
    for name, field in (
        ("words between pooled rows (`pool_stride` of a wide image)", "delta2_limit"),
        ("length of a ring, in words", "rollover_limit"),
        ("pixels of a frame (CHW: ÷ 4)", "frame_size_limit"),
    ):
        for device, cell in zip(DEVICES, limits[name], strict=True):
            limit = cell.removeprefix("below ")
            value = 1 << int(limit[2:]) if limit.startswith("2^") else number(limit)
            assert value == getattr(device, field), (name, device.name)
    text = section("streaming.md", "TRAM")
    assert all(f"{d.tram_pointer_limit:,}" in text for d in DEVICES)
    gaps = rows("passes.md", "Limits", BOTH)["output passes × (`write_gap` + 1)"]
    assert gaps == [f"at most {d.pointer_increment}" for d in DEVICES]


def test_rings():
    """The worked examples 12.5 and 12.6 are the network of the page."""
    text = section("streaming.md", "Rings")
    rings = re.search(r"the ring before layer 1.*\| (\d+) \| (\d+) \|", text).groups()
    for example, ring in zip(("12.5", "12.6"), rings, strict=True):
        (line,) = [line for line in REGISTERS[example].splitlines() if line.startswith("FMAX|")]
        assert int(line.split("|")[2], 16) == int(ring)


COLUMNS = {
    "Conv2d 3×3, 64 → 64, 8 bits": ((64, 64, 3, 3), 8),
    "the same, 4 bits": ((64, 64, 3, 3), 4),
    "Conv2d 3×3, 128 → 64, 8 bits": ((64, 128, 3, 3), 8),
    "Conv2d 1×1, 64 → 64, 8 bits": ((64, 64, 1, 1), 8),
    "Linear 16 × 8×8 → 2, flattened, 8 bits": ((2, 1024, 1, 1), 8),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name):
    shape, bits = COLUMNS[name]
    outputs, inputs, size, _ = shape
    flat = name.startswith("Linear")
    channels, image = (inputs // 64, (8, 8)) if flat else (inputs, (4, 4))
    layer = {"op": "Conv2d", "kernel_size": f"{size}x{size}", "pad": size // 2}
    layer = {"op": "Linear", "flatten": True} if flat else layer
    layer |= {"processors": (1 << min(channels, 64)) - 1, "output_processors": (1 << outputs) - 1}
    layer |= {"out_offset": 0x4000, "activate": "None"}
    network = build([layer], [Weights(shape, bits=bits)], (channels, *image))
    (placed,) = mapped(network, MAPPING).layers
    expected = rows("kernel-memory.md", "Columns", "Layer | Passes | Columns")[name]
    assert [str(placed.view.input_passes), str(placed.kernels.length)] == expected


@pytest.mark.golden
def test_first_fit(golden):
    layers = read_case(golden / "accept" / "max78000" / "demo-kws20_v3").mapping().layers
    for placed, cells in zip(layers, rows("kernel-memory.md", "Placement: first fit", "Layer").values(), strict=True):
        layer, kernels = placed.layer, placed.kernels
        shape = f"{layer.channels_in} → {layer.channels_out}, length {layer.kernel[0]}"
        shape = f"{layer.channels_in} × 4 → {layer.channels_out}, flattened" if layer.flatten else shape
        used = placed.own_processors.bit_count()
        assert cells == [str(used), shape, str(kernels.length), str(kernels.offset)]


@pytest.mark.parametrize(("distance", "right"), [(-1, True), (0, True), (8, True), (9, False)])
def test_overlap_of_one_row(distance, right):
    """3×3, padding 1, 8 columns: the output may start up to one row above the input."""
    layer = {"op": "Conv2d", "pad": 1, "processors": 0xF, "output_processors": 0xF, "activate": "None"}
    layer |= {"in_offset": 0x400, "out_offset": 0x400 + 4 * distance}
    _, (snapshot,) = execute(MAX78000, program(build([layer], [(4, 4, 3, 3)], (4, 6, 8))).stores())
    order = in_order(snapshot)
    assert order.overwritten and right == (not order.conflicts)


def anchors(page):
    """Return the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_links(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
        if target.startswith(("http:", "https:")):
            continue
        other = (page.parent / target).resolve() if target else page
        assert other.exists(), f"{target} in {page.name}"
        assert not anchor or anchor in anchors(other), f"{target}#{anchor} in {page.name}"
