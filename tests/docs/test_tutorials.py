"""The commands of the tutorials, as they stand there, with small folders of data and few epochs."""

from __future__ import annotations

import re
import shlex
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from ai8x_tool.cli.main import app
from ai8x_tool.report.layer_costs import with_costs

ROOT = Path(__file__).resolve().parents[2]


def images(root: Path, random: np.random.Generator) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchvision")
    for label in ("circle", "square"):
        for number in range(30):
            pixels = random.integers(0, 60, (20, 20, 3), dtype=np.uint8)
            pixels[5:15, 5:15] += 0 if label == "circle" else 150
            path = root / "shapes" / label / ("a.png" if number == 0 else f"{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            pillow.fromarray(pixels).save(path)


def sounds(root: Path, random: np.random.Generator) -> None:
    for label, pitch in (("lamp", 300), ("music", 900)):
        for number, name in enumerate(["anna_1", *(f"{voice}_1" for voice in "abcdefghijklmno")]):
            path = root / "words" / label / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            values = 0.5 * np.sin(2 * np.pi * (pitch + number) * np.arange(8000) / 8000) + random.normal(0, 0.01, 8000)
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes((32767 * values.clip(-1, 1)).astype("<i2").tobytes())


def series(root: Path, random: np.random.Generator) -> None:
    for label in ("normal", "imbalance"):
        for number in range(4):
            path = root / "machine" / label / f"run_{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = random.normal(0, 1 + 2 * (label == "imbalance"), (700, 3))
            path.write_text("x,y,z\n" + "\n".join(",".join(f"{value:.3f}" for value in row) for row in rows))


def masks(root: Path, random: np.random.Generator) -> None:
    pillow = pytest.importorskip("PIL.Image")
    for number in range(24):
        for folder, value, around in (("images", 200, 60), ("masks", 1, 1)):
            pixels = random.integers(0, around, (32, 32), dtype=np.uint8)
            pixels[number % 9 : 20, 5:25] = value
            path = root / "scenes" / folder / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pillow.fromarray(pixels).save(path)


def boxes(root: Path, random: np.random.Generator) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchmetrics")
    for folder in ("images", "labels"):
        (root / "parts" / folder).mkdir(parents=True)
    (root / "parts" / "data.yaml").write_text("names: [nut, bolt]\n")
    for number in range(24):
        pixels = random.integers(0, 60, (32, 32), dtype=np.uint8)
        pixels[8:24, 4:20] = 120 + 100 * (number % 2)
        pillow.fromarray(pixels).save(root / "parts" / "images" / f"{number}.png")
        (root / "parts" / "labels" / f"{number}.txt").write_text(f"{number % 2} 0.375 0.5 0.5 0.5\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "part", "make", "answer"),
    [
        ("images", slice(None), images, "(circle|square)$"),
        ("sound", slice(None), sounds, "(lamp|music)$"),
        ("series", slice(None), series, r"(normal|imbalance) \(\d+ of \d+ windows\)$"),
        ("annotated", slice(1), masks, r"(background|object) \d+\.\d%.* of the pixels$"),
        ("annotated", slice(1, 2), boxes, r"(no object|(nut|bolt) \d+% at \(\d+, \d+, \d+, \d+\).*)$"),
    ],
    ids=["images", "sound", "series", "masks", "boxes"],
)
def test_commands(page: str, part: slice, make, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("unicorn")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    make(tmp_path, np.random.default_rng(1))
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[part]
    shown = ""
    for command in (line for block in blocks for line in block.splitlines()):
        words = shlex.split(command)
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
            (recipe,) = Path("configs/recipes").glob("*.yaml")
            content = yaml.safe_load(recipe.read_text())
            content["train"] |= {"epochs": 4, "qat_policy": "auto"}
            recipe.write_text(yaml.safe_dump(content))
            continue
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, (command, done.output)
        shown = done.stdout
    torch.set_num_threads(threads)
    assert re.search(f"^{re.escape(words[-1])}: {answer}", shown, re.MULTILINE), shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "answer"),
    [
        ("reference", r"sample_stripes\.npy: (left|middle|right)$"),
        ("models", r'"fits": true'),
        ("datasets", r"Top1 (9\d|100)\.\d\d % of 100 samples of Blinks"),
    ],
)
def test_pages_with_files(page: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose first line is their path are written, then the commands are run."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    for name, content in re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    shown = []
    for command in (line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()):
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output)
        shown.append(done.stdout)
    torch.set_num_threads(threads)
    assert re.search(answer, shown[-1], re.MULTILINE), shown[-1]
    listed = [text for text in shown if "stripesnet" in text or "doorbellnet" in text or "Blinks" in text]
    assert listed


@pytest.mark.slow
def test_costs_of_layers_are_those_computed() -> None:
    page = (ROOT / "docs" / "tutorials" / "models.md").read_text(encoding="utf-8")
    assert page == with_costs(page), "run scripts/generate_docs.py"
