"""Fixtures and options that several folders share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ai8x_tool.console import Console
from tests.support.golden_cases import golden_folder

ROOT = Path(__file__).resolve().parents[1]

# Examples are drawn from a fixed seed: a failure on one machine is a failure on all.
settings.register_profile(
    "ai8x", deadline=None, derandomize=True, max_examples=60, suppress_health_check=list(HealthCheck)
)
settings.load_profile("ai8x")


def pytest_addoption(parser):
    parser.addoption("--all-golden", action="store_true", help="compare every golden program, not only a selection")


@pytest.fixture(scope="session")
def root():
    """The repository's root."""
    return ROOT


@pytest.fixture
def console():
    """A console that keeps its warnings in `warnings`."""
    return Console(verbosity=-1)


@pytest.fixture(scope="session")
def golden():
    """The folder of golden cases; tests that need it are skipped where it is absent."""
    folder = golden_folder()
    if not folder.is_dir():
        pytest.skip(f"no shared reference data at {folder} (set AI8X_SHARED)")
    return folder
