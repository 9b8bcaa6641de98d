"""Recording of modules: one small handler for each kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.frontend.torch.copies import data_size, distinct_sources
from ai8x_tool.frontend.torch.functions import combine
from ai8x_tool.frontend.torch.recorder import ModuleHandler, Recorder
from ai8x_tool.frontend.torch.steps import OperandReading, Step
from ai8x_tool.frontend.torch.tags import Software, TaggedTensor, plain, tagged
from ai8x_tool.network.layer import Layer, Operator, Pair
from ai8x_tool.network.sizes import output_size, pooled_size
from ai8x_tool.nn import Add, BitwiseOr, BitwiseXor, Dropout, Empty, FusedModule, Sub
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.pooling import Pooling

_OPERATORS: dict[type[nn.Module], Operator] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.ConvTranspose2d: "convtranspose2d",
    nn.Linear: "linear",
}
_ACTIVATIONS = {None: "none", "ReLU": "relu", "Abs": "abs"}
_ELTWISE: dict[type[nn.Module], str] = {Add: "add", Sub: "sub", BitwiseOr: "or", BitwiseXor: "xor"}
_LAYERS_OF_TORCH = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.RNNBase, nn.Embedding, nn.MultiheadAttention, nn.LayerNorm, nn.GroupNorm),
)


def fused(recorder: Recorder, module: FusedModule, args: tuple[Any, ...]) -> Any:
    """Record pooling, operator and activation of a fused module."""
    x = args[0]
    if _is_linear(recorder, module, x):
        return _operate_flat(recorder, module, x)
    name = recorder.unique_name(recorder.module_name or type(module).__name__)
    reading = distinct_sources(recorder, recorder.read(x, repr(name)), name)
    if module.op is None:
        return _pool_alone(recorder, module, x, name, reading)
    operator = next((op for kind, op in _OPERATORS.items() if isinstance(module.op, kind)), None)
    if operator is None:
        message = f"the accelerator does not support {type(module.op).__name__}"
        raise recorder.refuse(message, "use another layer")
    layer = Layer(name, (), operator, source=recorder.calling_source, **_operator_fields(recorder, module, operator))
    if module.pooling is not None and operator == "convtranspose2d":
        pool = recorder.unique_name(f"{name}_pool")
        x = _pool_alone(recorder, module, x, pool, reading)
        reading = recorder.read(x, repr(name))
    elif module.pooling is not None:
        layer = replace(layer, **pooling_fields(module.pooling))
    return _operate(recorder, module, x, layer, reading)


def _is_linear(recorder: Recorder, module: FusedModule, x: Any) -> bool:
    """Return whether the module is a linear layer: a 1×1 convolution of features flattened to channels of one pixel."""
    op = module.op
    single = isinstance(op, nn.Conv2d) and op.kernel_size == (1, 1) and op.padding == (0, 0) and op.groups == 1
    pixel = isinstance(x, TaggedTensor) and x.tags is not None and x.shape[2:] == (1, 1)
    return single and pixel and module.pooling is None and not recorder.is_readable(x)


def _operate_flat(recorder: Recorder, module: FusedModule, x: Tensor) -> Any:
    """Record a convolution of one pixel as a linear layer."""
    flat = x.flatten(1)
    name = recorder.unique_name(recorder.module_name or type(module).__name__)
    reading = distinct_sources(recorder, recorder.read(flat, repr(name)), name)
    layer = Layer(name, (), "linear", source=recorder.calling_source, **_operator_fields(recorder, module, "linear"))
    return _operate(recorder, module, flat, layer, reading)[:, :, None, None]


def _operator_fields(recorder: Recorder, module: FusedModule, operator: Operator) -> dict[str, Any]:
    op: Any = module.op
    bits = int(module.weight_bits) or 8
    fields: dict[str, Any] = {
        "activation": _ACTIVATIONS[module.activation],
        "output_width": 32 if module.wide else 8,
        "use_bias": op.bias is not None,
        "bits": bits,
    }
    if operator == "linear":
        return {**fields, "channels_out": len(op.weight)}
    if op.groups not in (1, op.in_channels) or (op.groups > 1 and op.in_channels != op.out_channels):
        text = f"{op.groups} groups of {op.in_channels} to {op.out_channels} channels"
        raise recorder.refuse(
            f"{text}: grouped convolutions must be depthwise", "use groups=1, or as many groups as channels"
        )
    if op.padding_mode != "zeros":
        raise recorder.refuse(f"padding_mode {op.padding_mode!r}: the accelerator pads with zeros", "use 'zeros'")
    fields |= {"channels_out": op.out_channels, "groups": op.groups}
    kernel, dilation = _pair(op.kernel_size), _pair(op.dilation)
    fields |= {"kernel": kernel, "pad": _pair(op.padding, 0)}
    fields |= {"dilation": (dilation[0] if kernel[0] > 1 else 1, dilation[1] if kernel[1] > 1 else 1)}
    if operator == "convtranspose2d":
        fields |= {"stride": _pair(op.stride), "output_pad": _pair(op.output_padding, 0)}
    return fields


def _operate(recorder: Recorder, module: FusedModule, x: Tensor, layer: Layer, reading: OperandReading) -> Any:
    op: Any = module.op
    flat = layer.operator == "linear"
    inputs = op.weight.shape[1] if flat else op.in_channels
    if plain(x).dim() != (2 if flat else 3 if layer.operator == "conv1d" else 4):
        shape = "×".join(map(str, x.shape[1:]))
        message = f"{layer.name!r} cannot read data of shape {shape}"
        raise recorder.refuse(message, "flatten or reshape the data before it")
    have = int(x.shape[1])
    if have != inputs:
        fix = "check the sizes of the layers before it"
        raise recorder.refuse(f"{layer.name!r} needs {inputs} input channels, its input has {have}", fix)
    size = data_size(reading)
    layer = replace(layer, flatten=reading.flatten)
    out = output_size(layer, pooled_size(layer, size))
    if min(out) < 1:
        raise recorder.refuse(f"{layer.name!r} has no output: its input is {size[0]}×{size[1]}", "pool less before it")
    step = recorder.add(layer, [reading], (layer.channels_out, *out), module=module)
    stride = 1 if flat or layer.operator == "convtranspose2d" else op.stride[0]
    if stride > 1:
        step = subsample(recorder, step, stride)
    return recorder.output(step, plain(x), torch_shape(step, plain(x).dim()))


def subsample(recorder: Recorder, step: Step, stride: int) -> Step:
    """Record a step that keeps every `stride`-th output of a convolution, which then computes with that stride."""
    draft = step.draft
    if draft.output_width != 8:
        text = f"{draft.name!r} has stride {stride} and 32-bit outputs: convolutions must have stride 1"
        raise recorder.refuse(text, "use stride=1, and pool before it")
    flat = draft.operator == "conv1d"
    pair: Pair = (stride, 1 if flat else stride)
    layer = Layer(recorder.unique_name(f"{draft.name}_stride"), (), "none", source=draft.source, pool_stride=pair)
    size = pooled_size(layer, step.shape[1:])
    return recorder.add(layer, [OperandReading((step,))], (step.shape[0], *size))


def torch_shape(step: Step, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a step's output in torch, without the batch; `dimensions` includes the batch."""
    return step.shape[: dimensions - 1]


def _pool_alone(recorder: Recorder, module: FusedModule, x: Tensor, name: str, reading: OperandReading) -> Any:
    if module.pooling is None:
        return x
    if plain(x).dim() != len(module.pooling.size) + 2:
        shape = "×".join(map(str, x.shape[1:]))
        raise recorder.refuse(f"{name!r} cannot read data of shape {shape}", "reshape the data before it")
    layer = Layer(name, (), "none", source=recorder.calling_source, **pooling_fields(module.pooling))
    size = data_size(reading)
    pooled = pooled_size(layer, size)
    if min(pooled) < 1:
        message = f"the pooling window of {name!r} is larger than its input of {size[0]}×{size[1]}"
        raise recorder.refuse(message, "use a smaller window, or pool less before")
    step = recorder.add(layer, [reading], (int(x.shape[1]), *pooled))
    return recorder.output(step, plain(x), torch_shape(step, plain(x).dim()))


def pooling_fields(pooling: Pooling) -> dict[str, Any]:
    """Return the pooling fields of a layer."""
    return {
        "pool": _pair(pooling.size),
        "pool_average": pooling.kind == "Avg" and max(pooling.size) > 1,
        "pool_stride": _pair(pooling.stride),
        "pool_dilation": _pair(pooling.dilation),
    }


def _pair(values: Any, filler: int = 1) -> Pair:
    found = tuple(int(value) for value in values) if isinstance(values, tuple | list) else (int(values),) * 2
    return (found[0], found[1]) if len(found) > 1 else (found[0], filler)


def elementwise(recorder: Recorder, module: Elementwise, args: tuple[Any, ...]) -> Any:
    """Record an element-wise module."""
    kind = next(name for base, name in _ELTWISE.items() if isinstance(module, base))
    return combine(recorder, kind, args, name=recorder.module_name or kind)


def same(recorder: Recorder, module: nn.Module, args: tuple[Any, ...]) -> Any:
    """Record nothing: the module returns its input in evaluation."""
    return args[0]


def in_software(recorder: Recorder, module: nn.Module, args: tuple[Any, ...]) -> Any:
    """Record that software computes the module."""
    inputs = tuple(x for x in args if isinstance(x, TaggedTensor))
    op = getattr(module, "op", None)
    size = op.out_features if isinstance(op, nn.Linear) else int(inputs[0].shape[-1])
    data = plain(inputs[0])
    shape = (*data.shape[:-1], size)
    result = torch.zeros(shape, dtype=data.dtype, device=data.device)
    return tagged(result, None, recorder, Software(type(module).__name__, recorder.where, inputs))


def layer_of_torch(recorder: Recorder, module: nn.Module, args: tuple[Any, ...]) -> Any:
    """Refuse a torch layer that has weights: training would not simulate the accelerator."""
    kind = type(module).__name__
    text = f"{recorder.module_name!r} is a plain nn.{kind}, which is neither quantized nor run on the accelerator"
    raise recorder.refuse(
        text, "use a fused module of ai8x instead, or SoftwareLinear for a layer computed in software"
    )


MODULES: dict[type[nn.Module], ModuleHandler] = {
    FusedModule: fused,
    Elementwise: elementwise,
    SoftwareLinear: in_software,
    **dict.fromkeys((Empty, Dropout, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), same),
    **dict.fromkeys(_LAYERS_OF_TORCH, layer_of_torch),
}
