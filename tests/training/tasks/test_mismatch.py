"""Models and datasets that do not fit each other are named in one line, whatever the task."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import DatasetEntry
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.task import TaskSettings
from ai8x_tool.training.tasks import Task, TaskContext, choose_task


def choose(task: str, **options: Any) -> Task:
    entry = DatasetEntry("Set", (3, 8, 8), tuple("abc"), lambda *_: pytest.fail(), task=task)
    training = "dr" in options
    return choose_task(TaskContext(TaskSettings(**options), entry, torch.device("cpu"), Console(), training=training))


@pytest.mark.parametrize(
    ("shape", "targets", "words"),
    [
        ((2, 3), [0, 3], "target 3, but the model has outputs for classes 0 to 2"),
        ((2, 3), [-1, 0], "target -1, but the model has outputs for classes 0 to 2"),
        ((2, 3), [[0, 1], [0, 1]], "outputs of 3 per sample, which do not match targets of 2"),
        ((2, 3, 4, 4), [0, 1], "outputs of 3×4×4 per sample, which do not match targets of 1"),
        ((2,), [0, 1], "outputs of 1 per sample"),
    ],
)
def test_classes(shape: tuple[int, ...], targets: list[Any], words: str) -> None:
    task = choose("classification")
    with pytest.raises(Ai8xError, match=words):
        task.training_loss(task.real_outputs(torch.zeros(shape)), task.targets(torch.tensor(targets)), torch.zeros(2))


def test_class_weights() -> None:
    entry = DatasetEntry("Set", (3, 8, 8), ("a", "b"), lambda *_: pytest.fail(), class_weights=(1, 2))
    task = choose_task(TaskContext(TaskSettings(), entry, torch.device("cpu"), Console()))
    with pytest.raises(Ai8xError, match="the model has 3 outputs, the dataset 2 classes"):
        task.loss(torch.zeros(1, 3), torch.tensor([0]), torch.zeros(1))


@pytest.mark.parametrize("name", ["classification", "segmentation", "regression", "reconstruction"])
def test_anything_but_tensors(name: str) -> None:
    task = choose(name)
    with pytest.raises(Ai8xError, match=f"for {name}, the model must return one tensor, not a tuple"):
        task.real_outputs((torch.zeros(1), torch.zeros(1)))
    with pytest.raises(Ai8xError, match="must be tensors of numbers, not list"):
        task.targets(["a"])


def test_embeddings() -> None:
    task = choose("embeddings", dr=4)
    task.start_training(0, None)
    with pytest.raises(Ai8xError, match="has 6 outputs per sample, but --dr is 4"):
        task.training_loss(torch.zeros(2, 6), torch.tensor([0, 1]), torch.zeros(2))
    with pytest.raises(Ai8xError, match="target 3"):
        task.training_loss(torch.ones(2, 4), torch.tensor([0, 3]), torch.zeros(2))


def test_objects_in_the_ways_of_collate_functions() -> None:
    for package in ("torchmetrics", "pycocotools", "torchvision"):
        pytest.importorskip(package)
    task = choose("detection", obj_detection_params="default")
    boxes = [torch.tensor([[0.1, 0.1, 0.5, 0.5]]), torch.zeros(0, 4), torch.rand(2, 4)]
    labels = [torch.tensor([1]), torch.zeros(0), torch.tensor([2, 1])]
    points = [torch.rand(len(box), 2, 2) for box in boxes]
    for count in (1, 2, 3):
        parts = [part[:count] for part in (boxes, labels)]
        by_kind, by_image = task.targets(tuple(parts)), task.targets(list(zip(*parts, strict=True)))
        assert torch.equal(by_kind, by_image) and len(by_kind) == count and by_kind[0, 0, -1] == 1
        parts = [part[:count] for part in (boxes, points, labels)]
        by_kind, by_image = task.targets(parts), task.targets(list(zip(*parts, strict=True)))
        assert torch.equal(by_kind, by_image) and by_kind.shape[-1] == 9
    for wrong in (["a", "b"], [torch.zeros(3)], 3, [(boxes[0], labels[2]), (boxes[0], labels[2])]):
        with pytest.raises(Ai8xError, match="boxes, optionally key points, and labels"):
            task.targets(wrong)
    with pytest.raises(Ai8xError, match="must return locations and scores"):
        task.real_outputs(torch.zeros(2, 3))
