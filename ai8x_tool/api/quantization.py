"""Quantization."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.calls import from_checkpoint
from ai8x_tool.settings.quantization import QuantizeSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.quantization import QuantizeResult
    from ai8x_tool.quantization.rules import Clipping


@from_checkpoint(QuantizeSettings)
def quantize(source: Path, target: Path, settings: QuantizeSettings, console: Console) -> QuantizeResult:
    """Quantize the trained checkpoint `source` and write it to `target`, folding batch normalization if necessary."""
    from ai8x_tool.device import find_device
    from ai8x_tool.quantization import quantize
    from ai8x_tool.quantization.samples import calibration
    from ai8x_tool.resources import find_config

    device, network = find_device(settings.device), settings.config_file
    console.info(f"quantizing {source} for the {device.name}")
    return quantize(
        source,
        target,
        device,
        console,
        network=None if network is None else find_config("networks", network),
        default_bits=settings.qat_weight_bits,
        compact=settings.compact,
        clipping=_clipping(settings, console),
        calibration=calibration(settings, console) if settings.calibrates else None,
    )


def _clipping(settings: QuantizeSettings, console: Console) -> Clipping | None:
    from ai8x_tool.quantization.rules import Clipping

    method, scale, stddev = settings.clip_method, settings.scale, settings.stddev
    if method is None:
        return None
    if method == "SCALE" and not scale:
        console.warn("--scale is not given: 0.85 is used")
    if method == "STDDEV" and not stddev:
        console.warn("--stddev is not given: 2.0 is used")
    return Clipping(method, scale or 0.85, stddev or 2.0)
