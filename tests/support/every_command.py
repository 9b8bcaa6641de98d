"""A folder in which every command of the command line works, and the words with which it does."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator

import pytest

from tests.cli.conftest import run
from tests.support.hostile_plugins import GOOD_DATASET, GOOD_MODEL

QUICK = ("synthesize", "quantize", "insert-identity", "list", "flash", "monitor")
SLOWEST = ("demo", "new", "run", "train", "verify")
IDENTITY = ("--layer-name", "x", "--layer-depth", "8", "--insert-before", "last")
SMALL = ("--epochs", "1", "--batch-size", "16", "--cpu", "-j", "0", "--qat-policy", "none", "--optimizer", "Adam")
RECIPE = """\
description: small
model: good
dataset: Good
network: good
train: {epochs: 2, learning_rate: 0.01, batch_size: 16, workers: 0, qat_policy: quick, cpu: true}
evaluate: {batch_size: 16, workers: 0}
"""
POLICY = "start_epoch: 1\nweight_bits: 8\n"
DESCRIPTION = """\
arch: good
dataset: Good
layers:
  - {name: conv, op: Conv2d, pad: 1, activate: ReLU, processors: 0x1, out_offset: 0x2000}
  - {name: fc, op: Linear, flatten: true, output_width: 32, processors: 0xf, out_offset: 0x4000}
"""
TOOL = "#!/bin/sh\nmkdir -p out/build; touch out/build/out.elf\n"


class Commands:
    """The words with which each command works, in the folder of `workspace`."""

    def __init__(self, workspace, states):
        self.workspace = workspace
        for name, text in FILES.items():
            path = workspace.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        workspace.save(states[0], path=workspace.folder / "trained.pth.tar")
        self.synthesis = [str(word) for pair in workspace.arguments.items() for word in pair]
        self.model = ["--model", "good", "--dataset", "Good"]

    def words(self, command):
        """Return what stands after the command's name; what it reads is made."""
        return getattr(self, "_" + command.replace("-", "_"))()

    def _synthesize(self):
        return self.synthesis

    def _verify(self):
        return self.synthesis[:-2]

    def _quantize(self):
        return ["trained.pth.tar", "q.pth.tar"]

    def _insert_identity(self):
        return ["net-q.pth.tar", "i.pth.tar", *IDENTITY]

    def _train(self):
        return [*self.model, *SMALL, "--lr", "0.01"]

    def _evaluate(self):
        assert run("train", *self._train(), "-q").exit_code == 0
        shutil.copy(next(self.workspace.folder.glob("logs/*/checkpoint.pth.tar")), "good.pth.tar")
        shutil.rmtree("logs")
        return [*self.model, "--checkpoint", "good.pth.tar", "--cpu"]

    def _analyze(self):
        return ["good", *self.model[2:], "--device", "MAX78000"]

    def _list(self):
        return ["models"]

    def _doctor(self):
        return []

    def _new(self):
        return ["project", "--data", "recordings"]

    def _demo(self):
        return ["small", "--output", "made"]

    def _run(self):
        self._project()
        return ["out"]

    def _flash(self):
        self._project()
        for name in ("tools/make", "msdk/Tools/OpenOCD/openocd"):
            (self.workspace.folder / name).chmod(0o755)
        return ["out"]

    def _monitor(self):
        return ["--port", str(self.workspace.folder / "port"), "--seconds", "5"]

    def _project(self):
        assert self.workspace.synthesize("-q").exit_code == 0


TABLES = {
    f"recordings/{label}/{number}.csv": "x,y\n" + "".join(f"{number + i % (3 + n)},{i}\n" for i in range(40))
    for n, label in enumerate(("one", "two"))
    for number in range(8)
}
FILES = {
    "models/good.py": GOOD_MODEL,
    "datasets/good.py": GOOD_DATASET,
    "configs/recipes/small.yaml": RECIPE,
    "configs/qat/quick.yaml": POLICY,
    "configs/networks/good.yaml": DESCRIPTION,
    "tools/make": TOOL,
    "msdk/Tools/OpenOCD/openocd": TOOL,
    **TABLES,
}


@contextlib.contextmanager
def board(folder, monkeypatch) -> Iterator[None]:
    """Provide an SDK, and a serial port on which a program reports again and again that it passed."""
    monkeypatch.setenv("PATH", f"{folder}/tools{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAXIM_PATH", f"{folder}/msdk")
    controller, terminal = os.openpty()
    os.set_blocking(controller, False)
    (folder / "port").symlink_to(os.ttyname(terminal))
    ended = threading.Event()

    def report():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                os.write(controller, b"*** PASS ***\n")
            time.sleep(0.01)

    thread = threading.Thread(target=report)
    thread.start()
    yield
    ended.set()
    thread.join()
    os.close(controller)
    os.close(terminal)


@pytest.fixture
def commands(workspace, states, monkeypatch):
    """All commands, each of which works; without plots, which would take most of the time."""
    from ai8x_tool.training import evaluation_run, trainer

    monkeypatch.setattr(trainer.Trainer, "_draw", lambda *_: None)
    monkeypatch.setattr(evaluation_run, "_draw", lambda *_: None)
    made = Commands(workspace, states)
    with board(workspace.folder, monkeypatch):
        yield made
