"""Evaluation: the test set through a float, QAT or integer model. spec: training, section 9."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ai8x_tool.checkpoint import Checkpoint, read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.transform import round_stored_biases
from ai8x_tool.plugins import find_dataset
from ai8x_tool.resources import find_config
from ai8x_tool.settings import EvaluateSettings
from ai8x_tool.synthesis import load_network
from ai8x_tool.training.batches import batch_count, batches
from ai8x_tool.training.checkpoints import write_file
from ai8x_tool.training.data import DataSetEntry, Part
from ai8x_tool.training.metrics import (
    Meter,
    Score,
    accuracy_items,
    confusion_lines,
    progress_line,
    summary_line,
)
from ai8x_tool.training.model import (
    build_model,
    check_architecture,
    compute_device,
    is_quantized,
    load_weights,
    output_scale,
    use_channels_last,
    warn_about_inner_scales,
)
from ai8x_tool.verify.agreement import Agreement, compare_outputs


@dataclass(frozen=True)
class EvaluateResult:
    """Score of a checkpoint on a test set. `outputs` (N, classes, …), raw and in file order, only if asked for."""

    model: str
    dataset: str
    checkpoint: Path
    simulate: bool
    score: Score
    labels: tuple[str, ...]
    note: str | None = None
    sample_file: Path | None = None
    outputs: Tensor | None = None
    agreement: Agreement | None = None

    def document(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "schema": "ai8x-evaluate/1",
            "model": self.model,
            "dataset": self.dataset,
            "note": self.note,
            "checkpoint": str(self.checkpoint),
            "simulate_8bit": self.simulate,
            "samples": self.score.samples,
            "top1": self.score.top1,
            "top5": self.score.top5,
            "loss": self.score.loss,
            "labels": list(self.labels),
            "confusion": [list(row) for row in self.score.confusion],
            "sample_file": None if self.sample_file is None else str(self.sample_file),
            "engine": None if self.agreement is None else self.agreement.document(),
        }


@dataclass(frozen=True)
class LoadedModel:
    """A model filled from a checkpoint, in evaluation mode, with the data set it is evaluated on."""

    name: str
    model: nn.Module
    checkpoint: Checkpoint
    entry: DataSetEntry
    test: Part
    device: torch.device


@dataclass(frozen=True)
class PreparedModel:
    """A model filled from a checkpoint, in evaluation mode."""

    name: str
    model: nn.Module
    checkpoint: Checkpoint
    device: torch.device


def load_model(settings: EvaluateSettings, console: Console) -> LoadedModel:
    """Build the model, load the checkpoint and the data set. Raises Ai8xError if they do not fit together."""
    entry = find_dataset(settings.dataset, settings, console)
    ready = prepare_model(settings, entry, console)
    test = entry.load(settings.data, console).test
    test = first_sample(test) if settings.truncate_testset else test
    return LoadedModel(ready.name, ready.model, ready.checkpoint, entry, test, ready.device)


def prepare_model(settings: EvaluateSettings, entry: DataSetEntry, console: Console) -> PreparedModel:
    """Build the model for the inputs of a data set, which is not loaded, and fill it from the checkpoint."""
    checkpoint = read_checkpoint(settings.checkpoint)
    name = settings.model or checkpoint.arch
    if name is None:
        raise Ai8xError("does not say which model it is of", where=str(checkpoint.path), fix="pass --model")
    check_architecture(name, checkpoint)
    _check_mode(checkpoint, settings.simulate)
    model = build_model(
        name,
        entry,
        device=settings.device,
        use_bias=settings.use_bias,
        round_avg=settings.avg_pool_rounding,
        simulate=settings.simulate,
        console=console,
        measured_ranges=checkpoint.measured_ranges,
    )
    load_weights(model, checkpoint, console)
    warn_about_inner_scales(model, entry.input, str(checkpoint.path), console)
    rounded = round_stored_biases(model) if settings.simulate else []
    if rounded:
        console.warn(f"{checkpoint.path}: biases of {', '.join(rounded)} are rounded to what bias memory holds")
    use_channels_last(model, entry.input)
    device = compute_device(cpu=settings.cpu, gpus=settings.gpus, console=console)
    if settings.simulate and device.type == "mps":  # it has no float64, which exact sums may need
        device = torch.device("cpu")
    return PreparedModel(name, model.to(device).eval(), checkpoint, device)


def first_sample(part: Part) -> Part:
    """Return the part reduced to its first sample."""
    return replace(part, raw=part.raw[:1], targets=part.targets[:1])


def _check_mode(checkpoint: Checkpoint, simulate: bool) -> None:
    quantized = is_quantized(checkpoint.state)
    if simulate and not quantized:
        raise Ai8xError("not quantized", where=str(checkpoint.path), fix="run ai8x quantize first, or leave out --8bit")
    if quantized and not simulate:
        raise Ai8xError("a quantized checkpoint runs in 8-bit mode only", where=str(checkpoint.path), fix="add --8bit")


@torch.no_grad()
def iterate_outputs(
    model: nn.Module, part: Part, *, batch_size: int = 256, simulate: bool = False, device: torch.device | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield inputs, raw outputs and targets of `part`, in its order, batch by batch.

    In simulate mode inputs are integers −128…127 and outputs are the integers of the last layer, both as floats.
    """
    model.eval()
    for inputs, targets in batches(part, torch.arange(len(part)), batch_size, simulate=simulate, device=device):
        yield inputs, model(inputs), targets


def run_test(loaded: LoadedModel, settings: EvaluateSettings, console: Console) -> tuple[Score, list[Tensor]]:
    """Evaluate all samples; return the score and the raw outputs by batch."""
    classes, size = len(loaded.entry.labels), settings.batch_size
    meter, outputs = Meter(classes), []
    scale = output_scale(loaded.model, settings.simulate)
    steps = batch_count(len(loaded.test), size)
    console.info("--- test ---------------------")
    console.info(f"{len(loaded.test)} samples ({size} per mini-batch)")
    stream = iterate_outputs(
        loaded.model, loaded.test, batch_size=size, simulate=settings.simulate, device=loaded.device
    )
    with console.progress("test", steps) as progress:
        for step, (_, output, target) in enumerate(stream, 1):
            meter.add(output, target, batch_loss(output * scale, target, loaded.entry.class_weights))
            outputs.append(output.cpu())
            progress.advance(note=f"Top1 {meter.top1:.2f}")
            if step % settings.print_freq == 0 or step == steps:
                items = {"Loss": meter.loss, **accuracy_items(meter, classes)}
                console.detail(progress_line("Test: ", step, steps, items))
    return meter.score(), outputs


def batch_loss(output: Tensor, target: Tensor, weights: Any) -> float:
    """Cross entropy of real outputs, weighted by class where the data set has weights."""
    weight = None if weights is None else torch.tensor(weights, dtype=output.dtype, device=output.device)
    return float(cross_entropy(output, target, weight))


def evaluate(settings: EvaluateSettings, console: Console, *, keep_outputs: bool = False) -> EvaluateResult:
    """Evaluate a checkpoint on the test set of a data set; the plain Python form of ``ai8x evaluate``."""
    if settings.save_sample is not None and not settings.simulate:
        console.warn("--save-sample works in 8-bit mode only and is ignored")
    loaded = load_model(settings, console)
    sample = _save_sample(loaded, settings) if settings.simulate and settings.save_sample is not None else None
    score, outputs = run_test(loaded, settings, console)
    for line in [summary_line(score, len(loaded.entry.labels)), *_matrix(score, settings.confusion)]:
        console.info(line)
    agreement = _compare_with_engine(loaded, settings, torch.cat(outputs), console)
    if loaded.entry.note:
        console.info(f"note: {loaded.entry.note}")
    if sample is not None:
        console.info(f"sample {settings.save_sample} written to {sample}")
    return EvaluateResult(
        model=loaded.name,
        dataset=loaded.entry.name,
        checkpoint=settings.checkpoint,
        simulate=settings.simulate,
        score=score,
        labels=tuple(loaded.entry.labels),
        note=loaded.entry.note,
        sample_file=sample,
        outputs=torch.cat(outputs) if keep_outputs else None,
        agreement=agreement,
    )


def _compare_with_engine(
    loaded: LoadedModel, settings: EvaluateSettings, outputs: Tensor, console: Console
) -> Agreement | None:
    """Compare all 8-bit outputs with the integer engine, where a network description is known."""
    if not (settings.simulate and settings.engine and settings.network):
        return None
    sizes = (*loaded.entry.input, 1)[:3]
    network = load_network(
        find_config("networks", settings.network),
        settings.checkpoint,
        (sizes[0], sizes[1], sizes[2]),
        find_device(settings.device),
        console,
    )
    agreement = compare_outputs(network, loaded.test, outputs, console)
    report = console.info if agreement.complete else console.warn
    report(agreement.text())
    return agreement


def _matrix(score: Score, wanted: bool) -> list[str]:
    return confusion_lines(score) if wanted else []


def _save_sample(loaded: LoadedModel, settings: EvaluateSettings) -> Path:
    """Write one input of the first batch as int64 C×H×W or C×L. spec: training, section 9.3."""
    index, size = settings.save_sample, min(settings.batch_size, len(loaded.test))
    assert index is not None
    if index >= size:
        raise Ai8xError(f"--save-sample {index}: the first batch has {size} samples", fix="raise --batch-size")
    inputs, _ = loaded.test.batch(torch.tensor([index]))
    values = inputs[0, :3] if settings.slice_sample else inputs[0]
    sample = np.clip(values.numpy().astype(np.int64), -128, 127)
    buffer = io.BytesIO()
    np.save(buffer, sample, allow_pickle=False)
    path = settings.save_sample_file or Path(f"sample_{loaded.entry.name.lower()}.npy")
    write_file(buffer.getvalue(), path)
    return path
