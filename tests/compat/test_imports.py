"""What plugin files can import, and what they leave behind."""

from __future__ import annotations

import gc
import sys
from itertools import count
from pathlib import Path

import pytest

from ai8x_tool.plugins import find as plugins
from ai8x_tool.plugins.load import library_names

NEIGHBOUR = "VALUE = {value}\n"
USER = """
import ai8x
import ai8x_blocks
import own_helper
from datasets.shared import VALUE
from .shared import VALUE as SAME


def loader(data, load_train, load_test):
    from datasets.shared import VALUE as later
    from ai8x import normalize
    return [(VALUE, SAME, later, own_helper.VALUE)], None


datasets = [{'name': 'S', 'input': (1, 2), 'output': ['a'], 'loader': loader}]
"""


def project(root: Path, value: int) -> Path:
    (root / "datasets").mkdir(parents=True)
    (root / "datasets" / "shared.py").write_text(NEIGHBOUR.format(value=value))
    (root / "datasets" / "user.py").write_text(USER)
    (root / "own_helper.py").write_text(NEIGHBOUR.format(value=-1))
    return root / "datasets" / "user.py"


def call(path: Path) -> object:
    module = plugins.load_plugin(path)
    return plugins.call_plugin(path, module.loader, None, True, False)[0][0]


def test_neighbours_are_found_and_leave_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = project(tmp_path / "one", 1), project(tmp_path / "two", 2)
    paths = list(sys.path)
    assert call(one) == (1, 1, 1, -1) and call(two) == (2, 2, 2, -1) and call(one) == (1, 1, 1, -1)
    left = {"ai8x", "ai8x_blocks", "datasets", "datasets.shared", "models"} & set(sys.modules)
    assert not left and sys.path == paths
    sys.modules.pop("own_helper")


def test_installed_libraries_are_not_shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "site" / "datasets"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("MARK = 'library'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    path = project(tmp_path / "mine", 3)
    path.write_text("import datasets\nassert datasets.MARK == 'library'\n" + USER)
    assert call(path) == (3, 3, 3, -1)
    assert sys.modules.pop("datasets").MARK == "library" and "datasets.shared" not in sys.modules
    sys.modules.pop("own_helper")


def test_a_model_file_that_chooses_a_device_does_so_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    text = "import ai8x\nai8x.set_device(85, False, False)\nassert ai8x.dev.device == 85\n"
    text += "def m(**kwargs):\n    ai8x.set_device(87, False, False)\n    return ai8x.DepthwiseConv2d(2, 2, 3)\n"
    (tmp_path / "models" / "m.py").write_text(text + "models = [{'name': 'm'}]\n")
    monkeypatch.chdir(tmp_path)
    from ai8x_tool.compat import ai8x

    assert plugins.find_model("m").build().op.groups == 2 and ai8x.dev is None


def test_modules_may_appear_while_names_are_put_in_place(tmp_path: Path) -> None:
    class Late:
        """Garbage that imports something when it is collected, as the remains of worker processes do."""

        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            sys.modules[f"late_{next(numbers)}"] = sys

    numbers, thresholds = count(), gc.get_threshold()
    gc.freeze()  # only what this test makes is looked at: a collection takes no time
    try:
        for threshold in range(20, 1500, 20):
            gc.collect()
            gc.disable()
            Late()
            gc.set_threshold(threshold)
            gc.enable()
            with library_names(tmp_path / "models" / "mine.py"):
                assert "ai8x" in sys.modules
    finally:
        gc.set_threshold(*thresholds)
        gc.enable()
        gc.unfreeze()
        for name in [name for name in sys.modules.copy() if name.startswith("late_")]:
            del sys.modules[name]
    assert next(numbers) > 50
