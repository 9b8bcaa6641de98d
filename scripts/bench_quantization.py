"""8-bit accuracy with fixed and with measured activation ranges, for weights of several widths, as a Markdown table.

For every recipe and scheme the floating-point phase is trained once; every width then continues from its end, as an
uninterrupted run would. Accuracies are of the test set: of the best floating-point epoch, of the best QAT epoch, and of
its quantized checkpoint in 8-bit mode.

    python scripts/bench_quantization.py mnist --epochs 5 --start 3
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import yaml

from ai8x_tool.console import Console
from ai8x_tool.device import find_device
from ai8x_tool.nn import read_policy
from ai8x_tool.quantization import quantize
from ai8x_tool.resources import find_config
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.logs import RunLog
from ai8x_tool.training.passes import Selection
from ai8x_tool.training.results import TrainResult
from ai8x_tool.training.setup import prepare
from ai8x_tool.training.trainer import Trainer

Scheme = Literal["fixed", "measured"]
SCHEMES: tuple[Scheme, ...] = ("fixed", "measured")
QUIET = Console(verbosity=-1)


@dataclass(frozen=True)
class Row:
    """Test accuracies in percent."""

    recipe: str
    scheme: Scheme
    seed: int
    bits: int
    floating: float
    qat: float
    integers: float

    def text(self) -> str:
        """Return the row of the table."""
        values = f"{self.floating:.2f} | {self.qat:.2f} | {self.integers:.2f}"
        return f"| {self.recipe} | {self.scheme} | {self.seed} | {self.bits} | {values} |"


def main() -> None:
    """Measure and print, row by row."""
    arguments = _arguments()
    print("| recipe | activation ranges | seed | weight bits | float | QAT | 8-bit |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for recipe in arguments.recipes:
            for seed in range(arguments.seeds):
                for scheme in SCHEMES:
                    for row in measure(recipe, scheme, seed, arguments, Path(folder)):
                        print(row.text(), flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the datasets")
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 2])
    parser.add_argument("--epochs", type=int, help="all epochs (the recipe's)")
    parser.add_argument("--start", type=int, help="first QAT epoch (the recipe's)")
    parser.add_argument("--samples", type=int, help="train with so many samples only (all)")
    parser.add_argument("--z-score", type=float, help="outlier_removal_z_score (the policy's)")
    parser.add_argument("--seeds", type=int, default=1, help="repeat with so many seeds (1)")
    return parser.parse_args()


def measure(recipe: str, scheme: Scheme, seed: int, arguments: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Train `recipe` with one scheme and yield a row for every width."""
    given = {"data": arguments.data, "out_dir": folder / scheme, "seed": seed, "activation_ranges": scheme}
    given |= {} if arguments.epochs is None else {"epochs": arguments.epochs}
    settings = resolve(TrainSettings, "train", recipe, None, given)
    policy = read_policy(find_config("qat", str(settings.qat_policy)))
    start = policy.start_epoch if arguments.start is None else arguments.start
    z_score = policy.z_score if arguments.z_score is None else arguments.z_score
    floating = _train(replace(settings, epochs=start, qat_policy=None, name="float"), arguments.samples)
    for bits in arguments.bits:
        path = folder / f"{bits}.yaml"
        content = {"start_epoch": start, "weight_bits": bits, "outlier_removal_z_score": z_score}
        path.write_text(yaml.safe_dump(content))
        options = {"qat_policy": str(path), "resume_from": floating.checkpoint, "name": f"bits{bits}"}
        trained = _train(replace(settings, **options), arguments.samples)  # type: ignore[arg-type]
        file = trained.folder / "q.pth.tar"
        quantize(trained.best_checkpoint, file, find_device(settings.device), QUIET)
        yield Row(
            *(recipe, scheme, seed, bits),
            floating=_accuracy(settings, floating.best_checkpoint),
            qat=_accuracy(settings, trained.best_checkpoint),
            integers=_accuracy(settings, file, simulate=True),
        )


def _train(settings: TrainSettings, samples: int | None) -> TrainResult:
    setup, log = prepare(settings, QUIET), RunLog(settings.out_dir, settings.name, QUIET)
    setup.training = Selection(setup.training.split, setup.training.indices[:samples])
    try:
        return Trainer(setup, log).run()
    finally:
        log.close()


def _accuracy(settings: TrainSettings, checkpoint: Path, *, simulate: bool = False) -> float:
    options = EvaluateSettings(
        dataset=settings.dataset,
        checkpoint=checkpoint,
        model=settings.model,
        device=settings.device,
        data=settings.data,
        simulate=simulate,
        engine=False,
        cpu=True,
    )
    return evaluate(options, QUIET).score.metrics["top1"]


if __name__ == "__main__":
    main()
