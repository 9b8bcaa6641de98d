"""Commands that are killed at any moment: the old or the new result is there, whole; the next run works.

AI8X_KILLS sets how often each command is killed (default 3), AI8X_RANDOM_SEED the moments.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from ai8x_tool.checkpoint import read_checkpoint
from tests.cli.conftest import run
from tests.support.every_command import TABLES
from tests.support.hostile_plugins import GOOD_DATASET, GOOD_MODEL

KILLS, SEED = int(os.environ.get("AI8X_KILLS", "3")), int(os.environ.get("AI8X_RANDOM_SEED", "0"))


def content(folder):
    """Every file below `folder`, with its bytes."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def temporary(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(".ai8x-") or path.name.endswith(".part")]


def killed(work, seconds):
    """Do `work` in a process that is killed after `seconds`; return whether it had ended before."""
    child = os.fork()
    if child == 0:
        try:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            work()
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return not os.WIFSIGNALED(status)


def duration(work):
    started = time.monotonic()
    work()
    return time.monotonic() - started


def moments(seconds):
    """Random moments of work of that length, some just after its usual end."""
    chance = random.Random(SEED)
    for number in range(KILLS):
        yield number, chance.uniform(0, 1.1 * seconds)


def test_synthesize_overwrite(workspace):
    def work(prefix):
        result = workspace.synthesize("--overwrite", "--prefix", prefix, "-q", "--no-verify")
        assert result.exit_code == 0, result.output

    work("new")
    new = content(workspace.output)
    seconds = duration(lambda: work("old"))
    (workspace.output / "mine").mkdir()
    (workspace.output / "mine/notes.txt").write_text("mine")
    (workspace.output / "project.mk").write_text("# mine")
    mine = {"mine/notes.txt": b"mine", "project.mk": b"# mine"}
    old = content(workspace.output)
    new |= mine
    assert old != new and old == old | mine
    for number, moment in moments(seconds):
        killed(lambda: work("new"), moment)
        assert content(workspace.output) in (old, new), (number, moment)
        work("old")
        assert content(workspace.output) == old, (number, moment)
        assert temporary(workspace.folder) == [], (number, moment)


def test_quantize(workspace, states):
    trained = workspace.folder / "trained.pth.tar"
    target = workspace.folder / "q.pth.tar"
    workspace.save(states[0], path=trained)
    work = {
        name: lambda more=more: run("quantize", "-q", trained, target, *more)
        for name, more in {"new": (), "old": ("--clip-method", "MAX")}.items()
    }
    results = {}
    for name in ("new", "old"):
        assert work[name]().exit_code == 0
        results[name] = target.read_bytes()
    assert results["new"] != results["old"]
    seconds = duration(work["old"])
    for number, moment in moments(seconds):
        killed(work["new"], moment)
        assert target.read_bytes() in results.values(), (number, moment)
        assert work["old"]().exit_code == 0
        assert target.read_bytes() == results["old"], (number, moment)
        assert temporary(workspace.folder) == [], (number, moment)


def test_new(workspace):
    """A project of own data is there whole, or not at all."""
    for name, text in TABLES.items():
        path = workspace.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def work():
        assert run("new", "made", "--data", "recordings", "-q").exit_code == 0

    seconds = duration(work)
    whole = content(Path("made"))
    shutil.rmtree("made")
    for number, moment in moments(seconds):
        killed(work, moment)
        if Path("made").exists():
            assert content(Path("made")) == whole, (number, moment)
            shutil.rmtree("made")
        work()
        assert content(Path("made")) == whole, (number, moment)
        assert temporary(workspace.folder) == [], (number, moment)
        shutil.rmtree("made")


def test_report(workspace):
    target, results = Path("report.html"), {}
    for name, more in (("new", ()), ("old", ("--device", "MAX78000"))):
        words = ("analyze", workspace.network, "--checkpoint", workspace.checkpoint, "--html", target, "-q")
        words += ("--input", "3x4x4", *more)
        assert run(*words).exit_code == 0
        results[name] = (target.read_bytes(), words)
    seconds = duration(lambda: run(*results["new"][1]))
    for number, moment in moments(seconds):
        killed(lambda: run(*results["new"][1]), moment)
        assert target.read_bytes() in (results["old"][0], results["new"][0]), (number, moment)
        assert run(*results["old"][1]).exit_code == 0
        assert target.read_bytes() == results["old"][0], (number, moment)
        assert temporary(workspace.folder) == [], (number, moment)


@pytest.mark.slow
def test_train(tmp_path, monkeypatch):
    """Every checkpoint is whole, and the run can be continued from it."""
    monkeypatch.chdir(tmp_path)
    for kind, text in (("models", GOOD_MODEL), ("datasets", GOOD_DATASET)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "good.py").write_text(text)
    words = ("train", "--model", "good", "--dataset", "Good", "--lr", "0.01", "--optimizer", "Adam", "-b", "16")
    words += ("--qat-policy", "none", "--cpu", "--det", "-j", "0", "-q", "--epochs")

    def work():
        assert run(*words, 3).exit_code == 0

    work()
    seconds = duration(work)
    shutil.rmtree("logs")
    for number, moment in moments(seconds):
        killed(work, moment)
        files = [path for path in Path("logs").rglob("*.pth.tar") if not path.parent.is_symlink()]
        for path in files:
            assert read_checkpoint(path).epoch in range(3), (number, moment, path)
        last = max((path for path in files if "checkpoint" in path.name), key=os.path.getmtime, default=None)
        again = () if last is None else ("--resume-from", last)
        result = run(*words, 4, *again)
        assert result.exit_code == 0, (number, moment, result.output)
        newest = max(Path("logs").glob("*/result.json"), key=os.path.getmtime).parent
        assert temporary(newest) == [] and newest.is_dir(), (number, moment)
        shutil.rmtree("logs")


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots would take most of the time."""
    from ai8x_tool.training import trainer

    monkeypatch.setattr(trainer.Trainer, "_draw", lambda *_: None)
