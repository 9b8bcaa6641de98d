"""Capabilities and sizes of both devices; docs/accelerator/index.md explains them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ai8x_tool.device.limits import OperatorLimits
from ai8x_tool.errors import Ai8xError

PROCESSORS = 64
PROCESSORS_PER_QUADRANT = 16
PROCESSORS_PER_INSTANCE = 4
QUADRANTS = 4
PARALLEL_OUTPUTS = 4
"""Outputs that a layer with calcx4 computes at a time."""
FLASH_START = 0x1000_0000
COLUMN_BYTES = 9
"""A kernel-memory column holds nine bytes: one 3×3 kernel of 8-bit weights."""


@dataclass(frozen=True)
class Addresses:
    """Byte addresses of quadrant 0 relative to the accelerator's base, and the strides to the other blocks."""

    control: int
    quadrant_stride: int
    bias: int
    tram: int
    tram_stride: int
    kernel: int
    kernel_stride: int
    data: int
    instance_stride: int
    mlator: int
    input_frame: int
    stream: int | None


@dataclass(frozen=True)
class BuiltInTest:
    """Codes of the TEST register for one memory: start value, bits to wait for, bits that indicate an error."""

    memory: str
    start: int
    done: int
    error: int


@dataclass(frozen=True)
class Device:
    """Facts about one device. Sizes are in bytes unless the name states another unit.

    Features in which the devices differ: with `stream_by_window` the start of a streaming layer follows from the window
    of the preceding layer; with `last_window_counters` the row and column registers hold the position of the last
    pooling window instead of sizes; with `kernel_size_in_layer_control` LCTL holds the kernel size; with
    `fifo_complete_flag` a bit of the FIFO's control register is set; with `rollover_readable` FMAX reads back as it was
    written; with `trigger_pins` the power monitor watches pins of the board instead of LEDs. `boards` are those of the
    SDK; the first is the default.
    """

    name: str
    die: int
    base: int
    addresses: Addresses
    layers: int
    streaming_layers: int
    last_start_layer: int
    dimension: int
    dimension_bits: int
    channels: int
    instance_size: int
    instance_words_per_processor: int
    sub_instance_size: int
    data_offset_limit: int
    write_instance_shift: int
    kernels_small: int
    kernels_large: int
    bias_size: int
    tram_entries: int
    weight_bytes: int
    flash_size: int
    sram_size: int
    conv1d_dilation: int
    pool_dilation: int
    pooled_passes: int
    pointer_increment: int
    clear_registers: int | None
    tests: tuple[BuiltInTest, ...]
    oscillator_mhz: int
    bus_mhz: int
    pll_mhz: int | None
    switch_delay_ms: int
    large_kernel_memories: bool
    depthwise: bool
    next_layer: bool
    binary_weights: bool
    kernel_bypass: bool
    read_gap: bool
    pipeline: bool
    padded_multi_pass_conv1d: bool
    eltwise_convolution_bias: bool
    eltwise_emulation: bool
    streaming_bias: bool
    streaming_passthrough: bool
    flatten_bias_first: bool
    unpadded_last_streaming: bool
    delta2_limit: int
    stream_start_limit: int
    rollover_limit: int
    stream_by_window: bool
    last_window_counters: bool
    kernel_size_in_layer_control: bool
    fifo_complete_flag: bool
    rollover_readable: bool
    trigger_pins: bool
    boards: tuple[str, ...]
    tram_pointer_limit: int
    frame_size_limit: int
    operators: OperatorLimits = field(default_factory=OperatorLimits)

    def __hash__(self) -> int:
        """Hash the name alone, which equal devices share: devices are keys of caches that are looked up very often."""
        return hash(self.name)

    def quadrant(self, address: int, quadrant: int) -> int:
        """Return the absolute byte address in `quadrant` of a block whose address in quadrant 0 is `address`."""
        return self.base + address + self.addresses.quadrant_stride * quadrant

    def instance(self, processor: int) -> int:
        """Return the absolute byte address of the data-memory instance of `processor`."""
        quadrant, inside = divmod(processor, PROCESSORS_PER_QUADRANT)
        step = self.addresses.instance_stride * (inside // PROCESSORS_PER_INSTANCE)
        return self.quadrant(self.addresses.data, quadrant) + step

    def kernel_base(self, processor: int) -> int:
        """Return the absolute byte address of the kernel memory of `processor`."""
        quadrant, inside = divmod(processor, PROCESSORS_PER_QUADRANT)
        return self.quadrant(self.addresses.kernel, quadrant) + self.addresses.kernel_stride * inside

    def kernel_columns(self, processor: int) -> int:
        """Return the number of 9-byte columns in the kernel memory of `processor`."""
        return self.kernels_large if processor % PROCESSORS_PER_QUADRANT == 0 else self.kernels_small

    def default_divider(self, *, pipeline: bool, pll: bool) -> int:
        """Return the accelerator's default clock divider during inference, a power of two."""
        if pipeline:
            return 1
        megahertz = self.pll_mhz if pll and self.pll_mhz else self.bus_mhz
        divider = 1
        while divider * 50 < megahertz:
            divider *= 2
        return divider

    def inference_clock(
        self, *, pipeline: bool | None = None, pll: bool | None = None, divider: int | None = None
    ) -> tuple[float, bool]:
        """Return the accelerator's clock during inference, in MHz, and whether it uses the pipeline.

        Arguments that are None stand for the defaults of generated projects.
        """
        piped = self.pipeline and pipeline is not False
        source = self.pll_mhz if pll is not False else None
        chosen = divider or self.default_divider(pipeline=piped, pll=source is not None)
        return (source or self.bus_mhz) / chosen, piped


MAX78000 = Device(
    name="MAX78000",
    die=85,
    base=0x5000_0000,
    addresses=Addresses(
        control=0x10_0000,
        quadrant_stride=0x40_0000,
        bias=0x10_8000,
        tram=0x11_0000,
        tram_stride=0x4000,
        kernel=0x18_0000,
        kernel_stride=0x4000,
        data=0x40_0000,
        instance_stride=0x8000,
        mlator=0x1000,
        input_frame=0x990,
        stream=None,
    ),
    layers=32,
    streaming_layers=8,
    last_start_layer=0,
    dimension=1024,
    dimension_bits=10,
    channels=1024,
    instance_size=0x8000,
    instance_words_per_processor=2048,
    sub_instance_size=0x8000,
    data_offset_limit=0x2_0000,
    write_instance_shift=13,
    kernels_small=768,
    kernels_large=768,
    bias_size=512,
    tram_entries=3072,
    weight_bytes=442_368,
    flash_size=512 * 1024,
    sram_size=128 * 1024,
    conv1d_dilation=1023,
    pool_dilation=1,
    pooled_passes=1,
    pointer_increment=16,
    clear_registers=None,
    tests=(
        BuiltInTest("data", 0x1, 0x0804_0000, 0x4000),
        BuiltInTest("kernel", 0x4, 0x0808_0000, 0x8000),
        BuiltInTest("TRAM", 0x10, 0x0810_0000, 0x1_0000),
        BuiltInTest("bias", 0x40, 0x0820_0000, 0x2_0000),
    ),
    oscillator_mhz=100,
    bus_mhz=50,
    pll_mhz=None,
    switch_delay_ms=0,
    large_kernel_memories=False,
    depthwise=False,
    next_layer=False,
    binary_weights=False,
    kernel_bypass=False,
    read_gap=False,
    pipeline=False,
    padded_multi_pass_conv1d=True,
    eltwise_convolution_bias=True,
    eltwise_emulation=True,
    streaming_bias=False,
    streaming_passthrough=True,
    flatten_bias_first=True,
    unpadded_last_streaming=False,
    delta2_limit=1 << 12,
    stream_start_limit=1 << 14,
    rollover_limit=1 << 17,
    stream_by_window=True,
    last_window_counters=False,
    kernel_size_in_layer_control=False,
    fifo_complete_flag=True,
    rollover_readable=True,
    trigger_pins=False,
    boards=("EvKit_V1", "FTHR_RevA", "Aud01_RevA", "BCB", "CAM01_RevA", "CAM02_RevA", "MAXREFDES178"),
    tram_pointer_limit=1 << 12,
    frame_size_limit=1 << 20,
)

MAX78002 = Device(
    name="MAX78002",
    die=87,
    base=0x5000_0000,
    addresses=Addresses(
        control=0x100_0000,
        quadrant_stride=0x100_0000,
        bias=0x118_0000,
        tram=0x120_0000,
        tram_stride=0x1_0000,
        kernel=0x140_0000,
        kernel_stride=0x2_0000,
        data=0x180_0000,
        instance_stride=0x2_0000,
        mlator=0x11_0000,
        input_frame=0x10_8060,
        stream=0x10_8000,
    ),
    layers=128,
    streaming_layers=8,
    last_start_layer=127,
    dimension=2048,
    dimension_bits=11,
    channels=1024,
    instance_size=0x1_4000,
    instance_words_per_processor=8192,
    sub_instance_size=0x4000,
    data_offset_limit=0x5_0000,
    write_instance_shift=15,
    kernels_small=4096,
    kernels_large=5120,
    bias_size=2048,
    tram_entries=12288,
    weight_bytes=2_396_160,
    flash_size=2560 * 1024,
    sram_size=384 * 1024,
    conv1d_dilation=2047,
    pool_dilation=16,
    pooled_passes=65536,
    pointer_increment=256,
    clear_registers=0x1880,
    tests=(
        BuiltInTest("data", 0x1001, 0x4_0000, 0x4000),
        BuiltInTest("kernel", 0x2004, 0x8_0000, 0x8000),
        BuiltInTest("TRAM", 0x3010, 0x10_0000, 0x1_0000),
        BuiltInTest("bias", 0x1C40, 0x20_0000, 0x2_0000),
    ),
    oscillator_mhz=120,
    bus_mhz=60,
    pll_mhz=200,
    switch_delay_ms=10,
    large_kernel_memories=True,
    depthwise=True,
    next_layer=True,
    binary_weights=True,
    kernel_bypass=True,
    read_gap=True,
    pipeline=True,
    padded_multi_pass_conv1d=False,
    eltwise_convolution_bias=False,
    eltwise_emulation=False,
    streaming_bias=True,
    streaming_passthrough=False,
    flatten_bias_first=False,
    unpadded_last_streaming=True,
    delta2_limit=1 << 14,
    stream_start_limit=1 << 15,
    rollover_limit=1 << 18,
    stream_by_window=False,
    last_window_counters=True,
    kernel_size_in_layer_control=True,
    fifo_complete_flag=False,
    rollover_readable=False,
    trigger_pins=True,
    boards=("EvKit_V1", "BCB"),
    tram_pointer_limit=1 << 14,
    frame_size_limit=1 << 22,
)

DEVICES = (MAX78000, MAX78002)


def find_device(name: str) -> Device:
    """Return the device called `name`: MAX78000/78000/AI85/85 or MAX78002/78002/AI87/87, in any case."""
    key = name.strip().upper().removeprefix("MAX").removeprefix("AI")
    for device in DEVICES:
        if key in {device.name.removeprefix("MAX"), str(device.die)}:
            return device
    raise Ai8xError(f"unknown device {name!r}", fix="use MAX78000 or MAX78002")
