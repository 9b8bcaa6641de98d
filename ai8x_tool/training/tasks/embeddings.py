"""Embeddings: samples of a class are close together, measured by their nearest neighbors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.checkpoints import restore_state, tensors
from ai8x_tool.training.example_plots import plot_embeddings
from ai8x_tool.training.metrics import Measured, Meter, Score
from ai8x_tool.training.tasks.arcface import arcface_loss, initial_centers
from ai8x_tool.training.tasks.base import BatchLoss, MetricFormat, Task, TaskContext, spaced
from ai8x_tool.training.tasks.classification import check_classes

_CHUNK = 1024


class NeighborMeter(Meter):
    """Keeps all embeddings; a sample is correct if its nearest neighbor by cosine, other than itself, has its class."""

    def __init__(self) -> None:
        super().__init__()
        self._embeddings: list[Tensor] = []
        self._targets: list[Tensor] = []

    @torch.no_grad()
    def add(self, output: Tensor, target: Tensor, inputs: Any) -> None:
        """Keep the embeddings of one batch."""
        self.samples += len(output)
        self._embeddings.append(normalize(output.detach().flatten(1).float(), dim=1).cpu())
        self._targets.append(target.cpu())

    @torch.no_grad()
    def metrics(self) -> dict[str, float]:
        """Return the precision at 1, 0 … 1."""
        if self.samples < 2:
            return {"top1": 0.0}
        embeddings, targets = torch.cat(self._embeddings), torch.cat(self._targets)
        hits = 0
        for start in range(0, self.samples, _CHUNK):
            near = embeddings[start : start + _CHUNK] @ embeddings.T
            rows = torch.arange(len(near))
            near[rows, rows + start] = -math.inf
            hits += int((targets[near.argmax(dim=1)] == targets[start : start + _CHUNK]).sum())
        return {"top1": hits / self.samples}


class Embeddings(Task):
    """Dimensionality reduction: the head of a model learns embeddings with sub-center ArcFace."""

    name = "embeddings"
    main_metric = MetricFormat("top1", "Precision at 1", 4)
    measures_training = False
    has_final_test = False

    def __init__(self, context: TaskContext) -> None:
        super().__init__(context)
        if context.training and context.settings.dr is None:
            raise Ai8xError("training of embeddings requires their length", fix="pass --dr or --kd-teacher")

    def model_arguments(self) -> dict[str, Any]:
        """Return the number of classes, the length of the embedding, and the backbone's weights if specified."""
        settings = self.context.settings
        optional = {"dimensionality": settings.dr, "backbone_checkpoint": settings.backbone_checkpoint}
        chosen = {name: value for name, value in optional.items() if value is not None}
        return {**super().model_arguments(), **chosen}

    def start_training(self, seed: int, extras: Mapping[str, Any] | None) -> None:
        """Create the class centers and their optimizer, or restore them."""
        settings = self.context.settings
        assert settings.dr is not None
        random = torch.Generator().manual_seed(seed)
        centers = initial_centers(settings.dr, len(self.context.entry.labels), random)
        stored = tensors((extras or {}).get("loss_weights"))
        if isinstance(stored, Tensor) and stored.shape == centers.shape:
            centers = stored.float()
        elif extras is not None:
            self.context.console.warn("the checkpoint has no class centers that fit; new ones are learned")
        self.centers = centers.to(self.context.device).requires_grad_()
        optimizer = torch.optim.Adam([self.centers], lr=settings.scaf_lr)
        state = (extras or {}).get("loss_optimizer_state_dict")
        if isinstance(state, dict) and not restore_state(optimizer, state):
            optimizer = torch.optim.Adam([self.centers], lr=settings.scaf_lr)
        self.optimizers = [optimizer]

    def state(self) -> dict[str, Any]:
        """Return the centers and their optimizer's state under the names of the reference tools."""
        centers = self.centers.detach().cpu()
        return {"loss_weights": centers, "loss_optimizer_state_dict": self.optimizers[0].state_dict()}

    def loss(self, output: Tensor, target: Tensor, inputs: Tensor) -> Tensor:
        """Return 0: classes that were not trained have no centers for a comparison."""
        return output.new_zeros(())

    def training_loss(self, output: Tensor, target: Tensor, inputs: Tensor) -> BatchLoss:
        """Return the sub-center ArcFace loss."""
        settings = self.context.settings
        margin = math.radians(settings.scaf_margin)
        embeddings, classes = output.flatten(1), len(self.context.entry.labels)
        if embeddings.shape[1] != settings.dr:
            raise Ai8xError(f"the model has {embeddings.shape[1]} outputs per sample, but --dr is {settings.dr}")
        try:
            loss = arcface_loss(embeddings, target, self.centers, margin=margin, scale=settings.scaf_scale)
        except (IndexError, RuntimeError):
            check_classes(embeddings.new_zeros(len(embeddings), classes), target)
            raise
        return BatchLoss(loss, loss)

    def meter(self) -> NeighborMeter:
        """Return a meter of the precision at 1."""
        return NeighborMeter()

    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the precision as Top1 at the end of the pass."""
        return {"Top1": meter.metrics()["top1"] if last else None}

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by precision."""
        return (measured.metrics["top1"],)

    def summary_line(self, measured: Measured) -> str:
        """Return ``==> Top1: 0.912    Loss: 0.000``."""
        return "==> " + spaced([f"Top1: {measured.metrics['top1']:.3f}", f"Loss: {measured.loss:.3f}"])

    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return ``==> Best [Top1: 0.912   Params: 1234 on epoch: 9]``."""
        return f"==> Best [Top1: {measured.metrics['top1']:.3f}   Params: {parameters} on epoch: {epoch}]"

    def draw(self, score: Score, folder: Path, title: str) -> None:
        """Draw the principal components of some embeddings."""
        some = score.examples
        if some is not None and len(some.outputs) > 1:
            embeddings = some.outputs.flatten(1).numpy()
            plot_embeddings(embeddings, some.targets.numpy(), folder / "examples.png", title)
