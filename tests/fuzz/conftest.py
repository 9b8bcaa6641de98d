"""The small network of the command line's tests, and figures at the end."""

import os

from tests.cli.conftest import ai8x, states, workspace
from tests.support.fuzz_figures import FIGURES

__all__ = ["ai8x", "states", "workspace"]


def pytest_terminal_summary(terminalreporter):
    """Show what was tried, where that was asked for."""
    if "AI8X_FUZZ" in os.environ and FIGURES.counts:
        terminalreporter.section("damaged inputs")
        for line in FIGURES.lines():
            terminalreporter.write_line(line)
