"""Recording of the accelerator's operations during a run of a model on tagged tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch.arrangement import (
    ArrangementError,
    PartsError,
    SelectionError,
    arrange,
    narrowed,
    one_sample,
)
from ai8x_tool.frontend.torch.places import calling_line
from ai8x_tool.frontend.torch.steps import OperandReading, Shape, Step
from ai8x_tool.frontend.torch.tags import (
    Software,
    TaggedTensor,
    as_tags,
    fresh_tags,
    plain,
    tagged,
    tagged_leaves,
    without_tags,
)
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.selection import selection_layer

ModuleHandler = Callable[["Recorder", Any, tuple[Any, ...]], Any]
FunctionHandler = Callable[["Recorder", tuple[Any, ...], dict[str, Any]], Any]
"""Handlers return the result, or NotImplemented if the accelerator does not support the function's arguments."""


class Recorder:
    """Collects the steps of one run; `steps` begins with the network's input.

    `modules` are the handlers of modules by class, `functions` those of functions by name; `movements` are functions
    that move values without changing them, `unchanged` those that return the same values at the same places.
    """

    def __init__(
        self,
        modules: dict[type[nn.Module], ModuleHandler],
        functions: dict[str, FunctionHandler],
        movements: frozenset[str],
        unchanged: frozenset[str],
    ) -> None:
        self.modules, self.functions, self.movements, self.unchanged = modules, functions, movements, unchanged
        self.steps: list[Step] = []
        self._next_tag = 0
        self._running: list[str] = []
        self._names: set[str] = set()

    # -- what handlers use ------------------------------------------------------------------------------------------

    @property
    def module_name(self) -> str:
        """Path of the running module; empty for the model itself."""
        return self._running[-1] if self._running else ""

    @property
    def calling_source(self) -> str:
        """File and line of the call in the user's file; the module's path if the line is not known."""
        return calling_line(Recorder.run.__code__) or self.module_name

    def is_readable(self, x: Any) -> bool:
        """Return whether a layer can read `x`; otherwise operations on it are left to software."""
        if not isinstance(x, TaggedTensor) or x.tags is None:
            return False
        try:
            reading = self._arrange(x.tags)
        except PartsError as error:
            reading = OperandReading(tuple(part.sources[0] for part in error.parts))
        except SelectionError as error:
            reading = OperandReading(error.sources)
        except ArrangementError:
            return False
        return all(step.layer is None or step.layer.output_width == 8 for step in reading.sources)

    @property
    def where(self) -> str:
        """The running module and the line of the user's file, for messages."""
        return ": ".join(filter(None, (calling_line(Recorder.run.__code__), self.module_name)))

    def refuse(self, message: str, fix: str) -> Ai8xError:
        """Return an error about an operation that the accelerator does not support, naming module and line."""
        return Ai8xError(message, where=self.where or None, fix=fix)

    def read(self, x: Any, reader: str) -> OperandReading:
        """Return how a layer reads `x`; `reader` names it in messages. Raises Ai8xError if it cannot read `x`."""
        if not isinstance(x, TaggedTensor):
            raise self.refuse(
                f"{reader} reads values that do not depend on the input", "compute them in software, outside the model"
            )
        if x.tags is None:
            assert x.software is not None
            software = x.software
            what = f"{software.operation} ({software.where}), which the accelerator does not compute"
            fix = "replace it by operations of the accelerator, or move it after the last layer"
            raise self.refuse(f"{reader} reads the result of {what}", fix)
        try:
            reading = self._arrange(x.tags)
        except PartsError as error:
            for part in error.parts:
                self._check_widths(part, reader)
            sources = tuple(part.sources[0] if part.plain else self._copied(part) for part in error.parts)
            return OperandReading(sources, error.in_size, flatten=error.flatten)
        except SelectionError as error:
            self._check_widths(OperandReading(error.sources), reader)
            return OperandReading((self._selected(error),))
        except ArrangementError as error:
            fix = "preserve the order of channels, rows and columns, and do not split parts"
            raise self.refuse(f"{reader} reads data that the accelerator cannot arrange: {error}", fix) from None
        self._check_widths(reading, reader)
        return self._in_rows(reading)

    def _arrange(self, tags: Tensor) -> OperandReading:
        """Return how `tags` are read.

        The first reader of the network's input may omit some of its channels, which then do not belong to the network.
        """
        sample, source = one_sample(tags.numpy()), self.steps[0]
        try:
            return arrange(sample, self.steps)
        except ArrangementError:
            used = any(source in reading.sources for step in self.steps for reading in step.operands)
            part = None if used else narrowed(sample, source)
            if part is None:
                raise
            source.shape, source.first = part
            return arrange(sample, self.steps)

    def _in_rows(self, reading: OperandReading) -> OperandReading:
        """Return `reading`, from reshaped copies if the cropped rows are not rows of the sources."""
        columns = reading.size[1]
        if not any(reading.crop) or all(source.shape[2] == columns for source in reading.sources):
            return reading
        rows = reading.size[0] + sum(reading.crop)
        copies = [self._copied(OperandReading((source,), (rows, columns))) for source in reading.sources]
        return replace(reading, sources=tuple(copies))

    def _copied(self, part: OperandReading) -> Step:
        """Return a step that copies `part` of another step."""
        part = self._in_rows(part)
        source = part.sources[0]
        name = "input" if source.layer is None else source.layer.name
        layer = Layer(self.unique_name(f"{name}_part"), (), "none", source=self.calling_source)
        return self.add(layer, [part], (source.shape[0], *part.size))

    def _selected(self, found: SelectionError) -> Step:
        """Return a step that selects some channels of other steps."""
        channels, size = sum(source.shape[0] for source in found.sources), found.sources[0].shape[1:]
        name = self.unique_name(f"{self.module_name or 'channels'}_selection")
        flat = size[1] == 1 and size[0] > 1
        layer = selection_layer(name, (), found.chosen, channels, flat=flat, source=self.calling_source)
        return self.add(layer, [OperandReading(found.sources)], (len(found.chosen), *size))

    def _check_widths(self, reading: OperandReading, reader: str) -> None:
        for step in reading.sources:
            if step.layer is not None and step.layer.output_width != 8:
                text = f"{reader} reads the 32-bit output of {step.label}: layers read 8-bit data"
                raise self.refuse(text, f"remove wide=True from {step.label}; only outputs of the network can be wide")

    def unique_name(self, wanted: str) -> str:
        """Return `wanted` or, if it is already used, `wanted` with a number."""
        name, number = wanted, 1
        while name.lower() in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name.lower())
        return name

    def add(
        self,
        layer: Layer,
        operands: list[OperandReading],
        shape: Shape,
        *,
        module: nn.Module | None = None,
        **more: bool,
    ) -> Step:
        """Add and return a step with output `shape`."""
        step = Step(shape, self._next_tag, layer, operands, module, **more)
        self._next_tag += step.values
        self.steps.append(step)
        return step

    def output(self, step: Step, like: Tensor, shape: tuple[int, ...]) -> TaggedTensor:
        """Return the tagged tensor of a step's output as a batch of `shape`, on the device of `like`."""
        data = torch.zeros((2, *shape), dtype=like.dtype, device=like.device)
        return tagged(data, fresh_tags(step.first, shape), self)

    # -- running ----------------------------------------------------------------------------------------------------

    def run(self, model: nn.Module, input_shape: tuple[int, ...]) -> Any:
        """Run `model` on a tagged batch of `input_shape`; return its output."""
        channels, rows, columns = (*input_shape, 1, 1)[:3]
        self.steps = [Step((channels, rows, columns), 0)]
        self._next_tag = self.steps[0].values
        example = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(1))
        data = torch.zeros((2, *input_shape), dtype=example.dtype, device=example.device)
        x = tagged(data, fresh_tags(0, input_shape), self)
        with torch.no_grad(), self._watched(model):
            return model.forward(x)

    @contextmanager
    def _watched(self, model: nn.Module) -> Iterator[None]:
        """Make modules with a handler record instead of run, and keep track of the running module."""
        training = {module: module.training for module in model.modules()}
        with ExitStack() as stack:
            model.eval()
            for name, module in model.named_modules():
                previous = module.__dict__.get("forward")
                stack.callback(_restore, module, previous)
                module.__dict__["forward"] = self._forward(name, module, previous)
            try:
                yield
            finally:
                for module, mode in training.items():
                    module.training = mode

    def _forward(self, name: str, module: nn.Module, previous: Any) -> Callable[..., Any]:
        handler = next((self.modules[kind] for kind in type(module).__mro__ if kind in self.modules), None)
        original = previous or type(module).forward.__get__(module)

        def forward(*args: Any, **kwargs: Any) -> Any:
            self._running.append(name)
            try:
                if handler is not None and tagged_leaves((args, kwargs)):
                    return handler(self, module, (*args, *kwargs.values()))
                return original(*args, **kwargs)
            finally:
                self._running.pop()

        return forward

    def call(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Perform and record one operation on tagged tensors."""
        name = getattr(function, "__name__", "")
        inputs = tagged_leaves((args, kwargs))
        known = all(x.tags is not None for x in inputs)
        in_place = name.endswith("_") and not name.endswith("__")
        base = {"__iadd__": "add", "__isub__": "sub"}.get(name, name.rstrip("_") if in_place else name)
        result = NotImplemented
        if known and base in self.unchanged:
            result = self._unchanged(function, args, kwargs)
        elif known and base in self.functions:
            result = self.functions[base](self, args, kwargs)
        if result is NotImplemented:
            moves = known and base in self.movements
            result = self._move(function, args, kwargs) if moves else self._software(function, inputs, args, kwargs)
        if (in_place or name.startswith("__i")) and isinstance(args[0], TaggedTensor):
            _take_over(args[0], result)
            return args[0]
        return result

    def _unchanged(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        data = function(*without_tags(args), **without_tags(kwargs))
        return tagged(data, args[0].tags, self)

    def _move(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        data = function(*without_tags(args), **without_tags(kwargs))
        try:
            view = getattr(function, "__name__", "") in ("view", "view_as")
            mover = torch.Tensor.reshape if view else function
            if any(not isinstance(x, TaggedTensor) for x in _tensors((args, kwargs))):
                raise TypeError("tensors without tags")
            moved = mover(*as_tags(args), **as_tags(kwargs))
        except (RuntimeError, TypeError):
            return self._software(function, tagged_leaves((args, kwargs)), args, kwargs)
        if isinstance(data, Tensor):
            return tagged(data, moved, self)
        return type(data)(tagged(part, tags, self) for part, tags in zip(data, moved, strict=True))

    def _software(
        self, function: Callable[..., Any], inputs: list[TaggedTensor], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name = getattr(function, "__name__", str(function))
        if name in _DECISIONS:
            fix = "compute with tensors only"
            raise self.refuse(f"{name}: the model decides by the values of activations", fix)
        result = function(*without_tags(args), **without_tags(kwargs))
        software = Software(name, self.where, tuple(inputs))
        return _marked(result, self, software)


_DECISIONS = frozenset(("equal", "allclose", "__bool__", "__int__", "__index__"))
"""Functions by which control flow depends on activations. Conversions to plain numbers are left to software."""


def _marked(result: Any, recorder: Recorder, software: Software) -> Any:
    if isinstance(result, Tensor):
        return tagged(result, None, recorder, software)
    if isinstance(result, tuple | list) and any(isinstance(part, Tensor | tuple | list) for part in result):
        parts = [_marked(part, recorder, software) for part in result]
        return type(result)(parts) if type(result) in (tuple, list) else tuple(parts)
    return result


def _tensors(values: Any) -> list[Tensor]:
    leaves = torch.utils._pytree.tree_leaves(values)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def _take_over(target: TaggedTensor, result: TaggedTensor) -> None:
    with torch._C.DisableTorchFunctionSubclass():
        if target.shape == result.shape and target.dtype == result.dtype:
            plain(target).copy_(plain(result))
    target.tags, target.software = result.tags, result.software


def _restore(module: nn.Module, previous: Any) -> None:
    module.__dict__.pop("forward", None)
    if previous is not None:
        module.__dict__["forward"] = previous
