"""What each task draws of a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import DatasetEntry, Split
from ai8x_tool.data.folding import fold
from ai8x_tool.settings.task import TaskSettings
from ai8x_tool.training import example_plots
from ai8x_tool.training.example_plots import displayable
from ai8x_tool.training.metrics import Score
from ai8x_tool.training.passes import BatchResult, Evaluator, whole
from ai8x_tool.training.plots import confusion_figure, plot_confusion
from ai8x_tool.training.shown_samples import ShownSample, WorstSamples
from ai8x_tool.training.tasks import Task, TaskContext, choose_task

pytest.importorskip("matplotlib")


def choose(task: str, **options: Any) -> Task:
    entry = DatasetEntry("Set", (3, 8, 8), tuple("abc"), lambda *_: pytest.fail(), task=task)
    return choose_task(TaskContext(TaskSettings(**options), entry, torch.device("cpu"), Console()))


def measure(task: Task, model: nn.Module, raw: Tensor, targets: Tensor) -> Score:
    part = Split(raw, targets, lambda samples: samples.clone())
    evaluator = Evaluator(model, task, torch.device("cpu"), 4, Console(-1), line=lambda _: None)
    return evaluator.measure(whole(part), "test")


class Reshape(nn.Module):
    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), *self.shape)


CASES = [
    ("classification", (3,), Reshape(3), [0, 1, 2, 0, 1], {"confusion.png"}),
    ("segmentation", (3, 8, 8), Reshape(3, 8, 8), np.ones((5, 8, 8)), {"confusion.png", "examples.png"}),
    ("regression", (3, 8, 8), Reshape(3, 8, 8), np.ones((5, 3, 8, 8)), {"examples.png"}),
    ("regression", (3, 8), Reshape(8, 3), np.ones((5, 24)), {"examples.png"}),
    ("regression", (6,), Reshape(6), np.ones((5, 6)), {"examples.png"}),
    ("reconstruction", (20, 3), Reshape(20, 3), [0, 0, 1, 0, 1], {"errors.png", "examples.png"}),
    ("embeddings", (6,), Reshape(6), [0, 1, 2, 0, 1], {"examples.png"}),
]


@pytest.mark.parametrize(("kind", "shape", "model", "targets", "files"), CASES)
def test_each_task(
    tmp_path: Path, kind: str, shape: tuple[int, ...], model: nn.Module, targets: Any, files: set[str]
) -> None:
    raw = torch.randint(-128, 128, (5, *shape), generator=torch.Generator().manual_seed(1)).float()
    task, wanted = choose(kind), torch.as_tensor(targets)
    score = measure(task, model, raw, wanted.float() if kind == "regression" else wanted)
    assert score.examples is not None and score.examples.outputs.shape[0] == 4  # of the first batch
    task.draw(score, tmp_path, "a title")
    assert {path.name for path in tmp_path.iterdir()} == files
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())


def test_anomalies(tmp_path: Path) -> None:
    task = choose("reconstruction")
    task.threshold = 0.5
    score = measure(task, nn.ReLU(), torch.full((5, 8, 2), -1.0), torch.tensor([0, 0, 1, 0, 1]))
    task.draw(score, tmp_path, "a title")
    assert {path.name for path in tmp_path.iterdir()} == {"confusion.png", "errors.png", "examples.png"}


class Finder(nn.Module):
    """Finds one object of class 2 where the prior is."""

    def __init__(self) -> None:
        super().__init__()
        self.priors_cxcy = torch.tensor([[0.5, 0.5, 0.4, 0.2], [0.1, 0.1, 0.1, 0.1]])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.tensor([[0.0, 0, 9, 0], [9.0, 0, 0, 0]])
        return torch.zeros(len(x), 2, 4), scores.expand(len(x), 2, 4)


def worst(task: Task, model: nn.Module, raw: Tensor, targets: Tensor) -> tuple[ShownSample, ...]:
    samples = whole(Split(raw, targets, lambda samples: samples.clone()))
    kept = WorstSamples(task, samples)
    for start in range(0, len(raw), 2):
        kept.add(BatchResult(model(raw[start : start + 2] / 128), targets[start : start + 2]))
    return kept.result()


def test_worst_masks() -> None:
    raw = torch.zeros(5, 3, 2, 2)
    raw[:, 1] = 64  # class 1 everywhere
    targets = torch.ones(5, 2, 2, dtype=torch.int64)
    targets[1, 0, 0], targets[4] = 2, 0
    first, second = worst(choose("segmentation"), nn.Identity(), raw, targets)
    assert (first.number, first.found) == (4, "100.0 % of the pixels wrong")
    assert (second.number, second.found) == (1, "25.0 % of the pixels wrong")
    assert {title: classes.tolist() for title, classes in second.maps} == {
        "given": [[2, 1], [1, 1]],
        "found": [[1, 1], [1, 1]],
    }


def test_worst_reconstructions() -> None:
    task = choose("reconstruction")
    task.threshold = 0.1  # type: ignore[attr-defined]
    raw = torch.tensor([0.0, -128, 64, -32]).reshape(4, 1, 1).expand(4, 1, 8)
    samples = worst(task, nn.ReLU(), raw, torch.tensor([0, 1, 0, 0]))
    assert [(sample.number, sample.expected, sample.found) for sample in samples] == [
        (1, "anomaly", "error 1, classified as anomaly"),
        (3, "normal", "error 0.0625, classified as normal"),
    ]
    assert samples[0].values.min() == -128 and samples[0].output is not None and not samples[0].output.any()


def test_detection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("torchmetrics", "pycocotools", "torchvision"):
        pytest.importorskip(package)
    given: list[Any] = []
    plot = example_plots.plot_boxes
    monkeypatch.setattr(
        "ai8x_tool.training.tasks.detection.plot_boxes", lambda *words: (given.extend(words), plot(*words))
    )
    task, model = choose("detection", obj_detection_params="default"), Finder()
    task.attach(model)
    objects = torch.tensor([[[0.1, 0.1, 0.5, 0.5, 1], [0, 0, 0, 0, 0]]]).expand(5, 2, 5)
    task.draw(measure(task, model, torch.zeros(5, 3, 8, 8), objects), tmp_path, "a title")
    assert (tmp_path / "examples.png").is_file()
    assert given[0][0].shape == (8, 8, 3) and given[1][0].tolist() == [pytest.approx([0.1, 0.1, 0.5, 0.5, 1])]
    assert given[2][0].tolist() == [pytest.approx([0.3, 0.4, 0.7, 0.6, 2])]
    objects = torch.stack([torch.tensor([[x, 0.4, 0.7, 0.6, 2], [0, 0, 0, 0, 0]]) for x in (0.3, 0.6)])
    (wrong,) = worst(task, model, torch.zeros(2, 3, 8, 8), objects)
    assert (wrong.number, wrong.expected, wrong.found) == (1, "given: b", "found: b; 1 missed, 1 wrong")
    assert [box.found for box in wrong.boxes] == [False, True]


def test_inputs_become_images() -> None:
    colors = torch.rand(3, 8, 12, generator=torch.Generator().manual_seed(2)) * 2 - 1
    expected = (colors.permute(1, 2, 0).numpy() + 1) / 2
    for ratio in (1, 2, 4):
        np.testing.assert_allclose(displayable(fold(colors, ratio).numpy()), expected, atol=1e-6)
    assert displayable(np.zeros((5, 2, 4))).tolist() == np.full((2, 4, 3), 0.5).tolist()


@pytest.mark.filterwarnings("error")
def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    """No formulas, and no warnings about letters that the font does not have."""
    labels = ["$\\frac{$", "a\nb", "\x1b[31m", "卷积", "x" * 5000]
    plot_confusion([[1] * 5] * 5, labels, tmp_path / "c.png", "$x^$ \\alpha{ 卷\x07")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_a_confusion_matrix_of_many_classes_has_few_texts() -> None:
    """Each takes time, and none could be read: a matrix of 300 classes would have 90,000."""
    labels = [str(number) for number in range(300)]
    (axes,) = confusion_figure([[1] * 300] * 300, labels, "many").axes
    assert not axes.texts
    assert [label.get_text() for label in axes.get_xticklabels()] == labels[::3]
