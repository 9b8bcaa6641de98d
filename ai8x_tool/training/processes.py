"""Processes of distributed training: start, use of a launcher such as torchrun, and end of all when one fails.

Exactly one line reports the reason, from the process that failed first; the others stop when its connection breaks.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.load import plugin_fault
from ai8x_tool.settings.model import ComputerSettings
from ai8x_tool.settings.training import DistributionSettings, TrainSettings
from ai8x_tool.training.plan import LARGEST_BATCH
from ai8x_tool.training.results import TrainingInterruptedError, TrainResult
from ai8x_tool.training.world import ALONE, OtherProcessFailedError, World

_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_FAILURES = "ai8x/failures"
"""Key of the counter of failed processes."""
_LONGEST_WAIT = timedelta(hours=12)
"""Longest time that processes wait for each other, for example while the first one downloads data."""
_PATIENCE = 20.0
"""Seconds that a process has to end after another training process has failed."""

Job = Callable[[TrainSettings, Console, World], TrainResult]


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a launcher has started this process."""
    return all(name in environment for name in _VARIABLES)


def is_reporting_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process reports results: the only process, or the first of a launcher."""
    return not is_launched(environment) or environment["RANK"] == "0"


@contextmanager
def join_world(
    settings: ComputerSettings, batch_size: int, environment: Mapping[str, str] = os.environ
) -> Iterator[World]:
    """Join the processes of a launcher such as ``torchrun``; without a launcher, the world has one process."""
    if not is_launched(environment) or environment["WORLD_SIZE"] == "1":
        yield ALONE
        return
    from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415  (not in all builds of PyTorch)

    rank, local, size = (int(environment[name]) for name in _VARIABLES[:3])
    with _met():
        store, *_ = next(iter(rendezvous("env://")))
    try:
        with _stopped_by_signal(), _group(World(rank, size, local), settings, batch_size, store) as world:
            yield world
    except OtherProcessFailedError:
        raise
    except KeyboardInterrupt:
        if _has_failed(store):  # launchers then end the others
            raise OtherProcessFailedError("another training process has failed") from None
        raise
    except Exception as error:
        fault = error if isinstance(error, Ai8xError) else plugin_fault(error)
        if store.add(_FAILURES, 1) > 1 and fault is not None:  # often all of them fail for the same reason
            raise OtherProcessFailedError(str(fault)) from None
        if fault is None:
            raise
        raise fault from None


def _has_failed(store: Any) -> bool:
    """Return whether another process has reported a failure, or has ended together with the store of such reports."""
    try:
        return bool(store.add(_FAILURES, 0))
    except RuntimeError:
        return True


@contextmanager
def _group(world: World, settings: ComputerSettings, batch_size: int, store: Any) -> Iterator[World]:
    accelerated = torch.cuda.is_available() and not settings.cpu
    _check(batch_size, world.size, accelerated)
    joint = dist.PrefixStore("ai8x", store)  # type: ignore[attr-defined]
    options: dict[str, Any] = {"rank": world.rank, "world_size": world.size, "timeout": _LONGEST_WAIT}
    with _met():
        dist.init_process_group("nccl" if accelerated else "gloo", store=joint, **options)
    try:
        with warnings.catch_warnings():
            # harmless: small kernels have the same layout in both orders of their axes
            warnings.filterwarnings("ignore", "Grad strides do not match", UserWarning)
            yield world
    finally:
        dist.destroy_process_group()


@contextmanager
def _met() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Ai8xError(f"the training processes cannot connect to each other: {reason}") from None


def _check(batch_size: int, count: int, accelerated: bool) -> None:
    if not dist.is_available() or not (dist.is_nccl_available() if accelerated else dist.is_gloo_available()):
        raise Ai8xError(
            "this build of PyTorch does not support training in several processes", fix="leave out --distributed"
        )
    if batch_size < count:
        message = f"a batch of {batch_size} cannot be shared by {count} processes"
        raise Ai8xError(message, fix="raise --batch-size, or start fewer processes")


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Treat the signal with which launchers end processes like Ctrl-C, so that files stay complete."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# -- own processes -----------------------------------------------------------------------------------------------------


def launch(job: Job, settings: TrainSettings, console: Console) -> TrainResult:
    """Start one process per GPU, or the requested number, run `job` in all and return the first one's result."""
    count = _process_count(settings)
    _check(settings.batch_size or LARGEST_BATCH, count, torch.cuda.is_available() and not settings.cpu)
    with tempfile.TemporaryDirectory(prefix="ai8x-") as folder:
        context = multiprocessing.get_context("spawn")
        rest = (job, settings, (console.verbosity, console.json_output), folder, count)
        processes = [context.Process(target=_member, args=(rank, *rest)) for rank in range(count)]
        with _ignored_interrupts():  # the processes inherit it: this process forwards Ctrl-C to them
            for process in processes:
                process.start()
        interrupted = _wait(processes)
        outcomes = [_outcome(Path(folder, f"outcome{rank}")) for rank in range(count)]
    return _verdict(outcomes, processes, interrupted=interrupted)


def _process_count(settings: DistributionSettings) -> int:
    if settings.processes is not None:
        return settings.processes
    count = 0 if settings.cpu else len(settings.gpus or ()) or torch.cuda.device_count()
    if count == 0:
        raise Ai8xError("without a GPU the number of processes must be specified", fix="for example --processes 2")
    return count


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(processes: Sequence[Any]) -> bool:
    """Wait until all processes have ended; return whether Ctrl-C ended them. A second Ctrl-C ends them immediately."""
    interrupted = ended = False
    while alive := [process for process in processes if process.is_alive()]:
        failed = any(process.exitcode for process in processes)
        try:
            patience = _PATIENCE if failed or interrupted else None
            if not connection.wait([process.sentinel for process in alive], patience):
                for process in alive:
                    process.kill() if ended else process.terminate()
                ended = True
        except KeyboardInterrupt:
            # The first process reports how to continue; the others end after it. A second Ctrl-C ends all immediately.
            for process in alive if interrupted else alive[:1]:
                process.kill() if interrupted else process.terminate()
            interrupted = True
    return interrupted


def _outcome(path: Path) -> object:
    return pickle.loads(path.read_bytes()) if path.is_file() else None


def _verdict(outcomes: Sequence[object], processes: Sequence[Any], *, interrupted: bool) -> TrainResult:
    """Return the first process's result, or raise the most informative of the errors."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in sorted(errors, key=lambda error: isinstance(error, TrainingInterruptedError)):
        if not isinstance(error, OtherProcessFailedError) and not (interrupted and isinstance(error, RuntimeError)):
            raise error
    if isinstance(outcomes[0], TrainResult):
        return outcomes[0]
    if interrupted:  # and the first process could not name the file: an exchange with the others failed
        message = "interrupted; to continue: --resume-from the last checkpoint in the newest log folder"
        raise TrainingInterruptedError(message)
    for rank, process in enumerate(processes):
        if process.exitcode < 0:
            name = signal.Signals(-process.exitcode).name
            raise Ai8xError(f"training process {rank} was ended by {name}", fix="check that there is enough memory")
    raise errors[0] if errors else Ai8xError("a training process exited without an error message")


def _member(rank: int, job: Job, settings: TrainSettings, voice: tuple[int, bool], folder: str, count: int) -> None:
    """Run `job` as one of `count` processes and write its outcome to `folder`."""
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    console = Console(*voice) if rank == 0 else Console(-1, muted=True)
    try:
        if settings.cpu or not torch.cuda.is_available():
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
        meeting = dist.FileStore(f"{folder}/meeting", count)  # type: ignore[attr-defined]
        with _group(World(rank, count, rank), settings, settings.batch_size or LARGEST_BATCH, meeting) as world:
            outcome: object = job(settings, console, world)
    except (Ai8xError, TrainingInterruptedError) as error:
        outcome = error
    except KeyboardInterrupt:
        return
    except Exception as error:
        outcome = plugin_fault(error) or RuntimeError(f"in training process {rank}\n{traceback.format_exc()}")
    if isinstance(outcome, TrainingInterruptedError | TrainResult) and rank > 0:
        return
    Path(folder, f"outcome{rank}.part").write_bytes(pickle.dumps(outcome))
    Path(folder, f"outcome{rank}.part").replace(Path(folder, f"outcome{rank}"))
    if isinstance(outcome, Exception):
        raise SystemExit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
