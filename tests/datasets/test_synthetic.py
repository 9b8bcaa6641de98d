"""Synthetic data in place of a dataset's files: shape, labels, and that they can be learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset, DatasetEntry
from ai8x_tool.data.mosaic import mosaic
from ai8x_tool.data.synthetic import NOTE, synthetic_entry
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.training import TrainSettings

QUIET = Console(verbosity=-1)


def _never(_folder: Path, _console: Console) -> Dataset:
    raise AssertionError("the files of the dataset are not needed")


def _entry(shape: tuple[int, ...], labels: int = 4, **more: object) -> DatasetEntry:
    return replace(DatasetEntry("Some", shape, tuple(map(str, range(labels))), _never), **more)  # type: ignore[arg-type]


ENTRIES = {
    "gray": _entry((1, 28, 28), 10),
    "colors": _entry((3, 32, 32), 100),
    "folded": _entry((48, 12, 12), 3, task="segmentation"),
    "masks": _entry((3, 24, 24), 4, task="segmentation"),
    "boxes": _entry((3, 74, 74), 10, task="detection"),
    "key points": _entry((3, 60, 80), 1, task="detection", key_points=4),
    "sound": _entry((128, 128), 21),
    "bits": _entry((1, 22), 2),
    "vibration": _entry((256, 3), 2, task="reconstruction"),
    "mosaic": _entry((4, 16, 16), 1, task="regression"),
    "identities": _entry((6, 56, 56), 8631, task="embeddings"),
    "actions": _entry((96, 15, 15), 5, frames=3),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_inputs_and_targets_have_the_form_of_the_dataset(kind):
    entry = ENTRIES[kind]
    made = synthetic_entry(entry)
    assert made.note == NOTE and made.labels == entry.labels
    data = made.load(Path("synthetic"), QUIET)
    order = torch.arange(6)
    for split in (data.train, data.test):
        inputs, targets = split.batch(order)
        assert inputs.shape == (6, *entry.sample) and inputs.dtype == torch.float32 and len(targets) == 6
        assert bool((inputs == inputs.round()).all()) and -128 <= inputs.min() < -50 and 20 < inputs.max() <= 127
    assert not torch.equal(data.train.batch(order)[0], data.test.batch(order)[0])
    again = made.load(Path("synthetic"), QUIET).test.batch(order)
    assert all(torch.equal(*pair) for pair in zip(again, (inputs, targets), strict=True))


def test_every_class_occurs_equally_often():
    targets = synthetic_entry(ENTRIES["gray"]).load(Path(), QUIET).train.targets
    assert targets.bincount().tolist() == [400] * 10


def test_boxes_contain_the_objects_and_key_points_are_corners():
    split = synthetic_entry(ENTRIES["key points"]).load(Path(), QUIET).train
    images, objects = split.batch(torch.arange(20))
    assert objects.shape == (20, 3, 13)
    there = objects[..., -1] > 0
    assert bool(there.any(dim=1).all()) and set(objects[..., -1].unique().tolist()) <= {0, 1}
    boxes = objects[..., :4][there]
    assert bool((boxes[:, 2:] > boxes[:, :2]).all()) and boxes.min() >= 0 and boxes.max() <= 1
    points = objects[..., 4:12][there].view(-1, 4, 2)
    assert bool((points.amin(dim=1) == 0).all()) and bool((points.amax(dim=1) == 1).all())
    left, top, right, bottom = (objects[0, 0, :4] * torch.tensor([80, 60, 80, 60])).round().int().tolist()
    red = images[0, 0]
    assert red[top:bottom, left:right].mean() > 0 > red.median()


def test_masks_are_where_the_colors_are():
    split = synthetic_entry(ENTRIES["masks"]).load(Path(), QUIET).train
    images, maps = split.batch(torch.arange(50))
    assert maps.shape == (50, 24, 24) and set(maps.unique().tolist()) == {0, 1, 2, 3}
    for label in range(3):  # red, green, blue
        assert int(images.movedim(1, -1)[maps == label].mean(dim=0).argmax()) == label
    folded = synthetic_entry(ENTRIES["folded"]).load(Path(), QUIET).train
    assert folded.targets.shape[1:] == (48, 48)


def test_a_mosaic_has_one_color_at_each_place():
    picture = torch.tensor([10.0, 20.0, 30.0])[None, :, None, None].expand(1, 3, 4, 6)
    assert mosaic(picture)[0, :, 0, 0].tolist() == [20, 30, 10, 20] and mosaic(picture).shape == (1, 4, 2, 3)


def _learned(entry: DatasetEntry, model: nn.Module, steps: int) -> float:
    """Return the share of test samples that a model recognizes after some steps."""
    data = synthetic_entry(entry).load(Path(), QUIET)
    optimizer, random = torch.optim.Adam(model.parameters(), 0.01), torch.Generator().manual_seed(0)
    for _ in range(steps):
        inputs, targets = data.train.batch(torch.randint(len(data.train), (64,), generator=random))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs / 128), targets).backward()
        optimizer.step()
    inputs, targets = data.test.batch(torch.arange(200))
    return float((model(inputs / 128).argmax(dim=1) == targets).float().mean())


def test_shapes_and_tones_can_be_learned():
    torch.manual_seed(0)
    image = nn.Sequential(nn.Conv2d(1, 16, 5, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.Flatten())
    assert _learned(ENTRIES["gray"], nn.Sequential(image, nn.Linear(800, 10)), 60) > 0.8
    sound = nn.Sequential(nn.Conv1d(32, 64, 1), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 5))
    assert _learned(_entry((32, 16), 5), sound, 60) > 0.9


def test_recipes_use_them_by_option():
    settings = resolve(TrainSettings, "train", "mnist", given={"data": "synthetic"})
    entry = find_dataset(settings.dataset, settings)
    assert entry.name == "MNIST" and entry.note == NOTE and len(entry.load(settings.data, QUIET).train) == 4000
    with pytest.raises(Ai8xError, match="imitates a dataset, and none is named"):
        resolve(TrainSettings, "train", given={"data": "synthetic", "model": "ai85net5"})
