"""Several processes, lower precision, compiled networks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.model import ComputerSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training import processes
from ai8x_tool.training.processes import is_reporting_process, join_world
from ai8x_tool.training.results import TrainResult
from ai8x_tool.training.trainer import train
from ai8x_tool.training.world import OtherProcessFailedError, World

# Dropout and augmentation draw other numbers in every process: without them two processes must do what one does. The
# last batch of an epoch, 33 samples, is divided unevenly.
OPTIONS: dict[str, Any] = {
    "model": "tiny",
    "dataset": "Stripes",
    "optimizer": "SGD",
    "learning_rate": 0.05,
    "weight_decay": 1e-4,
    "compress": "halve",
    "qat_policy": "second",
    "epochs": 3,
    "batch_size": 49,
    "deterministic": True,
    "cpu": True,
}


@pytest.fixture
def steady(workspace: Path) -> Path:
    """The workspace without random numbers in training."""
    for file, old, new in (
        ("models/tiny.py", "nn.Dropout(0.1)", "nn.Identity()"),
        ("datasets/stripes.py", "part(200, 1, True)", "part(200, 1, False)"),
    ):
        text = (workspace / file).read_text()
        assert old in text
        (workspace / file).write_text(text.replace(old, new))
    return workspace


def run(console: Console, **options: Any) -> TrainResult:
    return train(TrainSettings(**{**OPTIONS, **options}), console)


def assert_close(first: Path, second: Path) -> None:
    one, two = read_checkpoint(first), read_checkpoint(second)
    assert list(one.state) == list(two.state)
    for key in one.state:
        np.testing.assert_allclose(one.state[key], two.state[key], rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.mark.slow
def test_torchrun_and_resuming_in_several_processes(steady: Path, console: Console) -> None:
    part = run(console, out_dir=Path("part"), epochs=2, qat_policy=None)
    alone = run(console, out_dir=Path("alone"), resume_from=part.checkpoint)
    values = {**OPTIONS, "resume_from": part.checkpoint, "out_dir": "rest"}
    names = {"learning_rate": "lr", "weight_decay": "wd"}
    flags = [f"--{names.get(key, key).replace('_', '-')}={value}" for key, value in values.items() if value is not True]
    flags += [f"--{key}" for key, value in values.items() if value is True]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "ai8x_tool"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command += ["train", *flags, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # one document, of the first process
    assert [record["epoch"] for record in document["epochs"]] == [2]
    assert_close(alone.checkpoint, Path(document["folder"]) / "qat_checkpoint.pth.tar")
    assert done.stderr.count("--- test (ckpt) -------") == 1


@pytest.mark.slow
def test_errors_of_processes_are_one_line(steady: Path, warm: None, console: Console) -> None:
    with pytest.raises(Ai8xError, match="for example --processes"):
        run(console, distributed=True)
    with pytest.raises(Ai8xError, match="no dataset named 'Stripe'; did you mean 'Stripes'") as caught:
        run(console, distributed=True, processes=2, dataset="Stripe")
    assert "\n" not in str(caught.value)
    with pytest.raises(Ai8xError, match=r"a batch of 3 cannot be shared by 4 processes .*raise --batch-size"):
        run(console, distributed=True, processes=4, batch_size=3)
    with pytest.raises(Ai8xError, match="processes is 2, but training is not distributed"):
        run(console, processes=2)


def test_a_world_of_one_changes_nothing() -> None:
    world, batch = World(), torch.arange(5)
    assert torch.equal(world.share(batch), batch) and world.gather(batch, 5) is batch and world.broadcast(3) == 3
    with join_world(ComputerSettings(), 256, {}) as joined:
        assert joined == world
    variables = {"LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    assert is_reporting_process({}) and is_reporting_process({**variables, "RANK": "0"})
    assert not is_reporting_process({**variables, "RANK": "1"})


@pytest.mark.parametrize(
    ("failures", "raised"), [(0, KeyboardInterrupt), (1, OtherProcessFailedError), (None, OtherProcessFailedError)]
)
def test_who_is_ended_because_another_failed_says_nothing_else(
    failures: int | None, raised: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Launchers end the others by SIGTERM; without a failure the signal is an interruption like Ctrl-C."""

    @contextmanager
    def group(world: World, *_: object) -> Iterator[World]:
        yield world

    class Gone:
        def add(self, *_: object) -> int:
            raise dist.DistNetworkError("connection reset")

    store: Any = Gone() if failures is None else dist.HashStore()
    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda _: iter([(store, 1, 2)]))
    monkeypatch.setattr(processes, "_group", group)
    variables = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    with pytest.raises(raised), join_world(ComputerSettings(), 256, variables) as world:
        assert world.rank == 1
        if failures:
            store.add("ai8x/failures", failures)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_shares_are_the_batch_and_never_empty() -> None:
    for samples in range(1, 9):
        shares = [World(rank, 3).share(torch.arange(samples)) for rank in range(3)]
        assert all(len(share) for share in shares)
        assert torch.equal(torch.cat(shares).unique(), torch.arange(samples))


def test_bfloat16_learns_before_qat_and_leaves_float32(
    workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    types: list[tuple[torch.dtype, torch.dtype]] = []
    convolution = torch.nn.functional.conv2d

    def observed(x: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
        result = convolution(x, weight, *rest)
        if torch.is_grad_enabled():
            types.append((result.dtype, weight.dtype))
        return result

    monkeypatch.setattr("torch.nn.functional.conv2d", observed)
    options: dict[str, Any] = {"precision": "bf16", "optimizer": "Adam", "learning_rate": 0.02, "weight_decay": 0}
    result = run(console, batch_size=32, epochs=4, **options)
    assert {kind for kind, _ in types[: len(types) // 2]} == {torch.bfloat16}
    assert {kind for kind, _ in types[len(types) // 2 :]} == {torch.float32}
    assert result.best.metrics["top1"] > 90
    state = read_checkpoint(result.checkpoint).state
    assert {value.dtype for key, value in state.items() if ".op." in key} == {np.dtype("float32")}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager"])
def test_a_compiled_network_learns_the_same(steady: Path, console: Console, backend: str) -> None:
    # One layer that pools and normalizes, and one that does not: each layer is compiled on its own. Whole batches only:
    # every other size is compiled again.
    file = Path("models/tiny.py")
    text = file.read_text().replace("FusedConv2dBNReLU", "FusedMaxPoolConv2dBNReLU").replace("self.conv2(", "(")
    file.write_text("\n".join(line for line in text.splitlines() if "self.conv2 =" not in line))
    options: dict[str, Any] = {"epochs": 3, "batch_size": 20, "validation_split": 0}
    plain = run(console, **options)
    compiled = run(console, **options, compile=True, compiler_backend=backend)
    assert_close(plain.checkpoint, compiled.checkpoint)
    with pytest.raises(Ai8xError, match=r"torch\.compile failed.*leave out --compile"):
        run(console, compile=True, compiler_backend="nonsense")
