"""Scripts of the demos: one for each step of every recipe that has one."""

import os
import re
import subprocess

import pytest

from ai8x_tool.settings.files import list_recipes
from tests.conftest import ROOT

DEMOS = sorted(path.stem.removeprefix("train_") for path in (ROOT / "scripts").glob("train_*.sh"))
WITHOUT = {"kws20_v3_tts", "kws20_v3_tts_mixed", "ai87_kws20_v3_tts", "mnist_200"}
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


@pytest.mark.parametrize("device", ["MAX78000", "MAX78002"])
def test_all_demos_of_a_device_are_generated_or_named(device, tmp_path):
    (tmp_path / "ai8x").write_text('#!/bin/sh\necho "ai8x $*"\n')
    (tmp_path / "ai8x").chmod(0o755)
    (tmp_path / "catsdogs-q.pth.tar").touch()
    script = ROOT / "scripts" / f"gen-demos-{device.lower()}.sh"
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([script, "--no-verify"], check=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    lines = done.stdout.decode().splitlines()
    common = f"--device {device} "
    made = [line.split()[2] for line in lines if line.startswith("ai8x synthesize ") and common in line]
    skipped = [line.partition(":")[0] for line in lines if ": skipped, there is no " in line]
    assert len(made) + len(skipped) == len(lines) and {"mnist", "catsdogs"} <= set(made)
    assert set(made + skipped) <= set(DEMOS)
    line = next(line for line in lines if " catsdogs " in line)
    assert line.endswith(f"--checkpoint ./catsdogs-q.pth.tar --output build/{device}/catsdogs --no-verify")
