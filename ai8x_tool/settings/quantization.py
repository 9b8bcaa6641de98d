"""Options of ``ai8x quantize`` and ``ai8x insert-identity``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.model import data_option, device_option, rounding_option
from ai8x_tool.settings.option import ABOVE_0, AT_LEAST_1, Range, Settings, option, required

SAMPLES = "Calibration samples"


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(Settings):
    """Source of the calibration samples: `calibrate` training samples of `dataset`, or `calibration_input`.

    The file holds integers −128…127, (N, C, H, W) or (N, C, L), of which the first `calibrate` are used. Without
    `model` the checkpoint's own is built.
    """

    panel: ClassVar[str] = SAMPLES

    calibrate: int | None = option(
        None,
        "Choose the integers of each layer by its error on N samples, which is more accurate than any clip method.",
        metavar="N",
        panel="Without quantization-aware training",
        range=AT_LEAST_1,
    )
    dataset: str | None = option(None, "Dataset whose training samples are used.", metavar="DATASET")
    data: Path = data_option()
    model: str | None = option(None, "Name of the model.", metavar="MODEL", default="that of the checkpoint")
    calibration_input: Path | None = option(
        None, "File (.npy) with integer samples to use instead, (N, C, H, W) or (N, C, L).", metavar="FILE"
    )
    avg_pool_rounding: bool = rounding_option()
    device: str = device_option(panel="Quantization")

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.calibrates and self.dataset is None and self.calibration_input is None:
            fix = "name a recipe (--recipe), a dataset (--dataset) or a file (--calibration-input)"
            raise Ai8xError("--calibrate needs samples", fix=fix)

    @property
    def calibrates(self) -> bool:
        """True if samples choose the integers."""
        return self.calibrate is not None or self.calibration_input is not None


@dataclass(frozen=True, kw_only=True)
class ClippingSettings(Settings):
    """Clip methods for checkpoints without quantization-aware training."""

    panel: ClassVar[str] = "Without quantization-aware training"

    clip_method: Literal["AVGMAX", "MAX", "STDDEV", "SCALE"] | None = option(
        None, "Clip the weights by this method, ignoring the choices of quantization-aware training."
    )
    scale: float | None = option(None, "Factor of the method SCALE.", default="0.85", range=ABOVE_0)
    stddev: float | None = option(
        None, "Number of standard deviations of the method STDDEV.", default="2.0", range=ABOVE_0
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.clip_method is None and (self.scale is not None or self.stddev is not None):
            raise Ai8xError("--scale and --stddev need --clip-method")


@dataclass(frozen=True, kw_only=True)
class QuantizeSettings(ClippingSettings, CalibrationSettings):
    """All options of ``ai8x quantize``. The network description of a recipe is not `config_file`."""

    panel: ClassVar[str] = "Quantization"
    panels: ClassVar[tuple[str, ...]] = ("Quantization", "Without quantization-aware training", SAMPLES)

    config_file: str | None = option(
        None,
        "Network description whose `quantization` keys take precedence: a file, or a name in configs/networks.",
        "--config-file",
        "-c",
        aliases=("--network",),
        metavar="FILE|NAME",
        named_in="configs/networks",
    )
    qat_weight_bits: int | None = option(
        None,
        "Weight bits of layers for which neither the description nor the checkpoint specifies them.",
        metavar="BITS",
        default="8",
        range=Range(values=(1, 2, 4, 8)),
    )
    compact: bool = option(False, "Store integers instead of floating-point numbers: a quarter of the size.")

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        samples = self.dataset or self.model or self.data != Path("data") or self.avg_pool_rounding
        if samples and not self.calibrates:
            raise Ai8xError(
                "options for calibration samples need --calibrate", fix="add --calibrate N, or leave them out"
            )


@dataclass(frozen=True, kw_only=True)
class IdentitySettings(Settings):
    """Options of ``ai8x insert-identity``."""

    panel: ClassVar[str] = "Inserted layer"

    layer_name: str = required("Name of the new layer.", "--layer-name", metavar="NAME")
    layer_depth: int = required(
        "Number of channels of the new layer.", "--layer-depth", metavar="CHANNELS", range=Range(1, 1024)
    )
    insert_before: str = required("Name of the layer that follows the new one.", "--insert-before", metavar="NAME")
    low_memory: bool = option(False, "Use 2-bit instead of 8-bit weights.")
