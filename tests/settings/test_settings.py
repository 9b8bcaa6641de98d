"""Where options come from, and how wrong ones are refused."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml

from ai8x_tool import resources
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import read_policy
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.files import list_recipes, read_recipe, save
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.task import TaskSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.schedule import read_schedule
from ai8x_tool.training.setup import build_untrained
from ai8x_tool.training.tasks import TaskContext, choose_task

RECIPE = """
description: A test
model: m1
dataset: D1
train: {epochs: 7, learning_rate: 1e-3, batch-size: 32}
evaluate: {confusion: true}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    return str(path)


def test_precedence(recipe: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text("epochs: 8\nseed: 3\n")
    flags = {"seed": 4, "gpus": "0,1"}
    settings = resolve(TrainSettings, "train", recipe, file, flags)
    assert (settings.model, settings.epochs, settings.seed, settings.batch_size) == ("m1", 8, 4, 32)
    assert (settings.learning_rate, settings.momentum, settings.gpus) == (1e-3, 0.9, (0, 1))
    assert resolve(EvaluateSettings, "evaluate", recipe, None, {"checkpoint": "x"}).confusion


def test_saved_settings_are_the_same_again(recipe: str, tmp_path: Path) -> None:
    flags = {"qat_policy": "None", "gpus": [1], "name": "x", "resume_from": tmp_path / "c", "optimizer": "adam"}
    settings = resolve(TrainSettings, "train", recipe, None, flags)
    assert settings.qat_policy is None and settings.optimizer == "adam"
    save(settings, tmp_path / "settings.yaml")
    assert resolve(TrainSettings, "train", None, tmp_path / "settings.yaml") == settings
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"epochs": "many"}, "epochs: 'many' is not a whole number"),
        ({"epochs": 1.5}, "epochs: 1.5 is not a whole number"),
        ({"epochs": True}, "epochs: True is not a whole number"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"deterministic": "yes"}, "deterministic: 'yes' is not true or false"),
        ({"compress": "kws20", "scheduler": "StepLR"}, "exclude each other"),
        ({"scheduler_arguments": {"gamma": 1}}, "scheduler_arguments need a scheduler"),
        ({"validation_split": 1}, "validation_split must be at least 0 and below 1, not 1.0"),
        ({"learning_rat": 1}, "unknown option 'learning_rat'; did you mean 'learning_rate'?"),
        ({"resume_from": "a", "exp_load_weights_from": "b"}, "exclude each other"),
        ({"name": "a/b"}, "must not contain slashes"),
        ({"gpus": "a"}, "gpus: 'a' is not a whole number"),
    ],
)
def test_wrong_values_are_named(recipe: str, flags: dict[str, object], words: str) -> None:
    with pytest.raises(Ai8xError) as caught:
        resolve(TrainSettings, "train", recipe, None, flags)
    assert words in str(caught.value)


def test_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    for text, words in {
        "trian: {}": "unknown key 'trian'; did you mean 'train'?",
        "train: {epoch: 3}": r"bad\.yaml \(train\): unknown option 'epoch'; did you mean 'epochs'",
        "train: [": ":2: YAML syntax error",
        "- a": "must be a mapping",
        "train: 3": "'train' must be a mapping",
    }.items():
        path.write_text(text)
        with pytest.raises(Ai8xError, match=words) as caught:
            resolve(TrainSettings, "train", str(path))
        assert str(path) in str(caught.value)
    with pytest.raises(Ai8xError, match="train needs a model"):
        resolve(TrainSettings, "train")
    with pytest.raises(Ai8xError, match="did you mean 'mnist'"):
        resolve(TrainSettings, "train", "minst")


def test_the_shipped_recipes_are_complete() -> None:
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    classifiers = {"kws20_v3", "kws20_v3_tts", "ai87_kws20_v3", "mnist", "mnist_200", "mnist_qat"}
    others = {"autoencoder", "camvid_unet", "svhn_tinierssd", "mnist_extrasmall", "kws20", "kws20_v2", "kws20_nas"}
    assert classifiers | others <= recipes.keys()
    for name, recipe in recipes.items():
        settings = resolve(TrainSettings, "train", name)
        evaluation = resolve(EvaluateSettings, "evaluate", name, None, {"checkpoint": "x"})
        assert recipe.description
        if name in classifiers:
            assert resources.find_config("networks", str(recipe.common["network"]))
        if settings.compress is not None:
            read_schedule(resources.find_config("schedules", settings.compress))
        if settings.qat_policy is not None:
            read_policy(resources.find_config("qat", settings.qat_policy))
        for key in ("model", "dataset", "device", *(field.name for field in fields(TaskSettings))):
            if key not in ("confusion", "clipping"):  # what is evaluated is what was trained
                assert getattr(settings, key) == getattr(evaluation, key), (name, key)


def test_the_shipped_recipes_build_their_models() -> None:
    written = {"kws20_v3", "kws20_v3_tts", "ai87_kws20_v3", "mnist", "mnist_200", "mnist_qat"}
    for name in sorted({recipe.name for recipe in list_recipes()} - written):
        settings = resolve(TrainSettings, "train", name)
        entry = find_dataset(settings.dataset, settings)
        if settings.obj_detection and not all(map(find_spec, ("torchmetrics", "pycocotools", "torchvision"))):
            continue
        task = choose_task(TaskContext(settings, entry, torch.device("cpu"), Console()))
        model = build_untrained(settings, settings.model, entry, task, Console())
        task.attach(model)
        assert task.real_outputs(model.eval()(torch.zeros(1, *entry.sample))) is not None


def test_the_original_recipe_is_the_original() -> None:
    settings = resolve(TrainSettings, "train", "mnist_200")
    assert (settings.epochs, settings.optimizer, settings.learning_rate, settings.weight_decay) == (
        200,
        "SGD",
        0.1,
        1e-4,
    )
    schedule = yaml.safe_load(resources.find_config("schedules", str(settings.compress)).read_text())
    assert schedule["lr_schedulers"]["decay"]["milestones"] == [100, 140, 170]
    assert read_recipe("kws20_v3").common["dataset"] == "KWS_20"


def test_saved_settings_mean_the_same_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here / "configs/schedules", here / "logs/run", there):
        folder.mkdir(parents=True)
    (here / "configs/schedules/own.yaml").write_text("")
    monkeypatch.chdir(here)
    given = {"model": "m", "dataset": "D", "compress": "own", "qat_policy": "mnist_short", "resume_from": "logs/run/c"}
    settings = resolve(TrainSettings, "train", given=given)
    save(settings, Path("logs/run/settings.yaml"))
    saved = yaml.safe_load(Path("logs/run/settings.yaml").read_text())
    assert (saved["data"], saved["out_dir"], saved["resume_from"]) == ("../../data", "..", "c")
    assert (saved["compress"], saved["qat_policy"]) == ("../../configs/schedules/own.yaml", "mnist_short")
    again = resolve(TrainSettings, "train", None, Path("logs/run/settings.yaml"))
    assert again == replace(settings, compress="configs/schedules/own.yaml")
    monkeypatch.chdir(there)
    again = resolve(TrainSettings, "train", None, here / "logs/run/settings.yaml")
    assert (again.data, again.out_dir, again.resume_from) == (here / "data", here / "logs", here / "logs/run/c")
    assert (again.compress, again.qat_policy) == (str(here / "configs/schedules/own.yaml"), "mnist_short")


def test_paths_of_older_files_are_found_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative to the file, or to the current folder where only that has such a file."""
    monkeypatch.chdir(tmp_path)
    for folder in ("logs", "data", "logs/data"):
        Path(folder).mkdir()
    Path("logs/settings.yaml").write_text("model: m\ndataset: D\ndata: data\n")
    assert resolve(TrainSettings, "train", None, Path("logs/settings.yaml")).data == Path("logs/data")
    Path("logs/data").rmdir()
    assert resolve(TrainSettings, "train", None, Path("logs/settings.yaml")).data == Path("data")
