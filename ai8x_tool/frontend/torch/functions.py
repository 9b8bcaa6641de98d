"""Recording of torch functions, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch.nn.functional as F
from torch import Tensor

from ai8x_tool.frontend.torch.copies import data_size, distinct_operands, distinct_sources, whole
from ai8x_tool.frontend.torch.recorder import FunctionHandler, Recorder
from ai8x_tool.frontend.torch.tags import NOTHING, TaggedTensor, plain, tagged
from ai8x_tool.network.layer import Activation, Eltwise, Layer, Pair
from ai8x_tool.network.sizes import pooled_size

MOVEMENTS = frozenset(
    (
        *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "permute", "transpose", "t"),
        *("swapaxes", "swapdims", "movedim", "moveaxis", "squeeze", "unsqueeze", "cat", "concat", "concatenate"),
        *("stack", "hstack", "vstack", "chunk", "split", "split_with_sizes", "tensor_split", "narrow", "select"),
        *("__getitem__", "unbind", "flip", "fliplr", "flipud", "roll", "expand", "expand_as", "repeat", "tile"),
        *("repeat_interleave", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "adjoint", "unfold"),
    )
)
UNCHANGED = frozenset(
    (
        *("contiguous", "clone", "detach", "to", "float", "cpu", "cuda", "type_as", "requires_grad", "alias"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout"),
    )
)


def combine(recorder: Recorder, kind: str, operands: Sequence[Any], name: str) -> Any:
    """Record an element-wise operation, with a copy of every operand that is not the whole output of a layer."""
    name = recorder.unique_name(name)
    tensors = [x for x in operands if isinstance(x, Tensor)]
    shapes = {tuple(x.shape) for x in tensors}
    if len(shapes) > 1:
        text = " and ".join("×".join(map(str, shape[1:])) for shape in sorted(shapes))
        raise recorder.refuse(f"{name!r} combines data of different shapes: {text}", "give all operands one shape")
    readings = [whole(recorder, recorder.read(x, repr(name)), name) for x in operands]
    shape = readings[0].sources[0].shape
    readings = distinct_operands(recorder, readings, name)
    layer = Layer(
        *(name, (), "none"), eltwise=cast(Eltwise, kind), operands=len(readings), source=recorder.calling_source
    )
    step = recorder.add(layer, readings, shape)
    return recorder.output(step, plain(tensors[0]), tuple(tensors[0].shape[1:]))


_RESULTS = {"add": "sum", "sub": "difference"}


def _binary(kind: str) -> FunctionHandler:
    def handler(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        readable = all(recorder.is_readable(x) for x in args)
        both = readable and len(args) == 2 and all(isinstance(x, TaggedTensor) for x in args) and not kwargs
        if not both or args[0].shape != args[1].shape:
            return NotImplemented
        if kind not in _RESULTS:
            return combine(recorder, kind, args, name=_name(recorder, kind))
        message = f"the {_RESULTS[kind]} of two tensors saturates on the accelerator, but not in forward()"
        raise recorder.refuse(message, f"use a module, ai8x.{kind.capitalize()}()")

    return handler


def _name(recorder: Recorder, kind: str) -> str:
    return f"{recorder.module_name}.{kind}" if recorder.module_name else kind


def _activation(kind: Activation) -> FunctionHandler:
    def handler(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        x: Any = args[0] if args else kwargs.get("input")
        if not recorder.is_readable(x):
            return NotImplemented
        name = recorder.unique_name(_name(recorder, kind))
        reading = whole(recorder, recorder.read(x, repr(name)), name)
        layer = Layer(name, (), "none", activation=kind, source=recorder.calling_source)
        step = recorder.add(layer, [reading], reading.sources[0].shape, separate=True)
        return recorder.output(step, plain(x), tuple(x.shape[1:]))

    return handler


def _pooling(axes: int, *, average: bool) -> FunctionHandler:
    def handler(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        names = ("input", "kernel_size", "stride", "padding")
        if not recorder.is_readable(args[0] if args else kwargs.get("input")):
            return NotImplemented
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        size = _axes(given["kernel_size"], axes)
        stride = _axes(given.get("stride") or size, axes)
        dilation = _axes(kwargs.get("dilation", args[4] if not average and len(args) > 4 else 1), axes)
        exact = not any(_axes(given.get("padding", 0), axes)) and not kwargs.get("ceil_mode")
        exact = exact and not (len(args) > (4 if average else 5) and args[4 if average else 5])
        if not exact or kwargs.get("divisor_override"):
            fix = "pool without padding and ceil_mode"
            message = "the accelerator does not support pooling with padding, ceil_mode or a divisor"
            raise recorder.refuse(message, fix)
        return pool(recorder, given["input"], size, stride, dilation, average=average)

    return handler


def pool(recorder: Recorder, x: Any, size: Pair, stride: Pair, dilation: Pair = (1, 1), *, average: bool) -> Any:
    """Record pooling as a step of its own."""
    name = recorder.unique_name(_name(recorder, "avgpool" if average else "maxpool"))
    reading = distinct_sources(recorder, recorder.read(x, repr(name)), name)
    layer = Layer(
        *(name, (), "none"),
        pool=size,
        pool_stride=stride,
        pool_dilation=dilation,
        pool_average=average,
        source=recorder.calling_source,
    )
    data = data_size(reading)
    pooled = pooled_size(layer, data)
    if min(pooled) < 1:
        message = f"the pooling window of {name!r} is larger than its input of {data[0]}×{data[1]}"
        raise recorder.refuse(message, "use a smaller window, or pool less before")
    step = recorder.add(layer, [reading], (int(x.shape[1]), *pooled))
    return recorder.output(step, plain(x), step.shape[: plain(x).dim() - 1])


def _adaptive(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    x = args[0] if args else kwargs["input"]
    if not recorder.is_readable(x):
        return NotImplemented
    wanted = args[1] if len(args) > 1 else kwargs["output_size"]
    sizes = tuple(x.shape[2:])
    targets = wanted if isinstance(wanted, tuple | list) else (wanted,) * len(sizes)
    targets = tuple(size if target is None else target for size, target in zip(sizes, targets, strict=True))
    if any(size % target for size, target in zip(sizes, targets, strict=True)):
        message = f"{sizes} cannot be pooled to {targets} with windows of equal size"
        raise recorder.refuse(message, "choose an output size that divides the input size")
    windows = tuple(size // target for size, target in zip(sizes, targets, strict=True))
    if len(set(windows)) > 1 and any(target > 1 for target in targets):
        message = f"pooling {sizes} to {targets} needs different strides for rows and columns"
        raise recorder.refuse(message, "pool rows and columns by the same factor")
    stride = (max(windows), max(windows)) if all(target == 1 for target in targets) else windows
    return pool(recorder, x, _axes(windows, len(sizes)), _axes(stride[: len(sizes)], len(sizes)), average=True)


def _mean(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record a mean over all pixels as average pooling; return NotImplemented for other means."""
    x = args[0] if args else kwargs["input"]
    over = kwargs.get("dim", args[1] if len(args) > 1 else None)
    keep = bool(kwargs.get("keepdim", args[2] if len(args) > 2 else False))
    count = plain(x).dim()
    dims = sorted(d % count for d in over) if isinstance(over, tuple | list) else [] if over is None else [over % count]
    if count < 3 or not recorder.is_readable(x) or dims != list(range(2, count)):
        return NotImplemented
    size = tuple(x.shape[2:])
    pooled = pool(recorder, x, _axes(size, len(size)), (max(size), max(size) if len(size) > 1 else 1), average=True)
    return pooled if keep else tagged(plain(pooled).flatten(1), pooled.tags.flatten(1), recorder)


def _pad(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Record padding with zeros; return NotImplemented for other padding."""
    given = {**dict(zip(("input", "pad", "mode", "value"), args, strict=False)), **kwargs}
    if given.get("mode", "constant") != "constant" or given.get("value"):
        return NotImplemented
    x = given["input"]
    return tagged(F.pad(plain(x), given["pad"]), F.pad(x.tags, given["pad"], value=NOTHING), recorder)


def _axes(value: Any, count: int) -> Pair:
    found = tuple(int(v) for v in value) if isinstance(value, tuple | list) else (int(value),) * count
    found = found * count if len(found) < count else found
    return (found[0], found[1]) if count == 2 else (found[0], 1)


FUNCTIONS: dict[str, FunctionHandler] = {
    **dict.fromkeys(("add", "__add__", "__radd__"), _binary("add")),
    **dict.fromkeys(("sub", "subtract", "__sub__"), _binary("sub")),
    **dict.fromkeys(("bitwise_or", "__or__"), _binary("or")),
    **dict.fromkeys(("bitwise_xor", "__xor__"), _binary("xor")),
    "relu": _activation("relu"),
    **dict.fromkeys(("abs", "__abs__", "absolute"), _activation("abs")),
    "max_pool1d": _pooling(1, average=False),
    "max_pool2d": _pooling(2, average=False),
    "avg_pool1d": _pooling(1, average=True),
    "avg_pool2d": _pooling(2, average=True),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), _adaptive),
    "mean": _mean,
    "pad": _pad,
}
