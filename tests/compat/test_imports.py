"""What plugin files can import, and what they leave behind."""

from __future__ import annotations

import gc
import re
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins import find as plugins
from ai8x_tool.plugins.listing import read_listings
from ai8x_tool.plugins.load import call_plugin, library_names

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


TRAINER = """
import utils.dataloader_utils
from utils import object_detection_utils
from utils.augmentation_utils import flip
from utils.model_wrapper import unwrap
from utils.object_detection_utils import collate_fn


def loader(data, load_train, load_test):
    from utils.object_detection_utils import xy_to_cxcy
    return xy_to_cxcy is object_detection_utils.xy_to_cxcy, utils.dataloader_utils.makedir_exist_ok


datasets = [{'name': 'T', 'input': (1, 2), 'output': ['a'], 'loader': loader, 'collate': collate_fn}]
"""


def test_modules_of_the_reference_trainer_are_there_while_a_file_runs(tmp_path: Path) -> None:
    path = tmp_path / "one" / "datasets" / "boxes.py"
    path.parent.mkdir(parents=True)
    path.write_text(TRAINER)
    assert [listing.name for listing in read_listings(path, "datasets")] == ["T"]
    same, make = call_loader(path)
    assert same and plugins.load_plugin(path).collate_fn.__module__ == "ai8x_tool.compat.trainer.object_detection"
    make(tmp_path / "new" / "folder")
    make(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()
    assert not [name for name in sys.modules if name.partition(".")[0] == "utils"]


def call_loader(path: Path) -> Any:
    return call_plugin(path, plugins.load_plugin(path).loader, None, True, False)


def test_modules_of_the_user_come_before_those_of_the_reference_trainer(tmp_path: Path) -> None:
    """Also when other files have used those of the reference before, and only for the names that the user has."""
    test_modules_of_the_reference_trainer_are_there_while_a_file_runs(tmp_path)
    root = tmp_path / "two"
    (root / "datasets").mkdir(parents=True)
    (root / "utils").mkdir()
    (root / "utils" / "object_detection_utils.py").write_text("def collate_fn(batch):\n    return 'mine'\n")
    (root / "datasets" / "boxes.py").write_text(
        "from utils.object_detection_utils import collate_fn\nfrom utils.augmentation_utils import flip\n"
        "def loader(data, load_train, load_test):\n    return collate_fn([])\n"
        "datasets = [{'name': 'T', 'input': (1, 2), 'output': ['a'], 'loader': loader}]\n"
    )
    assert call_loader(root / "datasets" / "boxes.py") == "mine"
    assert call_loader(tmp_path / "one" / "datasets" / "boxes.py")[0]
    assert not [name for name in sys.modules if name.partition(".")[0] == "utils"]


@pytest.mark.parametrize(
    ("imports", "words"),
    [
        (
            "import numpy\nimport albumentations_x\nfrom cv2_x import a\n",
            "needs albumentations_x and cv2_x, which are not",
        ),
        ("from missing_x.a import b\n", "needs missing_x, which is not installed (install it to use this file)"),
        ("from ai8x_nas import OnceForAllModel\n", "needs ai8x_nas: architecture search is not supported"),
    ],
)
def test_all_that_a_file_lacks_is_said_in_one_line(tmp_path: Path, imports: str, words: str) -> None:
    path = tmp_path / "datasets" / "lacking.py"
    path.parent.mkdir()
    path.write_text(imports + "datasets = [{'name': 'L'}]\n")
    with pytest.raises(Ai8xError, match=re.escape(words)) as caught:
        read_listings(path, "datasets")
    assert "\n" not in str(caught.value)
