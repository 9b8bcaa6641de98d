"""Small projects with all kinds of options and outputs."""

from __future__ import annotations

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import build, program
from tests.support.small_projects import DEFAULT, classifier, conv, rendered


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
    "energy": {"energy": True},
    "energy, RISC-V": {"energy": True, "riscv": True},
    "forever": {"forever": True, "softmax": True},
    "byte collector": {"mlator": True, "width": 8},
    "timer": {"timer": 3},
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
    """Return (name, device, options) of every variant."""
    both = [(name, device, options) for name, options in VARIANTS.items() for device in (MAX78000, MAX78002)]
    return both + [(name, MAX78002, options) for name, options in ONLY_MAX78002.items()]


def variant_files(device, options):
    """Return the files of a variant's project."""
    options = dict(options)
    shape = {key: options.pop(key) for key in ("bits", "width", "bias") if key in options}
    return project(classifier(device, **shape, **options.pop("first", {})), **options)


def passing(processors, **keys):
    return {"op": "none", "processors": processors, "out_offset": 0x100, "output_processors": processors, **keys}


def flat(device, layers, weights, shape):
    return build(layers, weights, shape, device)


UNLOADED = {
    "bytes, runs of memories": lambda d: flat(
        d,
        [conv(7, output=True, out_offset=0x400), conv((1 << 64) - 1, output=True, out_offset=0x800)],
        [(64, 3, 3, 3), (30, 64, 3, 3)],
        (3, 2, 3),
    ),
    "bytes and words, runs of memories": lambda d: flat(
        d,
        [
            conv(7, output=True, out_offset=0x400),
            conv((1 << 64) - 1, output=True, out_offset=0x800, output_width=32),
        ],
        [(64, 3, 3, 3), (40, 64, 3, 3)],
        (3, 2, 1),
    ),
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
