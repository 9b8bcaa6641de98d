"""Legalization: replacement of plain torch layers in a model by fused modules that keep their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from ai8x_tool import nn as fused
from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch.conversion import (
    FusionContext,
    Norm,
    convert_layer,
    identity_layer,
    needs_split,
    split_layer,
)
from ai8x_tool.frontend.torch.places import SOURCE_LINE, calling_line, lines_of_nodes
from ai8x_tool.frontend.torch.plain_kinds import (
    APPROXIMATED,
    LAYERS,
    NORMS,
    activation_of,
    elementwise_of,
    function_name,
    may_combine,
    only_moves,
    pooling_of_node,
)
from ai8x_tool.nn import BuildContext, FusedModule
from ai8x_tool.nn.elementwise import Elementwise


@dataclass(frozen=True)
class Replacement:
    """A replacement: `was` and `became` for the table, `where` it is called, `exact` if the function is the same.

    `became` is empty for operations left to software.
    """

    name: str
    was: str
    became: str
    where: str
    exact: bool = True


class _Tracer(fx.Tracer):
    """Traces the functions of the user's modules; modules of torch and of this package are leaves."""

    def create_node(self, *arguments: Any, **options: Any) -> fx.Node:
        """Record the line of the user's file that calls an operation; torch's own recording would import a compiler."""
        node = super().create_node(*arguments, **options)
        node.meta[SOURCE_LINE] = calling_line(within=legalize.__code__)
        return node

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        own = isinstance(m, FusedModule | Elementwise | SoftwareLinear | fused.Dropout | fused.Empty)
        return own or super().is_leaf_module(m, module_qualified_name)


def is_plain(model: nn.Module) -> bool:
    """Return whether a model has torch layers that are neither part of a fused module nor computed by software."""
    done = (m for m in model.modules() if isinstance(m, FusedModule | SoftwareLinear))
    inside = {id(part) for m in done for part in m.modules()}
    return any(isinstance(m, LAYERS) and id(m) not in inside for m in model.modules())


def legalize(
    model: nn.Module,
    input_shape: Sequence[int],
    context: BuildContext,
    *,
    adapt: bool = False,
    scale: float | None = None,
) -> list[Replacement]:
    """Replace the plain layers of `model`, in place, by equivalent fused modules; return the replacements.

    Weights are kept. Activations and the output are `scale` times those of the plain model: by default 1 if ranges are
    measured or simulated, else 1/4, since activations are then limited to [−1, 1]. Inputs are not scaled. Layers
    without exact equivalent are refused or, with `adapt`, replaced by the closest ones and listed as inexact. In a
    model without plain layers only sums and differences of tensors are replaced, since those of the accelerator
    saturate. Raises Ai8xError naming rule, module and line; the model may then be partly converted.
    """
    if not is_plain(model):
        return _saturate(model, input_shape, context)
    training = model.training
    try:
        graph = _Tracer().trace(model.eval())
        module = fx.GraphModule(model, graph)
        ShapeProp(module).propagate(_example(model, input_shape))
    except Exception as error:  # whatever the user's code raises
        fix = "use fused modules, or a forward() without decisions that depend on data"
        raise Ai8xError(f"the plain model cannot be analyzed: {error}", where=type(model).__name__, fix=fix) from error
    finally:
        model.train(training)
    chosen = scale if scale is not None else 1.0 if context.measured_ranges or context.simulate else 0.25
    converter = _Converter(model, module, context, adapt=adapt, scale=chosen)
    converter.convert()
    _run_graph(model, module)
    return converter.table


def _run_graph(model: nn.Module, module: fx.GraphModule) -> None:
    """Make `model` compute the graph of `module`."""
    module.graph.lint()
    module.recompile()
    own = {"forward": type(module).forward, **lines_of_nodes(module)}
    model.__class__ = type(type(model).__name__, (type(model),), own)


def _saturate(model: nn.Module, input_shape: Sequence[int], context: BuildContext) -> list[Replacement]:
    """Replace sums and differences in the functions of a model of fused modules by modules; return the replacements.

    Functions whose control flow depends on data, or that differ in training, are not changed.
    """
    training = model.training
    try:
        graph, trained = (_Tracer().trace(model.train(mode)) for mode in (False, True))
        combining = any(may_combine(node) for node in graph.nodes)
        if not combining or str(graph) != str(trained):
            return []
        module = fx.GraphModule(model, graph)
        ShapeProp(module).propagate(_example(model.eval(), input_shape))
    except Exception:  # whatever the user's code raises: it is not made for symbolic values
        return []
    finally:
        model.train(training)
    converter = _Converter(model, module, context, adapt=False, scale=1.0)
    converter.saturate()
    _run_graph(model, module)
    return converter.table


def _example(model: nn.Module, shape: Sequence[int]) -> torch.Tensor:
    parameter = next(model.parameters())
    return torch.zeros((2, *shape), dtype=parameter.dtype, device=parameter.device)


def _became(layer: nn.Module, *, split: bool) -> str:
    return "several fused 3×3 convolutions, untrained" if split else f"one fused {type(layer).__name__}"


class _Converter:
    """Converts the nodes of a graph in order; `table` contains the replacements."""

    def __init__(
        self, model: nn.Module, module: fx.GraphModule, context: BuildContext, *, adapt: bool, scale: float
    ) -> None:
        self.model, self.module, self.graph = model, module, module.graph
        self.context, self.adapt, self.scale = context, adapt, scale
        self.table: list[Replacement] = []
        self._scales: dict[fx.Node, float] = {}
        self._converted: dict[str, tuple[str | None, str | None]] = {}

    def convert(self) -> None:
        """Convert all nodes."""
        for node in list(self.graph.nodes):
            if node in self.graph.nodes:
                self._convert(node)
        self._report_software()

    def saturate(self) -> None:
        """Convert only sums and differences."""
        for node in list(self.graph.nodes):
            if elementwise_of(node) is not None:
                self._elementwise(node)

    def _report_software(self) -> None:
        """Record the operations after the network, which software computes."""
        waiting = [source for node in self.graph.nodes if node.op == "output" for source in node.all_input_nodes]
        while waiting:
            node = waiting.pop()
            module = self._module(node)
            parts = () if module is None else module.modules()
            if node.op in ("placeholder", "get_attr") or any(isinstance(p, FusedModule | Elementwise) for p in parts):
                continue
            if not only_moves(node, module) and activation_of(node, module) not in ("ReLU", "Abs"):
                self._note(node, node.name, self._kind(node), "")
            waiting += node.all_input_nodes

    def _kind(self, node: fx.Node) -> str:
        """Return the name of the function or of the module's class that a node calls."""
        module = self._module(node)
        return function_name(node) if module is None else type(module).__name__

    def _convert(self, node: fx.Node) -> None:
        module = self._module(node)
        if isinstance(module, LAYERS):
            self._layer(node, module)
        elif isinstance(module, NORMS):
            message = "batch normalization must follow a convolution"
            raise self._refuse(node, message, "move it after a convolution, or remove it")
        elif elementwise_of(node) is not None:
            self._elementwise(node)
        elif activation_of(node, module) is not None:
            self._activation(node)
        else:
            self._pooling(node, module)
        self._scales.setdefault(node, self._input_scale(node))

    # -- kinds of nodes ---------------------------------------------------------------------------------------------

    def _layer(self, node: fx.Node, layer: nn.Module) -> None:
        """Convert a layer with its batch normalization and its activation."""
        name = str(node.target)
        end, norm = node, None
        following = self._only_user(end)
        if following is not None and isinstance(self._module(following), NORMS):
            norm, end = following, following
        following = self._only_user(end)
        activation = None if following is None else self._activation_kind(following)
        key = (None if norm is None else str(norm.target), activation)
        if self._converted.setdefault(name, key) != key:
            text = f"{name!r} is used several times with different normalization or activation after it"
            raise self._refuse(node, text, "use a separate layer for each use")
        before = self._input_scale(node)
        if isinstance(self.model.get_submodule(name), LAYERS):
            wide = isinstance(layer, nn.Linear) and activation is None and self._is_output(end)
            found = None if norm is None else self._module(norm)
            assert found is None or isinstance(found, Norm)
            fusion = FusionContext(found, activation, wide, before, self.scale)
            split = needs_split(layer)
            if split and not self.adapt:
                fix = "use several 3×3 convolutions, or accept them, untrained, with --adapt"
                raise self._refuse(node, f"the kernel of {name!r} is too large: kernels must be 1×1 or 3×3", fix)
            convert = split_layer if split else convert_layer
            self._set(name, self._made(node, lambda: convert(layer, fusion, self.context)))
            parts = [type(layer).__name__, "BatchNorm" if norm is not None else "", activation or ""]
            self._note(node, name, " + ".join(p for p in parts if p), _became(layer, split=split), exact=not split)
        if norm is not None:
            self._bypass(norm)
        if activation is not None and following is not None:
            self._bypass(following)
        self._scales[node] = self.scale

    def _activation_kind(self, node: fx.Node) -> str | None:
        """Return the activation that `node` becomes as a part of the preceding layer; None for other nodes."""
        found = activation_of(node, self._module(node))
        if found in APPROXIMATED:
            if not self.adapt:
                fix = "use ReLU, or accept ReLU instead with --adapt"
                raise self._refuse(node, f"the accelerator does not support {found}, only ReLU and Abs", fix)
            self._note(node, node.name, found, "ReLU", exact=False)
            return "ReLU"
        return found

    def _activation(self, node: fx.Node) -> None:
        """Convert an activation that does not directly follow a layer to an identity layer with that activation."""
        if self._is_output(node):
            return
        source = node.args[0]
        assert isinstance(source, fx.Node)
        kind = self._activation_kind(node)
        assert kind is not None
        if kind == "ReLU" and self._is_pooled_layer(source):
            return
        shape = tuple(node.meta["tensor_meta"].shape[1:])
        layer = self._made(node, lambda: identity_layer(shape, kind, self.context))
        self._call(node, f"{node.name}_identity", layer, (source,))
        self._note(node, node.name, kind, f"{type(layer).__name__} 1×1 with the weights of an identity, {kind}")

    def _is_pooled_layer(self, node: fx.Node) -> bool:
        """Return whether `node` is max pooling of a layer without activation: a ReLU can precede it instead."""
        module, source = self._module(node), node.args[0] if node.args else None
        if not isinstance(module, fused.MaxPool1d | fused.MaxPool2d) or not isinstance(source, fx.Node):
            return False
        layer = self._module(source)
        alone = self._only_user(node) is not None and self._only_user(source) is not None
        return alone and isinstance(layer, FusedModule) and layer.op is not None and layer.activation is None

    def _elementwise(self, node: fx.Node) -> None:
        kind = elementwise_of(node)
        assert kind is not None
        operands = tuple(arg for arg in node.args if isinstance(arg, fx.Node))
        if len({tuple(arg.meta["tensor_meta"].shape) for arg in operands}) > 1:
            raise self._refuse(node, f"{kind} has operands of different shapes", "use operands of the same shape")
        self._call(node, kind.lower(), getattr(fused, kind)(context=self.context), operands)
        self._note(node, node.name, function_name(node), kind)

    def _pooling(self, node: fx.Node, module: nn.Module | None) -> None:
        try:
            found = pooling_of_node(node, module, adapt=self.adapt)
        except Ai8xError as error:
            raise self._placed(node, error) from None
        if found is None:
            return
        source, was = node.args[0], self._kind(node)
        assert isinstance(source, fx.Node)
        pool = self._made(
            node,
            lambda: getattr(fused, found.kind)(found.size, found.stride, found.dilation, context=self.context),
        )
        self._call(node, found.kind.lower(), pool, (source,), flatten=found.flatten)
        self._note(node, node.name, was, f"a fused {found.kind}", exact=found.exact)

    # -- the graph --------------------------------------------------------------------------------------------------

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _only_user(self, node: fx.Node) -> fx.Node | None:
        return next(iter(node.users)) if len(node.users) == 1 else None

    def _is_output(self, node: fx.Node) -> bool:
        return all(user.op == "output" for user in node.users)

    def _input_scale(self, node: fx.Node) -> float:
        scales = {self._scales[source] for source in node.all_input_nodes if source in self._scales}
        if len(scales) > 1:
            fix = "measure activation ranges, or choose the scale 1"
            raise self._refuse(node, "data of different scales are combined: input and activations", fix)
        return scales.pop() if scales else 1.0

    def _set(self, name: str, module: nn.Module) -> None:
        parent, _, attribute = name.rpartition(".")
        for root in (self.model, self.module):
            setattr(root.get_submodule(parent), attribute, module)

    def _call(
        self, node: fx.Node, name: str, module: nn.Module, args: tuple[fx.Node, ...], *, flatten: bool = False
    ) -> None:
        """Replace `node` by a call of a new module."""
        taken = {key.lower() for key in dict(self.model.named_children())}
        number, wanted = 1, name
        while name.lower() in taken or hasattr(self.model, name):
            number += 1
            name = f"{wanted}_{number}"
        parameter = next(self.model.parameters())
        self._set(name, module.to(parameter.device).train(self.model.training))
        scale = self._input_scale(node)
        with self.graph.inserting_before(node):
            new = self.graph.call_module(name, args)
            self._scales[new] = scale
            new.meta = dict(node.meta)
            last = self.graph.call_method("flatten", (new, 1)) if flatten else new
            self._scales[last], last.meta = scale, dict(node.meta)
        node.replace_all_uses_with(last)
        self._scales[node] = scale
        self.graph.erase_node(node)

    def _bypass(self, node: fx.Node) -> None:
        source = node.args[0]
        assert isinstance(source, fx.Node)
        node.replace_all_uses_with(source)
        self.graph.erase_node(node)
        if node.op == "call_module" and not any(other.target == node.target for other in self.graph.nodes):
            self._set(str(node.target), nn.Identity())

    # -- messages ---------------------------------------------------------------------------------------------------

    def _where(self, node: fx.Node) -> str:
        line = node.meta.get(SOURCE_LINE, "")
        return ": ".join(part for part in (line, str(node.target) if node.op == "call_module" else "") if part)

    def _made(self, node: fx.Node, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Ai8xError as error:
            raise self._placed(node, error) from None

    def _placed(self, node: fx.Node, error: Ai8xError) -> Ai8xError:
        return Ai8xError(str(error), where=self._where(node) or None)

    def _refuse(self, node: fx.Node, message: str, fix: str) -> Ai8xError:
        return Ai8xError(message, where=self._where(node) or None, fix=fix)

    def _note(self, node: fx.Node, name: str, was: str, became: str, *, exact: bool = True) -> None:
        self.table.append(Replacement(name, was, became, self._where(node), exact))
