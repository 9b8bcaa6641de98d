"""Plots of targets and outputs of some samples, side by side; requires matplotlib, which is optional."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai8x_tool.training.plots import figure_grid, write_figure

Array = NDArray[Any]

_SIDE = 2.4
"""Width and height of an image, in inches."""
_SHOWN = 6


def displayable(inputs: Array) -> Array:
    """Return inputs (C, H, W), −1 … 1, as an image: 3·r² channels are colors folded by r, others are shown in gray."""
    channels, height, width = inputs.shape
    ratio = math.isqrt(channels // 3)
    if channels == 3 * ratio**2:
        parts = inputs.reshape(ratio, ratio, 3, height, width).transpose(3, 0, 4, 1, 2)
        image = parts.reshape(height * ratio, width * ratio, 3)
    else:
        image = np.repeat(inputs.mean(axis=0)[:, :, None], 3, axis=2)
    return np.clip((image + 1) / 2, 0, 1)


def plot_images(
    columns: Sequence[tuple[str, Sequence[Array]]], path: Path, title: str, classes: int | None = None
) -> None:
    """Draw one row per sample and one column per name; arrays with two axes are maps of `classes` classes."""
    rows = min(_SHOWN, len(columns[0][1]))
    figure, axes = figure_grid(len(columns) * _SIDE, rows * _SIDE + 0.6, rows, len(columns))
    figure.suptitle(title)
    for column, (name, images) in enumerate(columns):
        axes[0, column].set_title(name)
        for row in range(rows):
            _show(axes[row, column], images[row], classes)
    write_figure(figure, path)


def _show(axes: Any, image: Array, classes: int | None = None) -> None:
    axes.set_axis_off()
    if image.ndim == 2:
        axes.imshow(image, cmap="tab20", vmin=0, vmax=max(1, (classes or 20) - 1), interpolation="nearest")
    else:
        axes.imshow(image)


def plot_curves(wanted: Array, found: Array, path: Path, title: str) -> None:
    """Draw curves (N, C, L), or (N, L, C) if L is longer than C: targets solid, outputs dashed."""
    if wanted.shape[1] > wanted.shape[2]:
        wanted, found = wanted.swapaxes(1, 2), found.swapaxes(1, 2)
    rows = min(_SHOWN, len(wanted))
    figure, axes = figure_grid(8, rows * 1.6 + 0.6, rows, 1)
    figure.suptitle(f"{title}\nsolid: target, dashed: output")
    for row in range(rows):
        for number in range(min(_SHOWN, wanted.shape[1])):
            color = f"C{number}"
            axes[row, 0].plot(wanted[row, number], color=color, linewidth=1)
            axes[row, 0].plot(found[row, number], color=color, linestyle="--", linewidth=1)
        axes[row, 0].grid(alpha=0.3)
    write_figure(figure, path)


def plot_numbers(wanted: Array, found: Array, path: Path, title: str) -> None:
    """Draw outputs (N, K) against targets."""
    figure, ((axes,),) = figure_grid(6, 6, 1, 1)
    axes.set_title(title)
    for number in range(min(10, wanted.shape[1])):
        axes.scatter(wanted[:, number], found[:, number], s=8, color=f"C{number}")
    low, high = wanted.min(), wanted.max()
    axes.plot([low, high], [low, high], color="gray", linestyle="--")
    axes.set_xlabel("target")
    axes.set_ylabel("output")
    axes.grid(alpha=0.3)
    write_figure(figure, path)


def plot_errors(errors: Array, anomalies: Array, threshold: float | None, path: Path, title: str) -> None:
    """Draw the distribution of the errors by sample, for normal samples and anomalies."""
    figure, ((axes,),) = figure_grid(8, 4, 1, 1)
    axes.set_title(title)
    known = np.isfinite(errors)
    usual = errors[known & (errors > 0)] if (errors > 0).any() else np.array([1e-9])
    bins = np.geomspace(usual.min(initial=1e9), max(usual.max(initial=0), usual.min(initial=1e9) * 1.01), 40)
    for chosen, name in ((known & ~anomalies, "normal"), (known & anomalies, "anomalies")):
        axes.hist(np.clip(errors[chosen], bins[0], bins[-1]), bins, alpha=0.6, label=f"{name}: {chosen.sum()}")
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label="threshold")
    axes.set_xscale("log")
    axes.set_xlabel("mean squared error of a sample")
    axes.legend()
    write_figure(figure, path)


def plot_boxes(
    images: Sequence[Array], wanted: Sequence[Array], found: Sequence[Array], path: Path, title: str
) -> None:
    """Draw images with corner boxes and labels (M, 5): targets green, detections red."""
    count = min(_SHOWN, len(images))
    figure, axes = figure_grid(count * _SIDE, _SIDE + 0.8, 1, count)
    figure.suptitle(f"{title}\ngreen: target, red: detected")
    for number in range(count):
        _show(axes[0, number], images[number])
        height, width = images[number].shape[:2]
        for boxes, color in ((wanted[number], "lime"), (found[number], "red")):
            for x0, y0, x1, y1, label in boxes.tolist():
                outline = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]) * (width, height) - 0.5
                axes[0, number].plot(*outline.T, color=color, linewidth=1, scalex=False, scaley=False)
                place = outline[0] if color == "lime" else outline[2]
                axes[0, number].text(*place, str(int(label)), color=color, fontsize=7, clip_on=True)
    write_figure(figure, path)


def plot_embeddings(embeddings: Array, classes: Array, path: Path, title: str) -> None:
    """Draw embeddings (N, D) in the plane of their first two principal components, one color per class."""
    embeddings = np.nan_to_num(embeddings)  # from a training that diverged
    directions = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    centered = directions - directions.mean(axis=0)
    main = np.linalg.svd(centered, full_matrices=False)[2][:2]
    points = centered @ main.T
    figure, ((axes,),) = figure_grid(6, 6, 1, 1)
    axes.set_title(title)
    axes.scatter(points[:, 0], points[:, -1], c=classes % 20, cmap="tab20", s=10)
    axes.set_xlabel("principal components of the embeddings; colors: classes")
    write_figure(figure, path)
