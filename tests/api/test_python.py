"""The commands as Python functions: what they import, their signatures, and the program in the documentation."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import ai8x_tool
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.option import options_of
from ai8x_tool.settings.quantization import QuantizeSettings
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.training import TrainSettings

LARGE = ("torch", "numpy", "yaml", "rich", "typer", "jinja2")

# 28×28 images of two kinds of bars, so that the program of the documentation needs no download.
DATASET = '''
import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split


def _split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 10, (count,), generator=generator)
    raw = torch.randint(0, 40, (count, 1, 28, 28), generator=generator).to(torch.uint8)
    for image, target in zip(raw, targets.tolist()):
        image[0, :, 2 * target : 2 * target + 6] += 180
    return Split(raw, targets, lambda batch: batch.float() - 128)


def load(data_dir, console):
    """Bars at one of ten places."""
    return Dataset(_split(400, 0), None, _split(100, 1))


datasets = [DatasetEntry("MNIST", (1, 28, 28), tuple(map(str, range(10))), load)]
'''


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder whose own dataset hides the shipped one of the same name."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "mnist.py").write_text(DATASET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded_after(statements: str, root: Path) -> list[str]:
    script = f"import sys\n{statements}\nprint(*[name for name in {LARGE!r} if name in sys.modules])"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout.split()


def test_the_import_is_light(root: Path) -> None:
    assert loaded_after("import ai8x_tool", root) == []
    assert "torch" not in loaded_after("import ai8x_tool; ai8x_tool.train, ai8x_tool.verify", root)
    assert "torch" not in loaded_after("import ai8x_tool; ai8x_tool.list_resources('recipes')", root)
    assert "torch" not in loaded_after("import ai8x_tool; ai8x_tool.synthesize('mnist', explain='0')", root)


def test_all_names_exist() -> None:
    for name in ai8x_tool.__all__:
        assert getattr(ai8x_tool, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = ai8x_tool.trian


@pytest.mark.parametrize(
    ("function", "settings", "arguments"),
    [
        (ai8x_tool.analyze, AnalyzeSettings, ["subject", "settings", "console"]),
        (ai8x_tool.train, TrainSettings, ["recipe", "settings", "console"]),
        (ai8x_tool.synthesize, SynthesizeSettings, ["recipe", "settings", "console"]),
        (ai8x_tool.quantize, QuantizeSettings, ["source", "target", "recipe", "console"]),
    ],
)
def test_every_option_is_a_keyword(function: object, settings: type, arguments: list[str]) -> None:
    assert list(inspect.signature(function).parameters) == [*arguments, *options_of(settings)]  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_program_of_the_documentation(own_folder: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (root / "docs" / "python.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(.*?)```", text, re.S)[0]
    values: dict[str, object] = {}
    exec(compile(program, "docs/python.md", "exec"), values)
    shown = capsys.readouterr().out
    assert "100 test samples, computed as the accelerator does" in shown
    assert shown.count("values equal to the virtual device's") == 5
    assert (own_folder / "build" / "mnist" / "cnn.c").is_file()
    verification = values["verification"]
    assert verification.samples == 10 and all(layer.distance and layer.equality for layer in verification.layers)
    with pytest.raises(FrozenInstanceError):
        verification.samples = 11


def test_the_network_of_the_documentation(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (root / "docs" / "python.md").read_text(encoding="utf-8")
    values: dict[str, object] = {}
    exec(compile(re.findall(r"```python\n(.*?)```", text, re.S)[1], "docs/python.md", "exec"), values)
    assert values["wrong"] == []
    assert capsys.readouterr().out.strip() == "virtual device ≡ integer engine: 2 layers, 2,080 values, all equal"


def test_in_memory(own_folder: Path) -> None:
    """Without a folder nothing is written, and nothing is printed."""
    given = {"network": "mnist", "checkpoint": Path("ai85net5-q.pth.tar")}
    made = ai8x_tool.synthesize(**given)
    assert made.folder is None and made.verification is None and made.different is None
    assert made.synthesis.check.equal
    assert "cnn.c" in made.synthesis.files
    assert [path.name for path in own_folder.iterdir()] == ["datasets"]


def test_quiet_without_a_console(own_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ai8x_tool.synthesize("mnist")
    assert capsys.readouterr() == ("", "")
    assert (own_folder / "build" / "mnist" / "cnn.c").is_file()


def test_settings_in_place_of_a_recipe() -> None:
    """Keywords replace what complete settings say."""
    settings = SynthesizeSettings(network="mnist", checkpoint=Path("ai85net5-q.pth.tar"), softmax=True)
    assert "softmax_layer" in ai8x_tool.synthesize(settings).synthesis.files["main.c"]
    assert "softmax_layer" not in ai8x_tool.synthesize(settings, softmax=False).synthesis.files["main.c"]


def test_none_is_a_value() -> None:
    """None replaces what the recipe says; an option that is not given does not."""
    timer = "MXC_TMR0"
    assert timer in ai8x_tool.synthesize("mnist", explain="0").synthesis.files["cnn.h"]
    assert timer not in ai8x_tool.synthesize("mnist", explain="0", timer=None).synthesis.files["cnn.h"]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (ai8x_tool.train, "train needs a model"),
        (lambda: ai8x_tool.train("mnits"), "did you mean 'mnist'"),
        (lambda: ai8x_tool.train("mnist", epoch=3), "unknown option 'epoch'; did you mean 'epochs'"),
        (lambda: ai8x_tool.train("mnist", epochs="many"), "epochs: 'many' is not a whole number"),
        (lambda: ai8x_tool.quantize("nowhere", "q.pth.tar"), "nowhere"),
        (lambda: ai8x_tool.run("nowhere"), "no such project folder"),
        (lambda: ai8x_tool.verify("tests"), "not a project: it has no ai8x.yaml"),
        (lambda: ai8x_tool.list_resources("cats"), "cannot list 'cats': unknown kind"),
    ],
)
def test_what_is_wrong_is_one_line(call, words: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(ai8x_tool.Ai8xError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)
