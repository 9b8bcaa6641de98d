"""Evaluation of a float, QAT or integer model on a test set."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool.checkpoint import Checkpoint, read_checkpoint
from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split, first_sample
from ai8x_tool.data.middle import is_middle
from ai8x_tool.device import find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import write_file
from ai8x_tool.frontend.yaml.load import load_network
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.unweighted import described_input
from ai8x_tool.model.build import (
    build_for_checkpoint,
    check_architecture,
    compute_device,
    load_weights,
    warn_about_inner_scales,
)
from ai8x_tool.model.memory_format import use_channels_last
from ai8x_tool.nn.transform import check_quantized, round_stored_biases
from ai8x_tool.plugins.find import find_dataset, find_model, places
from ai8x_tool.plugins.load import without_exit
from ai8x_tool.resources import find_config
from ai8x_tool.settings.evaluation import EvaluateSettings, SampleSettings
from ai8x_tool.settings.weights import checkpoint_path
from ai8x_tool.training.agreement import Agreement, compare_layers, compare_outputs
from ai8x_tool.training.clipping import ClippingMeter, LayerClipping
from ai8x_tool.training.metrics import Score
from ai8x_tool.training.passes import BatchResult, Evaluator, whole
from ai8x_tool.training.shown_samples import ShownSample, WorstSamples, has_wrong_samples
from ai8x_tool.training.tasks import Task, TaskContext, choose_task
from ai8x_tool.training.tasks.multiple_outputs import MultipleOutputs


@dataclass(frozen=True)
class EvaluateResult:
    """Result of evaluating a checkpoint on a test set.

    `outputs` (N, …), raw and in the order of the test set, are kept only on request; a model may have several. `folder`
    contains the files of the run, if any; `learned` is the task, which can plot the score. `not_compared` is the reason
    why 8-bit outputs were not compared with the integer engine; `wrong` are the samples with the largest errors, for
    reports.
    """

    model: str
    dataset: str
    checkpoint: Path
    simulate: bool
    task: str
    score: Score
    headline: str
    labels: tuple[str, ...]
    note: str | None = None
    sample_file: Path | None = None
    outputs: Tensor | tuple[Tensor, ...] | None = None
    agreement: Agreement | None = None
    not_compared: str | None = None
    clipping: tuple[LayerClipping, ...] = ()
    wrong: tuple[ShownSample, ...] = field(default=(), compare=False, repr=False)
    folder: Path | None = None
    learned: Task | None = field(default=None, compare=False, repr=False)

    def document(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "schema": "ai8x-evaluate/1",
            "model": self.model,
            "dataset": self.dataset,
            "note": self.note,
            "folder": None if self.folder is None else str(self.folder),
            "checkpoint": str(self.checkpoint),
            "simulate_8bit": self.simulate,
            "task": self.task,
            **self.score.document(),
            "clipping": [layer.document() for layer in self.clipping],
            "labels": list(self.labels),
            "sample_file": None if self.sample_file is None else str(self.sample_file),
            "not_compared": self.not_compared,
            "engine": None if self.agreement is None else self.agreement.document(),
        }


@dataclass(frozen=True)
class PreparedModel:
    """A model loaded from a checkpoint, in evaluation mode, and its task; `where` names the model and dataset files."""

    name: str
    model: nn.Module
    checkpoint: Checkpoint
    device: torch.device
    task: Task
    where: str


def prepare_model(settings: EvaluateSettings, entry: DatasetEntry, console: Console) -> PreparedModel:
    """Build the model for the inputs of a dataset, which is not loaded, and load the checkpoint into it."""
    checkpoint = read_checkpoint(checkpoint_path(settings.checkpoint))
    name = settings.model or checkpoint.arch
    if name is None:
        raise Ai8xError("the checkpoint does not name its model", where=str(checkpoint.path), fix="pass --model")
    check_architecture(name, checkpoint)
    _check_mode(checkpoint, settings.simulate)
    device = compute_device(cpu=settings.cpu, gpus=settings.gpus, console=console)
    if settings.simulate and device.type == "mps":  # it lacks float64, which exact sums may need
        device = torch.device("cpu")
    task = choose_task(TaskContext(settings, entry, device, console, settings.simulate))
    found = find_model(name, console)
    model = build_for_checkpoint(
        found,
        entry,
        checkpoint,
        console,
        device=settings.device,
        use_bias=settings.use_bias,
        round_avg=settings.avg_pool_rounding,
        simulate=settings.simulate,
        arguments=task.model_arguments(),
        measured_ranges=checkpoint.measured_ranges,
    )
    load_weights(model, checkpoint, console, complete=True)
    if settings.simulate:
        _check_integers(model, str(checkpoint.path))
    warn_about_inner_scales(model, entry.sample, str(checkpoint.path), console)
    rounded = round_stored_biases(model) if settings.simulate else []
    if rounded:
        console.warn(f"{checkpoint.path}: biases of {', '.join(rounded)} are rounded to values that fit bias memory")
    use_channels_last(model, entry.sample)
    task.attach(model)
    return PreparedModel(name, model.to(device).eval(), checkpoint, device, task, places(found, entry))


def _check_integers(model: nn.Module, where: str) -> None:
    try:
        check_quantized(model)
    except Ai8xError as error:
        raise Ai8xError(str(error), where=where) from None


def _check_mode(checkpoint: Checkpoint, simulate: bool) -> None:
    quantized = checkpoint.is_quantized
    if simulate and not quantized:
        fix = "run `ai8x quantize` on it first"
        raise Ai8xError("the checkpoint is not quantized", where=str(checkpoint.path), fix=fix)
    if quantized and not simulate:
        raise Ai8xError("a quantized checkpoint runs in 8-bit mode only", where=str(checkpoint.path), fix="add --8bit")


def evaluate(settings: EvaluateSettings, console: Console, *, keep_outputs: bool = False) -> EvaluateResult:
    """Evaluate a checkpoint on the test set of a dataset, like ``ai8x evaluate``. Raises Ai8xError."""
    if settings.save_sample is not None and not settings.simulate:
        console.warn("--save-sample is ignored: it requires 8-bit mode")
    entry = find_dataset(settings.dataset, settings, console)
    ready = prepare_model(settings, entry, console)
    data = entry.load(settings.data, console)
    test = first_sample(data.test) if settings.truncate_testset else data.test
    saves = settings.simulate and settings.save_sample is not None
    sample = _save_sample(entry, test, settings, settings.batch_size) if saves else None
    reason = why_not_compared(settings, entry) if settings.simulate else None
    engine = settings.simulate and reason is None
    outputs: list[Any] | None = [] if keep_outputs or engine else None
    shows_wrong = settings.html is not None and has_wrong_samples(ready.task)
    worst = WorstSamples(ready.task, whole(test)) if shows_wrong else None
    clipping, watched = ClippingMeter(ready.model), settings.clipping or settings.html is not None
    with without_exit(), clipping.watching() if watched else contextlib.nullcontext():
        score = _run_test(ready, data, test, settings, console, _keeper(outputs, worst))
    joined = _joined(outputs) if outputs else None
    agreement = _compare_with_engine(entry, test, settings, ready, joined, console) if engine else None
    if entry.note:
        console.info(f"note: {entry.note}")
    if sample is not None:
        console.info(f"sample {settings.save_sample} written to {sample}")
    return EvaluateResult(
        model=ready.name,
        dataset=entry.name,
        checkpoint=settings.checkpoint,
        simulate=settings.simulate,
        task=ready.task.name,
        score=score,
        headline=ready.task.main_metric.text(score),
        labels=tuple(entry.labels),
        note=entry.note,
        sample_file=sample,
        outputs=joined if keep_outputs else None,
        agreement=agreement,
        not_compared=reason,
        clipping=tuple(clipping.result()) if watched else (),
        wrong=() if worst is None else worst.result(),
        learned=ready.task,
    )


def why_not_compared(settings: EvaluateSettings, entry: DatasetEntry) -> str | None:
    """Return the reason why 8-bit outputs are not compared with the integer engine; None if they are."""
    if not settings.engine:
        return "--no-engine"
    if settings.network is None:
        return "no network description, see --network"
    if entry.frames is not None:
        return "the network takes one input of a sequence at a time, see ai8x verify"
    silent = Console(verbosity=-1, muted=True)
    described = described_input(
        read_description(find_config("networks", settings.network), find_device(settings.device), silent)
    )
    if described is None or not is_middle(described, entry.input):
        return None
    return f"the network takes the middle {described[1]}×{described[2]} pixels of a sample, see ai8x verify"


def _keeper(outputs: list[Any] | None, worst: WorstSamples | None) -> Callable[[BatchResult], None] | None:
    """Return a function that stores the raw results of each batch, None if they are not needed."""
    if outputs is None and worst is None:
        return None

    def keep(batch: BatchResult) -> None:
        if outputs is not None:
            outputs.append(batch.outputs)
        if worst is not None:
            worst.add(batch)

    return keep


def _run_test(
    ready: PreparedModel,
    data: Dataset,
    test: Split,
    settings: EvaluateSettings,
    console: Console,
    keep: Callable[[BatchResult], None] | None,
) -> Score:
    """Evaluate all samples; `keep` is called with the raw outputs and targets of each batch."""
    size = settings.batch_size
    evaluator = Evaluator(
        *(ready.model, ready.task, ready.device, size, console),
        line=console.detail,
        every=settings.print_freq,
        where=ready.where,
    )
    ready.task.calibrate(data, evaluator.predict_split)
    console.info("--- test ---------------------")
    console.info(f"{len(test)} samples ({size} per mini-batch)")
    score = evaluator.measure(whole(test), "test", keep)
    for line in (ready.task.summary_line(score), *ready.task.report(score)):
        console.info(line)
    return score


def _joined(outputs: list[Any]) -> Tensor | tuple[Tensor, ...]:
    """Return batches of outputs concatenated."""
    if isinstance(outputs[0], Tensor):
        return torch.cat(outputs)
    return tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))


def _compare_with_engine(
    entry: DatasetEntry, test: Split, settings: EvaluateSettings, ready: PreparedModel, outputs: Any, console: Console
) -> Agreement:
    """Compare 8-bit outputs with the integer engine, or the inputs of layers computed by the processor core."""
    assert settings.network is not None
    sizes = (*entry.input, 1, 1)[:3]
    described = load_network(
        find_config("networks", settings.network),
        settings.checkpoint,
        (sizes[0], sizes[1], sizes[2]),
        find_device(settings.device),
        console,
    )
    network, rounding = described.network, settings.avg_pool_rounding
    if isinstance(outputs, Tensor) and not any(isinstance(each, SoftwareLinear) for each in ready.model.modules()):
        return compare_outputs(network, test, outputs, console, average_rounding=rounding)
    names = tuple(ready.task.losses) if isinstance(ready.task, MultipleOutputs) else ()
    return compare_layers(network, test, ready.model, console, names=names, average_rounding=rounding)


def _save_sample(entry: DatasetEntry, test: Split, settings: SampleSettings, batch_size: int) -> Path:
    """Write one input of the first batch as int64 (C, H, W) or (C, L)."""
    index = settings.save_sample
    assert index is not None
    if index >= len(test):
        message = f"--save-sample {index}: the test split of {entry.name} has {len(test)} samples"
        raise Ai8xError(message, fix=f"choose a number from 0 to {len(test) - 1}")
    if index >= batch_size:
        raise Ai8xError(f"--save-sample {index}: the first batch has {batch_size} samples", fix="raise --batch-size")
    inputs, _ = test.batch(torch.tensor([index]))
    values = inputs[0, :3] if settings.slice_sample else inputs[0]
    sample = np.clip(values.numpy().astype(np.int64), -128, 127)
    buffer = io.BytesIO()
    np.save(buffer, sample, allow_pickle=False)
    path = settings.save_sample_file or Path(f"sample_{entry.name.lower()}.npy")
    write_file(buffer.getvalue(), path)
    return path
