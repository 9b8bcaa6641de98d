"""Regression, including image to image: mean squared error against targets in real numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.example_plots import displayable, plot_curves, plot_images, plot_numbers
from ai8x_tool.training.metrics import Measured, Meter, Score
from ai8x_tool.training.tasks.base import MetricFormat, Task, spaced


class SquaredErrorMeter(Meter):
    """Accumulates the squared differences of outputs and targets of equal shape."""

    def __init__(self) -> None:
        super().__init__()
        self._sum, self._values = 0.0, 0

    @torch.no_grad()
    def add(self, output: Tensor, target: Tensor, inputs: Any) -> None:
        """Count one batch."""
        self.samples += len(output)
        self._sum += float((output.detach() - shaped_like(target, output)).square().sum())
        self._values += output.numel()

    def metrics(self) -> dict[str, float]:
        """Return the mean squared error over all elements."""
        return {"mse": self._sum / max(1, self._values)}


class Regression(Task):
    """Prediction of real numbers; targets are in the unit of the outputs, in which 1.0 is 128 steps."""

    name = "regression"
    main_metric = MetricFormat("mse", "MSE", 5)

    def loss(self, output: Tensor, target: Tensor, inputs: Tensor) -> Tensor:
        """Return the mean squared error."""
        return mse_loss(output, shaped_like(target, output))

    def meter(self) -> Meter:
        """Return a meter of the mean squared error."""
        return SquaredErrorMeter()

    def items(self, meter: Meter, *, last: bool) -> dict[str, float | None]:
        """Return the mean squared error."""
        return {"MSE": meter.metrics()["mse"] if meter.samples else None}

    def rank(self, measured: Measured) -> tuple[float, ...]:
        """Order by the mean squared error; the smallest is best."""
        return (-measured.metrics["mse"],)

    def summary_line(self, measured: Measured) -> str:
        """Return ``==> MSE: 0.02246    Loss: 0.022``."""
        return "==> " + spaced([f"MSE: {measured.metrics['mse']:.5f}", f"Loss: {measured.loss:.3f}"])

    def best_line(self, measured: Measured, epoch: int, parameters: int) -> str:
        """Return ``==> Best [Top 1 (MSE): 0.02246   Params: 1234 on epoch: 9]``."""
        return f"==> Best [Top 1 (MSE): {measured.metrics['mse']:.5f}   Params: {parameters} on epoch: {epoch}]"

    def draw(self, score: Score, folder: Path, title: str) -> None:
        """Draw some outputs next to their targets."""
        if score.examples is not None:
            draw_pairs(
                shaped_like(score.examples.targets, score.examples.outputs), score.examples.outputs, folder, title
            )


def draw_pairs(wanted: Tensor, found: Tensor, folder: Path, title: str) -> None:
    """Draw images (N, C, H, W), curves (N, C, L) or numbers (N, K) into ``examples.png``."""
    target, output, path = wanted.numpy(), found.numpy(), folder / "examples.png"
    if target.ndim == 4 and min(target.shape[2:]) > 1:
        plot_images(
            [(name, [displayable(one) for one in part]) for name, part in (("target", target), ("output", output))],
            path,
            title,
        )
    elif target.ndim == 3 and max(target.shape[1:]) > 1:
        plot_curves(target, output, path, title)
    else:
        plot_numbers(target.reshape(len(target), -1), output.reshape(len(output), -1), path, title)


def shaped_like(target: Tensor, output: Tensor) -> Tensor:
    """Return targets with the type and shape of the outputs, which may have additional axes of length 1."""
    if target.numel() != output.numel():
        shapes = " and ".join("×".join(map(str, tensor.shape[1:])) or "1" for tensor in (output, target))
        raise Ai8xError(
            f"outputs and targets must have the same shape, not {shapes}",
            fix="check that the model matches the dataset",
        )
    return target.to(output.dtype).view_as(output)
