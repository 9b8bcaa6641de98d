"""8-bit-mode accuracy of all methods of post-training quantization, by width of the weights, as a Markdown table.

python scripts/bench_clipping.py logs/latest/best.pth.tar --dataset MNIST [--samples 10000] [--calibrate 256]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from ai8x_tool.console import Console
from ai8x_tool.device import find_device
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.quantization import quantize
from ai8x_tool.quantization.rules import Clipping
from ai8x_tool.quantization.samples import calibration
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.quantization import CalibrationSettings
from ai8x_tool.training.evaluation import prepare_model
from ai8x_tool.training.passes import Evaluator, Selection

METHODS = ("AVGMAX", "MAX", "STDDEV", "SCALE")
PLAIN, CALIBRATED = "none (MAX_BIT_SHIFT)", "`--calibrate`"


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="float checkpoint")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--device", default="MAX78000")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 2])
    parser.add_argument("--samples", type=int, default=10_000, help="test samples, drawn with a fixed seed")
    parser.add_argument("--calibrate", type=int, default=256, help="training samples for --calibrate")
    parser.add_argument("--use-bias", action="store_true")
    return parser.parse_args()


class Bench:
    """One checkpoint, quantized in every way and run on the same test samples."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.console = options, Console(verbosity=-1, muted=True)
        self.entry = find_dataset(options.dataset)
        test = self.entry.load(options.data, self.console).test
        order = torch.randperm(len(test), generator=torch.Generator().manual_seed(1))[: options.samples]
        self.test = Selection(test, order.sort().values)

    def accuracy(self, checkpoint: Path, *, simulate: bool) -> float:
        """Return the percentage of test samples that are classified correctly."""
        settings = EvaluateSettings(
            dataset=self.options.dataset,
            checkpoint=checkpoint,
            device=self.options.device,
            data=self.options.data,
            simulate=simulate,
            use_bias=self.options.use_bias,
        )
        ready = prepare_model(settings, self.entry, self.console)
        console = self.console
        evaluator = Evaluator(ready.model, ready.task, ready.device, settings.batch_size, console, line=console.detail)
        return evaluator.measure(self.test, "test").metrics["top1"]

    def quantized(self, method: str, bits: int) -> float:
        """Quantize all layers to `bits` with `method` and return the accuracy of the result."""
        options, device = self.options, find_device(self.options.device)
        chooser = None
        if method == CALIBRATED:
            wanted = CalibrationSettings(
                calibrate=options.calibrate, dataset=options.dataset, device=options.device, data=options.data
            )
            chooser = calibration(wanted, self.console)
        clipping = Clipping(method) if method in METHODS else None  # type: ignore[arg-type]
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "q.pth.tar"
            quantize(
                options.checkpoint,
                target,
                device,
                self.console,
                default_bits=bits,
                clipping=clipping,
                calibration=chooser,
            )
            return self.accuracy(target, simulate=True)


def main() -> None:
    """Print the table."""
    options = arguments()
    bench = Bench(options)
    print(f"{options.dataset}, {len(bench.test)} test samples, {options.calibrate} calibration samples;", end=" ")
    print(f"float: {bench.accuracy(options.checkpoint, simulate=False):.2f} %\n")
    print("| Method | " + " | ".join(f"{bits} bits" for bits in options.bits) + " |")
    print("|---|" + "---:|" * len(options.bits))
    for method in (*METHODS, PLAIN, CALIBRATED):
        row = [f"{bench.quantized(method, bits):.2f}" for bits in options.bits]
        print(f"| {method} | " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
