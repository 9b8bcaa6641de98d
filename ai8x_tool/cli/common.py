"""What all commands share: output options, and errors as one line with an exit status."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.settings import EvaluateSettings, TrainSettings

OUTPUT_PANEL = "Messages"

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output.", rich_help_panel=OUTPUT_PANEL)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong.", rich_help_panel=OUTPUT_PANEL)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.", rich_help_panel=OUTPUT_PANEL)]

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130

Result = TypeVar("Result")


def option(*names: str, panel: str, help: str) -> Any:  # noqa: A002  (typer's name)
    """Return an option of `panel` whose default is decided later, by recipe and settings."""
    return typer.Option(*names, rich_help_panel=panel, help=help, show_default=False)


def make_console(*, json: bool, quiet: bool, verbose: bool) -> Console:
    """Return the console that the output options ask for."""
    return Console(verbosity=-1 if quiet else int(verbose), json_output=json)


def warn_without_effect(flags: dict[str, Any], names: tuple[str, ...], console: Console) -> None:
    """Name in one warning the given options that do nothing; scripts that are quiet know."""
    given = [name for name in names if flags.get(name) is not None]
    shown = [("--no-" if flags[name] is False else "--") + name.replace("_", "-") for name in given]
    if shown and console.verbosity >= 0:
        console.warn(f"without effect: {', '.join(shown)}")


def run(console: Console, function: Callable[[], Result]) -> Result:
    """Call `function`; a user's error becomes one line and exit status 1, Ctrl-C one line and 130."""
    try:
        return function()
    except Ai8xError as error:
        raise _failure(str(error), console) from None
    except KeyboardInterrupt as stop:
        console.error(str(stop) or "interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(EXIT_FAILED) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _failure(f"{where}{error.strerror or error}", console) from None
    except Exception as error:
        from ai8x_tool.plugins.load import plugin_fault

        fault = _out_of_memory(error) or plugin_fault(error)
        if fault is None:
            raise
        raise _failure(str(fault), console) from None


def _failure(text: str, console: Console) -> typer.Exit:
    """Say what went wrong, also as the one document of ``--json``, and return how to end."""
    console.error(text)
    with suppress(OSError):
        console.result({"schema": "ai8x-error/1", "error": text})
    return typer.Exit(EXIT_FAILED)


def _out_of_memory(error: Exception) -> Ai8xError | None:
    """Return the line for an exception of Python or torch that says there is no memory left; None for others."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if named or "can't allocate memory" in str(error):
        return Ai8xError("there is not enough memory", fix="lower --batch-size or, for data, --workers")
    return None


def show_summary(settings: TrainSettings | EvaluateSettings, kind: str, filename: str | None, console: Console) -> None:
    """Do what ``--summary`` asks for."""
    from ai8x_tool.report.summaries import summarize

    summary = summarize(settings, kind.lower(), filename or "model", console)
    console.show(summary.view)
    if summary.file is not None:
        console.show(f"written: {summary.file}")
    console.result(summary.document)
