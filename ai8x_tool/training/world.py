"""Several processes that train one model together, each on its share of every batch. spec: training, section 4.4.

Outputs are gathered before the loss: each process computes the loss and the metrics of the whole batch, whatever the
task is. So the result is that of one process with the same batches, and processes need not exchange metrics.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.multiprocessing.spawn import ProcessExitedException, start_processes

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings import TrainSettings
from ai8x_tool.training.results import TrainingInterruptedError, TrainResult

Value = TypeVar("Value")
_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


class FirstFailedError(Ai8xError):
    """The first process failed and says why; the others only stop."""


@dataclass(frozen=True)
class World:
    """This process among `size` ones; `local_rank` is its number on this computer. One process alone needs no other."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def share(self, indices: Tensor) -> Tensor:
        """Return this process's part of the samples of a batch; a model always gets at least one."""
        return self._split(indices) if len(indices) > self.rank else indices[:1]

    def _split(self, value: Tensor) -> Tensor:
        return torch.tensor_split(value, self.size)[self.rank]

    def gather(self, value: Any, total: int) -> Any:
        """Return what all processes have of a batch of `total` samples; tensors, or tuples and lists of them.

        In the backward pass every process is expected to compute the same gradient; the average over all processes of
        what follows, as DistributedDataParallel takes it, is the gradient of one process with the whole batch.
        """
        if self.size == 1:
            return value
        if isinstance(value, Tensor):
            return _Gather.apply(value, total, self)
        return type(value)(self.gather(part, total) for part in value)

    def agree(self, value: Value) -> Value:
        """Return the first process's value."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let the first process go ahead, for example with downloads, and the others follow when it has succeeded."""
        if not self.is_first and self.agree(False) is False:
            raise FirstFailedError("the first process has failed; see its message")
        try:
            yield
        except BaseException:
            if self.is_first:
                self.agree(False)
            raise
        if self.is_first:
            self.agree(True)


ALONE = World()
"""One process without others."""


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, total: int, world: World) -> Tensor:
        ctx.world, ctx.shape = world, value.shape
        sizes = [len(part) for part in torch.tensor_split(torch.empty(total), world.size)]
        own = value.new_zeros(sizes[0], *value.shape[1:])
        own[: sizes[world.rank]] = value[: sizes[world.rank]]
        parts = [torch.empty_like(own) for _ in sizes]
        dist.all_gather(parts, own)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        mine = torch.tensor_split(gradient, ctx.world.size)[ctx.world.rank]
        result = gradient.new_zeros(ctx.shape)
        result[: len(mine)] = mine * ctx.world.size
        return result, None, None


@contextmanager
def joined_world(settings: TrainSettings, environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Join the processes that a launcher such as ``torchrun`` has started with this one; without one, be alone."""
    if not launched(environment) or environment["WORLD_SIZE"] == "1":
        yield ALONE
        return
    rank, local, size = (int(environment[name]) for name in _VARIABLES[:3])
    with _group(World(rank, size, local), settings, "env://") as world:
        yield world


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a launcher has started this process."""
    return all(name in environment for name in _VARIABLES)


def speaks(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this process is to show results: the first of those that a launcher has started, or the only one."""
    return not launched(environment) or environment["RANK"] == "0"


@contextmanager
def _group(world: World, settings: TrainSettings, method: str) -> Iterator[World]:
    accelerated = torch.cuda.is_available() and not settings.cpu
    dist.init_process_group(
        "nccl" if accelerated else "gloo", init_method=method, rank=world.rank, world_size=world.size
    )
    try:
        yield world
    finally:
        dist.destroy_process_group()


Job = Callable[[TrainSettings, Console, World], TrainResult]


def launch(job: Job, settings: TrainSettings, console: Console) -> TrainResult:
    """Start a process for each GPU, or as many as wanted, run `job` in all and return the first one's result."""
    count = _process_count(settings)
    with tempfile.TemporaryDirectory(prefix="ai8x-") as folder:
        arguments = (job, settings, (console.verbosity, console.json_output), folder, count)
        processes = start_processes(  # type: ignore[no-untyped-call]
            _member, arguments, nprocs=count, join=False, start_method="spawn"
        )
        _wait(processes)
        for rank in range(count):  # the first one that has something to say
            path = Path(folder, f"outcome{rank}")
            if path.is_file():
                outcome = pickle.loads(path.read_bytes())
                if isinstance(outcome, TrainResult):
                    return outcome
                raise outcome
    raise Ai8xError("a training process was ended from outside", fix="is there enough memory?")


def _process_count(settings: TrainSettings) -> int:
    if settings.processes is not None:
        return settings.processes
    count = 0 if settings.cpu else len(settings.gpus or ()) or torch.cuda.device_count()
    if count == 0:
        raise Ai8xError("there is no GPU to give to each process", fix="say how many: --processes 2")
    return count


def _wait(processes: Any) -> None:
    """Wait until all processes have ended; the one that fails ends the others."""
    while True:
        try:
            if processes.join():
                return
        except KeyboardInterrupt:  # the processes have received it too, and the first one writes a checkpoint
            continue
        except ProcessExitedException:
            return


def _member(rank: int, job: Job, settings: TrainSettings, voice: tuple[int, bool], folder: str, count: int) -> None:
    """Run `job` as one of `count` processes and leave its outcome in `folder`."""
    verbosity, json_output = voice
    console = Console(verbosity, json_output) if rank == 0 else Console(-1, muted=True)
    outcome: object = None
    try:
        if settings.cpu or not torch.cuda.is_available():
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
        with _group(World(rank, count, rank), settings, f"file://{folder}/meeting") as world:
            outcome = job(settings, console, world)
    except FirstFailedError:
        return
    except (Ai8xError, TrainingInterruptedError) as error:
        outcome = error
    if rank == 0 or isinstance(outcome, Ai8xError):
        Path(folder, f"outcome{rank}.part").write_bytes(pickle.dumps(outcome))
        Path(folder, f"outcome{rank}.part").replace(Path(folder, f"outcome{rank}"))
    if isinstance(outcome, Ai8xError):
        raise SystemExit(1)


class _Synchronized(nn.modules.batchnorm._BatchNorm):
    """Batch normalization over the batch of all processes, on any device (torch's own needs GPUs)."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.dim()) if axis != 1]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        sums = torch.cat((input.sum(axes), input.new_tensor([input.numel() / input.shape[1]])))
        sums = _sum_over_processes(sums)
        count = float(sums[-1])
        mean = sums[:-1] / count
        centered = input - mean.view(shape)
        variance = _sum_over_processes(centered.square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        scale = torch.rsqrt(variance + self.eps) * (1 if self.weight is None else self.weight)
        result = centered * scale.view(shape)
        return result if self.bias is None else result + self.bias.view(shape)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)


class _SynchronizedBatchNorm1d(_Synchronized, nn.BatchNorm1d): ...


class _SynchronizedBatchNorm2d(_Synchronized, nn.BatchNorm2d): ...


_SYNCHRONIZED: dict[type, type] = {
    nn.BatchNorm1d: _SynchronizedBatchNorm1d,
    nn.BatchNorm2d: _SynchronizedBatchNorm2d,
}


def _sum_over_processes(value: Tensor) -> Tensor:
    from torch.distributed.nn.functional import all_reduce  # noqa: PLC0415  (slow to import, rarely needed)

    total: Tensor = all_reduce(value)  # type: ignore[no-untyped-call]
    return total


def synchronize_batchnorm(model: nn.Module) -> None:
    """Let batch normalization see the batch of all processes. Parameters and their names stay what they are."""
    for module in model.modules():
        if type(module) in _SYNCHRONIZED:
            module.__class__ = _SYNCHRONIZED[type(module)]
