"""Scripts of the demos: one for each step of every recipe that has one."""

import os
import re

import pytest

from ai8x_tool.settings.files import list_recipes
from tests.conftest import ROOT

DEMOS = sorted(path.stem.removeprefix("train_") for path in (ROOT / "scripts").glob("train_*.sh"))
WITHOUT = {"kws20_v3_tts", "mnist_200"}
"""Recipes that are variants of others."""


def test_every_recipe_has_its_scripts():
    assert {recipe.name for recipe in list_recipes()} - WITHOUT == set(DEMOS)


@pytest.mark.parametrize("demo", DEMOS)
def test_scripts_call_one_after_the_other_what_they_should(demo):
    commands = {}
    for step in ("train", "quantize", "evaluate", "gen"):
        path = ROOT / "scripts" / f"{step}_{demo}.sh"
        assert os.access(path, os.X_OK)
        (commands[step],) = re.findall(r'^exec ai8x (.+) "\$@"$', path.read_text(encoding="utf-8"), re.MULTILINE)
    quantized = f"{demo}-q.pth.tar"
    assert commands["train"].split() == ["train", demo]
    assert commands["quantize"].split()[:3] == ["quantize", "logs/latest/qat_best.pth.tar", quantized]
    assert commands["evaluate"].split()[:5] == ["evaluate", demo, "--checkpoint", quantized, "--8bit"]
    assert commands["gen"].split() == ["synthesize", demo, "--checkpoint", quantized, "--output", f"build/{demo}"]
    device = next(recipe.common["device"] for recipe in list_recipes() if recipe.name == demo)
    assert ("--device MAX78002" in commands["quantize"]) == (device == "MAX78002")
