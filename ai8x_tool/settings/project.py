"""Options of ``ai8x run`` and ``ai8x demo``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.model import data_option
from ai8x_tool.settings.option import AT_LEAST_1, Settings, option


@dataclass(frozen=True, kw_only=True)
class RunProjectSettings(Settings):
    """Options of ``ai8x run``. `input` are samples that are run after the project's own."""

    panel: ClassVar[str] = "Run"

    input: tuple[Path, ...] = option(
        (),
        "Another sample (.npy), or an image, sound or table if the project knows how it becomes an input, to run after "
        "the project's own; may be given several times.",
        "--input",
        "-i",
        metavar="FILE",
        repeatable=True,
    )
    output_file: Path | None = option(
        None, "Save the outputs for these samples (.npy).", "--output-file", "-o", metavar="FILE"
    )
    host: bool = option(False, "Compile with this computer's C compiler: no emulation, no counts of instructions.")
    strict: bool = option(False, "Stop where the virtual device notices something suspicious.")

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.output_file is not None and not self.input:
            raise Ai8xError("--output-file saves the outputs for other samples", fix="give samples with --input")


@dataclass(frozen=True, kw_only=True)
class DemoSettings(Settings):
    """Options of ``ai8x demo``. `epochs` None leaves them to the recipe."""

    panel: ClassVar[str] = "Demo"

    output: Path = option(Path("build/demo"), "Folder for everything that is made.", "--output", "-o", metavar="FOLDER")
    data: Path = data_option()
    epochs: int | None = option(None, "Number of epochs.", metavar="N", default="that of the recipe", range=AT_LEAST_1)
