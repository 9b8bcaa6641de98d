"""Communication between processes that train one model, each on its share of every batch.

Outputs are gathered before the loss: each process computes the loss and the metrics of the whole batch, for all tasks.
The result is therefore that of a single process with the same batches, and metrics need not be exchanged. Gradients are
averaged by PyTorch's DistributedDataParallel; the parameters of a loss have the same gradients in all processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad
from torch.utils._pytree import tree_flatten, tree_unflatten

from ai8x_tool.errors import Ai8xError

Value = TypeVar("Value")


class OtherProcessFailedError(Ai8xError):
    """Another process failed and reports the reason, if it can; this process only stops."""


@dataclass
class _Presence:
    """Whether this process has samples of its own in the current batch."""

    real: bool = True


@dataclass(frozen=True)
class World:
    """This process among `size` processes; `local_rank` is its number on this computer. Default: a single process."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    _presence: _Presence = field(default_factory=_Presence, compare=False, repr=False)

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    @property
    def counts(self) -> bool:
        """Whether the current samples count; otherwise they are substitutes, because the batch has too few samples."""
        return self._presence.real

    def share(self, indices: Tensor) -> Tensor:
        """Return this process's share of the samples of a batch, at least one, which then may be a substitute."""
        return torch.tensor_split(indices, self.size)[self.rank] if len(indices) > self.rank else indices[:1]

    def outputs(self, compute: Callable[[Tensor], Any], inputs: Tensor, total: int) -> Any:
        """Return the outputs for a batch of `total` samples; `inputs` are those of this process."""
        self._presence.real = total > self.rank
        return self.gather(compute(inputs), total)

    def gather(self, value: Any, total: int, *, ragged: bool = False) -> Any:
        """Return the values of all processes for a batch of `total` samples: tensors, or tuples and lists of them.

        With `ragged`, tensors may differ in the lengths of their other axes and are padded with zeros. In the backward
        pass every process must compute the same gradient; the resulting parameter gradients, averaged over all
        processes, are those of a single process with the whole batch. A tensor that the loss does not use gets a
        gradient of zeros.
        """
        if self.size == 1:
            return value
        parts, structure = tree_flatten(value)
        for part in parts:
            if not isinstance(part, Tensor):
                message = f"several processes can exchange only tensors, not {type(part).__name__} values"
                raise Ai8xError(message, fix="leave out --distributed")
        gathered = _Gather.apply(total, self, *[_padded(part) if ragged else part for part in parts])
        return tree_unflatten(gathered, structure)

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over all processes; it is differentiable."""
        if self.size == 1:
            return value
        result: Tensor = _Sum.apply(value)
        return result

    def broadcast(self, value: Value) -> Value:
        """Return the value of the first process."""
        if self.size == 1:
            return value
        box = [value]
        with _exchange():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    @torch.no_grad()
    def broadcast_model(self, model: nn.Module) -> None:
        """Copy the parameters and buffers of the first process to `model`."""
        if self.size == 1:
            return
        for value in model.state_dict().values():
            agreed = value.contiguous()
            with _exchange():
                dist.broadcast(agreed, src=0)
            value.copy_(agreed)

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Recognize the end of another process from errors of PyTorch's gradient exchange."""
        try:
            yield
        except RuntimeError as error:
            if self.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise _no_answer(error) from None
            raise

    @contextmanager
    def first_process_first(self) -> Iterator[None]:
        """Run the block in the first process, for example for downloads, and in the others after it has succeeded."""
        if not self.is_first and self.broadcast(False) is False:
            raise OtherProcessFailedError("the first process has failed")
        try:
            yield
        except BaseException:
            if self.is_first:
                self.broadcast(False)
            raise
        if self.is_first:
            self.broadcast(True)


ALONE = World()
"""A single process."""


@contextmanager
def _exchange() -> Iterator[None]:
    """Recognize the end of another process, which breaks the connection, from errors of this process."""
    try:
        yield
    except RuntimeError as error:
        raise _no_answer(error) from None


def _no_answer(error: RuntimeError) -> OtherProcessFailedError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return OtherProcessFailedError(f"no answer from another training process: {reason}")


def _padded(value: Tensor) -> Tensor:
    """Return `value` with all axes but the first padded to the longest of all processes."""
    lengths = torch.tensor(value.shape[1:], device=value.device)
    with _exchange():
        dist.all_reduce(lengths, dist.ReduceOp.MAX)
    missing = [int(most) - length for most, length in zip(lengths, value.shape[1:], strict=True)]
    return pad(value, [size for count in reversed(missing) for size in (0, count)])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, total: int, world: World, *values: Tensor) -> tuple[Tensor, ...]:
        ctx.world, ctx.shapes = world, [value.shape for value in values]
        sizes = [len(part) for part in torch.tensor_split(torch.empty(total), world.size)]
        return tuple(_gathered(value, sizes, world.rank) for value in values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        results = []
        for gradient, shape in zip(gradients, ctx.shapes, strict=True):
            mine = torch.tensor_split(gradient, ctx.world.size)[ctx.world.rank]
            result = gradient.new_zeros(shape)
            result[: len(mine)] = mine * ctx.world.size
            results.append(result)
        return None, None, *results


def _gathered(value: Tensor, sizes: list[int], rank: int) -> Tensor:
    """Return the values of all processes; `sizes` are their numbers of samples, the first being the largest."""
    own = value.new_zeros(sizes[0], *value.shape[1:])
    own[: sizes[rank]] = value[: sizes[rank]]
    parts = [torch.empty_like(own) for _ in sizes]
    with _exchange():
        dist.all_gather(parts, own)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _summed(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(value: Tensor) -> Tensor:
    total = value.detach().clone(memory_format=torch.contiguous_format)
    with _exchange():
        dist.all_reduce(total)
    return total
