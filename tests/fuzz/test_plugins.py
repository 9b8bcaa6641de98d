"""Model and dataset files that do anything: one line that names the file, exit status 1, nothing trained."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.api import train
from ai8x_tool.cli.main import app
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from tests.support.fuzz_figures import FIGURES
from tests.support.hostile_plugins import DATASETS, GOOD_DATASET, GOOD_MODEL, MODELS, dataset, model

COUNT = int(os.environ.get("AI8X_FUZZ", "12"))
SEED = int(os.environ.get("AI8X_RANDOM_SEED", "0"))
OPTIONS = ("--epochs", "2", "--lr", "0.01", "--optimizer", "Adam", "-b", "16", "--qat-policy", "none")
ALWAYS = [
    *((DATASETS, name) for name in ("load: exit", "load: nothing", "load: tuple", "load: empty training")),
    *((DATASETS, name) for name in ("load: empty validation", "load: raw NumPy", "load: raw meta")),
    *((DATASETS, name) for name in ("load: targets NaN", "load: raw short", "entry: weights NaN", "entry: input None")),
    *((DATASETS, name) for name in ("load: augment exit", "load: prepare NaN", "item: NaN", "get: half")),
    *((MODELS, name) for name in ("forward: exit", "forward: NaN", "init: frozen", "init: NaN", "entry: 'dim': '2'")),
]
OTHERS = [(table, name) for table in (DATASETS, MODELS) for name in table if (table, name) not in ALWAYS]


def chosen():
    """The faults that are always tried, and some of the others."""
    order = np.random.default_rng([SEED, len(OTHERS)]).permutation(len(OTHERS))
    return [*ALWAYS, *(OTHERS[number] for number in order[:COUNT])]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind, text in (("models", GOOD_MODEL), ("datasets", GOOD_DATASET)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "good.py").write_text(text)
    yield tmp_path
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled() and Path.cwd() == tmp_path


def invoke(model, dataset):
    words = ["train", "--model", model, "--dataset", dataset, *OPTIONS, "--cpu", "--det", "-j", "0", "-q"]
    return CliRunner().invoke(app, words)


def test_the_files_work_without_a_fault(folder):
    for kind, text in (("models", model()), ("datasets", dataset())):
        (folder / kind / "hostile.py").write_text(text)
    assert invoke("hostile", "Hostile").exit_code == 0


@pytest.mark.parametrize(("table", "name"), chosen(), ids=lambda value: value if isinstance(value, str) else None)
def test_one_line_with_the_file(folder, table, name):
    kind = "models" if table is MODELS else "datasets"
    (folder / kind / "hostile.py").write_text(table[name])
    with FIGURES.measured("plug-ins", name) as refused:
        result = invoke("hostile", "Good") if kind == "models" else invoke("good", "Hostile")
        refused.extend([result] if result.exit_code else [])
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(errors)) == (1, 1), result.output
    assert "hostile.py" in errors[0], errors[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"forward": "return out * float('nan')"}, "the outputs of the model are infinite or undefined"),
        ({"init": "self.fc.op.weight.data.fill_(3e38)"}, "the outputs of fc are"),
        ({"init": "self.fc.op.weight.data.fill_(float('inf'))"}, "fc.op.weight of the model is"),
    ],
)
def test_a_loss_that_is_no_number_names_batch_and_cause(folder, more, words):
    (folder / "models/hostile.py").write_text(model(**more))
    result = invoke("hostile", "Good")
    assert result.exit_code == 1
    assert "epoch 0, batch 1 of 3: the loss is " in result.stderr and words in result.stderr


def test_a_training_that_diverges_stops(folder):
    words = {"optimizer": "SGD", "learning_rate": 1e30, "qat_policy": None, "epochs": 3, "batch_size": 16}
    with pytest.raises(Ai8xError, match=r"epoch 0, batch 2 of 3: the loss is .*lower the learning rate"):
        train(model="good", dataset="Good", cpu=True, seed=1, workers=0, **words)


def test_what_a_file_changes_in_the_process_does_not_last(folder):
    change = "import os; os.chdir('/'); torch.set_default_dtype(torch.float64); torch.set_grad_enabled(False)"
    (folder / "datasets/hostile.py").write_text(dataset(f"{change}; return D()"))
    assert invoke("good", "Hostile").exit_code == 0
    assert (folder / "logs").is_dir()


def test_exit_in_forward_is_an_error_in_python_too(folder):
    (folder / "models/hostile.py").write_text(model("if len(x) > 1: sys.exit(0)\n        return out"))
    with pytest.raises(Ai8xError, match=r"hostile\.py:\d+: the file called sys\.exit\(\)"):
        train(model="hostile", dataset="Good", cpu=True, workers=0, epochs=1, qat_policy=None)


def test_names_as_the_plainest_locale_gives_them(folder):
    """There the bytes of letters beyond ASCII reach Python one by one."""
    (folder / "datasets/hostile.py").write_text(dataset(entry="E(name='Größe')"), encoding="utf-8")
    assert find_dataset("Größe".encode().decode("ascii", "surrogateescape")).name == "Größe"
