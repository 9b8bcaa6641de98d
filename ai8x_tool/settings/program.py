"""Options of ``ai8x synthesize`` about the generated C program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.settings.option import AT_LEAST_1, Range, Settings, option

PROGRAM, NAMES, CHECKS = "Generated program", "File names", "Checks and reports"
FIFO, RISCV = "Input through a FIFO", "RISC-V core"


@dataclass(frozen=True, kw_only=True)
class FileNameSettings(Settings):
    """Names of generated files."""

    panel: ClassVar[str] = NAMES

    c_filename: str = option("main", "Name of the test program, with or without .c.", metavar="NAME")
    api_filename: str = option("cnn.c", "Name of the file with the functions of the network.", metavar="NAME")
    weight_filename: str = option("weights.h", "Name of the file with kernels and biases.", metavar="NAME")
    sample_filename: str = option("sampledata.h", "Name of the file with the sample.", metavar="NAME")
    sample_output_filename: str = option("sampleoutput.h", "Name of the file with the known answers.", metavar="NAME")
    log: bool = option(
        False, "Add a log with statistics and all register writes to the project.", "--log", "-L", panel=CHECKS
    )
    log_filename: str = option("log.txt", "Name of the log.", metavar="NAME")
    templates: Path | None = option(
        None, "Folder of templates (.j2) that replace those of ai8x.", metavar="FOLDER", panel=PROGRAM
    )


@dataclass(frozen=True, kw_only=True)
class ProgramSettings(Settings):
    """What the generated program does besides the inference."""

    panel: ClassVar[str] = PROGRAM

    timer: int | None = option(
        None,
        "Measure the inference with this timer.",
        default="none",
        off=("--no-timer",),
        metavar="N",
        range=Range(0, 5),
    )
    softmax: bool = option(False, "Print the probability of each class.")
    unload: bool = option(True, "Leave out cnn_unload(), which copies the outputs from data memory.")
    scale_output: bool = option(True, "Do not apply the checkpoint's final scales in cnn_unload().")
    mlator: bool = option(False, "Unload 8-bit outputs with the byte collector in hardware.")
    kat: bool = option(True, "Leave out the known-answer test.")
    max_verify_length: int | None = option(
        None,
        "Number of 32-bit words that the known-answer test compares.",
        aliases=("--max-checklines",),
        metavar="N",
        default="all",
        range=AT_LEAST_1,
    )
    debugwait: int = option(
        2,
        "Delay at the start of the program, during which a debugger can stop it.",
        metavar="N",
        range=Range(0, 0xFFFF_FFFF // 1_000_000, unit="seconds"),
    )
    wfi: bool = option(True, "Wait for the accelerator in a loop instead of sleeping, as very fast networks require.")
    boost: str | None = option(
        None, "Turn on a boost supply through this pin of the device during inference.", metavar="PORT.PIN"
    )
    define: str | None = option(
        None,
        "Additional preprocessor names, separated by spaces; each becomes a -D option of the compiler.",
        metavar="NAMES",
        blank=True,
    )
    define_default_arm: str = option(
        "MXC_ASSERT_ENABLE ARM_MATH_CM4",
        "Preprocessor names of programs for the Arm core.",
        metavar="NAMES",
        blank=True,
    )
    define_default_riscv: str = option(
        "MXC_ASSERT_ENABLE RV32", "Preprocessor names of programs for the RISC-V core.", metavar="NAMES", blank=True
    )


def fifo_option() -> bool:
    """Declare input through FIFOs."""
    return option(False, "Feed the input through the FIFOs of the accelerator, which streaming layers always use.")


def fast_fifo_option() -> bool:
    """Declare input through the fast FIFO."""
    return option(False, "Feed the input through the fast FIFO; needs --riscv.")


@dataclass(frozen=True, kw_only=True)
class FifoSettings(Settings):
    """Input through FIFOs instead of data memory."""

    panel: ClassVar[str] = FIFO

    fifo: bool = fifo_option()
    fast_fifo: bool = fast_fifo_option()
    fast_fifo_quad: bool = option(False, "Feed all four quadrants from the fast FIFO at once; needs --riscv.")
    fifo_wait: bool = option(True, "Do not check whether a FIFO is full before writing to it.")
    fifo_go: bool = option(False, "Let the first layer start only when the FIFO has data.", needs="pipeline")


@dataclass(frozen=True, kw_only=True)
class RiscvSettings(Settings):
    """Programs that run the network on the RISC-V core."""

    panel: ClassVar[str] = RISCV

    riscv: bool = option(False, "Run the network from the RISC-V core, which the Arm core starts.")
    riscv_flash: bool = option(True, "Keep the sample of a RISC-V program in SRAM instead of flash.")
    riscv_debug: bool = option(False, "Prepare the RISC-V core for a debugger; implies --riscv.")
    riscv_exclusive: bool = option(False, "Give the RISC-V core exclusive use of its SRAM; implies --riscv.")
    deepsleep: bool = option(False, "Put the Arm core into deep sleep during inference; needs --riscv.")

    @property
    def uses_riscv(self) -> bool:
        """True if any option asks for a project that runs on the RISC-V core."""
        return self.riscv or self.riscv_debug or self.riscv_exclusive


@dataclass(frozen=True, kw_only=True)
class RepetitionSettings(Settings):
    """Programs that run the inference more than once."""

    panel: ClassVar[str] = PROGRAM

    energy: bool = option(False, "Generate a program that repeats each step many times, to measure its power.")
    forever: bool = option(False, "Repeat the inference forever after the first one.")


@dataclass(frozen=True, kw_only=True)
class PatternSettings(Settings):
    """Input that the program computes instead of storing it."""

    panel: ClassVar[str] = FIFO

    synthesize_input: str | None = option(
        None,
        "Repeat the first words of the sample instead of storing all of it, adding this value at each repetition.",
        metavar="VALUE",
    )
    synthesize_words: int = option(8, "Number of words that --synthesize-input repeats.", metavar="N", range=AT_LEAST_1)
