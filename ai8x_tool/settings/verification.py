"""Options of ``ai8x verify``: those of ``ai8x synthesize``, and what to verify with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.settings.model import data_option
from ai8x_tool.settings.option import AT_LEAST_1, Settings, option
from ai8x_tool.settings.synthesis import SynthesizeSettings

VERIFICATION = "Verification"


@dataclass(frozen=True, kw_only=True)
class ChainSettings(Settings):
    """What to verify with: `samples` test samples of the dataset in `data`, or the program's known-answer sample.

    `trained` is the checkpoint before quantization, `float_checkpoint` that before quantization-aware training.
    `firmware` None runs the compiled program where that is possible.
    """

    panel: ClassVar[str] = VERIFICATION

    trained: Path | None = option(
        None, "Checkpoint before quantization, to show how much quantization changed each layer.", metavar="FILE"
    )
    float_checkpoint: Path | None = option(
        None,
        "Checkpoint before quantization-aware training, to show how far each layer is from the floating-point model.",
        metavar="FILE",
    )
    samples: int | None = option(
        None,
        "Number of samples of the test split to verify with.",
        "--samples",
        "-n",
        metavar="N",
        default="the sample of the known-answer test",
        range=AT_LEAST_1,
    )
    data: Path = data_option()
    firmware: bool | None = option(
        None,
        "Compile the project and run its firmware, or leave that out.",
        "--firmware",
        default="run it if the required packages are installed",
    )


@dataclass(frozen=True, kw_only=True)
class VerifySettings(ChainSettings, SynthesizeSettings):
    """All options of ``ai8x verify``. Nothing is written; `check` is a project that must be what is verified."""

    panels: ClassVar[tuple[str, ...]] = (VERIFICATION, *SynthesizeSettings.panels)

    @property
    def uses_riscv(self) -> bool:
        """True if the project runs on the RISC-V core, which alone can write the fast FIFO."""
        return self.riscv or self.riscv_debug or self.riscv_exclusive or self.fast_fifo or self.fast_fifo_quad
