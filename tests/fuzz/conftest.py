"""The small network of the command line's tests, and figures at the end."""

import os

import pytest

from tests.cli.conftest import Workspace, ai8x, states
from tests.support.every_command import commands
from tests.support.fuzz_figures import FIGURES

__all__ = ["ai8x", "commands", "states"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """The small network, in a folder that has others above it: names with `..` in them stay within."""
    folder = tmp_path / "above/work"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return Workspace(folder)


def pytest_terminal_summary(terminalreporter):
    """Show what was tried, where that was asked for."""
    if "AI8X_FUZZ" in os.environ and FIGURES.counts:
        terminalreporter.section("damaged inputs")
        for line in FIGURES.lines():
            terminalreporter.write_line(line)
