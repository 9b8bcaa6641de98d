"""``ai8x insert-identity``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ai8x_tool.cli.common import Json, Quiet, Verbose, make_console, run

EPILOG = (
    "Example:  [bold]ai8x insert-identity camvid-q.pth.tar camvid-pt-q.pth.tar "
    "--layer-name pt --layer-depth 56 --insert-before upconv3[/]"
)


def insert_identity(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Quantized checkpoint.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Checkpoint to write.", show_default=False)],
    name: Annotated[str, typer.Option("--layer-name", help="Name of the new layer.", show_default=False)],
    channels: Annotated[int, typer.Option("--layer-depth", help="Its channels.", show_default=False)],
    before: Annotated[str, typer.Option("--insert-before", help="The layer that follows it.", show_default=False)],
    low_memory: Annotated[bool, typer.Option("--low-memory", help="2-bit instead of 8-bit weights.")] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Insert a 1×1 convolution that passes its input on, where a network description has one that the model has not."""
    console = make_console(json=json, quiet=quiet, verbose=verbose)

    def work() -> None:
        from ai8x_tool.quantization.identity import IdentityLayer
        from ai8x_tool.quantization.identity import insert_identity as insert

        insert(source, target, IdentityLayer(name, channels, before, low_memory))
        console.show(f"layer {name!r} of {channels} channels inserted in front of {before!r}: {target}")
        console.result({"schema": "ai8x-insert-identity/1", "output": str(target), "layer": name})

    run(console, work)
