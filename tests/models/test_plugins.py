"""Search for models and datasets, and messages about faulty files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins import find as plugins
from ai8x_tool.plugins.load import load_plugin

FOREIGN = '''
from torch import nn

import ai8x


class MyNet(nn.Module):
    def __init__(self, num_classes=10, num_channels=3, dimensions=(8, 8), bias=False, **kwargs):
        super().__init__()
        self.conv1 = ai8x.FusedConv2dReLU(num_channels, 4, 3, stride=1, padding=1, bias=bias, **kwargs)
        self.fc = ai8x.Linear(4 * 64, num_classes, bias=True, wide=True, **kwargs)

    def forward(self, x):
        x = self.conv1(x)
        return self.fc(x.view(x.size(0), -1))


def mynet(pretrained=False, **kwargs):
    """A model of my own."""
    assert not pretrained
    return MyNet(**kwargs)


models = [
    {
        'name': 'mynet',
        'min_input': 1,
        'dim': 2,
    },
]
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_a_model_file_that_imports_ai8x_loads_unchanged(folder: Path) -> None:
    (folder / "mynet.py").write_text(FOREIGN)
    (folder / "random.py").write_text("raise SystemExit('must not be executed')")
    entry = plugins.find_model("MyNet")
    assert entry.file == (folder / "mynet.py").resolve() and "ai8x" not in sys.modules
    with nn.build_context(MAX78000):
        model = entry.build(pretrained=False, num_classes=5, num_channels=2, dimensions=(8, 8), bias=True)
    assert model(torch.zeros(1, 2, 8, 8)).shape == (1, 5)
    listing = next(item for item in plugins.list_models() if item.name == "mynet")
    assert (listing.file, listing.description) == (folder.resolve() / "mynet.py", "A model of my own.")


def test_the_users_model_hides_the_shipped_one(folder: Path) -> None:
    (folder / "ai85net5.py").write_text(FOREIGN.replace("mynet", "ai85net5"))
    assert plugins.find_model("ai85net5").file.parent == folder.resolve()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models = [\n", r"bad\.py:1: SyntaxError"),
        (
            "import nonexistent_thing\nmodels = [{'name': 'x'}]\n",
            r"bad\.py:1: needs nonexistent_thing, which is not installed",
        ),
        ("models = [{'name': 'x'}]\n", "must be a function or class of the file"),
        ("models = [dict([('name', 1 / 0)])]\n", r"bad\.py:1: ZeroDivisionError"),
    ],
)
def test_faults_in_a_file_are_one_line(folder: Path, text: str, words: str) -> None:
    (folder / "bad.py").write_text(text)
    with pytest.raises(Ai8xError, match=words) as caught:
        plugins.find_model("x")
    assert "\n" not in str(caught.value)
    assert plugins.find_model("ai85net5").name == "ai85net5"  # what works keeps working


def test_unknown_names_suggest_known_ones() -> None:
    with pytest.raises(Ai8xError, match="no model named 'ai85nett5'; did you mean 'ai85net5'"):
        plugins.find_model("ai85nett5")
    with pytest.raises(Ai8xError, match="did you mean 'MNIST'"):
        plugins.find_dataset("mnist")


def test_computed_lists_are_executed(folder: Path) -> None:
    (folder / "many.py").write_text("def a(**k): ...\nb = a\nmodels = [{'name': n} for n in 'ab']\n")
    assert {"a", "b"} <= {item.name for item in plugins.list_models()}


def test_listing_does_not_import_torch() -> None:
    code = "import sys; from ai8x_tool.plugins import find; n = len(find.list_models() + find.list_datasets());"
    code += "assert n >= 3 and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_changed_file_is_read_again_at_once(tmp_path):
    """Texts of the same size, written in the same second: bytecode of the first must not be taken for the second."""
    file = tmp_path / "mine.py"
    for value in (1, 2, 3):
        file.write_text(f"VALUE = {value}\n")
        os.utime(file, ns=(10**18 + value, 10**18 + value))
        assert value == load_plugin(file).VALUE
    assert not (tmp_path / "__pycache__").exists()
