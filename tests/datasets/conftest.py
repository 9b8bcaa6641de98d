from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ai8x_tool.console import Console

ROOT = Path(__file__).resolve().parents[2]


def _plugin(name: str) -> ModuleType:
    module_name = f"tested_{name}"
    spec = importlib.util.spec_from_file_location(module_name, ROOT / "datasets" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def mnist() -> ModuleType:
    return _plugin("mnist")


@pytest.fixture(scope="session")
def kws20() -> ModuleType:
    return _plugin("kws20")


@pytest.fixture(scope="session")
def kws20_tts() -> ModuleType:
    return _plugin("kws20_tts")


@pytest.fixture
def console() -> Console:
    return Console(verbosity=-1)


@pytest.fixture
def shared_data() -> Iterator[Path]:
    folder = Path(os.environ.get("AI8X_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared reference data at {folder} (set AI8X_SHARED)")
    yield folder
