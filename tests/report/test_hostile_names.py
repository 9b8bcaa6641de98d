"""Reports of networks, models and classes whose names are markup: the text of the page, and no element of it."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.cli.conftest import Workspace, run, states
from tests.support.every_command import commands

__all__ = ["commands", "states"]

NAMES = ("</style><img src=x onerror=alert(1)>", "\"'><svg onload=alert(1)>", "<!-- ]]> {{ 7 * 7 }} ${8 * 8}")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


class Page(HTMLParser):
    """The text of a page, which has no scripts and refers to no other file."""

    def __init__(self, path):
        super().__init__()
        self.text = ""
        self.feed(Path(path).read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert tag != "script" and not [name for name in values if name.startswith("on")], attrs
        assert values.get("src", "data:").startswith("data:") and values.get("href", "#").startswith("#"), attrs

    def handle_data(self, data):
        self.text += data


def hostile(folder):
    """Put the names into the dataset and the description."""
    for name, old, new in (
        ("datasets/good.py", '("a", "b", "c")', repr(NAMES)),
        ("configs/networks/good.yaml", "name: conv", f"name: {NAMES[0]!r}"),
    ):
        path = folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


def reports(commands):
    """Make all reports; yield them by name."""
    train = [word if word != "1" else "2" for word in commands.words("train")]
    assert run("train", *train, "--confusion", "-q", "--html", "train.html").exit_code == 0
    checkpoint = next(path for path in Path("logs").glob("2*/checkpoint.pth.tar"))
    assert run("quantize", checkpoint, "q.pth.tar", "-q").exit_code == 0
    evaluate = [*commands.model, "--checkpoint", "q.pth.tar", "--8bit", "--cpu", "--confusion", "-q"]
    assert run("evaluate", *evaluate, "--html", "evaluate.html").exit_code == 0
    words = ["--network", "good", "--checkpoint", "q.pth.tar", "--input", "1x8x8", "-q", "--html", "analyze.html"]
    result = run("analyze", "configs/networks/good.yaml", *words[2:])
    assert result.exit_code == 0, result.output
    return {name: Page(f"{name}.html") for name in ("train", "evaluate", "analyze")}


def test_names_are_text(workspace, commands):
    hostile(workspace.folder)
    for name, page in reports(commands).items():
        shown = NAMES[:1] if name == "analyze" else NAMES
        assert all(text in page.text for text in shown), name
