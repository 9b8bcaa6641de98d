"""The complete workflow in one call: train → quantize → evaluate → synthesize → verify, and a table of results."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai8x_tool import api
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.report.columns import Table, table_of
from ai8x_tool.settings.project import DemoSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.training.agreement import Agreement
from ai8x_tool.training.evaluation import EvaluateResult
from ai8x_tool.verification.chain import Verification

_VERIFIED_SAMPLES = 20
"""Number of test samples for which every link of the chain is verified."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Results of the demo. Accuracies are those of the test set; `agreement` compares torch with the integer engine."""

    recipe: str
    folder: Path
    project: Path
    quantized: Path
    float_model: EvaluateResult
    qat_model: EvaluateResult
    quantized_model: EvaluateResult
    agreement: Agreement
    synthesis: Synthesis
    verification: Verification
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "schema": "ai8x-demo/1",
            "recipe": self.recipe,
            "dataset": self.quantized_model.dataset,
            "note": self.quantized_model.note,
            "test_samples": self.agreement.samples,
            **{f"float_{name}": value for name, value in self.float_model.score.metrics.items()},
            **{f"qat_{name}": value for name, value in self.qat_model.score.metrics.items()},
            **{f"quantized_{name}": value for name, value in self.quantized_model.score.metrics.items()},
            "agreement": self.agreement.document(),
            "statistics": self.synthesis.statistics.document(),
            "proof": self.verification.document(),
            "logs": str(self.folder),
            "project": str(self.project),
            "seconds": round(self.seconds, 1),
        }


def run_demo(recipe: str, settings: DemoSettings, console: Console) -> DemoResult:
    """Run all five stages of `recipe`; all files are in `settings.output`, the dataset's cache is in `settings.data`.

    Raises Ai8xError if a stage fails, and if a link of the chain is broken.
    """
    began, data, project = time.monotonic(), settings.data, settings.output / "project"
    options: dict[str, Any] = {"data": data, "out_dir": settings.output / "logs"}
    options |= {} if settings.epochs is None else {"epochs": settings.epochs}
    training = resolve(TrainSettings, "train", recipe, given=options)
    resolve(SynthesizeSettings, "synthesize", recipe)  # raises an error for a recipe without network
    console.info(f"\n[1/5] ai8x train {recipe} --out-dir {training.out_dir}")
    trained = api.train(training, console=console)
    quantized = trained.folder / "qat_best-q.pth.tar"
    console.info(f"\n[2/5] ai8x quantize {trained.best_checkpoint} {quantized}")
    api.quantize(trained.best_checkpoint, quantized, console=console, device=training.device)
    console.info(f"\n[3/5] ai8x evaluate {recipe} --checkpoint {quantized} --8bit")
    float_model, qat_model = (
        api.evaluate(recipe, None, console, checkpoint=checkpoint, data=data, out_dir=None)
        for checkpoint in (trained.folder / "best.pth.tar", trained.best_checkpoint)
    )
    sample = trained.folder / f"sample_{training.dataset.lower()}.npy"
    quantized_model = api.evaluate(
        *(recipe, None, console),
        checkpoint=quantized,
        data=data,
        simulate=True,
        save_sample=0,
        save_sample_file=sample,
        out_dir=None,
    )
    agreement = _complete_agreement(quantized_model)
    console.info(f"\n[4/5] ai8x synthesize {recipe} --checkpoint {quantized} --output {project}")
    synthesis = api.synthesize(
        *(recipe, None, console), checkpoint=quantized, sample_input=sample, output=project, overwrite=True
    ).synthesis
    console.info(f"\n[5/5] ai8x verify {project} --trained {trained.best_checkpoint} --samples {_VERIFIED_SAMPLES}")
    verification = api.verify(
        project, None, console, trained=trained.best_checkpoint, samples=_VERIFIED_SAMPLES, data=data
    )
    if not verification.passed:
        raise Ai8xError(verification.text())
    return DemoResult(
        recipe=recipe,
        folder=trained.folder,
        project=project,
        quantized=quantized,
        float_model=float_model,
        qat_model=qat_model,
        quantized_model=quantized_model,
        agreement=agreement,
        synthesis=synthesis,
        verification=verification,
        seconds=time.monotonic() - began,
    )


def _complete_agreement(result: EvaluateResult) -> Agreement:
    """Return the comparison with the integer engine. Raises Ai8xError unless all outputs are equal."""
    agreement = result.agreement
    if agreement is None or not agreement.complete:
        detail = "it has no network description" if agreement is None else agreement.text()
        raise Ai8xError(f"the outputs of the quantized model and the integer engine were not found equal: {detail}")
    return agreement


def demo_table(result: DemoResult) -> Table:
    """Return the table of results."""
    figures, note = result.synthesis.statistics, result.quantized_model.note
    rows = [
        ("data", result.quantized_model.dataset + (f" – {note}" if note else "")),
        ("test samples", f"{result.agreement.samples:,}"),
        ("result, float", result.float_model.headline),
        ("result, QAT", result.qat_model.headline),
        ("result, 8 bit", result.quantized_model.headline),
        ("torch 8 bit = integer engine", _agreement_text(result.agreement)),
        ("engine = virtual device", f"yes: {result.verification.samples} samples, all values of all layers"),
        ("firmware", "not run" if result.verification.firmware is None else result.verification.firmware.text()),
        ("kernel memory", _usage(figures.weight_bytes, figures.weight_total)),
        ("bias memory", _usage(figures.bias_bytes, figures.bias_total)),
        ("estimated inference", f"{figures.microseconds:,.0f} µs ({figures.cycle_basis})"),
        ("training log and plots", str(result.folder)),
        ("C project", str(result.project)),
        ("time taken", f"{result.seconds:.0f} s"),
    ]
    return table_of(("", ""), rows, title=f"{result.recipe}: results", wrapped=True)


def _agreement_text(agreement: Agreement) -> str:
    return f"yes: {agreement.samples:,} samples, {agreement.values:,} outputs, all equal"


def _usage(used: int, total: int) -> str:
    return f"{used:,} of {total:,} bytes ({100 * used / total:.1f} %)"
