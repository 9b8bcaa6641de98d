"""Options of ``ai8x verify``: everything that ``ai8x synthesize`` takes, and what to verify with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.model import data_option
from ai8x_tool.settings.option import option
from ai8x_tool.settings.synthesis import INPUT, SynthesizeSettings

VERIFICATION = "Verification"


@dataclass(frozen=True, kw_only=True)
class VerifySettings(SynthesizeSettings):
    """What to verify: `samples` test samples of the dataset in `data`, or the known-answer sample of the program.

    `trained` is the checkpoint before quantization. `firmware` None runs the compiled program where that is possible.
    """

    panel: ClassVar[str] = VERIFICATION
    panels: ClassVar[tuple[str, ...]] = (VERIFICATION, INPUT, *SynthesizeSettings.panels)

    trained: Path | None = option(
        None, "Checkpoint before quantization; shows how far quantization moved each layer.", metavar="FILE"
    )
    samples: int | None = option(
        None,
        "Verify with this many samples of the test split.",
        "--samples",
        "-n",
        metavar="N",
        default="the sample of the known-answer test",
    )
    data: Path = data_option()
    firmware: bool | None = option(
        None,
        "Compile the project and run its firmware, too, or not.",
        "--firmware",
        default="if the packages for that are installed",
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.samples is not None and self.samples < 1:
            raise Ai8xError(f"samples {self.samples} must be at least 1")
