"""A description whose layer's name tries to become code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ai8x_tool.cli.main import app
from tests.support.golden_cases import golden_folder

CASE = golden_folder().parent / "cases" / "trust" / "inject-layer-name"


@pytest.mark.golden
@pytest.mark.skipif(not CASE.is_dir(), reason=f"no shared reference data at {CASE} (set AI8X_SHARED)")
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")
def test_layer_name_is_no_code(tmp_path, monkeypatch):
    """It compiles, runs, and shows the name; nothing that the name asks for happens."""
    for path in CASE.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in (CASE / "cmd.txt").read_text().strip().split("; "):
        result = CliRunner().invoke(app, command.split()[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert "*** PASS ***" in result.stdout
    assert r"(x * /\n#ifndef zzq\n" in Path("out", "cnn.c").read_text()
    assert not Path("pwned").exists()
    assert {path.name for path in tmp_path.iterdir()} == {*(path.name for path in CASE.iterdir()), "out"}
