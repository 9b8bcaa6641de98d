"""Options of ``ai8x run``, ``ai8x flash``, ``ai8x monitor`` and ``ai8x demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.model import data_option
from ai8x_tool.settings.option import ABOVE_0, AT_LEAST_1, Settings, option


@dataclass(frozen=True, kw_only=True)
class RunProjectSettings(Settings):
    """Options of ``ai8x run``. `input` are samples that are run after the project's own."""

    panel: ClassVar[str] = "Run"

    input: tuple[Path, ...] = option(
        (),
        "Another input to run after the project's own: an array (.npy) of integers −128 … 127, bytes 0 … 255 or "
        "numbers −1 … 1, an image or, if the project contains its preprocessing, a sound or table; can be repeated.",
        "--input",
        "-i",
        metavar="FILE",
        repeatable=True,
    )
    output_file: Path | None = option(
        None, "Save the outputs for these inputs (.npy).", "--output-file", "-o", metavar="FILE"
    )
    host: bool = option(
        False, "Compile with this computer's C compiler instead of emulating the core; instructions are not counted."
    )
    strict: bool = option(False, "Stop when the virtual device detects something suspicious.")

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.output_file is not None and not self.input:
            raise Ai8xError("--output-file needs --input, whose outputs it saves", fix="add --input FILE")


@dataclass(frozen=True, kw_only=True)
class FlashSettings(Settings):
    """Options of ``ai8x flash``."""

    panel: ClassVar[str] = "Board"

    build: bool = option(True, "Write the existing program to the board without building it again.")
    openocd: str | None = option(
        None, "OpenOCD executable.", metavar="FILE", default="the one in the MSDK, else the installed one"
    )


@dataclass(frozen=True, kw_only=True)
class MonitorSettings(Settings):
    """Options of ``ai8x monitor``."""

    panel: ClassVar[str] = "Serial port"

    port: Path | None = option(None, "Serial port of the board.", metavar="PORT", default="the only one connected")
    seconds: float = option(30.0, "Time limit for the known-answer test, in seconds.", metavar="X", range=ABOVE_0)


@dataclass(frozen=True, kw_only=True)
class DemoSettings(Settings):
    """Options of ``ai8x demo``. `epochs` None leaves them to the recipe."""

    panel: ClassVar[str] = "Demo"

    output: Path = option(Path("build/demo"), "Folder for all results.", "--output", "-o", metavar="FOLDER")
    data: Path = data_option()
    epochs: int | None = option(None, "Number of epochs.", metavar="N", default="that of the recipe", range=AT_LEAST_1)
