"""Forward passes over samples without learning: validation, test, evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Split
from ai8x_tool.errors import located
from ai8x_tool.training.batches import batch_count, batch_total, batches
from ai8x_tool.training.divergence import checked_loss
from ai8x_tool.training.metrics import Examples, Score, progress_line
from ai8x_tool.training.tasks import Task
from ai8x_tool.training.world import ALONE, World

Predict = Callable[[Split], Iterator[tuple[Tensor, Any, Any]]]
"""Function that yields outputs in real numbers, targets and inputs of a split, batch by batch."""


class BatchResult(NamedTuple):
    """Raw outputs of a batch, one tensor or several, and its targets in the form used by the task; on the CPU."""

    outputs: Any
    targets: Any


_IMAGES, _EXAMPLES, _SHORT = 6, 256, 512
"""Number of samples in plots of images, and in plots of outputs with at most `_SHORT` numbers."""


@dataclass(frozen=True)
class Selection:
    """A split of the dataset and the positions of the samples to use."""

    split: Split
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)


def whole(split: Split) -> Selection:
    """Return all samples of `split` in order."""
    return Selection(split, torch.arange(len(split)))


@dataclass(frozen=True)
class Evaluator:
    """Runs a model in evaluation mode for a task. `line` is called with a progress line every `every` batches.

    `where` names the files of model and dataset, for error messages.
    """

    model: nn.Module
    task: Task
    device: torch.device
    batch_size: int
    console: Console
    line: Callable[[str], None]
    every: int = 10
    world: World = ALONE
    where: str = ""

    @torch.no_grad()
    def predict(self, samples: Selection) -> Iterator[tuple[Any, Tensor, Tensor]]:
        """Yield raw outputs, targets and inputs, batch by batch.

        In simulate mode, the model computes with integers −128…127 and the raw outputs are the integers of the last
        layer, as floats; the yielded inputs are real numbers.
        """
        self.model.eval()
        task, simulate, world = self.task, self.task.context.simulate, self.world
        options: dict[str, Any] = {"simulate": simulate, "device": self.device, "world": world}
        stream = batches(samples.split, samples.indices, self.batch_size, **options)
        for step, (inputs, targets) in enumerate(stream, 1):
            total = batch_total(len(samples), self.batch_size, step)
            shown = world.gather(inputs, total) if task.reads_inputs else inputs
            outputs = world.outputs(self.model, inputs, total)
            with located(self.where):
                wanted = task.gathered_targets(targets, total, world)
            yield outputs, wanted, shown / 128 if simulate else shown

    def predict_split(self, split: Split) -> Iterator[tuple[Any, Tensor, Tensor]]:
        """Yield outputs in real numbers, targets and inputs of a whole split."""
        for output, targets, inputs in self.predict(whole(split)):
            yield self.task.real_outputs(output), targets, inputs

    @torch.no_grad()
    def measure(self, samples: Selection, title: str, keep: Callable[[BatchResult], None] | None = None) -> Score:
        """Return the score; `keep` is called with the raw outputs and targets of each batch."""
        task, meter = self.task, self.task.meter()
        steps = batch_count(len(samples), self.batch_size)
        with self.console.progress(title, steps) as progress:
            for step, (raw, targets, inputs) in enumerate(self.predict(samples), 1):
                if keep is not None:
                    keep(BatchResult(_on_cpu(raw), targets.cpu() if isinstance(targets, Tensor) else targets))
                reason = task.skip(targets)
                if reason is None:
                    with located(f"{self.where}: {title}, batch {step} of {steps}"):
                        output = task.real_outputs(raw)
                        given = inputs * 128 if task.context.simulate else inputs
                        loss = task.loss(output, targets, inputs)
                        meter.losses.append(checked_loss(loss, self.model, given, targets, output, learns=False))
                        meter.add(output, targets, inputs)
                    meter.examples = meter.examples or _examples(output, targets, inputs)
                else:
                    self.line(f"batch {step} skipped: {reason}")
                progress.advance()
                if step % self.every == 0 or step == steps:
                    items = {"Loss": meter.loss, **task.items(meter, last=step == steps)}
                    self.line(progress_line("Test: ", step, steps, items))
        return meter.score()


def _examples(output: Any, targets: Any, inputs: Tensor) -> Examples | None:
    """Return the first samples of a batch: a few if outputs are large, more if they are short."""
    whole_batch = isinstance(targets, Tensor) and len(inputs) == len(targets)  # not the inputs of one process only
    if isinstance(output, dict) or not whole_batch:
        return None
    first = output if isinstance(output, Tensor) else output[0]
    count = _EXAMPLES if isinstance(output, Tensor) and first[0].numel() <= _SHORT else _IMAGES
    outputs = output[:count] if isinstance(output, Tensor) else tuple(part[:count] for part in output)
    return Examples(_on_cpu(outputs), targets[:count].cpu(), inputs[:count].cpu())


def _on_cpu(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.cpu()
    return tuple(part.cpu() for part in (output.values() if isinstance(output, dict) else output))
