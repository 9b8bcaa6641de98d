"""Options of the generated C project that do not change what the accelerator computes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai8x_tool.codegen.file_names import FileNames, is_plain_name
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.text import utf8

_LONGEST_NAME = 200
"""Maximum bytes of a project's name, which is the name of the built file without its extension."""

_DEFINE = re.compile(r"""[A-Za-z_]\w*(=([\w.,:+/@=-]|\\")*)?""", re.ASCII)
"""Definition that compiler, shell and make accept: a name, and a value in which quotes are escaped for the shell."""


@dataclass(frozen=True)
class ProjectOptions:
    """Options of the C project. `boost` is (port, pin); `divider` None means automatic; `debug_wait` is in seconds.

    `class_names` are the names of the outputs and `preprocessing` describes how files become inputs, if known;
    `data_note` is a note about the training data. `templates` is a folder of templates that replace those of the tool.
    Raises Ai8xError for text that compilers, make or the shell would misinterpret, and for pins that no device has.
    """

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
    files: FileNames = field(default_factory=FileNames)
    templates: Path | None = None
    class_names: tuple[str, ...] = ()
    preprocessing: Mapping[str, Any] | None = None
    data_note: str | None = None

    def __post_init__(self) -> None:
        if not self.name or "\0" in self.name or len(utf8(self.name)) > _LONGEST_NAME:
            fix = f"add --prefix NAME with at most {_LONGEST_NAME} bytes"
            raise Ai8xError(f"{self.name!r} cannot be the name of a project", fix=fix)
        if not is_plain_name(self.board):
            raise Ai8xError(f"--board-name {self.board!r}: must be the name of a board's folder in the SDK")
        for text in (*self.defines, *self.arm_defines, *self.riscv_defines):
            if not _DEFINE.fullmatch(text):
                fix = "set PROJ_CFLAGS in project.mk for other values"
                raise Ai8xError(
                    f"--define {text!r}: must be NAME or NAME=VALUE, without spaces or special characters", fix=fix
                )
        if self.boost is not None:
            _require_range("--boost PORT.PIN: port", self.boost[0], 3)
            _require_range("--boost PORT.PIN: pin", self.boost[1], 31)


def _require_range(name: str, value: int, largest: int) -> None:
    """Raise Ai8xError for a number that is out of the range of its type in the program."""
    if not 0 <= value <= largest:
        raise Ai8xError(f"{name} {value}: must be 0 … {largest}")


@dataclass(frozen=True)
class Clock:
    """Clock configuration of the accelerator."""

    pll: bool
    enable_divider: int
    divider: int
    switch: bool


def clock(device: Device, options: ProjectOptions, *, pipeline: bool) -> Clock:
    """Return the clock configuration for the project's options; `pipeline` is True if the pipeline is used."""
    pll = options.pll and device.pll_mhz is not None
    divider = options.divider or device.default_divider(pipeline=pipeline, pll=pll)
    balanced = pll and options.balance_speed
    return Clock(pll, 4 if balanced else divider, divider, balanced and pipeline)


def accelerator_mhz(device: Device, chosen: Clock) -> float:
    """Return the accelerator's clock during inference in MHz."""
    source = device.pll_mhz if chosen.pll and device.pll_mhz else device.bus_mhz
    return source / chosen.divider
