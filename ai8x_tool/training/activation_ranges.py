"""Fixed or measured activation ranges: selection, and measurement at the start of QAT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.console import Console
from ai8x_tool.data.seeding import generator_for
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import measure_ranges, named_fused_modules
from ai8x_tool.nn.dataflow import trace_dataflow
from ai8x_tool.nn.policy import DEFAULT_Z_SCORE
from ai8x_tool.settings.training import QatSettings
from ai8x_tool.training.batches import batch_count, batches

if TYPE_CHECKING:
    from ai8x_tool.training.logs import RunLog
    from ai8x_tool.training.setup import TrainingSetup


def uses_measured_ranges(settings: QatSettings, checkpoint: Checkpoint | None, *, resumes: bool) -> bool:
    """Return whether to measure activation ranges: as requested, else as in the checkpoint, else True.

    Raises Ai8xError if the checkpoint cannot be continued with the requested ranges.
    """
    wanted = settings.activation_ranges
    if checkpoint is None:
        return wanted != "fixed"
    if wanted is None:
        return checkpoint.measured_ranges
    stored = "measured" if checkpoint.measured_ranges else "fixed"
    if wanted == stored or (wanted == "measured" and not resumes):
        return wanted == "measured"
    fix = "leave out --activation-ranges"
    if wanted == "measured":
        fix += ", or start a new run with --exp-load-weights-from, which converts it"
    raise Ai8xError(f"was trained with {stored} activation ranges, not {wanted}", where=str(checkpoint.path), fix=fix)


def with_measured_ranges(checkpoint: Checkpoint, console: Console) -> Checkpoint:
    """Return a checkpoint of fixed ranges converted for training with measured ranges, others unchanged.

    The division by 4 that follows each batch normalization becomes part of its weights.
    """
    if checkpoint.measured_ranges:
        return checkpoint
    state = dict(checkpoint.state)
    for key in checkpoint.state:
        if not key.endswith(".bn.running_mean"):
            continue
        owner = key.removesuffix("running_mean")
        if f"{owner}weight" not in state or f"{owner}bias" not in state:
            message = f"{owner.rstrip('.')!r} has no weights into which the division by 4 can be folded"
            raise Ai8xError(message, where=str(checkpoint.path), fix="use --activation-ranges fixed")
        for name in ("weight", "bias"):
            state[f"{owner}{name}"] = state[f"{owner}{name}"] / 4
    console.info(f"{checkpoint.path}: converted from fixed to measured activation ranges")
    return replace(checkpoint, state=state)


def has_measured_ranges(model: nn.Module) -> bool:
    """Return True if the model was built for measured activation ranges."""
    return any(module.measured_ranges for _, module in named_fused_modules(model))


def check_measurable(model: nn.Module, shape: tuple[int, ...], device: torch.device) -> None:
    """Check before the first epoch that ranges can be measured at the start of QAT; `shape` is that of a sample.

    Raises Ai8xError naming the module that prevents it.
    """
    trace_dataflow(model, torch.zeros(1, *shape, device=device))


def set_ranges(setup: TrainingSetup, epoch: int, log: RunLog) -> None:
    """Measure activation ranges with the training set, shuffled and augmented as in `epoch`, and fold them.

    The state of the optimizer is discarded, because it belongs to the network before its scales changed.
    """
    policy, samples = setup.policy, setup.training
    assert policy is not None
    log.info(f"Measuring activation ranges: {len(samples)} samples")
    if policy.outlier_removal_z_score is None:
        log.record(f"outlier_removal_z_score is not in the QAT policy: {DEFAULT_Z_SCORE:g} is used")
    steps = batch_count(len(samples), setup.batch_size)
    with log.console.progress("activation ranges", steps) as progress:

        def inputs() -> Iterator[Tensor]:
            for batch in training_inputs(setup, epoch):
                yield batch
                progress.advance()

        exponents = measure_ranges(setup.model, inputs(), policy, log.console.warn)
    log.info("Activation ranges: " + ", ".join(f"{name} ±{2.0**exponent:g}" for name, exponent in exponents.items()))
    setup.optimizer.state.clear()


def training_inputs(setup: TrainingSetup, epoch: int) -> Iterator[Tensor]:
    """Yield the inputs of the training samples, in batches, shuffled and augmented as in `epoch`."""
    samples, seed, size = setup.training, setup.seed, setup.batch_size
    order = torch.randperm(len(samples), generator=generator_for(seed, epoch, "range order"))
    augmentation = generator_for(seed, epoch, "range augmentation")
    stream = batches(samples.split, samples.indices[order], size, augmentation=augmentation, device=setup.device)
    return (inputs for inputs, _ in stream)
