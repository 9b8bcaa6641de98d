"""Classification of plain torch layers and functions by the operations of the accelerator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from ai8x_tool import nn as fused
from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch.functions import MOVEMENTS, UNCHANGED

LAYERS = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_ACTIVATIONS = {nn.ReLU: "ReLU", nn.ReLU6: "ReLU6", nn.LeakyReLU: "LeakyReLU", nn.PReLU: "PReLU", nn.ELU: "ELU"}
_ACTIVATIONS |= {nn.GELU: "GELU", nn.SiLU: "SiLU", nn.Hardswish: "Hardswish", nn.Mish: "Mish"}
_ACTIVATION_FUNCTIONS = {"relu": "ReLU", "relu_": "ReLU", "relu6": "ReLU6", "abs": "Abs", "absolute": "Abs"}
_ACTIVATION_FUNCTIONS |= {"leaky_relu": "LeakyReLU", "elu": "ELU", "gelu": "GELU", "silu": "SiLU"}
_ACTIVATION_FUNCTIONS |= {"hardswish": "Hardswish", "mish": "Mish"}
APPROXIMATED = frozenset({*_ACTIVATIONS.values(), *_ACTIVATION_FUNCTIONS.values()} - {"ReLU", "Abs"})
"""Activations similar to ReLU, by which they can be replaced."""
_ELTWISE = {"add": "Add", "iadd": "Add", "add_": "Add", "sub": "Sub", "isub": "Sub", "sub_": "Sub"}
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
_POOL_FUNCTIONS = {"max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
_POOL_ARGUMENTS = ("kernel_size", "stride", "padding")
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, fused.Dropout)
_MOVING_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity, *_DROPOUTS, fused.Empty, SoftwareLinear)


@dataclass(frozen=True)
class PlainPooling:
    """A pooling module: class, window, stride and dilation; `flatten` removes the rows and columns of the result."""

    kind: str
    size: Any
    stride: Any
    dilation: Any = 1
    flatten: bool = False
    exact: bool = True


def function_name(node: fx.Node) -> str:
    """Return the name of a function, method or module class that a node calls."""
    if node.op == "call_module":
        return str(node.target)
    return str(node.target) if node.op == "call_method" else str(getattr(node.target, "__name__", node.target))


def activation_of(node: fx.Node, module: nn.Module | None) -> str | None:
    """Return the activation that a node computes; None if it computes something else."""
    if module is not None:
        return next((name for kind, name in _ACTIVATIONS.items() if isinstance(module, kind)), None)
    calls = node.op in ("call_function", "call_method")
    return _ACTIVATION_FUNCTIONS.get(function_name(node)) if calls else None


def only_moves(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node only moves values in evaluation, without changing them."""
    if module is not None:
        return isinstance(module, _MOVING_MODULES)
    return function_name(node) in (MOVEMENTS | UNCHANGED | {"getitem", "getattr", "size"})


def may_combine(node: fx.Node) -> bool:
    """Return whether a node adds or subtracts two computed values (tensors or numbers)."""
    calls = node.op in ("call_function", "call_method") and function_name(node) in _ELTWISE
    return calls and len(node.args) == 2 and all(isinstance(arg, fx.Node) for arg in node.args)


def elementwise_of(node: fx.Node) -> str | None:
    """Return the class name of the element-wise module equivalent to a node; None for other nodes."""
    if node.op not in ("call_function", "call_method") or node.kwargs:
        return None
    both = len(node.args) == 2 and all(isinstance(arg, fx.Node) and "tensor_meta" in arg.meta for arg in node.args)
    return _ELTWISE.get(function_name(node)) if both else None


def pooling_of_node(node: fx.Node, module: nn.Module | None, *, adapt: bool) -> PlainPooling | None:
    """Return the pooling that a node computes; None if it computes something else.

    Raises Ai8xError for padding (unless `adapt` allows to drop it), for a ceil_mode that has an effect, for a divisor,
    and for windows of different sizes.
    """
    if isinstance(module, _POOLS):
        kind, given = type(module).__name__, vars(module)
    elif module is None and node.op == "call_function" and function_name(node) in _POOL_FUNCTIONS:
        kind = _class_name(function_name(node))
        given = _arguments(kind, node)
    elif function_name(node) == "mean" and node.op in ("call_method", "call_function"):
        return _mean(node)
    else:
        return None
    shape = tuple(_source_shape(node))
    return _adaptive(kind, given, shape) if kind.startswith("Adaptive") else _fixed(kind, given, shape, adapt=adapt)


def _class_name(function: str) -> str:
    return "".join(part.capitalize() for part in function.replace("pool", "_pool").split("_"))


def _arguments(kind: str, node: fx.Node) -> dict[str, Any]:
    names: tuple[str, ...] = ("output_size",) if kind.startswith("Adaptive") else _POOL_ARGUMENTS
    if kind.startswith("Max"):
        names += ("dilation", "ceil_mode")
    elif kind.startswith("Avg"):
        names += ("ceil_mode", "count_include_pad")
    return {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}


def _source_shape(node: fx.Node) -> Any:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source.meta["tensor_meta"].shape[2:]


def _pair(value: Any, count: int) -> tuple[int, ...]:
    found = tuple(value) if isinstance(value, tuple | list) else (value,)
    return found * count if len(found) < count else found


def _fixed(kind: str, given: dict[str, Any], shape: tuple[int, ...], *, adapt: bool) -> PlainPooling:
    count = len(shape)
    size = _pair(given["kernel_size"], count)
    stride = _pair(given.get("stride") or size, count)
    padded = any(_pair(given.get("padding") or 0, count))
    if padded and not adapt:
        fix = "pool without padding, or accept a window of the size of the stride with --adapt"
        raise Ai8xError("the accelerator does not support pooling with padding", fix=fix)
    if padded:
        size = stride
    ragged = any((length - window) % step for length, window, step in zip(shape, size, stride, strict=True))
    if given.get("ceil_mode") and ragged:
        raise Ai8xError("ceil_mode: the accelerator skips incomplete windows", fix="pass ceil_mode=False")
    if given.get("divisor_override"):
        raise Ai8xError("divisor_override: the accelerator divides by the window's size", fix="remove it")
    dilation = _pair(given.get("dilation") or 1, count)
    return PlainPooling(kind, _one(size), _one(stride), _one(dilation), exact=not padded)


def _one(values: tuple[int, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def _adaptive(kind: str, given: dict[str, Any], shape: tuple[int, ...]) -> PlainPooling:
    wanted = _pair(given["output_size"], len(shape))
    targets = [length if target is None else target for length, target in zip(shape, wanted, strict=True)]
    if any(length % target for length, target in zip(shape, targets, strict=True)):
        sizes = f"{'×'.join(map(str, shape))} cannot be pooled to {'×'.join(map(str, targets))}"
        raise Ai8xError(f"{sizes} with windows of equal size", fix="choose an output size that divides the input size")
    size = tuple(length // target for length, target in zip(shape, targets, strict=True))
    stride = (max(size),) * len(size) if all(target == 1 for target in targets) else size
    return PlainPooling(kind.removeprefix("Adaptive"), _one(size), _one(stride))


def _mean(node: fx.Node) -> PlainPooling | None:
    shape = tuple(_source_shape(node))
    given = {**dict(zip(("dim", "keepdim"), node.args[1:], strict=False)), **node.kwargs}
    over: Any = given.get("dim")
    dims = sorted(d % (len(shape) + 2) for d in (over if isinstance(over, tuple | list) else (over,)) if d is not None)
    if not shape or dims != list(range(2, 2 + len(shape))):
        return None
    return PlainPooling(f"AvgPool{len(shape)}d", _one(shape), max(shape), flatten=not given.get("keepdim", False))
