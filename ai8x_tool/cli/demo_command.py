"""``ai8x demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ai8x_tool.cli.common import Json, Quiet, Verbose, make_console, run

EPILOG = "Example:  [bold]ai8x demo[/]  (about six minutes on two cores)"


def demo(
    recipe: Annotated[str, typer.Argument(help="A recipe with a network description.")] = "kws20_v3_tts",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything that is made.")] = Path(
        "build/demo"
    ),
    data: Annotated[Path, typer.Option("--data", help="Folder of the data sets.")] = Path("data"),
    epochs: Annotated[int | None, typer.Option("--epochs", help="Train for another number of epochs.")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train, quantize, evaluate, synthesize and verify a network, and show what came out."""
    console = make_console(json=json, quiet=quiet, verbose=verbose)

    def work() -> None:
        from ai8x_tool.demo import demo_table, run_demo
        from ai8x_tool.report.proof import show_proof

        result = run_demo(recipe, output, console, data=data, epochs=epochs)
        show_proof(result.proof, console)
        console.show(demo_table(result))
        if result.proof.firmware is not None:
            console.show(f"The firmware's console:\n{result.proof.firmware.console}")
        console.result(result.document())

    run(console, work)
