"""Which layers a layer's input comes from, found by running the model once. spec: qatv2, section 4.5."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import FusedModule

INPUT = "the network's input"
Sources = frozenset[str]

_aten = torch.ops.aten
_CONCATENATIONS = (_aten.cat, _aten.stack)
_DECISIONS = (_aten._local_scalar_dense, _aten.is_nonzero, _aten.equal)
"""What makes a number of Python from activations."""


@dataclass
class Dataflow:
    """The compute layers (and INPUT) whose outputs arrive somewhere, passing through anything but compute layers.

    `inputs` by compute layer, over all of its calls; `joins` by call of an element-wise module, in order;
    `concatenations` in order; `outputs` by output tensor of the model. `consumed` are those that another layer of the
    accelerator reads.
    """

    inputs: dict[str, Sources] = field(default_factory=dict)
    joins: list[tuple[str, Sources]] = field(default_factory=list)
    concatenations: list[Sources] = field(default_factory=list)
    outputs: list[Sources] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)


class _Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Remembers for every tensor that an operation makes which sources it has, by storage: views share them."""

    def __init__(self, flow: Dataflow) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = flow
        self.running: list[str] = []
        self._sources: dict[int, Sources] = {}
        self._kept: list[Tensor] = []  # so that no address is used twice

    def mark(self, tensors: Any, sources: Sources) -> None:
        for tensor in _tensors(tensors):
            self._sources[tensor.untyped_storage().data_ptr()] = sources
            self._kept.append(tensor)

    def of(self, tensors: Any) -> Sources:
        found = (self._sources.get(tensor.untyped_storage().data_ptr()) for tensor in _tensors(tensors))
        return frozenset().union(*(sources for sources in found if sources))

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        sources = self.of((args, kwargs))
        if sources and func.overloadpacket in _DECISIONS:
            module = self.running[-1] if self.running else ""
            raise Ai8xError(
                f"{module or 'the model'} decides by the values of activations: its activation ranges cannot be found",
                fix="compute with tensors only, or train with --activation-ranges fixed",
            )
        result = func(*args, **(kwargs or {}))
        if sources:
            for tensor in _tensors(result):
                self.mark(tensor, sources | self.of(tensor))
            if func.overloadpacket in _CONCATENATIONS:
                self.flow.concatenations.append(sources)
        return result


def trace_dataflow(model: nn.Module, inputs: Tensor) -> Dataflow:
    """Run `model` on `inputs` and return its data flow. The model's state does not change.

    Raises Ai8xError naming the module where activations decide what is computed, or come from nowhere.
    """
    flow, training = Dataflow(), model.training
    tracker = _Tracker(flow)
    try:
        with torch.no_grad(), tracker, _hooks(model.eval(), tracker):
            tracker.mark(inputs, frozenset([INPUT]))
            output = model(inputs)
    finally:
        model.train(training)
    flow.outputs = [tracker.of(tensor) for tensor in _tensors(output)]
    return flow


@contextmanager
def _hooks(model: nn.Module, tracker: _Tracker) -> Iterator[None]:
    handles = []
    for name, module in model.named_modules():
        before, after = _observers(name, module, tracker)
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _observers(name: str, module: nn.Module, tracker: _Tracker) -> tuple[Callable[..., None], Callable[..., None]]:
    computes = isinstance(module, FusedModule) and module.op is not None
    flow = tracker.flow

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        tracker.running.append(name)
        if not isinstance(module, FusedModule | Elementwise):
            return
        sources = tracker.of((args, kwargs))
        if computes and not sources:
            raise Ai8xError(f"the input of {name!r} does not depend on the network's input", fix="compute it in torch")
        flow.consumed |= sources
        if computes:
            flow.inputs[name] = flow.inputs.get(name, frozenset()) | sources
        if isinstance(module, Elementwise):
            flow.joins.append((name, sources))

    def after(_: nn.Module, _args: Any, output: Any) -> None:
        tracker.running.pop()
        if computes:
            tracker.mark(output, frozenset([name]))

    return before, after


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
