"""``ai8x quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.cli.common import RecipeSettings
from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.quantization import QuantizeSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.quantization import QuantizeResult


def _quantize(given: GivenOptions, console: Console) -> None:
    from ai8x_tool import api

    source, target = Path(given.get("source")), Path(given.get("target"))
    result = api.quantize(source, target, given.get("recipe"), console, **given.of(QuantizeSettings))
    _show(result, target, console)


def _show(result: QuantizeResult, target: Path, console: Console) -> None:
    from ai8x_tool.report.model_tables import quantization_table

    console.show(quantization_table(result.layers))
    console.show(f"quantized checkpoint: {target}")
    rows = [vars(layer) for layer in result.layers]
    console.result({"schema": "ai8x-quantize/1", "output": str(target), "layers": rows})


COMMAND = Command(
    _quantize,
    (QuantizeSettings, RecipeSettings),
    (
        Argument("source", "Trained checkpoint to quantize.", "INPUT"),
        Argument("target", "Quantized checkpoint to write.", "OUTPUT"),
    ),
    examples=(
        "ai8x quantize logs/latest/qat_best.pth.tar kws20_q.pth.tar",
        "ai8x quantize logs/latest/best.pth.tar mnist_q.pth.tar --calibrate 256 --recipe mnist",
    ),
)
