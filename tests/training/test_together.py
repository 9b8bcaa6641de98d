"""Two processes give what one gives with the same batches, whatever the task; and what happens when one fails."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.cli.main import main
from ai8x_tool.console import Console
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.processes import launch
from ai8x_tool.training.trainer import train
from tests.support import dataset_layouts as layouts
from tests.support import detection_dataset as ragged_objects
from tests.support.consecutive_trainings import train_all
from tests.support.warm_processes import start_command

pytestmark = pytest.mark.slow  # each process imports torch

OUTPUT = Path("output.txt")
"""Where the processes print."""
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


def compare(runs: Mapping[str, TrainSettings], count: int, console: Console) -> None:
    """Train in one process and in several; weights, metrics and everything else must be the same."""
    alone = {name: replace(run, out_dir=Path("alone", name)) for name, run in runs.items()}
    for run in alone.values():
        train(run, console)
    options: dict[str, Any] = {"distributed": True, "processes": count}
    together = {name: replace(run, out_dir=Path("together", name), **options) for name, run in runs.items()}
    launch(partial(train_all, together), next(iter(together.values())), console)
    for name in runs:
        assert_same(Path("alone", name, "latest"), Path("together", name, "latest"))
        (folder,) = [path for path in Path("together", name).iterdir() if not path.name.startswith("latest")]
        assert folder.is_dir()


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
    centers = {"class centers": "loss_weights"} if "loss_weights" in one.extras else {}
    values = [(key, one.state[key], two.state[key]) for key in one.state]
    values += [(key, one.extras[extra], two.extras[extra]) for key, extra in centers.items()]
    for key, expected, found in values:
        tolerance = 1e-4 * max(float(np.abs(expected).max(initial=0)), 1e-2)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance, err_msg=f"{second}: {key}")


def test_every_task_in_two_processes(steady: Path, warm: None, console: Console) -> None:
    for package in ("torchmetrics", "pycocotools", "torchvision"):
        pytest.importorskip(package)
    begun = train(settings(**STRIPES, out_dir=Path("begun"), epochs=1, qat_policy=None), console)
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


def test_processes_without_samples(steady: Path, warm: None, console: Console) -> None:
    """Of three processes one has no sample in the last batch of an epoch, and two have none in the test."""
    few = settings(**{**STRIPES, "batch_size": 66}, truncate_testset=True)
    single = settings(**{**STRIPES, "batch_size": 199}, qat_policy=None)
    compare({"few": few, "single": single}, 3, console)


# -- failures ------------------------------------------------------------------------------------------------------


WORDS = ["train", "--optimizer", "SGD", "--lr", "0.001", "--cpu", "--det", "-q", "--qat-policy", "none", "-j", "0"]
PAIR = [*WORDS, "--model", "tiny", "--dataset", "Stripes", "--epochs", "900", "--distributed", "--processes", "2"]


def printed(*ended: BaseProcess) -> list[str]:
    """Wait for the end, which must come soon, and return all messages."""
    connection.wait([process.sentinel for process in ended], 180)
    for process in ended:
        process.join(30)
        process.kill()
    return OUTPUT.read_text().splitlines()


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


def kill_the_second() -> Path:
    """Kill one of two processes of a training that has begun; return the training's folder."""
    folder = wait_for_epoch()
    first, second = sorted(process.pid or 0 for process in multiprocessing.active_children())
    assert first
    os.kill(second, signal.SIGKILL)
    return folder


def test_a_killed_process_ends_the_others(
    steady: Path, warm: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["ai8x", *PAIR])
    with ThreadPoolExecutor(1) as threads:
        killer = threads.submit(kill_the_second)
        with pytest.raises(SystemExit) as end:
            main()
    assert (
        capfd.readouterr().err == "error: training process 1 was ended by SIGKILL (check that there is enough memory)\n"
    )
    assert end.value.code == 1
    assert OUTPUT.read_text() == ""  # the other one has nothing to add
    assert_whole(killer.result())


def test_interrupting(steady: Path) -> None:
    """Ctrl-C reaches all processes, of which the first one alone listens and tells the others."""
    process = start_command(OUTPUT, *PAIR)
    folder = wait_for_epoch()
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGINT)
    lines = printed(process)
    assert len(lines) == 1, lines
    (line,) = lines
    assert line.startswith("error: interrupted in epoch ") and f"--resume-from {folder}" in line
    assert process.exitcode == 130
    assert_whole(folder)


def test_a_bad_sample_under_a_launcher_is_one_line(steady: Path) -> None:
    """Two processes meet as those of torchrun do. One has the bad sample, the other one ends without being told to."""
    pytest.importorskip("torchmetrics")
    words = [*WORDS, "--model", "tinyssd", "--dataset", "BrokenBars", "--obj-detection", "--obj-detection-params"]
    words += ["svhn", "--epochs", "1", "-b", "4", "--vs", "0"]
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
    variables["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    members = [
        start_command(OUTPUT, *words, environment={**variables, "RANK": rank, "LOCAL_RANK": rank}) for rank in "01"
    ]
    (line,) = printed(*members)
    assert line.startswith("error: ") and line.endswith("ValueError: sample 13 is broken")
    assert all(process.exitcode for process in members)
