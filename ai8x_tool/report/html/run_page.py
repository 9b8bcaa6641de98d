"""HTML pages of training, evaluation and verification: their content, and the rendering of the template."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ai8x_tool.analysis import Analysis
from ai8x_tool.report.columns import Table
from ai8x_tool.report.html.charts import Bar, Curve, bar_drawing, confusion_drawing, curve_drawing
from ai8x_tool.report.html.page import device_page, render
from ai8x_tool.report.html.samples import SampleDrawing, map_key, sample_drawing, samples_note, samples_title
from ai8x_tool.report.html.shapes import Drawing
from ai8x_tool.report.model_tables import clipping_table
from ai8x_tool.report.verification import compared, verification_table

if TYPE_CHECKING:
    from ai8x_tool.training.clipping import LayerClipping
    from ai8x_tool.training.evaluation import EvaluateResult
    from ai8x_tool.training.metrics import Score
    from ai8x_tool.training.results import EpochRecord, TrainResult
    from ai8x_tool.training.tasks.base import MetricFormat
    from ai8x_tool.verification.chain import LayerVerification, Verification

_TEMPLATE = "report/run.html.j2"
_BEST_DISTANCE = 60.0
"""Decibels that a bar of full length stands for."""
_SHOWN_CLASSES = 60


@dataclass(frozen=True)
class Section:
    """A section of a page: text, drawings with their headings, a table, samples.

    If it `shrinks`, its drawings are reduced on narrow screens; otherwise they can be scrolled. `keys` explains styles,
    `colors` the colors of classes.
    """

    title: str
    note: str = ""
    drawings: tuple[tuple[str, Drawing], ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    colors: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    samples: tuple[SampleDrawing, ...] = ()
    shrinks: bool = False


@dataclass(frozen=True)
class RunPage:
    """Content of a page. `verdict` is a word, and True if the result is good."""

    title: str
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    verdict: tuple[str, bool] | None = None
    problem: str = ""


def training_report(result: TrainResult) -> str:
    """Return the page of a training run."""
    facts = [
        ("Dataset", _source(result)),
        ("Best epoch", f"{result.best.epoch}: validation {result.best_headline}"),
        ("Test", f"{result.test_of_best_headline or ''}"),
        ("Last epoch", f"test {result.test_headline}" if result.test_headline else ""),
        ("Checkpoint", str(result.best_checkpoint)),
        ("Time", f"{result.seconds:.0f} s, {len(result.history)} epochs"),
        ("Seed", str(result.seed)),
    ]
    sections = [
        *_curves(result.history, result.metric),
        *_confusion(result.test_of_best, result.labels),
        *_clipping(result.clipping, "in the last pass"),
        *_wrong(result),
    ]
    return _rendered(RunPage(result.model, "training", _given(facts), tuple(sections)))


def evaluation_report(result: EvaluateResult) -> str:
    """Return the page of an evaluation."""
    agreement = result.agreement
    facts = [
        ("Dataset", _source(result)),
        ("Result", f"{result.headline} of {result.score.samples:,} samples"),
        ("Checkpoint", str(result.checkpoint)),
        ("Arithmetic", "integers, as on the accelerator" if result.simulate else "floating point"),
        ("Integer engine", "" if agreement is None else agreement.text()),
        ("Not compared", result.not_compared or ""),
    ]
    sections = [
        *_confusion(result.score, result.labels),
        *_clipping(result.clipping, "in this pass"),
        *_wrong(result),
    ]
    verdict = (
        None if agreement is None else ("equal to the engine" if agreement.complete else "differs", agreement.complete)
    )
    return _rendered(RunPage(result.model, "evaluation", _given(facts), tuple(sections), verdict))


def verification_report(verification: Verification, analysis: Analysis) -> str:
    """Return the page of a verification, with the memory maps of the network that was verified."""
    facts = [
        ("Samples", f"{verification.samples:,}: {verification.source}"),
        ("Compared", compared(verification) if verification.passed else ""),
        ("Firmware", "not run" if verification.firmware is None else verification.firmware.text()),
        ("Not compared", "; ".join(verification.skipped)),
    ]
    layers = tuple(verification.layers)
    sections = [
        Section(
            "Layers",
            "Values that were compared in each link of the chain.",
            table=verification_table(verification),
        )
    ]
    sections += _distances(layers)
    if verification.structure or verification.diagnostics:
        rows = [*verification.structure, *(f"virtual device: {text}" for text in verification.diagnostics)]
        sections.append(Section("Differences and diagnostics", "\n".join(rows)))
    verdict = ("all equal", True) if verification.passed else ("broken", False)
    page = RunPage(
        analysis.name,
        f"verification for {', '.join(device.device for device in analysis.devices)}",
        _given(facts),
        tuple(sections),
        verdict,
        "" if verification.passed else verification.text(),
    )
    return _rendered(page, analysis)


def _rendered(page: RunPage, analysis: Analysis | None = None) -> str:
    devices = [] if analysis is None else [device_page(device) for device in analysis.devices]
    return render(_TEMPLATE, page=page, devices=devices)


def _given(facts: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, text) for name, text in facts if text)


def _source(result: Any) -> str:
    return f"{result.dataset}, {result.note}" if result.note else str(result.dataset)


def _curves(history: Sequence[EpochRecord], shown: MetricFormat) -> Iterator[Section]:
    if not history:
        return
    metric, label = shown.key, f"{shown.name} in {shown.unit}" if shown.unit else shown.name
    epochs = [record.epoch for record in history]
    quantized = [record.epoch for record in history if record.phase == "qat"]
    start = quantized[0] if quantized else None
    losses = (
        Curve("training loss", [record.training_loss for record in history], "c0"),
        Curve("validation loss", [record.loss for record in history], "c1"),
    )
    metrics = (
        Curve(f"training {label}", [record.training_metrics.get(metric) for record in history], "c0"),
        Curve(f"validation {label}", [record.metrics[metric] for record in history], "c1"),
    )
    rates = (Curve("learning rate", [record.learning_rate for record in history], "c4"),)
    drawings = (
        ("Loss", curve_drawing("loss", "loss over the epochs", epochs, losses, start)),
        (label, curve_drawing("metric", f"{label} over the epochs", epochs, metrics, start)),
        ("Learning rate", curve_drawing("rate", "learning rate over the epochs", epochs, rates, start)),
    )
    note = "The dashed line is where quantization-aware training starts." if start is not None else ""
    yield Section("Curves", note, drawings, keys=(("c0", "training"), ("c1", "validation")), shrinks=True)


def _confusion(score: Score | None, labels: Sequence[str]) -> Iterator[Section]:
    if score is None or not score.confusion:
        return
    if len(score.confusion) > _SHOWN_CLASSES:
        yield Section("Confusion", f"The confusion matrix is not shown for {len(score.confusion)} classes.")
        return
    note = "Rows are the true classes; a darker cell is a larger share of its row."
    yield Section("Confusion", note, (("", confusion_drawing("confusion", score.confusion, labels)),))


def _clipping(rows: Sequence[LayerClipping], when: str) -> Iterator[Section]:
    bars = [
        Bar(row.name, row.outputs_at_limits, f"{100 * row.outputs_at_limits:.2f} %", "over")
        for row in rows
        if row.outputs_at_limits is not None
    ]
    if not rows:
        return
    drawings = (("Outputs at the limits of their range", bar_drawing("clipping", "clipped outputs by layer", bars)),)
    note = f"Shares of values {when} that lie at an end of their range, or were cut off to it."
    yield Section("Clipping", note, drawings if bars else (), table=clipping_table(rows, ""))


def _wrong(result: TrainResult | EvaluateResult) -> Iterator[Section]:
    if result.wrong:
        colors, drawings = map_key(result.wrong, result.labels), tuple(map(sample_drawing, result.wrong))
        yield Section(samples_title(result.task), samples_note(result.task), colors=colors, samples=drawings)


def _distances(layers: Sequence[LayerVerification]) -> Iterator[Section]:
    """Yield the distance of each layer of the quantized model from the float and from the trained model."""
    sides: Mapping[str, str] = {"from_float": "float → integers", "distance": "QAT → integers"}
    drawings = []
    for key, title in sides.items():
        known = [(layer.label, getattr(layer, key)) for layer in layers if getattr(layer, key) is not None]
        bars = [Bar(label, _share(found.sqnr), _decibels(found.sqnr)) for label, found in known]
        if bars:
            drawings.append((title, bar_drawing(f"distance-{key}", title, bars)))
    clipped = [
        Bar(layer.label, layer.distance.clipped, f"{100 * layer.distance.clipped:.2f} %", "over")
        for layer in layers
        if layer.distance is not None
    ]
    if clipped:
        drawings.append(("Clipped values", bar_drawing("clipped", "clipped values by layer", clipped)))
    if drawings:
        note = "Signal-to-noise ratio of the outputs of each layer, in decibels: higher values mean closer outputs."
        if any(layer.from_float is not None for layer in layers):
            note += " The float model was then trained with quantization, so its layers differ more."
        yield Section("Distance by layer", note, tuple(drawings))


def _share(sqnr: float) -> float:
    return 1.0 if math.isinf(sqnr) and sqnr > 0 else max(0.0, min(1.0, sqnr / _BEST_DISTANCE))


def _decibels(sqnr: float) -> str:
    return "equal" if math.isinf(sqnr) and sqnr > 0 else f"{sqnr:.1f} dB"
