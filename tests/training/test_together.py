"""Two processes give what one gives with the same batches, whatever the task; and what happens when one fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.processes import launch
from ai8x_tool.training.trainer import train
from tests.support import dataset_layouts as layouts
from tests.support import detection_dataset as ragged_objects
from tests.support.consecutive_trainings import train_all

pytestmark = pytest.mark.slow  # each process imports torch

PLUGINS = Path(__file__).parent / "plugins"
COMMON: dict[str, Any] = {
    "optimizer": "SGD",
    "learning_rate": 0.01,
    "qat_policy": "soon",
    "activation_ranges": "fixed",
    "epochs": 2,
    "deterministic": True,
    "cpu": True,
    "validation_split": 0,
    "show_train_accuracy": "full",
    "clipping": True,
    "workers": 0,
}
STRIPES: dict[str, Any] = {"model": "tiny", "dataset": "Stripes", "batch_size": 49}
FACES: dict[str, Any] = {"model": "tinystudent", "dataset": "VGGFace2_FaceID_dr", "dr": 8, "batch_size": 15}
BARS = {"obj_detection": True, "obj_detection_params": "svhn", "batch_size": 4, "learning_rate": 0.001}


@pytest.fixture
def steady(workspace: Path) -> Path:
    """Models, datasets and data of every kind; without dropout and noise, whose numbers differ by process."""
    for folder in ("models", "datasets"):
        shutil.copytree(PLUGINS / folder, workspace / folder, dirs_exist_ok=True)
    (workspace / "configs" / "qat" / "soon.yaml").write_text("start_epoch: 1\nweight_bits: 8\n")
    shutil.copyfile(ragged_objects.__file__, workspace / "datasets" / "bars.py")
    edit(workspace / "models" / "tiny.py", "nn.Dropout(0.1)", "nn.Identity()")
    edit(workspace / "datasets" / "stripes.py", "part(200, 1, True)", "part(200, 1, False)")
    spare = "        self.spare = nn.Linear(3, 4)  # in no step is there a gradient for it\n        self.drop"
    edit(workspace / "models" / "tiny.py", "        self.drop", spare)
    for make in (layouts.motor, layouts.camvid, layouts.svhn, layouts.faces, layouts.colors):
        make(Path("data"))
    return workspace


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def settings(**options: Any) -> TrainSettings:
    return TrainSettings(**{**COMMON, **options})


def kinds() -> dict[str, TrainSettings]:
    """A run of every kind of problem."""
    return {
        "classification": settings(**STRIPES, compress="halve"),
        "measured ranges": settings(**STRIPES, activation_ranges="measured"),
        "segmentation": settings(model="ai85unetsmall", dataset="CamVid_s80_c3", use_bias=True, batch_size=4),
        "regression": settings(model="bayer2rgbnet", dataset="ImageNet_Bayer", batch_size=5, validation_split=0.25),
        "reconstruction": settings(
            model="ai85autoencoder", dataset="SampleMotorDataLimerick_ForTrain", use_bias=True, batch_size=7
        ),
        "detection": settings(model="tinyssdwide", dataset="SVHN_74", **{**BARS, "batch_size": 5}),
        "lists of objects": settings(model="tinyssd", dataset="Bars", **BARS),
        "embeddings": settings(**FACES, scaf_lr=0.01, scaf_scale=32.0),
    }


def pupils(folder: Path, console: Console) -> dict[str, TrainSettings]:
    """Runs that learn from a teacher, who is trained here."""
    faces = folder / "datasets" / "faces.py"
    edit(faces, "datasets = [", 'datasets = [\n    DatasetEntry("Faces", (3, SIDE, SIDE), IDENTITIES, load),')
    edit(folder / "models" / "tiny_embedder.py", "dimensionality=16", "dimensionality=4")
    teacher = {"model": "tinyteacher", "batch_size": 15, "qat_policy": None, "epochs": 1}
    near = train(settings(**{**FACES, **teacher}, out_dir=Path("teacher")), console)
    sure = train(settings(**teacher, dataset="Faces", out_dir=Path("teacher")), console)
    options = {"kd_teacher": "tinyteacher", "kd_relationbased": True, "kd_student_wt": 0.0, "kd_distill_wt": 1.0}
    return {
        "relations": settings(**{**FACES, "dataset": "VGGFace2_FaceID"}, **options, kd_resume=near.best_checkpoint),
        "soft targets": settings(
            model="tinystudent",
            dataset="Faces",
            batch_size=15,
            kd_teacher="tinyteacher",
            kd_resume=sure.best_checkpoint,
        ),
    }


def compare(runs: Mapping[str, TrainSettings], processes: int, console: Console) -> None:
    """Train in one process and in several; weights, metrics and everything else must be the same."""
    alone = {name: replace(run, out_dir=Path("alone", name)) for name, run in runs.items()}
    for run in alone.values():
        train(run, console)
    options: dict[str, Any] = {"distributed": True, "processes": processes}
    together = {name: replace(run, out_dir=Path("together", name), **options) for name, run in runs.items()}
    launch(partial(train_all, together), next(iter(together.values())), console)
    for name in runs:
        assert_same(Path("alone", name, "latest"), Path("together", name, "latest"))
        assert len(list(Path("together", name).iterdir())) == 2  # one folder, one link to it


def assert_same(one: Path, two: Path) -> None:
    first, second = (json.loads((folder / "result.json").read_text()) for folder in (one, two))
    assert_near(second, first, two.parent.name)
    files = {folder: sorted(path.name for path in folder.glob("*.pth.tar")) for folder in (one, two)}
    assert files[one] == files[two]
    for name in files[one]:
        assert_close(one / name, two / name)


def assert_near(found: Any, expected: Any, where: str) -> None:
    """Compare results, but for times and paths; one of a thousand predictions may be another one."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected.keys() - {"seconds", "folder", "checkpoint", "best_checkpoint", "best", "confusion"}:
            assert_near(found[key], expected[key], f"{where}: {key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, two) in enumerate(zip(found, expected, strict=True)):
            assert_near(one, two, f"{where}[{number}]")
    else:
        assert found == (pytest.approx(expected, rel=1e-3, abs=1e-6) if isinstance(expected, float) else expected), (
            where
        )


def assert_close(first: Path, second: Path) -> None:
    one, two = read_checkpoint(first), read_checkpoint(second)
    assert (one.epoch, list(one.state)) == (two.epoch, list(two.state))
    centers = {"class centres": "loss_weights"} if "loss_weights" in one.extras else {}
    values = [(key, one.state[key], two.state[key]) for key in one.state]
    values += [(key, one.extras[extra], two.extras[extra]) for key, extra in centers.items()]
    for key, expected, found in values:
        tolerance = 1e-4 * max(float(np.abs(expected).max(initial=0)), 1e-2)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=f"{second}: {key}")


def test_every_task_in_two_processes(steady: Path, console: Console) -> None:
    for package in ("torchmetrics", "pycocotools", "torchvision"):
        pytest.importorskip(package)
    begun = train(settings(**STRIPES, out_dir=Path("begun"), epochs=1), console)
    compare(
        {
            **kinds(),
            **pupils(steady, console),
            "resumed": settings(**STRIPES, resume_from=begun.checkpoint, epochs=3),
        },
        2,
        console,
    )
    # What two processes began, one continues.
    checkpoint = Path("together/classification/latest/checkpoint.pth.tar")
    assert read_checkpoint(checkpoint).epoch == 0
    options = {**STRIPES, "compress": "halve", "resume_from": checkpoint}
    rest = train(settings(**options), console)
    assert_close(Path("alone/classification/latest/qat_checkpoint.pth.tar"), rest.checkpoint)


def test_processes_without_samples(steady: Path, console: Console) -> None:
    """Of three processes one has no sample in the last batch of an epoch, and two have none in the test."""
    few = settings(**{**STRIPES, "batch_size": 66}, truncate_testset=True)
    single = settings(**{**STRIPES, "batch_size": 199}, qat_policy=None)
    compare({"few": few, "single": single}, 3, console)


# -- failures ------------------------------------------------------------------------------------------------------


WORDS = ["train", "--optimizer", "SGD", "--lr", "0.001", "--cpu", "--det", "-q", "--qat-policy", "none", "-j", "0"]
PAIR = [*WORDS, "--model", "tiny", "--dataset", "Stripes", "--epochs", "900", "--distributed", "--processes", "2"]


def start(*words: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *sys.path])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True}
    # What a shell starts in the background ignores Ctrl-C, and so does what that starts: here it is to be heard.
    pipes["preexec_fn"] = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen([sys.executable, "-m", *words], text=True, env=environment, **pipes)


def lines(process: subprocess.Popen[str]) -> list[str]:
    """Wait for the end, which must come soon, and return the messages."""
    return process.communicate(timeout=180)[1].splitlines()


def wait_for_epoch() -> Path:
    """Return the first run that has completed an epoch."""
    deadline = time.monotonic() + 180
    while not (found := list(Path("logs").glob("2*/checkpoint.pth.tar"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found[0].parent


def assert_whole(folder: Path) -> None:
    assert (read_checkpoint(folder / "checkpoint.pth.tar").epoch or 0) >= 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_killed_process_ends_the_others(steady: Path) -> None:
    process = start("ai8x_tool", *PAIR)
    folder = wait_for_epoch()
    table = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout
    children = [int(row.split()[0]) for row in table.splitlines() if "spawn_main" in row]
    assert len(children) == 2
    os.kill(children[1], signal.SIGKILL)
    assert lines(process) == ["error: training process 1 was ended by SIGKILL (is there enough memory?)"]
    assert process.returncode == 1
    assert_whole(folder)


def test_interrupting(steady: Path) -> None:
    """Ctrl-C reaches all processes, of which the first one alone listens and tells the others."""
    process = start("ai8x_tool", *PAIR)
    folder = wait_for_epoch()
    os.killpg(process.pid, signal.SIGINT)
    (line,) = lines(process)
    assert line.startswith("error: interrupted in epoch ") and f"--resume-from {folder}" in line
    assert process.returncode == 130
    assert_whole(folder)


def test_a_bad_sample_under_torchrun_is_one_line(steady: Path) -> None:
    pytest.importorskip("torchmetrics")
    words = [
        *WORDS,
        "--model",
        "tinyssd",
        "--dataset",
        "BrokenBars",
        "--obj-detection",
        "--obj-detection-params",
        "svhn",
    ]
    run = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ai8x_tool"]
    process = start(*run, *words, "--epochs", "1", "-b", "4", "--vs", "0")
    messages = [line for line in lines(process) if line.startswith(("error: ", "Traceback"))]
    assert messages[0].endswith("ValueError: sample 13 is broken") and process.returncode == 1
    assert len([line for line in messages if line.startswith("error")]) == 1  # torchrun adds its own report
