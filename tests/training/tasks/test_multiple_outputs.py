"""Models with several outputs, from a loss for each to the integers that the engine computes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.tasks import TaskContext, choose_task
from ai8x_tool.training.tasks.multiple_outputs import OutputLoss, read_losses

MODEL = '''
from torch import nn

import ai8x


class Two(nn.Module):
    """A class and two numbers of the same features."""

    def __init__(self, num_classes, num_channels, dimensions, bias, **kwargs):
        super().__init__()
        self.conv = ai8x.FusedMaxPoolConv2dReLU(num_channels, 8, 3, padding=1, pool_size=2, pool_stride=2, **kwargs)
        self.side = ai8x.Linear(8 * 16, num_classes, bias=True, wide=True, **kwargs)
        self.place = ai8x.Linear(8 * 16, 2, bias=True, **kwargs)

    def forward(self, x):
        x = self.conv(x).flatten(1)
        return {"place": self.place(x), "side": self.side(x)}


class Pair(Two):
    def forward(self, x):
        outputs = super().forward(x)
        return outputs["side"], outputs["place"]


class Soft(Two):
    def __init__(self, num_classes, num_channels, dimensions, bias, **kwargs):
        super().__init__(num_classes, num_channels, dimensions, bias, **kwargs)
        self.place = ai8x.SoftwareLinear(8 * 16, 2, bias=True)


def soft(pretrained=False, **kwargs):
    return Soft(**kwargs)


def two(pretrained=False, **kwargs):
    return Two(**kwargs)


def pair(pretrained=False, **kwargs):
    return Pair(**kwargs)


models = [{"name": name, "min_input": 1, "dim": 2} for name in ("two", "pair", "soft")]
'''
DATASET = """
import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split


def split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randint(0, 8, (count,), generator=generator)
    raw = torch.full((count, 1, 8, 8), 60, dtype=torch.uint8)
    raw[torch.arange(count), 0, :, columns] = 220
    targets = torch.stack([columns // 4, columns / 8, 1 - columns / 8], dim=1).float()
    return Split(raw, targets, lambda r: r.float() - 128)


def load(folder, console):
    return Dataset(split(160, 1), None, split(40, 2))


datasets = [
    DatasetEntry("Columns", (1, 8, 8), ("left", "right"), load),
    DatasetEntry(
        "NamedColumns", (1, 8, 8), ("left", "right"), load, outputs={"side": "classification", "place": "regression*4"}
    ),
]
"""
COMMON = ("--epochs", "6", "--batch-size", "16", "--optimizer", "Adam", "--lr", "0.01", "--det", "--cpu", "-j", "0")
TWO_CLASSES = "a=classification,b=classification"
LOSSES = "side=classification,place=regression*4"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    for kind, name, text in (("models", "two.py", MODEL), ("datasets", "columns.py", DATASET)):
        (folder / kind).mkdir()
        (folder / kind / name).write_text(text)
    recipe = {"model": "pair", "dataset": "Columns", "losses": LOSSES}
    (folder / "configs" / "recipes").mkdir(parents=True)
    (folder / "configs" / "recipes" / "pair.yaml").write_text(json.dumps(recipe))
    return folder


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def result(*words: str) -> dict[str, Any]:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("words", "outputs", "not_compared"),
    [
        (("pair",), ["side", "place"], None),
        (("--model", "soft", "--dataset", "NamedColumns"), ["conv", "side"], "'place', computed in software"),
    ],
    ids=["tuple", "software"],
)
def test_from_training_to_integers(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], outputs: list[str], not_compared: str | None
) -> None:
    """Losses stay on the scale of the float model, and the engine confirms each output as far as it computes it."""
    monkeypatch.chdir(folder)
    Path("q.pth.tar").unlink(missing_ok=True)
    trained = result("train", *words, *COMMON)
    assert trained["test"]["side_top1"] > 90
    assert trained["test"]["place_mse"] < 0.02
    assert run("quantize", trained["best_checkpoint"], "q.pth.tar").exit_code == 0
    model, dataset = (words[1], words[3]) if len(words) > 1 else ("pair", "Columns")
    described = ("--model", model, "--dataset", dataset, "--write-network", "net.yaml", "--no-verify")
    assert run("synthesize", *described, "--checkpoint", "q.pth.tar", "--output", model).exit_code == 0
    given = ("--checkpoint", "q.pth.tar", "--8bit", "--cpu", "-j", "0", "--network", "net.yaml")
    integers = result("evaluate", *words, *given)
    engine = integers["engine"]
    assert (engine["samples"], engine["different_samples"], engine["values"] > 80) == (40, 0, True)
    assert (sorted(engine["outputs"]), engine["not_compared"]) == (sorted(outputs), not_compared)
    assert integers["side_top1"] == pytest.approx(trained["test_of_best"]["side_top1"], abs=10)
    assert integers["place_mse"] == pytest.approx(trained["test_of_best"]["place_mse"], abs=0.01)
    assert integers["loss"] < 2 * trained["test_of_best"]["loss"] + 0.05


def test_log_names_each_loss(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = run("train", "pair", *COMMON, "--epochs", "1", "--qat-policy", "none")
    assert "side Loss" in done.output and "place Loss" in done.output
    assert "side Top1" in done.output and "place MSE" in done.output


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("--model", "two", "--losses", "side=classification"),
            "the outputs place, side, but losses are specified for side",
        ),
        (("--model", "pair", "--losses", "side=classification"), "has 2 outputs, but losses are specified for side"),
        (("--model", "pair", "--losses", "side=clasification,place=regression"), "did you mean 'classification'?"),
        (("--model", "pair", "--losses", "side"), "'side' does not specify the loss of an output"),
        (
            ("--model", "pair", "--losses", LOSSES, "--regression"),
            "--regression cannot be combined with losses by output",
        ),
        (
            (
                "--model",
                "pair",
            ),
            "specify a loss for each output with --losses",
        ),
    ],
)
def test_refused_before_data_are_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], text: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr("ai8x_tool.training.setup._samples", lambda *_: pytest.fail("data were loaded"))
    done = run("train", "--dataset", "Columns", *words, *COMMON)
    assert done.exit_code == 1
    assert text in done.stderr


def test_losses_as_text() -> None:
    assert read_losses("a=regression * 0.5, b=classification") == {
        "a": OutputLoss("regression", 0.5),
        "b": OutputLoss("classification", 1.0),
    }
    for wrong in ("", "a=regression,a=regression", "a=regression*0", "a=regression*x", "=regression"):
        with pytest.raises(Ai8xError, match=r"does not specify|must be a positive"):
            read_losses(wrong)


def test_numbers_that_do_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    done = run("train", "--model", "pair", "--dataset", "Columns", "--losses", TWO_CLASSES, *COMMON)
    assert "a target has 3 numbers, but the outputs need 1 for a + 1 for b" in done.stderr


def test_sum_is_weighted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    settings = TrainSettings(model="pair", dataset="Columns", losses="p=regression*3,q=regression")
    task = choose_task(TaskContext(settings, find_dataset("Columns"), torch.device("cpu"), Console(verbosity=-1)))
    outputs = {"p": torch.tensor([[2.0]]), "q": torch.tensor([[1.0, 1.0]])}
    assert float(task.loss(outputs, torch.tensor([[0.0, 1.0, 3.0]]), torch.empty(0))) == 3 * 4 + 2
