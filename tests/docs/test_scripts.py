"""The scripts can be imported: they use what there is."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_import(script: Path) -> None:
    assert runpy.run_path(str(script), run_name="imported")["__doc__"]
