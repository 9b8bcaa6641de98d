"""Fixtures and options that several folders share."""

from __future__ import annotations

import gc
import os
import time
from functools import cache
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ai8x_tool.console import Console
from tests.support.golden_cases import golden_folder

ROOT = Path(__file__).resolve().parents[1]

# Examples are drawn from a fixed seed: a failure on one machine is a failure on all.
settings.register_profile(
    "ai8x", deadline=None, derandomize=True, max_examples=40, suppress_health_check=list(HealthCheck)
)
settings.load_profile("ai8x")


def pytest_addoption(parser):
    parser.addoption("--all-golden", action="store_true", help="try every case, not only the selection of the day")


def pytest_configure(config):
    """Choose the day whose cases are tried: once for all processes, also at midnight."""
    os.environ.setdefault("AI8X_ZOO_SEED", str(int(time.time()) // 86400))
    if config.getoption("--all-golden"):
        os.environ["AI8X_EVERY_CASE"] = "1"


@pytest.hookimpl(trylast=True)  # when others have left out what is not to run
def pytest_collection_modifyitems(config, items):
    """Let each of several processes start with its part of the slow tests: what is left at the end can be shared.

    Each process is given a contiguous part of the tests; tests of one module stay together where possible.
    """
    count = getattr(config, "workerinput", {}).get("workercount", 1)
    slow = [item for item in items if item.get_closest_marker("slow")]
    others = iter([item for item in items if not item.get_closest_marker("slow")])
    ordered = []
    for number in range(count if count > 1 else 0):
        first = slow[number * len(slow) // count : (number + 1) * len(slow) // count]
        share = (len(items) - len(ordered)) // (count - number)
        ordered += [*first, *islice(others, max(0, share - len(first)))]
    items[:] = [*ordered, *others] if ordered else items


def pytest_collection_finish():
    """Leave what all tests share, a million objects of imported modules, out of every later garbage collection.

    What is left is little, so that the collector would go through all of it again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 20)


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


@pytest.fixture(scope="session")
def onnx_operators():
    """Let PyTorch's exporter collect its hundreds of operators once instead of for each file, where it does so."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            from torch.onnx._internal.exporter._registration import ONNXRegistry
        except ImportError:
            pass
        else:
            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield
