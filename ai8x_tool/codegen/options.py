"""Options of the generated C project that do not change what the accelerator computes."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError


@dataclass(frozen=True)
class FileNames:
    """Names of the generated files that can be chosen; `main` without ending."""

    main: str = "main"
    api: str = "cnn.c"
    weights: str = "weights.h"
    sample: str = "sampledata.h"
    answers: str = "sampleoutput.h"
    log: str = "log.txt"

    def __post_init__(self) -> None:
        for name in vars(self).values():
            if not name or name.lower() == "none" or any(mark in name for mark in "/\\"):
                fix = "give a plain name; merging files is not supported"
                raise Ai8xError(f"{name!r} cannot be the name of a generated file", fix=fix)
        names = [f"{self.main}.c", *(name for key, name in vars(self).items() if key != "main")]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise Ai8xError(f"{twice!r} is the name of two generated files", fix="choose different names")


@dataclass(frozen=True)
class ProjectOptions:
    """spec: generated-c, sections 5 to 7 and 10. `boost` is (port, pin); `divider` None means automatic."""

    name: str
    network: str
    checkpoint: str
    board: str = "EvKit_V1"
    timer: int | None = None
    softmax: bool = False
    unload: bool = True
    scale_output: bool = True
    mlator: bool = False
    debug_wait: int = 2
    no_wfi: bool = False
    fifo_wait: bool = True
    boost: tuple[int, int] | None = None
    riscv: bool = False
    riscv_flash: bool = True
    riscv_debug: bool = False
    riscv_exclusive: bool = False
    deepsleep: bool = False
    energy: bool = False
    forever: bool = False
    verify_writes: bool = False
    verify_kernels: bool = False
    pll: bool = True
    balance_speed: bool = True
    divider: int | None = None
    switch_delay: int | None = None
    defines: tuple[str, ...] = ()
    arm_defines: tuple[str, ...] = ("MXC_ASSERT_ENABLE", "ARM_MATH_CM4")
    riscv_defines: tuple[str, ...] = ("MXC_ASSERT_ENABLE", "RV32")
    files: FileNames = FileNames()


@dataclass(frozen=True)
class Clock:
    """How the accelerator is clocked. spec: generated-c, section 6."""

    pll: bool
    enable_divider: int
    divider: int
    switch: bool


def clock(device: Device, options: ProjectOptions, *, pipeline: bool) -> Clock:
    """Return clock source and dividers."""
    pll = options.pll and device.pll_mhz is not None
    divider = options.divider or device.default_divider(pipeline=pipeline, pll=pll)
    balanced = pll and options.balance_speed
    return Clock(pll, 4 if balanced else divider, divider, balanced and pipeline)


def accelerator_mhz(device: Device, chosen: Clock) -> float:
    """Return the accelerator's clock during inference."""
    source = device.pll_mhz if chosen.pll and device.pll_mhz else device.bus_mhz
    return source / chosen.divider
