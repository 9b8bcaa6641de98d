"""Files of the reference trainer, trained, quantized and evaluated with the commands as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.trainer import TrainResult
from ai8x_tool.training.trainer import train as run_training

COMMON = ["--optimizer", "Adam", "--lr", "0.01", "--wd", "0", "-b", "16", "--det", "--cpu", "--qat-policy", "second"]
BROKEN_MODEL = "broken.py:2: needs torchvision_of_old, which is not installed (install it to use this file): skipped"


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    ("model", "dataset", "options", "accuracy"),
    [("resnet", "SQUARES", ["--use-bias"], 90), ("sound", "TONES", ["--use-bias", "-j", "2"], 90)],
)
def test_train_quantize_evaluate(squares: Path, model: str, dataset: str, options: list[str], accuracy: float) -> None:
    chosen = ["--model", model, "--dataset", dataset, *options]
    done = invoke("train", *chosen, *COMMON, "--epochs", "4", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["test"]["top1"] > accuracy and [e["phase"] for e in result["epochs"]] == ["float", *["qat"] * 3]
    assert done.stderr.count(BROKEN_MODEL) == 2  # one model file, one dataset file
    assert done.stderr.count("models/" + BROKEN_MODEL) == 1

    quantized = squares / "q.pth.tar"
    done = invoke("quantize", result["checkpoint"], str(quantized), "--device", "MAX78000")
    assert done.exit_code == 0, done.output
    bits = {key: int(value[0]) for key, value in read_checkpoint(quantized).state.items() if "weight_bits" in key}
    assert bits["conv2.weight_bits"] == 4 and bits["conv1.weight_bits"] == 8

    words = ["evaluate", "--dataset", dataset, "--checkpoint", str(quantized), "--cpu", "--json", *options]
    in_integers = invoke(*words, "-8", "--save-sample", "1")
    assert in_integers.exit_code == 0, in_integers.output
    evaluated = json.loads(in_integers.stdout)
    assert abs(evaluated["top1"] - result["test"]["top1"]) <= 5
    assert abs(evaluated["loss"] - result["test"]["loss"]) < 0.1  # inputs are integers of the same scale
    sample = np.load(evaluated["sample_file"])
    assert sample.dtype == np.int64 and sample.min() < -60 and sample.max() > 60


OPTIONS: dict[str, Any] = {
    "model": "resnet",
    "dataset": "SQUARES",
    "use_bias": True,
    "optimizer": "Adam",
    "learning_rate": 0.01,
    "epochs": 2,
    "batch_size": 32,
    "deterministic": True,
    "cpu": True,
    "qat_policy": None,
}


def run(console: Console, **options: Any) -> TrainResult:
    return run_training(TrainSettings(**{**OPTIONS, **options}), console)


def test_a_deterministic_run_does_not_depend_on_the_workers(squares: Path, console: Console) -> None:
    losses = [[e.training_loss for e in run(console, workers=count).history] for count in (0, 3)]
    assert losses[0] == losses[1] and losses[0][0] != losses[0][1]
    other = run(console, workers=0, epochs=1, seed=4)
    assert other.history[0].training_loss != losses[0][0]


def test_a_resumed_run_continues_bit_for_bit(squares: Path, console: Console) -> None:
    whole, begun = run(console, epochs=2), run(console, epochs=1, workers=0)
    resumed = run(console, epochs=2, resume_from=begun.checkpoint)
    assert replace(resumed.history[0], seconds=0) == replace(whole.history[1], seconds=0)


def test_the_test_set_can_be_cut_to_one_sample(squares: Path, console: Console) -> None:
    assert run(console, epochs=1, truncate_testset=True).test.samples == 1


def test_curves_and_projector_know_the_classes(squares: Path, console: Console) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    options = {"tensorboard": True, "pr_curves": True, "embedding": True, "validation_split": 0.0, "epochs": 1}
    result = run(console, **options)
    found = EventAccumulator(str(result.folder)).Reload()
    for number, label in enumerate(result.labels):
        positives, negatives = make_ndarray(found.Tensors(label)[0].tensor_proto)[:2, 0]  # all count as found
        assert positives == sum(result.test.confusion[number]) and positives + negatives == 40
    (names,) = result.folder.rglob("metadata.tsv")
    listed = names.read_text().split()
    assert [listed.count(label) for label in result.labels] == [sum(row) for row in result.test.confusion]


def test_one_unusable_file_is_one_line(workspace: Path) -> None:
    for kind, own in (("models", "resnet"), ("datasets", "SQUARES")):
        done = invoke("list", kind, "--json")
        names = {row["name"] for row in json.loads(done.stdout)[kind]}
        assert own in names and not {"brokennet", "BROKEN"} & names and len(names) > 2
        assert done.stderr.count("skipped") == 1 and f"{kind}/{BROKEN_MODEL}" in done.stderr.replace("\n", "")
    asked = invoke("train", "--model", "brokennet", "--dataset", "TONES")
    assert asked.exit_code == 1 and "error:" in asked.stderr and "needs torchvision_of_old" in asked.stderr
    asked = invoke("train", "--model", "resnett", "--dataset", "TONES")
    assert asked.exit_code == 1 and "did you mean 'resnet'" in asked.stderr


def test_a_loader_that_gives_up_is_one_line(workspace: Path) -> None:
    done = invoke("train", "--model", "resnet", "--dataset", "SQUARES", "--json", *COMMON)
    assert done.exit_code == 1 and "Download SQUARES first!" in done.stderr
    assert "ours.py:23: the file called sys.exit()" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_fault_in_an_item_names_the_line(squares: Path, workers: str) -> None:
    path = squares / "datasets" / "ours.py"
    path.write_text(path.read_text().replace("image = self.data[index]", "image = self.data[index + 159]"))
    done = invoke("train", "--model", "resnet", "--dataset", "SQUARES", "-j", workers, *COMMON)
    assert done.exit_code == 1 and "ours.py:34: IndexError" in done.stderr and "Traceback" not in done.stderr


def test_global_random_numbers_of_the_caller_are_left_alone(squares: Path, console: Console) -> None:
    from ai8x_tool.plugins.find import find_dataset

    part = find_dataset("SQUARES").load(squares / "data", console).train
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    part.batch(torch.arange(5))
    assert torch.equal(torch.rand(3), expected)
