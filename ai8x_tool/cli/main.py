"""The ``ai8x`` command."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
from typing import Annotated, Any

import click
import typer
from typer.core import TyperCommand, TyperGroup

from ai8x_tool.streams import standard_streams
from ai8x_tool.version import __version__

COMMANDS = {
    "new": ("new_command", "Create a project from a folder of images, sounds or tables, without code."),
    "analyze": (
        "analyze",
        "Show whether a network fits a device, how fast it runs and what limits it, before it is trained.",
    ),
    "train": ("train", "Train a model, first in floating point, then quantization-aware."),
    "quantize": (
        "quantize",
        "Quantize a trained checkpoint to integers, folding batch normalization if necessary.",
    ),
    "insert-identity": (
        "insert_identity",
        "Insert a 1×1 convolution that copies its input, for network descriptions with a layer that the model does not "
        "contain.",
    ),
    "evaluate": ("evaluate", "Evaluate a trained or, with --8bit, a quantized checkpoint on the test split."),
    "synthesize": (
        "synthesize",
        "Turn a quantized checkpoint and its model or network description into a C project for the accelerator.",
    ),
    "verify": (
        "verify_command",
        "Verify that a program computes what was trained, value by value for every layer.",
    ),
    "run": (
        "run_command",
        "Run the unchanged C code of a project without hardware, on an emulated core and the virtual device.",
    ),
    "flash": ("flash", "Build a project with the MSDK and write it to a connected board through OpenOCD."),
    "monitor": ("monitor", "Show what a board prints on its serial port until its known-answer test has ended."),
    "list": ("list_command", "List models, datasets, recipes, networks, weights, devices or operators."),
    "doctor": (
        "doctor_command",
        "Check Python, torch, compilers, SDK, serial ports, folders and plug-in files, and suggest fixes.",
    ),
    "demo": ("demo_command", "Train, quantize, evaluate, synthesize and verify a network, and show the results."),
}
"""For each command, the module that defines `COMMAND` and the command's summary."""


def build_command(name: str) -> TyperCommand:
    """Return a command with all its options."""
    module, summary = COMMANDS[name]
    command: TyperCommand = importlib.import_module(f"ai8x_tool.cli.{module}").COMMAND.build(name, summary)
    return command


class _Commands(TyperGroup):
    """Commands whose modules are imported when they are called; listing the commands imports none of them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.suggest_commands = not hasattr(click.exceptions, "NoSuchCommand")  # newer versions of click do so
        self.commands = {name: TyperCommand(name, help=summary) for name, (_, summary) in COMMANDS.items()}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else build_command(name), rest


app = typer.Typer(
    name="ai8x",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example:  [bold]ai8x train kws20_v3_tts[/]  →  quantize  →  evaluate  →  synthesize",
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ai8x {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Neural networks for the MAX78000 and MAX78002: train → quantize → evaluate → synthesize."""


def main() -> None:
    """Run the command line."""
    # Imports create many permanent objects; searching them for cycles takes a tenth of the time of a short command.
    gc.set_threshold(50_000)
    with standard_streams():
        app()


def program() -> None:
    """Run the command line as a process, which ends without releasing every object.

    That would take over half a second after PyTorch has been imported.
    """
    status: list[int] = []
    atexit.register(_end, status)  # called after what is registered from now on, when all threads have ended
    try:
        main()
    except SystemExit as error:
        if isinstance(error.code, int):
            status.append(error.code)
        raise


def _end(status: list[int]) -> None:
    """End the process with the exit status of its command; main() has flushed its streams."""
    if status:
        os._exit(status[0])
