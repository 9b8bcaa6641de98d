"""Options of ``ai8x synthesize``, by concern; spelled as people know them from the reference tools.

A project's own settings file lists them in the order of their declaration: each base of `SynthesizeSettings` adds its
options after those of the bases to its right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.device import Device, find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import find_config, find_file, locate
from ai8x_tool.settings.model import device_option, rounding_option
from ai8x_tool.settings.option import Legacy, Settings, option, options_of, required

INPUT, PROJECT, PROGRAM, NAMES = "Input", "Project", "Generated program", "File names"
FIFO, RISCV, HARDWARE = "Input through a FIFO", "RISC-V core", "Accelerator and clocks"
NETWORK, CHECKS, DEBUGGING = "Parts of the network", "Checks and reports", "Debugging of hardware"
CHECKPOINTS = "models/checkpoints"


@dataclass(frozen=True, kw_only=True)
class InputSettings(Settings):
    """What is synthesized. Names are looked up among the user's own files and those that ship with the tool."""

    panel: ClassVar[str] = INPUT

    network: str = required(
        "Network description: a YAML file, or a name in configs/networks.",
        "--network",
        aliases=("--config-file",),
        metavar="FILE|NAME",
        named_in="configs/networks",
    )
    device: str = device_option()
    model: str | None = option(
        None,
        "Name of the model, for --verify.",
        "--model",
        aliases=("--arch",),
        default="that of the checkpoint",
    )
    dataset: str | None = option(None, "Name of the dataset, for --verify.", default="that of the network description")
    evaluation_recipe: str | None = option(
        None,
        "Recipe whose section `evaluate` says how the model is built, for --verify.",
        metavar="FILE|NAME",
        default="the recipe",
        named_in="configs/recipes",
    )
    checkpoint: Path | None = option(
        None,
        "Quantized checkpoint: a file, or a name in models/checkpoints.",
        "--checkpoint",
        aliases=("--checkpoint-file",),
        metavar="FILE|NAME",
        named_in=CHECKPOINTS,
    )
    sample_input: Path | None = option(
        None,
        "Sample for the known-answer test (.npy, int64).",
        metavar="FILE",
        default="sample_<dataset>.npy here, in tests/ or among those that ship with ai8x",
        named_in=CHECKPOINTS,
    )

    @property
    def part(self) -> Device:
        """The device."""
        return find_device(self.device)

    def network_file(self) -> Path:
        """Return the network description's file."""
        return find_config("networks", self.network)

    def checkpoint_file(self) -> Path | None:
        """Return the checkpoint's file, None if none was given. Raises Ai8xError if it does not exist."""
        return None if self.checkpoint is None else find_file(CHECKPOINTS, self.checkpoint, "checkpoint")

    def sample_file(self, dataset: str) -> Path:
        """Return the sample's file: the given one, or ``sample_<dataset>.npy`` here, in tests/, or as shipped.

        Raises Ai8xError if there is none; a given one need not exist.
        """
        given = self.sample_input
        if given is not None:
            return given if given.is_file() else locate(CHECKPOINTS, given) or given
        name = f"sample_{dataset.lower()}.npy"
        here = next((path for path in (Path(name), Path("tests") / name) if path.is_file()), None)
        found = here or locate(CHECKPOINTS, name)
        if found is None:
            fix = "add --sample-input FILE; `ai8x evaluate -8 --save-sample N` writes one"
            raise Ai8xError(f"no sample {name!r} here, in tests/ or among the shipped ones", fix=fix)
        return found


@dataclass(frozen=True, kw_only=True)
class ProjectSettings(Settings):
    """Where the project is written. `output` is its own folder; without it the folder is `test_dir` / `prefix`."""

    panel: ClassVar[str] = PROJECT

    output: Path | None = option(None, "Folder of the project.", "--output", "-o", metavar="FOLDER", place=True)
    test_dir: Path | None = option(
        None,
        "Folder in which a folder with the project's name is created, without --output.",
        metavar="FOLDER",
        default="build",
        place=True,
    )
    prefix: str | None = option(None, "Name of the project.", metavar="NAME", default="that of its folder")
    overwrite: bool = option(
        False,
        "Replace generated files in an existing folder; other files there, project.mk and .vscode are kept.",
        place=True,
    )
    check: Path | None = option(
        None,
        "Write nothing, but compare with the project in this folder; the exit status is 1 if they differ.",
        metavar="FOLDER",
        panel=CHECKS,
        place=True,
    )
    explain: str | None = option(
        None,
        "Write nothing, but show every register of this layer with all fields: a number or a name.",
        metavar="LAYER",
        panel=CHECKS,
        place=True,
    )
    verify: bool | None = option(
        None,
        "Verify the whole chain from model to firmware, or not even run the program on the virtual device.",
        "--verify",
        panel=CHECKS,
        default="run it on the virtual device",
        place=True,
    )
    board_name: str = option("EvKit_V1", "Board of the SDK for which the project is made.", metavar="BOARD")

    @property
    def folder(self) -> Path | None:
        """The folder that the project is written to; None if nothing is to be written."""
        if self.check is not None or self.explain is not None:
            return None
        if self.output is not None or self.prefix is None:
            return self.output
        return (self.test_dir or Path("build")) / self.prefix


@dataclass(frozen=True, kw_only=True)
class FileNameSettings(Settings):
    """Names of generated files."""

    panel: ClassVar[str] = NAMES

    c_filename: str = option("main", "Name of the test program, with or without .c.", metavar="NAME")
    api_filename: str = option("cnn.c", "Name of the file with the network's functions.", metavar="NAME")
    weight_filename: str = option("weights.h", "Name of the file with kernels and biases.", metavar="NAME")
    sample_filename: str = option("sampledata.h", "Name of the file with the sample.", metavar="NAME")
    sample_output_filename: str = option("sampleoutput.h", "Name of the file with the known answers.", metavar="NAME")
    log: bool = option(
        False, "Add a log to the project: statistics and all register writes.", "--log", "-L", panel=CHECKS
    )
    log_filename: str = option("log.txt", "Name of the log.", metavar="NAME")
    templates: Path | None = option(
        None, "Folder of templates (.j2) that take the place of those of ai8x.", metavar="FOLDER", panel=PROGRAM
    )


@dataclass(frozen=True, kw_only=True)
class ProgramSettings(Settings):
    """What the generated program does besides the inference."""

    panel: ClassVar[str] = PROGRAM

    timer: int | None = option(None, "Measure the inference with this timer, 0 to 5.", off=("--no-timer",), metavar="N")
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
    )
    debugwait: int = option(
        2, "Delay at the start of the program in seconds, in which a debugger can stop it.", metavar="N"
    )
    wfi: bool = option(True, "Wait for the accelerator in a loop instead of sleeping; needed by very fast networks.")
    boost: str | None = option(
        None, "Switch on a boost supply at this pin of the device during the inference.", metavar="PORT.PIN"
    )
    define: str | None = option(
        None,
        "Further preprocessor names, separated by spaces; each becomes a -D option of the compiler.",
        metavar="NAMES",
    )
    define_default_arm: str = option(
        "MXC_ASSERT_ENABLE ARM_MATH_CM4", "Preprocessor names of programs for the Arm core.", metavar="NAMES"
    )
    define_default_riscv: str = option(
        "MXC_ASSERT_ENABLE RV32", "Preprocessor names of programs for the RISC-V core.", metavar="NAMES"
    )


@dataclass(frozen=True, kw_only=True)
class FifoSettings(Settings):
    """Input through FIFOs instead of data memory."""

    panel: ClassVar[str] = FIFO

    fifo: bool = option(False, "Feed the input through the FIFOs of the accelerator.")
    fast_fifo: bool = option(False, "Feed the input through the fast FIFO; needs --riscv.")
    fast_fifo_quad: bool = option(False, "Feed all four quadrants from the fast FIFO at once; needs --riscv.")
    fifo_wait: bool = option(True, "Do not check whether a FIFO is full before writing to it.")
    fifo_go: bool = option(False, "Let the first layer start only when the FIFO has data.", needs="pipeline")


@dataclass(frozen=True, kw_only=True)
class RiscvSettings(Settings):
    """Programs that run the network on the RISC-V core."""

    panel: ClassVar[str] = RISCV

    riscv: bool = option(False, "Run the network on the RISC-V core; the Arm core starts it.")
    riscv_flash: bool = option(True, "Keep the sample of a RISC-V program in SRAM instead of flash.")
    riscv_debug: bool = option(False, "Prepare the RISC-V core for a debugger; implies --riscv.")
    riscv_exclusive: bool = option(False, "Give the RISC-V core exclusive use of its SRAM; implies --riscv.")
    deepsleep: bool = option(False, "Put the Arm core into deep sleep during the inference; needs --riscv.")

    @property
    def uses_riscv(self) -> bool:
        """True if any option asks for a project that runs on the RISC-V core."""
        return self.riscv or self.riscv_debug or self.riscv_exclusive


@dataclass(frozen=True, kw_only=True)
class RepetitionSettings(Settings):
    """Programs that run the inference more than once."""

    panel: ClassVar[str] = PROGRAM

    energy: bool = option(False, "Generate a program that runs its steps many times, to measure the power of each.")
    forever: bool = option(False, "Repeat the inference endlessly after the first one.")


@dataclass(frozen=True, kw_only=True)
class PatternSettings(Settings):
    """Input that the program computes instead of storing it."""

    panel: ClassVar[str] = FIFO

    synthesize_input: str | None = option(
        None,
        "Repeat the first words of the sample instead of storing all of it; this value is added at each repetition.",
        metavar="VALUE",
    )
    synthesize_words: int = option(8, "Number of words that --synthesize-input repeats.", metavar="N")


@dataclass(frozen=True, kw_only=True)
class HardwareSettings(Settings):
    """How the accelerator is clocked and loaded."""

    panel: ClassVar[str] = HARDWARE

    pipeline: bool | None = option(
        None,
        "Use the pipeline, which allows the highest clock, or not.",
        "--pipeline",
        default="use it",
        needs="pipeline",
    )
    pll: bool | None = option(
        None,
        "Clock the accelerator from the PLL, or from the bus clock.",
        "--pll",
        off=("--no-pll", "--apb"),
        default="the PLL",
        needs="pll_mhz",
    )
    max_speed: bool = option(
        False,
        "Load kernels and input at full speed, too, instead of at a speed that needs less power.",
        "--max-speed",
        off=("--balance-speed",),
        needs="pll_mhz",
    )
    clock_divider: int | None = option(
        None, "Divider of the accelerator's clock: 1, 2, 4, 8 or 16.", metavar="N", default="chosen for the device"
    )
    switch_delay: int | None = option(
        None, "Delay after switching on the accelerator, in milliseconds.", metavar="N", default="that of the device"
    )
    avg_pool_rounding: bool = rounding_option()
    mexpress: bool = option(True, "Load four words for each column of kernels instead of packed words.")
    deduplicate_weights: bool = option(True, "Store equal kernels as often as they occur instead of once.")


@dataclass(frozen=True, kw_only=True)
class ReadBackSettings(Settings):
    """Programs that test the hardware."""

    panel: ClassVar[str] = DEBUGGING

    verify_writes: bool = option(False, "Read every register back after writing it.")
    verify_kernels: bool = option(False, "Read the kernel memory back after loading it.")
    write_zero_registers: bool = option(False, "Write registers whose value is 0, too, instead of leaving them out.")
    zero_sram: bool = option(False, "Test and clear all memories of the accelerator at the start.")
    init_tram: bool = option(False, "Clear the TRAM at the start.")


@dataclass(frozen=True, kw_only=True)
class ExecutionSettings(Settings):
    """How the accelerator runs through the layers."""

    panel: ClassVar[str] = HARDWARE

    powerdown: bool = option(False, "Switch off the memories of quadrants that the network does not use.")
    one_shot: bool = option(
        False, "Stop after every layer and continue by software; excludes --timer.", panel=DEBUGGING, needs="pipeline"
    )
    link_layer: bool = option(
        False, "Name the following layer in every layer's registers.", panel=DEBUGGING, needs="pipeline"
    )


@dataclass(frozen=True, kw_only=True)
class ToleranceSettings(Settings):
    """Checks that can be switched off."""

    panel: ClassVar[str] = CHECKS

    overlap_data: bool = option(False, "Let layers overwrite data before everything that reads it has done so.")
    error_stop: bool = option(True, "Report conflicts in data memory as warnings.")
    warn_zero: bool = option(True, "Do not warn about outputs that are all 0 for the sample.")


@dataclass(frozen=True, kw_only=True)
class ExcerptSettings(Settings):
    """Parts of the network, of the checkpoint and of the description that are used, and values that replace theirs."""

    panel: ClassVar[str] = NETWORK

    start_layer: int = option(0, "Number of the layer that is executed first.", metavar="N", needs="pipeline")
    stop_after: int | None = option(None, "Number of the last layer; the ones after it are left out.", metavar="N")
    input_offset: int | None = option(
        None, "Offset of the input in data memory in bytes, instead of the first layer's in_offset.", metavar="BYTES"
    )
    output_width: int | None = option(
        None, "Bits of the last layer's output: 8 or 32.", metavar="BITS", default="as described"
    )
    weight_start: int = option(0, "First column of kernel memory to use, so that two networks fit.", metavar="COLUMN")
    skip_checkpoint_layers: int = option(
        0, "Number of layers at the start of the checkpoint that are ignored.", metavar="N"
    )
    skip_yaml_layers: int = option(0, "Number of layers at the start of the description that are ignored.", metavar="N")
    weight_input: Path | None = option(
        None, "File (.npy) with the weights of a network without checkpoint (`arch: test`).", metavar="FILE"
    )
    bias_input: Path | None = option(
        None, "File (.npy) with the biases of a network without checkpoint (`arch: test`).", metavar="FILE"
    )
    ignore_bn: bool = option(False, "Ignore batch normalization in the checkpoint that is not folded into weights.")
    ignore_bias_groups: bool = option(False, "Store biases in any quadrant, not only in those that the layer uses.")
    ignore_streaming: bool = option(False, "Ignore all `streaming` keys.")
    no_bias: str | None = option(
        None, "Numbers of the layers whose biases are ignored, separated by commas, or all.", metavar="N,…|all"
    )


@dataclass(frozen=True, kw_only=True)
class SynthesizeSettings(
    ExcerptSettings,
    ToleranceSettings,
    ExecutionSettings,
    ReadBackSettings,
    HardwareSettings,
    PatternSettings,
    RepetitionSettings,
    RiscvSettings,
    FifoSettings,
    ProgramSettings,
    FileNameSettings,
    ProjectSettings,
    InputSettings,
):
    """All options of ``ai8x synthesize``. Raises Ai8xError for options that contradict each other or the device."""

    panels: ClassVar[tuple[str, ...]] = (
        *(INPUT, PROJECT, PROGRAM, CHECKS, HARDWARE, FIFO, RISCV, NETWORK, NAMES, DEBUGGING),
    )
    legacy: ClassVar[tuple[Legacy, ...]] = (
        Legacy(("--compact-data", "--no-compact-data")),
        Legacy(("--compact-weights",)),
        Legacy(("--embedded-code", "-e")),
        Legacy(("--new-kernel-loader",)),
        Legacy(("--no-version-check",)),
        Legacy(("--version-check-interval",), int),
        Legacy(("--upstream",), str),
        Legacy(("--short-log", "--log-last-only", "--verbose-all")),
        Legacy(("--no-progress",)),
        Legacy(("--yamllint",), str),
        Legacy(("--unroll-mlator",), int),
        Legacy(("--unroll-8bit",), int),
        Legacy(("--unroll-wide",), int),
        Legacy(("--ignore-energy-warning",)),
        Legacy(("--ignore-mlator-warning",)),
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.output_width not in (None, 8, 32):
            raise Ai8xError(f"output width {self.output_width}: must be 8 or 32")
        for choice in options_of(SynthesizeSettings).values():
            needs = choice.declaration.needs
            if needs is not None and getattr(self, choice.name) and not getattr(self.part, needs):
                raise Ai8xError(f"{choice.names[0]} needs a {choice.devices()}", fix="leave it out")
        if self.max_speed and self.pll is False:
            raise Ai8xError("--max-speed needs the PLL", fix="leave out --no-pll")
        if (self.fast_fifo or self.fast_fifo_quad) and not self.uses_riscv:
            raise Ai8xError("the fast FIFO can only be written by the RISC-V core", fix="add --riscv")
        if self.deepsleep and not self.uses_riscv:
            raise Ai8xError("--deepsleep is for the Arm core while the RISC-V core works", fix="add --riscv")
        if self.one_shot and self.timer is not None:
            raise Ai8xError("--one-shot and --timer exclude each other", fix="leave one of them out")
