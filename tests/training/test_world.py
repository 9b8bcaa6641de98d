"""Several processes, lower precision, compiled networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings import TrainSettings
from ai8x_tool.training.results import TrainResult
from ai8x_tool.training.trainer import train
from ai8x_tool.training.world import World, joined_world, speaks

# Dropout and augmentation draw other numbers in every process: without them two processes must do what one does. The
# last batch of an epoch, 33 samples, is divided unevenly.
OPTIONS: dict[str, Any] = {
    "model": "tiny",
    "dataset": "Stripes",
    "optimizer": "SGD",
    "learning_rate": 0.05,
    "weight_decay": 1e-4,
    "compress": "halve",
    "qat_policy": "second",
    "epochs": 3,
    "batch_size": 49,
    "deterministic": True,
    "cpu": True,
}


@pytest.fixture
def steady(workspace: Path) -> Path:
    """The workspace without random numbers in training."""
    for file, old, new in (
        ("models/tiny.py", "nn.Dropout(0.1)", "nn.Identity()"),
        ("datasets/stripes.py", "part(200, 1, True)", "part(200, 1, False)"),
    ):
        text = (workspace / file).read_text()
        assert old in text
        (workspace / file).write_text(text.replace(old, new))
    return workspace


def run(console: Console, **options: Any) -> TrainResult:
    return train(TrainSettings(**{**OPTIONS, **options}), console)


def assert_close(first: Path, second: Path) -> None:
    one, two = read_checkpoint(first), read_checkpoint(second)
    assert list(one.state) == list(two.state)
    for key in one.state:
        np.testing.assert_allclose(one.state[key], two.state[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_two_processes_do_what_one_does(steady: Path, console: Console) -> None:
    alone = run(console, out_dir=Path("alone"))
    together = run(console, out_dir=Path("together"), distributed=True, processes=2)
    for name in ("checkpoint.pth.tar", "qat_checkpoint.pth.tar", "best.pth.tar"):
        assert_close(alone.folder / name, together.folder / name)
    for one, two in zip(alone.history, together.history, strict=True):
        assert (one.phase, one.learning_rate, one.epoch) == (two.phase, two.learning_rate, two.epoch)
        assert two.training_loss == pytest.approx(one.training_loss, rel=1e-4)
        assert two.loss == pytest.approx(one.loss, rel=1e-3)
        assert two.metrics == pytest.approx(one.metrics) and two.training_metrics == pytest.approx(one.training_metrics)
    assert together.test is not None and alone.test is not None and together.test.confusion == alone.test.confusion
    assert together.test.samples == 60
    assert len(list(Path("together").iterdir())) == 2  # one folder, one link to it
