"""The ``ai8x`` command."""

from __future__ import annotations

from typing import Annotated

import typer

from ai8x_tool import __version__
from ai8x_tool.cli import (
    demo_command,
    evaluate,
    insert_identity,
    quantize,
    run_command,
    synthesize,
    train,
    verify_command,
)
from ai8x_tool.cli.list_command import list_resources
from ai8x_tool.streams import standard_streams

app = typer.Typer(
    name="ai8x",
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
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Neural networks for the MAX78000 and MAX78002: train → quantize → evaluate → synthesize."""


app.command(epilog=train.EPILOG)(train.train)
app.command(epilog=quantize.EPILOG)(quantize.quantize)
app.command(epilog=insert_identity.EPILOG)(insert_identity.insert_identity)
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(epilog=synthesize.EPILOG)(synthesize.synthesize)
app.command(epilog=verify_command.EPILOG)(verify_command.verify)
app.command(epilog=run_command.EPILOG)(run_command.run)
app.command("list")(list_resources)
app.command(epilog=demo_command.EPILOG)(demo_command.demo)


def main() -> None:
    """Run the command line."""
    with standard_streams():
        app()
