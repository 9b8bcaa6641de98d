"""A training that is killed again and again ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai8x_tool.checkpoint import read_checkpoint
from tests.support.warm_processes import start_training

KILLS = int(os.environ.get("AI8X_KILLS", "4"))
OUTPUT = Path("output.txt")
OPTIONS: dict[str, Any] = {
    "model": "tiny",
    "dataset": "Stripes",
    "optimizer": "Adam",
    "learning_rate": 0.01,
    "compress": "halve",
    "qat_policy": "second",
    "epochs": 30,
    "batch_size": 32,
    "deterministic": True,
    "cpu": True,
}


def run(**options: Any) -> BaseProcess:
    return start_training(OUTPUT, {**OPTIONS, **options})


def assert_success(process: BaseProcess) -> None:
    process.join()
    assert process.exitcode == 0, OUTPUT.read_text()


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoint files, each of which must be whole; the last one is of the latest epoch."""
    files = [path for path in folder.rglob("*.pth.tar") if not path.parent.is_symlink()]
    return sorted(files, key=lambda path: (read_checkpoint(path).epoch or 0, "checkpoint" in path.name))


def last_state(folder: Path) -> Mapping[str, Any]:
    checkpoint = read_checkpoint(checkpoints(folder)[-1])
    assert checkpoint.epoch == OPTIONS["epochs"] - 1
    return checkpoint.state


def kill_at_some_moment(process: BaseProcess, moment: random.Random, epoch: float) -> None:
    """Kill after the first epoch of the run, in one case of four maybe before it, at any point of the next one."""

    def written() -> int:
        return sum(path.stat().st_mtime_ns for path in Path("logs").rglob("*checkpoint.pth.tar"))

    before = written()
    deadline = time.monotonic() + (0 if moment.random() < 0.25 else 60)
    while time.monotonic() < deadline and written() == before:
        time.sleep(0.01)
    time.sleep(moment.uniform(0, epoch))
    process.kill()


@pytest.mark.slow
def test_killed_again_and_again(workspace: Path) -> None:
    assert_success(run(out_dir="first", epochs=1, qat_policy=None))
    started = time.monotonic()
    assert_success(run(out_dir="whole"))
    seconds = time.monotonic() - started
    moment = random.Random(1)
    epochs = []
    for _ in range(KILLS):
        files = checkpoints(Path("logs"))
        epochs.append(read_checkpoint(files[-1]).epoch if files else -1)
        process = run(**({"resume_from": str(files[-1])} if files else {}))
        kill_at_some_moment(process, moment, seconds / OPTIONS["epochs"])
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert_success(run(resume_from=str(checkpoints(Path("logs"))[-1])))
    assert len(set(epochs)) > KILLS // 2, f"killed too early to learn anything: {epochs}"
    expected, found = (last_state(Path(folder)) for folder in ("whole", "logs"))
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
