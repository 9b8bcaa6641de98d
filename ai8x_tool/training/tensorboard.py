"""Monitoring of a run with TensorBoard, which is optional."""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.plain import plain_model
from ai8x_tool.settings.training import TensorBoardSettings
from ai8x_tool.training.plots import confusion_figure
from ai8x_tool.training.tasks import Task
from ai8x_tool.training.tasks.classification import Classification
from ai8x_tool.training.tasks.embeddings import Embeddings

if TYPE_CHECKING:
    from ai8x_tool.training.clipping import LayerClipping
    from ai8x_tool.training.metrics import Score
    from ai8x_tool.training.passes import BatchResult
    from ai8x_tool.training.setup import TrainingSetup

_NAMES = {"top1": "Top1", "top5": "Top5", "mse": "MSE", "map": "mAP"}
_PROJECTED = 100
"""Most points of the projector."""
_CURVE_POINTS = 2**20
"""Most positions of maps from which a precision-recall curve is computed."""


class Monitor:
    """Receives the events of a run; this base class ignores them."""

    wants_outputs = False
    """Whether :meth:`validation` requires the model's outputs."""

    def start(self) -> None:
        """Show the settings and the model."""

    def batch(self, step: int, items: Mapping[str, float | None]) -> None:
        """Show the values of a progress line; `step` counts the batches of all epochs."""

    def validation(
        self, epoch: int, score: Score, clipping: Sequence[LayerClipping], results: Sequence[BatchResult] | None
    ) -> None:
        """Show the result of an epoch; `results` are the batches in order, if :attr:`wants_outputs`."""

    def close(self) -> None:
        """Finish writing."""


def check_tensorboard_options(settings: TensorBoardSettings, task: Task) -> None:
    """Raise Ai8xError if curves or projections are requested that the task does not have."""
    if settings.pr_curves and not isinstance(task, Classification):
        raise Ai8xError(f"--pr-curves: {task.name} has no class probabilities", fix="leave it out")
    if settings.embedding and not isinstance(task, Classification | Embeddings):
        raise Ai8xError(f"--embedding: {task.name} has no outputs suitable for projection", fix="leave it out")


def open_monitor(setup: TrainingSetup, folder: Path, console: Console) -> Monitor:
    """Return the monitor of a run: with ``--tensorboard`` and the package installed, one that writes files."""
    settings = setup.settings
    if not setup.world.is_first:
        return Monitor()
    asked = [name for name in ("param_hist", "pr_curves", "embedding") if getattr(settings, name)]
    if not settings.tensorboard:
        if asked:
            words = ", ".join("--" + name.replace("_", "-") for name in asked)
            console.warn(f"without effect: {words} (they require --tensorboard)")
        return Monitor()
    if importlib.util.find_spec("tensorboard") is None:
        console.warn("no TensorBoard files: tensorboard is not installed (pip install 'ai8x-tool[tensorboard]')")
        return Monitor()
    return TensorBoardLogger(setup, folder)


class TensorBoardLogger(Monitor):
    """Writes event files into the folder of the run."""

    def __init__(self, setup: TrainingSetup, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  (optional)

        self._setup, self._settings = setup, setup.settings
        self._labels = [str(label) for label in setup.entry.labels]
        self.wants_outputs = self._settings.pr_curves or self._settings.embedding
        self._writer: Any = SummaryWriter(str(folder))

    def start(self) -> None:
        """Write the settings and the graph of the operators."""
        lines = [f"    {key}: {value}" for key, value in asdict(self._settings).items()]  # indented: verbatim
        self._writer.add_text("Command_line", "\n".join(lines))
        sample = torch.zeros(1, *self._setup.entry.sample)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._writer.add_graph(plain_model(self._setup.model), sample, use_strict_trace=False)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            self._setup.task.context.console.warn(f"no graph in TensorBoard: {reason}")

    def batch(self, step: int, items: Mapping[str, float | None]) -> None:
        """Write ``Performance/Training/…``."""
        for name, value in items.items():
            if value is not None:
                self._scalar(f"Performance/Training/{name}", value, step)

    def validation(
        self, epoch: int, score: Score, clipping: Sequence[LayerClipping], results: Sequence[BatchResult] | None
    ) -> None:
        """Write ``Performance/Validation/…``, clipping, and the items requested by options."""
        self._scalar("Performance/Validation/Loss", score.loss, epoch)
        for name, value in score.metrics.items():
            if name != "top5" or len(self._labels) > 5:
                self._scalar(f"Performance/Validation/{_NAMES.get(name, name.capitalize())}", value, epoch)
        for layer in clipping:
            for kind in ("weights_clipped", "outputs_at_limits"):
                share = getattr(layer, kind)
                if share is not None:
                    self._scalar(f"Clipping/{kind}/{layer.name}", share, epoch)
        if self._settings.confusion:
            self._confusion(score, epoch)
        if self._settings.param_hist:
            self._histograms(epoch)
        if results:
            self._show_outputs(results, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()

    def _scalar(self, tag: str, value: float, step: int) -> None:
        self._writer.add_scalar(tag.replace(" ", "_"), value, step)

    def _histograms(self, epoch: int) -> None:
        for name, value in self._setup.model.named_parameters():
            if name.rpartition(".")[2] == "weight":
                self._writer.add_histogram(name.replace(".", "/"), value.detach().cpu(), epoch)

    def _confusion(self, score: Score, epoch: int) -> None:
        if importlib.util.find_spec("matplotlib") is None:
            return
        figure = confusion_figure(score.confusion, self._labels, f"epoch {epoch}")
        figure.canvas.draw()
        image = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
        self._writer.add_image("Validation/ConfusionMatrix", image, epoch, dataformats="HWC")

    def _show_outputs(self, results: Sequence[BatchResult], epoch: int) -> None:
        real = torch.cat([self._setup.task.real_outputs(result.outputs) for result in results]).float()
        targets = torch.cat([result.targets for result in results])
        if self._settings.pr_curves:
            self._curves(real, targets, epoch)
        if self._settings.embedding and real.dim() == 2:
            self._embedding(real, targets, epoch)
        elif self._settings.embedding:
            self._setup.task.context.console.warn("--embedding has no effect: the outputs are maps")

    def _curves(self, outputs: Tensor, targets: Tensor, epoch: int) -> None:
        """Write a precision-recall curve for each class, from its probability and the true class."""
        scores, truth = outputs.movedim(1, -1).flatten(0, -2), targets.flatten()
        if len(truth) > _CURVE_POINTS:
            chosen = torch.randperm(len(truth), generator=torch.Generator().manual_seed(epoch))[:_CURVE_POINTS]
            scores, truth = scores[chosen], truth[chosen]
        probabilities = scores.softmax(1)
        for number, label in enumerate(self._labels[: scores.shape[1]]):
            self._writer.add_pr_curve(label.replace(" ", "_"), truth == number, probabilities[:, number], epoch)

    def _embedding(self, outputs: Tensor, targets: Tensor, epoch: int) -> None:
        """Write some outputs for the projector, with labels and, for square images, the inputs."""
        samples = self._setup.validation
        chosen = torch.randperm(len(samples), generator=torch.Generator().manual_seed(epoch))[:_PROJECTED].sort().values
        inputs, _ = samples.split.batch(samples.indices[chosen])
        numbers = targets[chosen].tolist()
        names = [self._labels[number] if number < len(self._labels) else str(number) for number in numbers]
        square = inputs.dim() == 4 and inputs.shape[1] in (1, 3) and inputs.shape[2] == inputs.shape[3]
        images = (inputs + 128) / 255 if square else None
        with contextlib.redirect_stdout(None):  # it prints a message when it overwrites files
            self._writer.add_embedding(outputs[chosen], names, images, epoch, "verification/embedding")
