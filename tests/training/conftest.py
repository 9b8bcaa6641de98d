"""A model and a dataset small enough to train in a second."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.training import evaluation_run, processes, trainer
from tests.support.warm_processes import warm_process

MODEL = '''
import torch
from torch import nn

import ai8x


class Tiny(nn.Module):
    def __init__(self, num_classes, num_channels, dimensions, bias, **kwargs):
        super().__init__()
        self.conv1 = ai8x.FusedConv2dBNReLU(num_channels, 8, 3, padding=1, bias=True, **kwargs)
        self.drop = nn.Dropout(0.1)
        self.conv2 = ai8x.FusedAvgPoolConv2dReLU(8, 8, 3, padding=1, bias=bias, **kwargs)
        self.fc = ai8x.Linear(8 * 16, num_classes, bias=True, wide=True, **kwargs)

    def forward(self, x):
        return self.fc(self.conv2(self.drop(self.conv1(x))).flatten(1))


def tiny(pretrained=False, **kwargs):
    """A small model."""
    return Tiny(**kwargs)


models = [{"name": "tiny", "min_input": 1, "dim": 2}]
'''

DATASET = """
import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split


def part(count, seed, augmented):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 6, (count,), generator=generator)
    raw = torch.randint(0, 60, (count, 1, 8, 8), generator=generator, dtype=torch.uint8)
    for number in range(6):
        raw[targets == number, :, number : number + 2] += 150
    return Split(raw, targets, lambda r: r.float() - 128, augment if augmented else None)


def augment(raw, indices, generator):
    return (raw + torch.randint(0, 40, raw.shape, generator=generator, dtype=torch.uint8)).clamp(0, 255)


def load(folder, console):
    return Dataset(part(200, 1, True), None, part(60, 2, False))


datasets = [
    DatasetEntry(
        "Stripes", (1, 8, 8), list("abcdef"), load, class_weights=(1, 1, 1, 1, 1, 0.5), note="made up",
        description="Stripes",
    )
]
"""
SCHEDULE = """
lr_schedulers:
  decay: {class: MultiStepLR, milestones: [2, 4], gamma: 0.5}
policies:
  - lr_scheduler: {instance_name: decay}
    starting_epoch: 0
    ending_epoch: 10
    frequency: 1
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for folder, name, text in (
        ("models", "tiny.py", MODEL),
        ("datasets", "stripes.py", DATASET),
        ("configs/schedules", "halve.yaml", SCHEDULE),
        ("configs/qat", "second.yaml", "start_epoch: 2\nweight_bits: 8\n"),
        ("configs/qat", "never.yaml", "start_epoch: 99\nweight_bits: 8\n"),
        ("configs/qat", "at_once.yaml", "start_epoch: 0\nweight_bits: 4\noverrides: {nowhere: {weight_bits: 2}}\n"),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network only waits for a second thread
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the processes of a training in less than the seconds that each would take to import PyTorch.

    They print to output.txt.
    """
    context = SimpleNamespace(Process=partial(warm_process, Path("output.txt")))
    monkeypatch.setattr(processes, "multiprocessing", SimpleNamespace(get_context=lambda _: context))


@pytest.fixture(autouse=True)
def no_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take longer than the training here; tests of them are marked by asking for the fixture `plots`."""
    if "plots" not in request.fixturenames:
        monkeypatch.setattr(trainer.Trainer, "_draw", lambda *_: None)
        monkeypatch.setattr(evaluation_run, "_draw", lambda *_: None)


@pytest.fixture
def plots() -> None:
    """Let the run draw."""


@pytest.fixture
def console() -> Console:
    return Console(verbosity=-1)
