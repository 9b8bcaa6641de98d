"""``ai8x quantize``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai8x_tool.cli.common import Json, Quiet, Verbose, make_console, run
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.device import Device
    from ai8x_tool.quantization import QuantizeResult
    from ai8x_tool.quantization.quantize import Chooser

_POST = "Without quantization-aware training"
_SAMPLES = "Calibration samples"

EPILOG = (
    "Examples:  [bold]ai8x quantize logs/latest/qat_best.pth.tar kws20_q.pth.tar[/]\n\n"
    "[bold]ai8x quantize logs/latest/best.pth.tar mnist_q.pth.tar --calibrate 256 --recipe mnist[/]"
)


def quantize(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="Trained checkpoint.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Quantized checkpoint.", show_default=False)],
    device: Annotated[
        str | None, typer.Option("--device", help="MAX78000 (default) or MAX78002.", show_default=False)
    ] = None,
    config_file: Annotated[
        str | None,
        typer.Option("--config-file", "-c", help="Network description whose `quantization` keys take precedence."),
    ] = None,
    qat_weight_bits: Annotated[
        int | None, typer.Option("--qat-weight-bits", help="Bits where neither description nor checkpoint says any.")
    ] = None,
    compact: Annotated[
        bool, typer.Option("--compact", help="Store integers, not floats: a quarter of the size.")
    ] = False,
    clip_method: Annotated[
        str | None,
        typer.Option("--clip-method", help="AVGMAX, MAX, STDDEV or SCALE: ignore QAT.", rich_help_panel=_POST),
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", help="Factor of SCALE (0.85).", rich_help_panel=_POST)
    ] = None,
    stddev: Annotated[
        float | None, typer.Option("--stddev", help="Deviations of STDDEV (2.0).", rich_help_panel=_POST)
    ] = None,
    calibrate: Annotated[
        int | None,
        typer.Option(
            "--calibrate",
            metavar="N",
            help="Choose the integers of each layer by its error on N samples; better than all clip methods.",
            rich_help_panel=_POST,
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Recipe that names data set and model.", rich_help_panel=_SAMPLES)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Data set; its training part is used.", rich_help_panel=_SAMPLES)
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the data set (data).", rich_help_panel=_SAMPLES)
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Model, if not as in the checkpoint.", rich_help_panel=_SAMPLES)
    ] = None,
    calibration_input: Annotated[
        Path | None,
        typer.Option(
            "--calibration-input",
            help="Samples instead: .npy of integers, (N, C, H, W) or (N, C, L).",
            rich_help_panel=_SAMPLES,
        ),
    ] = None,
    avg_pool_rounding: Annotated[
        bool, typer.Option("--avg-pool-rounding", help="Average pooling rounds.", rich_help_panel=_SAMPLES)
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Quantize a trained checkpoint to integers; batch normalization of float checkpoints is folded."""
    console = make_console(json=json, quiet=quiet, verbose=verbose)

    def work() -> None:
        from ai8x_tool.device import find_device
        from ai8x_tool.quantization import quantize as quantize_file
        from ai8x_tool.resources import find_config

        given = {
            "count": calibrate,
            "dataset": dataset,
            "model": model,
            "device": device,
            "data": data,
            "inputs": calibration_input,
            "avg_pool_rounding": avg_pool_rounding or None,
        }
        part, chooser = find_device(device or "MAX78000"), None
        if calibrate is not None or calibration_input is not None:
            part, chooser = _calibration(recipe, given, console)
        elif recipe or any(given[key] for key in ("dataset", "model", "data", "avg_pool_rounding")):
            raise Ai8xError("options of calibration samples need --calibrate N")
        console.info(f"quantizing {source} for the {part.name}")
        result = quantize_file(
            source,
            target,
            part,
            console,
            network=None if config_file is None else find_config("networks", config_file),
            default_bits=qat_weight_bits,
            compact=compact,
            clipping=_clipping(clip_method, scale, stddev, console),
            calibration=chooser,
        )
        _show(result, target, console)

    run(console, work)


def _calibration(recipe: str | None, given: dict[str, Any], console: Console) -> tuple[Device, Chooser]:
    """Return the part, which a recipe may name, and what chooses the integers."""
    from ai8x_tool.device import find_device
    from ai8x_tool.quantization.samples import CalibrationSettings, calibration
    from ai8x_tool.settings.resolve import resolve

    settings = resolve(CalibrationSettings, "quantize", recipe, None, given)
    return find_device(settings.device), calibration(settings, console)


def _clipping(method: str | None, scale: float | None, stddev: float | None, console: Console) -> Any:
    from ai8x_tool.quantization.rules import Clipping

    if method is None:
        if scale is not None or stddev is not None:
            raise Ai8xError("--scale and --stddev need --clip-method")
        return None
    name = method.upper()
    if name not in ("AVGMAX", "MAX", "STDDEV", "SCALE"):
        raise Ai8xError(f"clip method {method!r} does not exist", fix="use AVGMAX, MAX, STDDEV or SCALE")
    if name == "SCALE" and not scale:
        console.warn("no --scale: 0.85 is used")
    if name == "STDDEV" and not stddev:
        console.warn("no --stddev: 2.0 is used")
    return Clipping(name, scale or 0.85, stddev or 2.0)  # type: ignore[arg-type]


def _show(result: QuantizeResult, target: Path, console: Console) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("weights", no_wrap=True)
    for title in ("bits", "output shift", "largest", "at the limits"):
        table.add_column(title, justify="right")
    for layer in result.layers:
        shift = "–" if layer.output_shift is None else f"{layer.output_shift:.0f}"
        table.add_row(layer.key, str(layer.bits), shift, f"{layer.largest:.4f}", f"{100 * layer.saturated:.2f} %")
    console.show(table)
    console.show(f"quantized checkpoint: {target}")
    rows = [vars(layer) for layer in result.layers]
    console.result({"schema": "ai8x-quantize/1", "output": str(target), "layers": rows})
