"""``ai8x run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ai8x_tool.cli.common import EXIT_FAILED, Json, Quiet, Verbose, make_console
from ai8x_tool.cli.common import run as guarded

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.emulation import ProjectRun

# Help ends with commands that work as they stand.
EPILOG = (
    "Examples:  [bold]ai8x run build/kws20[/]   |   "
    "[bold]ai8x run build/kws20 --input a.npy --input b.npy --output-file outputs.npy[/]"
)


def run(
    project: Annotated[Path, typer.Argument(help="Folder that `ai8x synthesize` wrote.", show_default=False)],
    inputs: Annotated[
        list[Path] | None,
        typer.Option("--input", "-i", help="Another sample (.npy), run after the project's own; repeatable."),
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output-file", "-o", help="Save the outputs for these samples (.npy).")
    ] = None,
    host: Annotated[
        bool, typer.Option("--host", help="Compile with this computer's C compiler: no emulator, no counts.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop where the accelerator notices something suspicious.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run a project without hardware: its C code, compiled unchanged, on an emulated core and the virtual device.

    Ends with the program's own verdict: exit status 0 if it passes.
    """
    console = make_console(json=json, quiet=quiet, verbose=verbose)

    def work() -> ProjectRun:
        from ai8x_tool.emulation import run_project, save_outputs
        from ai8x_tool.errors import Ai8xError

        if output_file is not None and not inputs:
            raise Ai8xError("--output-file saves the outputs for other samples", fix="give samples with --input")
        result = run_project(project, tuple(inputs or ()), console, host=host, strict=strict)
        if output_file is not None and result.outputs:
            save_outputs(result.outputs, output_file)
        _show(result, console)
        return result

    if not guarded(console, work).run.passed:
        raise typer.Exit(EXIT_FAILED)


def _show(result: ProjectRun, console: Console) -> None:
    from ai8x_tool.report.firmware import memory_table, output_lines, phase_table

    for line in output_lines(result):
        console.show(line)
    if result.run.memory:
        console.show(phase_table(result))
        console.show(memory_table(result))
    for text in result.diagnostics:
        console.warn(text)
    if result.run.fault:
        console.error(result.run.fault)
    console.result(result.document())
