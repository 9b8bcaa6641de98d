"""Plots of a training run; requires matplotlib, which is optional."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai8x_tool.files import write_file
from ai8x_tool.text import one_line, printable

if TYPE_CHECKING:
    from ai8x_tool.training.results import EpochRecord, TrainResult
    from ai8x_tool.training.tasks.base import Task

_DOTS_PER_INCH = 96
_LONGEST = 40
"""Characters of a name."""
_MOST_COUNTED, _MOST_NAMED = 40, 100
"""Most classes of a confusion matrix whose counts, or names, are legible."""


def draw_training(result: TrainResult, task: Task) -> None:
    """Draw the curves of a run, and the task's plots of the test, into the folder of the run."""
    title = " – ".join(shortened_name(part) for part in (result.model, result.dataset, result.note) if part)
    metric = result.metric
    label = f"{metric.name} in {metric.unit}" if metric.unit else metric.name
    plot_history(result.history, result.folder / "training.png", title, metric.key, label)
    if result.test_of_best is not None:
        task.draw(result.test_of_best, result.folder, f"{title}: test, epoch {result.best.epoch}")


def plot_history(history: Sequence[EpochRecord], path: Path, title: str, metric: str, label: str) -> None:
    """Draw losses and one metric of training and validation against the epoch into `path`."""
    figure, (losses, accuracy) = new_figure(8, 7, rows=2)
    losses.set_title(title)
    epochs = [record.epoch for record in history]
    losses.plot(epochs, [record.training_loss for record in history], label="training")
    losses.plot(epochs, [record.loss for record in history], label="validation")
    losses.set_ylabel("loss")
    trained = [record.training_metrics.get(metric) for record in history]
    if any(value is not None for value in trained):
        accuracy.plot(epochs, [math.nan if value is None else value for value in trained], label="training")
    accuracy.plot(epochs, [record.metrics[metric] for record in history], color="tab:orange", label="validation")
    accuracy.set_ylabel(label)
    accuracy.set_xlabel("epoch")
    accuracy.xaxis.set_major_locator(integer_ticks())
    quantized = [record.epoch for record in history if record.phase == "qat"]
    for axes in (losses, accuracy):
        if quantized and quantized[0] > epochs[0]:
            axes.axvline(quantized[0], color="gray", linestyle="--", label="QAT starts")
        axes.grid(alpha=0.3)
        axes.legend()
    write_figure(figure, path)


def plot_confusion(matrix: Sequence[Sequence[int]], labels: Sequence[str], path: Path, title: str) -> None:
    """Draw the confusion matrix (rows: true classes) into `path`."""
    write_figure(confusion_figure(matrix, labels, title), path)


def confusion_figure(matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> Any:
    """Return a figure of the confusion matrix; with many classes only some are named, and counts are shades only."""
    side, names = min(max(len(labels) // 2, 5), 20), [shortened_name(label) for label in labels]
    figure, (axes,) = new_figure(side, side, rows=1)
    axes.set_title(title)
    shares = [[count / max(1, sum(row)) for count in row] for row in matrix]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for true, row in enumerate(matrix if len(matrix) <= _MOST_COUNTED else ()):
        for predicted, count in enumerate(row):
            color = "white" if shares[true][predicted] > 0.5 else "black"
            axes.text(predicted, true, count or "·", ha="center", va="center", color=color, fontsize=7)
    named = range(0, len(names), max(1, -(-len(names) // _MOST_NAMED)))
    axes.set_xticks(named, [names[number] for number in named], rotation=90)
    axes.set_yticks(named, [names[number] for number in named])
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def integer_ticks() -> Any:
    """Return a locator that places the ticks of an axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415  (optional)

    return MaxNLocator(integer=True)


def new_figure(width: float, height: float, rows: int) -> tuple[Any, Any]:
    """Return a figure independent of pyplot's state, and its axes, one below the other."""
    figure, axes = figure_grid(width, height, rows, 1, sharex=True)
    return figure, axes[:, 0]


def figure_grid(width: float, height: float, rows: int, columns: int, *, sharex: bool = False) -> tuple[Any, Any]:
    """Return a figure independent of pyplot's state, and its axes [row, column]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (optional)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, sharex=sharex, squeeze=False)


def png(figure: Any) -> bytes:
    """Return a figure as the bytes of a PNG file. Texts are shown verbatim, not as formulas."""
    from matplotlib import rc_context  # noqa: PLC0415  (optional)
    from matplotlib.text import Text  # noqa: PLC0415

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))
    image = io.BytesIO()
    with rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # about glyphs missing from the font
        figure.savefig(image, format="png")
    return image.getvalue()


def shortened_name(name: str) -> str:
    """Return a user-defined name for a plot: on one line, shortened to the width of the plot."""
    text = one_line(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def write_figure(figure: Any, path: Path) -> None:
    """Write a figure atomically."""
    write_file(png(figure), path)
