"""Options of ``ai8x synthesize``, by concern; spelled as in the reference tools.

A project's own settings file lists them in the order of their declaration: each base of `SynthesizeSettings` adds its
options after those of the bases to its right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.device import Device, find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import find_config, locate
from ai8x_tool.settings import reference_options
from ai8x_tool.settings.hardware import DEBUGGING, HARDWARE, ExecutionSettings, HardwareSettings, ReadBackSettings
from ai8x_tool.settings.model import device_option
from ai8x_tool.settings.option import AT_LEAST_0, Legacy, Range, Settings, option, options_of
from ai8x_tool.settings.program import (
    CHECKS,
    FIFO,
    NAMES,
    PROGRAM,
    RISCV,
    FifoSettings,
    FileNameSettings,
    PatternSettings,
    ProgramSettings,
    RepetitionSettings,
    RiscvSettings,
)
from ai8x_tool.settings.weights import FOLDER, checkpoint_path

INPUT, PROJECT, NETWORK = "Input", "Project", "Parts of the network"
CHECKPOINTS = FOLDER


BOARDS = ("EvKit_V1", "FTHR_RevA")
"""Boards that the shell completes; the SDK supports others."""


def html_option(**more: str) -> Path | None:
    """Declare the report."""
    return option(
        None,
        "Write a self-contained report to this file: network graph, memories, cycles and energy.",
        metavar="FILE",
        place=True,
        **more,
    )


def search_option() -> float:
    """Declare how long the mapper may search."""
    text = "Processor time for the search for a placement, in seconds; the best placement found by then is used."
    return option(20.0, text, metavar="SECONDS", range=Range(above=0, most=86_400))


def overlap_option() -> bool:
    """Declare whether outputs may overwrite input."""
    return option(False, "Let a layer's output overwrite parts of its input that have already been read.")


@dataclass(frozen=True, kw_only=True)
class InputSettings(Settings):
    """What is synthesized. Names are looked up among the user's own files and those that ship with the tool."""

    panel: ClassVar[str] = INPUT

    network: str | None = option(
        None,
        "Network description: a YAML file, or a name in configs/networks. Processors, offsets and the kind "
        "of input are found automatically where it does not specify them.",
        "--network",
        aliases=("--config-file",),
        metavar="FILE|NAME",
        default="made from the model by tracing it",
        named_in="configs/networks",
    )
    map_seconds: float = search_option()
    parallel_outputs: bool = option(
        False,
        "Where possible, let automatically placed layers compute four outputs at a time (`calcx4`). This roughly "
        "halves the estimated time; no measurement on hardware is known.",
        needs="next_layer",
    )
    write_network: Path | None = option(
        None,
        "Write the network description to this file, with its placement, given or found automatically.",
        metavar="FILE",
        place=True,
    )
    device: str = device_option()
    model: str | None = option(
        None,
        "Name of the model that the network is made from if there is no --network, and for --verify.",
        "--model",
        aliases=("--arch",),
        metavar="MODEL",
        default="that of the checkpoint",
    )
    dataset: str | None = option(
        None, "Name of the dataset, for --verify.", metavar="DATASET", default="that of the network description"
    )
    evaluation_recipe: str | None = option(
        None,
        "Recipe whose section `evaluate` specifies how to build the model, for --verify.",
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
        "Sample for the known-answer test: a .npy file of integers.",
        metavar="FILE",
        default="sample_DATASET.npy here, in tests/ or as shipped with ai8x; otherwise random values",
        named_in=CHECKPOINTS,
    )

    @property
    def part(self) -> Device:
        """The device."""
        return find_device(self.device)

    def network_file(self) -> Path:
        """Return the network description's file. Raises Ai8xError if there is none."""
        if self.network is None:
            fix = "name a recipe that has one, or pass --network"
            raise Ai8xError("there is no network description", fix=fix)
        return find_config("networks", self.network)

    def checkpoint_file(self) -> Path | None:
        """Return the checkpoint's file, None if none was given. Raises Ai8xError if it does not exist."""
        return None if self.checkpoint is None else checkpoint_path(self.checkpoint)

    def sample_file(self, dataset: str) -> Path:
        """Return the sample's file: the given one, or ``sample_<dataset>.npy`` here, in tests/, or as shipped.

        Raises Ai8xError if there is none; a given one need not exist.
        """
        found = self.sample_input_file(dataset)
        if found is None:
            fix = "add --sample-input FILE; `ai8x evaluate -8 --save-sample N` writes one"
            name = f"sample_{dataset.lower()}.npy"
            raise Ai8xError(f"no sample {name!r} here, in tests/ or among the shipped ones", fix=fix)
        return found

    def sample_input_file(self, dataset: str) -> Path | None:
        """Return the sample's file like :meth:`sample_file`, None if there is none."""
        given = self.sample_input
        if given is not None:
            return given if given.is_file() else locate(CHECKPOINTS, given) or given
        name = f"sample_{dataset.lower()}.npy"
        here = next((path for path in (Path(name), Path("tests") / name) if path.is_file()), None)
        return here or locate(CHECKPOINTS, name)


@dataclass(frozen=True, kw_only=True)
class ProjectSettings(Settings):
    """Where the project is written. `output` is its own folder; without it the folder is `test_dir` / `prefix`."""

    panel: ClassVar[str] = PROJECT

    output: Path | None = option(
        None,
        "Folder of the project.",
        "--output",
        "-o",
        metavar="FOLDER",
        default="the folder that --test-dir and --prefix name",
        place=True,
    )
    test_dir: Path | None = option(
        None,
        "Without --output: folder in which the project's folder, named by --prefix, is created.",
        metavar="FOLDER",
        default="build",
        place=True,
    )
    prefix: str | None = option(None, "Name of the project.", metavar="NAME", default="name of its folder")
    overwrite: bool = option(
        False,
        "Replace the generated files in an existing folder. Other files stay, as do project.mk and editor files that "
        "you changed.",
        place=True,
    )
    check: Path | None = option(
        None,
        "Write nothing; compare with the project in this folder instead. The exit status is 1 if they differ.",
        metavar="FOLDER",
        panel=CHECKS,
        place=True,
    )
    explain: str | None = option(
        None,
        "Write nothing; show every register of this layer, given by number or name, with all its fields instead.",
        metavar="LAYER",
        panel=CHECKS,
        place=True,
    )
    verify: bool | None = option(
        None,
        "Verify the whole chain from model to firmware, or skip even the run on the virtual device.",
        "--verify",
        panel=CHECKS,
        default="run the program on the virtual device, and write nothing if its results are wrong",
        place=True,
    )
    sample_numpy_filename: Path | None = option(
        None, "Save the expected output of the last layer (.npy).", metavar="FILE", panel=CHECKS, place=True
    )
    log_intermediate: bool = option(
        False,
        "Save weights, biases and output of every layer (.npy) to the project's folder `intermediate`.",
        panel=CHECKS,
        place=True,
    )
    html: Path | None = html_option(panel=CHECKS)
    board_name: str = option(BOARDS[0], "Board that the project is for, as the SDK names it.", metavar="BOARD")

    @property
    def folder(self) -> Path | None:
        """The folder that the project is written to; None if nothing is to be written."""
        if self.check is not None or self.explain is not None:
            return None
        if self.output is not None or self.prefix is None:
            return self.output
        return (self.test_dir or Path("build")) / self.prefix


@dataclass(frozen=True, kw_only=True)
class ToleranceSettings(Settings):
    """Checks that can be switched off."""

    panel: ClassVar[str] = CHECKS

    overlap_data: bool = overlap_option()
    error_stop: bool = option(True, "Report conflicts in data memory as warnings instead of errors.")
    warn_zero: bool = option(True, "Do not warn about outputs that are all 0 for the sample.")


@dataclass(frozen=True, kw_only=True)
class ExcerptSettings(Settings):
    """Parts of the network, of the checkpoint and of the description that are used, and values that replace theirs."""

    panel: ClassVar[str] = NETWORK

    start_layer: int = option(
        0, "Number of the first layer to execute.", metavar="N", needs="pipeline", range=AT_LEAST_0
    )
    stop_after: int | None = option(
        None, "Number of the last layer; later layers are left out.", metavar="N", range=AT_LEAST_0
    )
    input_offset: int | None = option(
        None,
        "Offset of the input in data memory in bytes, instead of the first layer's in_offset.",
        metavar="BYTES",
        range=AT_LEAST_0,
    )
    output_width: int | None = option(
        None,
        "Width of the last layer's output in bits.",
        metavar="BITS",
        default="as described",
        range=Range(values=(8, 32)),
    )
    weight_start: int = option(
        0,
        "First column of kernel memory to use, so that two networks can share it.",
        metavar="COLUMN",
        range=AT_LEAST_0,
    )
    skip_checkpoint_layers: int = option(
        0, "Number of layers to skip at the start of the checkpoint.", metavar="N", range=AT_LEAST_0
    )
    skip_yaml_layers: int = option(
        0, "Number of layers to skip at the start of the description.", metavar="N", range=AT_LEAST_0
    )
    weight_input: Path | None = option(
        None, "File (.npy) with the weights of a network without a checkpoint (`arch: test`).", metavar="FILE"
    )
    bias_input: Path | None = option(
        None, "File (.npy) with the biases of a network without a checkpoint (`arch: test`).", metavar="FILE"
    )
    ignore_bn: bool = option(False, "Ignore batch normalization that the checkpoint has not folded into its weights.")
    ignore_bias_groups: bool = option(False, "Store biases in any quadrant, not only in those that the layer uses.")
    ignore_streaming: bool = option(False, "Ignore all `streaming` keys.")
    no_bias: str | None = option(
        None, "Numbers of the layers whose biases to ignore, separated by commas, or all.", metavar="N,…|all"
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
        *reference_options.SYNTHESIZE,
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        for choice in options_of(SynthesizeSettings).values():
            needs = choice.declaration.needs
            if needs is not None and getattr(self, choice.name) and not getattr(self.part, needs):
                raise Ai8xError(f"{choice.names[0]} needs a {choice.devices()}", fix="leave it out")
        if self.max_speed and self.pll is False:
            raise Ai8xError("--max-speed needs the PLL", fix="leave out --no-pll")
        if (self.fast_fifo or self.fast_fifo_quad) and not self.uses_riscv:
            raise Ai8xError("the fast FIFO can only be written by the RISC-V core", fix="add --riscv")
        if self.deepsleep and not self.uses_riscv:
            raise Ai8xError(
                "--deepsleep needs the RISC-V core, which works while the Arm core sleeps", fix="add --riscv"
            )
        if self.one_shot and self.timer is not None:
            raise Ai8xError("--one-shot and --timer exclude each other", fix="leave one of them out")
