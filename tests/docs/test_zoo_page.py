"""The page of the zoo is that of its script, which CI compares whole; one recipe of it is made again here."""

from __future__ import annotations

import importlib.util
import sys

from ai8x_tool.settings.files import list_recipes
from tests.conftest import ROOT


def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("generate_zoo", ROOT / "scripts" / "generate_zoo.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["generate_zoo"] = script  # where its dataclasses look for their module
    spec.loader.exec_module(script)
    text = script.PAGE.read_text(encoding="utf-8")
    recipes = {recipe.name: recipe for recipe in list_recipes()}
    assert text.startswith(script.INTRODUCTION)
    rows = [line.split("](")[0][3:] for line in text.splitlines() if line.startswith("| [")]
    assert rows == sorted(recipes) == [line[3:] for line in text.splitlines() if line.startswith("## ")]
    mnist = script.analyzed(recipes["mnist"])
    assert "\n".join(script.section(mnist)) + "\n" in text, "run scripts/generate_zoo.py"
    assert [*script.overview([mnist])][-1] in text, "run scripts/generate_zoo.py"
