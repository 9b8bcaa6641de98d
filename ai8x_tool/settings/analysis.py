"""Options of ``ai8x analyze``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.device import DEVICES, Device, find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.hardware import divider_option, pipeline_option, pll_option
from ai8x_tool.settings.model import adapt_option
from ai8x_tool.settings.option import AT_LEAST_1, Settings, option
from ai8x_tool.settings.program import fast_fifo_option, fifo_option
from ai8x_tool.settings.synthesis import CHECKPOINTS, html_option, overlap_option, search_option

SUBJECT, RUN, REPORT = "Network", "Devices and clocks", "Report"
BOTH = "both"
_MOST_VALUES = 1 << 26
"""Numbers of one input that can be computed with."""


@dataclass(frozen=True, kw_only=True)
class SubjectSettings(Settings):
    """What is not known about a network before it is trained."""

    panel: ClassVar[str] = SUBJECT

    dataset: str | None = option(
        None,
        "Dataset that determines the shape of the input and the number of classes.",
        metavar="DATASET",
        default="that of the recipe or the network description",
    )
    input: str | None = option(
        None,
        "Shape of one sample, channels first: 3x64x64, or 128x128 for 1D data.",
        metavar="CxHxW",
        default="that of the dataset",
    )
    classes: int | None = option(
        None,
        "Number of classes.",
        metavar="N",
        default="that of the dataset, else the model's own default",
        range=AT_LEAST_1,
    )
    model: str | None = option(
        None, "Name of the model, where a file contains several.", "--model", metavar="MODEL", default="the only one"
    )
    use_bias: bool = option(False, "Give the layers biases, where the model leaves that open.")
    adapt: bool = adapt_option()
    qat_policy: str | None = option(
        None,
        "Policy of quantization-aware training, which determines the weight bits of a model's layers: a file, or a "
        "name in configs/qat.",
        metavar="FILE|NAME",
        default="that of the recipe, else 8 bits",
        named_in="configs/qat",
    )
    checkpoint: Path | None = option(
        None,
        "Quantized checkpoint from which sizes and weight bits are taken where the network description does not "
        "specify them: a file, or a name in models/checkpoints.",
        "--checkpoint",
        aliases=("--checkpoint-file",),
        metavar="FILE|NAME",
        default="that of the recipe",
        named_in=CHECKPOINTS,
    )


@dataclass(frozen=True, kw_only=True)
class ClockSettings(Settings):
    """Devices and clocks that the network is analyzed for."""

    panel: ClassVar[str] = RUN

    device: str = option(
        BOTH,
        "Device: MAX78000, MAX78002 or both; short forms such as 78000 and 85 are understood.",
        "--device",
        metavar="DEVICE",
        default="that of the recipe, else both",
    )
    pipeline: bool | None = pipeline_option()
    pll: bool | None = pll_option()
    clock_divider: int | None = divider_option()
    fifo: bool = fifo_option()
    fast_fifo: bool = fast_fifo_option()
    overlap_data: bool = overlap_option()
    map_seconds: float = search_option()

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        _ = self.devices

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices that were asked for."""
        return DEVICES if self.device.lower() == BOTH else (find_device(self.device),)


@dataclass(frozen=True, kw_only=True)
class AnalyzeSettings(ClockSettings, SubjectSettings):
    """All options of ``ai8x analyze``."""

    panels: ClassVar[tuple[str, ...]] = (SUBJECT, RUN, REPORT)

    html: Path | None = html_option(panel=REPORT)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The shape that was given, channels first; None if none was. Raises Ai8xError for what is no shape."""
        if self.input is None:
            return None
        try:
            shape = tuple(int(part) for part in self.input.lower().replace("×", "x").split("x"))
        except ValueError:
            shape = ()
        if len(shape) not in (1, 2, 3) or min(shape) < 1 or math.prod(shape) > _MOST_VALUES:
            raise Ai8xError(f"input {self.input!r} must be a shape such as 3x64x64 or 128x128")
        return shape
