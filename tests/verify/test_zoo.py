"""Recipes from training to the chip, on synthetic data: each day one of the smallest; scripts/zoo.py tries all."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from ai8x_tool.settings.files import list_recipes

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "zoo.py"
SMALLEST = ("mnist_extrasmall", "autoencoder", "mnist_qat", "mnist", "kws20")


@pytest.fixture(scope="module")
def zoo():
    spec = importlib.util.spec_from_file_location("zoo_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["zoo_script"] = module
    spec.loader.exec_module(module)
    return module


def test_one_of_the_smallest_recipes(zoo, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seed = int(os.environ["AI8X_ZOO_SEED"])
    name = SMALLEST[seed % len(SMALLEST)]
    print(f"AI8X_ZOO_SEED={seed}: {name}")
    assert zoo.main([name, "--folder", str(tmp_path)]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out.splitlines()
    devices = zoo.devices(name, "MAX78000")
    assert [line.split()[:3] for line in said[-1 - len(devices) : -1]] == [["PASS", name, one] for one in devices]


def test_every_recipe_has_devices(zoo):
    known = {recipe.name: str(recipe.common["device"]) for recipe in list_recipes()}
    assert set(zoo.ONE_DEVICE) <= set(known) and set(zoo.NO_PROGRAM) <= set(known)
    assert zoo.devices("catsdogs", "MAX78000") == ("MAX78000", "MAX78002")
    assert zoo.devices("imagenet_effnet2", "MAX78002") == ("MAX78002",)


def test_a_recipe_that_fails_is_named(zoo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo, "few_steps", lambda *_: ("--data", "nowhere", "--model", "nothing"))
    assert zoo.main(["mnist_extrasmall", "--folder", str(tmp_path)]) == 1
    assert "FAIL mnist_extrasmall MAX78000" in capsys.readouterr().out
