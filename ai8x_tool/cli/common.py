"""Output options and error handling of all commands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.option import Settings, option

if TYPE_CHECKING:
    from ai8x_tool.settings.evaluation import EvaluateSettings
    from ai8x_tool.settings.training import TrainSettings

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class MessageSettings(Settings):
    """Format and amount of a command's output."""

    panel: ClassVar[str] = "Messages"

    json: bool = option(False, "Print one JSON document on standard output.")
    quiet: bool = option(False, "Show errors and warnings only.", "--quiet", "-q")
    verbose: bool = option(False, "Show detailed messages.", "--verbose", "-v")


@dataclass(frozen=True, kw_only=True)
class FileSettings(Settings):
    """A settings file, which overrides the recipe and is overridden by the command line."""

    settings: Path | None = option(
        None, "File with options, for example the settings saved by an earlier run or in a project.", metavar="FILE"
    )


@dataclass(frozen=True, kw_only=True)
class SummarySettings(Settings):
    """Options that show or export the model instead of running it."""

    panel: ClassVar[str] = "Output"

    summary: str | None = option(
        None,
        "Show or export the model instead of running it: compute, model, modules, sparsity, onnx, onnx_simplified, "
        "png, png_simplified or png_w_params.",
        metavar="KIND",
    )
    summary_filename: str = option("model", "Name of the exported file, without its ending.", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class RecipeSettings(Settings):
    """A recipe, for commands whose arguments are files."""

    panel: ClassVar[str] = "Calibration samples"

    recipe: str | None = option(
        None, "Recipe that names dataset and model.", metavar="FILE|NAME", named_in="configs/recipes"
    )


def make_console(messages: MessageSettings) -> Console:
    """Return the console for the given output options."""
    return Console(verbosity=-1 if messages.quiet else int(messages.verbose), json_output=messages.json)


def guarded(console: Console, function: Callable[[], None]) -> None:
    """Call `function`. An error is shown as one line, with exit status 1; so is Ctrl-C, with exit status 130."""
    try:
        function()
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
    except (typer.Exit, typer.Abort):
        raise
    except BaseException as error:
        from ai8x_tool.plugins.load import plugin_fault

        fault = _out_of_memory(error) or plugin_fault(error)
        if fault is None and isinstance(error, SystemExit) and not error.code:  # with a code, it has printed its reason
            fault = Ai8xError("a library ended the program with sys.exit()")
        if fault is None:
            raise
        raise _failure(str(fault), console) from None


def _failure(text: str, console: Console) -> typer.Exit:
    """Show the error, with ``--json`` also as the JSON document, and return the exception that ends the command."""
    console.error(text)
    with suppress(OSError):
        console.result({"schema": "ai8x-error/1", "error": text})
    return typer.Exit(EXIT_FAILED)


def _out_of_memory(error: BaseException) -> Ai8xError | None:
    """Return the error for an out-of-memory exception of Python or torch, None for any other exception."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if named or "can't allocate memory" in str(error):
        return Ai8xError(
            "there is not enough memory", fix="reduce --batch-size, or --workers if loading the data takes the memory"
        )
    return None


def show_summary(settings: TrainSettings | EvaluateSettings, wanted: SummarySettings, console: Console) -> None:
    """Show or export the model as ``--summary`` requests."""
    from ai8x_tool.report.summaries import summarize

    summary = summarize(settings, str(wanted.summary).lower(), wanted.summary_filename, console)
    console.show(summary.view)
    if summary.file is not None:
        console.show(f"written: {summary.file}")
    console.result(summary.document)
