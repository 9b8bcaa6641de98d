"""Console output of commands: messages on standard error, results on standard output."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console as RichConsole
from rich.text import Text

from ai8x_tool.text import counted, from_here, one_line, printable


class Lines(Protocol):
    """A table that can be printed at any width."""

    def lines(self, width: int | None = None, *, plain: bool = False) -> Iterable[tuple[str, bool]]:
        """Return the lines, and whether each is a heading, for a `width` or without limit; with `plain` in ASCII."""


class Progress(Protocol):
    """A running progress display."""

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        """Count `steps` more as done, and replace the text next to the bar by `note` if it is given."""


def json_text(document: Mapping[str, Any]) -> str:
    """Return a result as JSON; numbers that JSON cannot represent (the loss of a diverged training) become null."""
    try:
        return json.dumps(document, indent=1, allow_nan=False) + "\n"
    except ValueError:
        return json.dumps(_with_nulls(document), indent=1) + "\n"


def _with_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _with_nulls(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_with_nulls(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass
class _Silent:
    def advance(self, steps: int = 1, note: str | None = None) -> None:
        pass


@dataclass
class _Bar:
    progress: Any
    task: Any

    def advance(self, steps: int = 1, note: str | None = None) -> None:
        if note is not None:
            self.progress.update(self.task, note=note)
        self.progress.advance(self.task, steps)


class PlainText(RichConsole):
    """A console that prints text unchanged: no markup, emoji codes or control characters, not even in tables."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return `text` as a rich text; rich calls this for everything that it prints."""
        return super().render_str(printable(text), **options)


@contextmanager
def _named_output() -> Iterator[None]:
    """Add the name of the stream to errors in writing results."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


_PLAIN_WIDTH = 120


def _for_results() -> RichConsole:
    console = PlainText()
    return console if console.is_terminal else PlainText(width=_PLAIN_WIDTH)


@dataclass
class Console:
    """Messages of one command. `verbosity`: -1 errors and warnings, 0 normal, 1 and more details.

    With `json_output`, standard output is exactly one JSON document, written by :meth:`result`; a `muted` console shows
    no warnings either. `log` receives every message, even if it is not shown.
    """

    verbosity: int = 0
    json_output: bool = False
    muted: bool = False
    out: RichConsole = field(default_factory=_for_results)
    err: RichConsole = field(default_factory=lambda: PlainText(stderr=True))
    warnings: list[str] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    log: Callable[[str], None] | None = None
    pending: dict[str, list[str]] = field(default_factory=dict)

    def info(self, text: str, *, once: bool = False) -> None:
        """Show a message about progress; with `once`, only the first time."""
        if once and text in self.shown:
            return
        self.shown.add(text)
        self._record(text)
        if self.verbosity >= 0:
            self._print(text)

    def detail(self, text: str) -> None:
        """Show a detail, with -v only."""
        self._record(text)
        if self.verbosity >= 1:
            self._print(text, style="dim")

    def warn(self, text: str, kind: str | None = None) -> None:
        """Show a warning once about something that works but is probably unintended.

        Of consecutive warnings of one `kind`, one is shown with the number of the others; with -v, all are shown.
        """
        if text in self.warnings or self.muted:
            return
        self.warnings.append(text)
        self._record(f"warning: {text}")
        if kind is None or self.verbosity >= 1:
            self._warn(text)
        else:
            self.pending.setdefault(kind, []).append(text)

    def _warn(self, text: str) -> None:
        self._print(Text.assemble(("warning:", "yellow"), f" {one_line(from_here(text))}"))

    def flush(self) -> None:
        """Show warnings that are pending until others of their kind arrive."""
        pending, self.pending = self.pending, {}
        for text, *others in pending.values():
            more = f" – and {counted(len(others), 'other')} like this (-v shows them)" if others else ""
            self._warn(f"{text}{more}")

    def error(self, text: str) -> None:
        """Print the one line that explains a failure."""
        self._print(Text.assemble(("error:", "bold red"), f" {one_line(from_here(text))}"))

    def _print(self, text: str | Text, style: str | None = None) -> None:
        """Print a message. Errors are ignored, since only results must not be lost."""
        if self.pending:
            self.flush()
        text = from_here(text) if isinstance(text, str) else text
        with suppress(OSError):
            self.err.print(text, soft_wrap=True, style=style)

    def _record(self, text: str) -> None:
        if self.log is not None:
            self.log(text)

    def show(self, result: str | Lines) -> None:
        """Print a human-readable result (a table or a line), unless `--json` or `-q` is given."""
        self.flush()
        if self.json_output or self.verbosity < 0:
            return
        with _named_output():
            if isinstance(result, str):
                self.out.print(result, soft_wrap=True)
                return
            plain = not self.out.encoding.lower().replace("-", "").startswith("utf")
            for text, heading in result.lines(self.out.width if self.out.is_terminal else None, plain=plain):
                self.out.print(Text(printable(text), "bold" if heading else ""), soft_wrap=True)

    def result(self, document: dict[str, Any]) -> None:
        """Print the machine-readable result if `--json` is given."""
        self.flush()
        if self.json_output:
            with _named_output():
                sys.stdout.write(json_text(document))
                sys.stdout.flush()

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Progress]:
        """Show a progress bar on a terminal; otherwise, nothing is shown (callers print lines of their own)."""
        if self.verbosity < 0 or not self.err.is_terminal:
            yield _Silent()
            return
        from rich.progress import (  # noqa: PLC0415  (terminals only)
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with RichProgress(*columns, console=self.err, transient=True) as bar:
            yield _Bar(bar, bar.add_task(title, total=total, note=""))
