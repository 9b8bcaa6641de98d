"""Data flow between the layers of a model, recorded by running it once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.hooks import Call, observed_calls

INPUT = "the network's input"
Sources = frozenset[str]

_aten = torch.ops.aten
_CONCATENATIONS = (_aten.cat, _aten.stack)
_DECISIONS = (_aten._local_scalar_dense, _aten.is_nonzero, _aten.equal)
"""Operators that convert activations to Python numbers."""


@dataclass
class Dataflow:
    """Sources of values: the compute layers (and INPUT) that values depend on without other compute layers in between.

    `inputs` are those of each compute layer, over all of its calls; `joins` those of each call of an element-wise
    module, in order; `concatenations` those of concatenations, in order; `outputs` those of each output tensor of the
    model. `consumed` are the layers whose outputs another layer of the accelerator reads.
    """

    inputs: dict[str, Sources] = field(default_factory=dict)
    joins: list[tuple[str, Sources]] = field(default_factory=list)
    concatenations: list[Sources] = field(default_factory=list)
    outputs: list[Sources] = field(default_factory=list)
    consumed: set[str] = field(default_factory=set)


class _Tracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the sources of every tensor produced by an operation, by storage, which views share."""

    def __init__(self, flow: Dataflow, software: type[nn.Module] | tuple[()]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flow = flow
        self.software = software
        self.running: list[str] = []
        self._sources: dict[int, Sources] = {}
        self._kept: list[Tensor] = []  # keeps storages alive: no address is used twice

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch would import its compiler, which takes more than a second, to keep it away from here."""
        return False

    def mark(self, tensors: Any, sources: Sources) -> None:
        for tensor in _tensors(tensors):
            self._sources[tensor.untyped_storage().data_ptr()] = sources
            self._kept.append(tensor)

    def of(self, tensors: Any) -> Sources:
        found = (self._sources.get(tensor.untyped_storage().data_ptr()) for tensor in _tensors(tensors))
        return frozenset().union(*(sources for sources in found if sources))

    def enter(self, call: Call[nn.Module]) -> None:
        """Record the sources of the inputs of a module that starts to run."""
        self.running.append(call.name)
        if isinstance(call.module, self.software):
            self.flow.inputs[call.name] = self.of((call.args, call.kwargs))
        if not isinstance(call.module, FusedModule | Elementwise):
            return
        sources = self.of((call.args, call.kwargs))
        if _computes(call.module):
            if not sources:
                message = f"the input of {call.name!r} does not depend on the network's input"
                raise Ai8xError(message, fix="compute it with PyTorch operators")
            self.flow.inputs[call.name] = self.flow.inputs.get(call.name, frozenset()) | sources
        self.flow.consumed |= sources
        if isinstance(call.module, Elementwise):
            self.flow.joins.append((call.name, sources))

    def leave(self, call: Call[nn.Module], output: Any) -> None:
        """Mark the module as the source of its output."""
        self.running.pop()
        if _computes(call.module) or isinstance(call.module, self.software):
            self.mark(output, frozenset([call.name]))

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        sources = self.of((args, kwargs))
        if sources and func.overloadpacket in _DECISIONS:
            module = self.running[-1] if self.running else ""
            raise Ai8xError(
                f"{module or 'the model'} uses values of activations in Python code: ranges cannot be measured",
                fix="use tensor operations only, or train with --activation-ranges fixed",
            )
        result = func(*args, **(kwargs or {}))
        if sources:
            for tensor in _tensors(result):
                self.mark(tensor, sources | self.of(tensor))
            if func.overloadpacket in _CONCATENATIONS:
                self.flow.concatenations.append(sources)
        return result


def trace_dataflow(model: nn.Module, inputs: Tensor, software: type[nn.Module] | tuple[()] = ()) -> Dataflow:
    """Run `model` on `inputs` and return its data flow; the state of the model is unchanged.

    Modules of the type `software` count as compute layers, but do not read their inputs on the accelerator. Raises
    Ai8xError naming the module if the computation depends on values of activations, or if the input of a module does
    not depend on the input of the network.
    """
    flow, training = Dataflow(), model.training
    tracker = _Tracker(flow, software)
    try:
        modules = list(model.eval().named_modules())
        with torch.no_grad(), tracker, observed_calls(modules, before=tracker.enter, after=tracker.leave):
            tracker.mark(inputs, frozenset([INPUT]))
            output = model(inputs)
    finally:
        model.train(training)
    flow.outputs = [tracker.of(tensor) for tensor in _tensors(output)]
    return flow


def _computes(module: nn.Module) -> bool:
    return isinstance(module, FusedModule) and module.op is not None


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
