"""Options of ``ai8x synthesize`` about the accelerator itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ai8x_tool.settings.model import rounding_option
from ai8x_tool.settings.option import Range, Settings, option

HARDWARE, DEBUGGING = "Accelerator and clocks", "Debugging of hardware"


def pipeline_option(**more: str) -> bool | None:
    """Declare the use of the pipeline."""
    text = "Use the pipeline, which allows the highest clock frequency, or bypass it."
    return option(None, text, "--pipeline", default="use it", **more)


def pll_option(**more: str) -> bool | None:
    """Declare the source of the clock."""
    text = "Clock the accelerator from the PLL or from the bus clock."
    return option(None, text, "--pll", off=("--no-pll", "--apb"), default="the PLL", **more)


def divider_option() -> int | None:
    """Declare the divider of the clock."""
    divisors = Range(values=(1, 2, 4, 8, 16))
    text = "Clock divider of the accelerator."
    return option(None, text, metavar="N", default="chosen for the device", range=divisors)


@dataclass(frozen=True, kw_only=True)
class HardwareSettings(Settings):
    """How the accelerator is clocked and loaded."""

    panel: ClassVar[str] = HARDWARE

    pipeline: bool | None = pipeline_option(needs="pipeline")
    pll: bool | None = pll_option(needs="pll_mhz")
    max_speed: bool = option(
        False,
        "Load kernels and input at full speed, too, instead of at a lower one that saves power.",
        "--max-speed",
        off=("--balance-speed",),
        needs="pll_mhz",
    )
    clock_divider: int | None = divider_option()
    switch_delay: int | None = option(
        None,
        "Delay after the accelerator is turned on.",
        metavar="N",
        default="that of the device",
        range=Range(0, 0xFFFF_FFFF // 1_000, unit="milliseconds"),
    )
    avg_pool_rounding: bool = rounding_option()
    mexpress: bool = option(True, "Load each column of kernels as four words instead of in packed form.")
    deduplicate_weights: bool = option(True, "Store identical kernels each time they occur instead of once.")


@dataclass(frozen=True, kw_only=True)
class ReadBackSettings(Settings):
    """Programs that test the hardware."""

    panel: ClassVar[str] = DEBUGGING

    verify_writes: bool = option(False, "Read back every register after writing it.")
    verify_kernels: bool = option(False, "Read back the kernel memory after loading it.")
    write_zero_registers: bool = option(False, "Write registers even if their value is 0.")
    zero_sram: bool = option(False, "Test and clear all memories of the accelerator at the start.")
    init_tram: bool = option(False, "Clear the TRAM at the start.")


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings(Settings):
    """How the accelerator runs through the layers."""

    panel: ClassVar[str] = HARDWARE

    powerdown: bool = option(False, "Turn off the memories of quadrants that the network does not use.")
    one_shot: bool = option(
        False,
        "Stop after every layer and let software continue; cannot be combined with --timer.",
        panel=DEBUGGING,
        needs="pipeline",
    )
    link_layer: bool = option(
        False, "Store the number of the next layer in every layer's registers.", panel=DEBUGGING, needs="pipeline"
    )
