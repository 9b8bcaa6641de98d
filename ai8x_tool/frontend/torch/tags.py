"""Tensors with tags that record the origin of each value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

SECOND = 1 << 50
"""Offset of the tags of the second sample of the batch from those of the first."""
NOTHING = -1
"""Tag of zeros added by padding."""


@dataclass(frozen=True)
class Software:
    """An operation that the accelerator does not support: its name, the place of its call, and its inputs."""

    operation: str
    where: str
    inputs: tuple[TaggedTensor, ...]


class Handler(Protocol):
    """Receiver of all operations on tagged tensors."""

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the result of the operation."""


class TaggedTensor(torch.Tensor):
    """A tensor of two samples, with the tag of the value that each element copies.

    `tags` is None for results computed by `software`. Operations are performed by `handler`.
    """

    tags: Tensor | None
    software: Software | None
    handler: Handler

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Pass the operation to the handler of the tensors."""
        with torch._C.DisableTorchFunctionSubclass():
            first = tagged_leaves((args, kwargs or {}))[0]
            return first.handler.call(func, args, dict(kwargs or {}))


def tagged(data: Tensor, tags: Tensor | None, handler: Handler, software: Software | None = None) -> TaggedTensor:
    """Return `data` with its tags, of the same shape."""
    result: TaggedTensor = torch.Tensor._make_subclass(TaggedTensor, plain(data).detach())
    result.tags, result.software, result.handler = tags, software, handler
    return result


def plain(tensor: Tensor) -> Tensor:
    """Return the tensor without its tags."""
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(torch.Tensor) if isinstance(tensor, TaggedTensor) else tensor


def without_tags(values: Any) -> Any:
    """Return nested arguments with all tagged tensors replaced by plain ones."""
    return tree_map(lambda leaf: plain(leaf) if isinstance(leaf, TaggedTensor) else leaf, values)


def as_tags(values: Any) -> Any:
    """Return nested arguments with the tags instead of the tensors."""
    return tree_map(lambda leaf: leaf.tags if isinstance(leaf, TaggedTensor) else leaf, values)


def tagged_leaves(values: Any) -> list[TaggedTensor]:
    """Return all tagged tensors in nested arguments."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, TaggedTensor)]


def fresh_tags(first: int, shape: tuple[int, ...]) -> Tensor:
    """Return the tags, from `first` on, of a new batch of two samples of `shape` without the batch."""
    count = int(torch.Size(shape).numel())
    one = torch.arange(first, first + count).reshape(shape)
    return torch.stack([one, one + SECOND])
