"""Memory format of activations: with the channels last, CPUs compute an epoch in three quarters of the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def channels_last(inputs: Tensor) -> Tensor:
    """Return (B, C, L) or (B, C, H, W) with the channels of an element adjacent in memory.

    CPU convolutions and poolings compute in this order and preserve it.
    """
    if inputs.dim() == 3:
        return inputs.transpose(1, 2).contiguous().transpose(1, 2)
    if inputs.dim() == 4:  # with one channel, contiguous() would not change the strides, on which the order depends
        return torch.empty_like(inputs, memory_format=torch.channels_last).copy_(inputs)
    return inputs.contiguous()


def use_channels_last(model: nn.Module, shape: Sequence[int]) -> None:
    """Make `model` compute with the channels last, unless it uses ``view`` where only the usual order allows it.

    `shape` is that of an input without the batch. Call it after the weights are loaded: it runs the model once.
    """
    training = model.training
    try:
        with torch.no_grad(), _ViewCheck():
            model.eval()(channels_last(torch.zeros(2, *shape)))
    except RuntimeError:
        return
    finally:
        model.train(training)
    model.register_forward_pre_hook(_reorder_input)


def _reorder_input(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return channels_last(inputs[0]), *inputs[1:]


class _ViewCheck(TorchFunctionMode):
    """Raises RuntimeError for views of activations that the channels-last order does not allow.

    The strides of an activation do not suffice for the decision: with one channel, both orders have the same strides,
    and the operators that follow choose either order, possibly another one in quantization-aware training than before.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ordered: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.contiguous and len(args) == 1 and not kwargs:  # the model itself requests the usual order
            self._ordered.append(args[0].clone(memory_format=torch.contiguous_format))
            return self._ordered[-1]
        if func in (Tensor.view, Tensor.view_as) and not self._is_ordered(args[0]):
            wanted = (args[1].shape,) if func is Tensor.view_as else args[1:]
            channels_last(torch.empty_like(args[0], device="meta")).view(*wanted, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _is_ordered(self, tensor: Tensor) -> bool:
        """Return whether a tensor always has the usual order."""
        known = tensor.dim() not in (3, 4) or isinstance(tensor, nn.Parameter)
        return known or any(tensor is ordered for ordered in self._ordered)
