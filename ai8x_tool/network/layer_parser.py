"""The keys of one layer. spec: network-yaml, section 2."""

from __future__ import annotations

import re
from typing import Any

from ai8x_tool.console import Console
from ai8x_tool.network.description import BUFFER, LayerDescription, Operator, Pair
from ai8x_tool.network.references import References
from ai8x_tool.network.values import Fields

ALIASES = {
    "operation": ("operation", "op", "operator", "convolution"),
    "activate": ("activate", "activation"),
    "groups": ("groups", "conv_groups"),
    "read_gap": ("read_gap", "in_skip"),
    "bias_group": ("bias_group", "bias_quadrant"),
}

LAYER_KEYS = [
    *(key for group in ALIASES.values() for key in group),
    *("name", "sequence", "in_sequences", "next_sequence", "simulated_sequence", "snoop_sequence"),
    *("output", "weight_source", "bypass", "eltwise", "operands", "pool_first"),
    *("kernel_size", "dilation", "stride", "pad", "output_pad"),
    *("max_pool", "avg_pool", "pool_stride", "pool_dilation"),
    *("quantization", "output_shift", "output_width", "data_format"),
    *("in_channels", "out_channels", "in_dim", "in_crop", "in_channel_skip", "flatten"),
    *("processors", "output_processors", "in_offset", "out_offset", "write_gap"),
    *("streaming", "readahead", "tcalc", "calcx4", "buffer_shift", "buffer_insert"),
]

_ELTWISE = {"add": "add", "sub": "sub", "xor": "xor", "or": "or"}
_OPERATIONS: dict[str, tuple[Operator, str | None]] = {
    "conv1d": ("conv1d", None),
    "conv2d": ("conv2d", None),
    "convtranspose2d": ("convtranspose2d", None),
    **dict.fromkeys(("none", "passthrough"), ("none", None)),
    **dict.fromkeys(("linear", "fc", "mlp"), ("linear", None)),
    "add": ("none", "add"),
    "sub": ("none", "sub"),
    **dict.fromkeys(("xor", "bitwisexor", "bitwise_xor"), ("none", "xor")),
    **dict.fromkeys(("or", "bitwiseor", "bitwise_or"), ("none", "or")),
}
_FORMATS = {"hwc": False, "little": False, "chw": True, "big": True}
MAX_GAP = 4095
"""Far above what registers hold, far below what computations need."""
_MAX_POOL = 16
_MAX_OPERANDS = 16


def parse_layer(index: int, given: Fields, references: References, console: Console) -> LayerDescription:
    """Return the typed layer; `given` are its keys, `references` its resolved references.

    Raises Ai8xError for values a layer of its kind cannot have, warns about defaults that are rarely meant.
    """
    fields = _without_aliases(_labelled(given, index, references.name))
    processors = fields.processor_map("processors")
    if processors is None:
        raise fields.fail("processors", "every layer needs a processor map")
    operation = fields.choice("operation", _OPERATIONS, ("conv2d", None))
    operator: Operator = operation[0]
    eltwise = operation[1] or fields.choice("eltwise", _ELTWISE, None)
    values: dict[str, Any] = {
        **_operation(fields, operator, eltwise),
        **_pooling(fields, operator, console),
        **_numbers(fields),
        **_placement(fields),
        **_modes(fields),
    }
    _remarks(fields, operator, console)
    layer = LayerDescription(
        index=index,
        line=given.line,
        processors=processors,
        name=references.name,
        operator=operator,
        eltwise=eltwise,
        in_sequences=references.in_sequences,
        next_sequence=references.next_sequence,
        simulated_sequence=references.simulated_sequence,
        snoop_sequence=references.snoop_sequence,
        weight_source=references.weight_source,
        **values,
    )
    _check_combinations(layer, fields)
    return layer


def _labelled(fields: Fields, index: int, name: str | None) -> Fields:
    label = f"layer {index} ({name})" if name else f"layer {index}"
    return Fields(fields.entries, fields.file, label, fields.line)


def _without_aliases(fields: Fields) -> Fields:
    entries = dict(fields.entries)
    for key, group in ALIASES.items():
        present = [alias for alias in group if alias in entries]
        if len(present) > 1:
            raise fields.fail(present[1], f"means the same as {present[0]!r}; give one of them")
        if present:
            entries[key] = entries.pop(present[0])
    return Fields(entries, fields.file, fields.label, fields.line)


def _operation(fields: Fields, operator: Operator, eltwise: str | None) -> dict[str, Any]:
    transposed, plain = operator == "convtranspose2d", operator in ("none", "linear")
    operands = fields.integer("operands", 2 if eltwise else 1)
    if "operands" in fields and not eltwise:
        raise fields.fail("operands", "only an element-wise layer has operands")
    if eltwise and not 2 <= operands <= _MAX_OPERANDS:
        raise fields.fail("operands", f"must be 2 … {_MAX_OPERANDS}")
    if operator == "none" and "dilation" in fields:
        raise fields.fail("dilation", "a layer without convolution has no kernel to dilate")
    pad = fields.pair("pad", (0, 0) if plain else (1, 1), low=0)
    stride = fields.pair("stride", (2, 2) if transposed else (1, 1))
    if stride[0] != stride[1]:
        raise fields.fail("stride", "rows and columns must have the same stride")
    if transposed and stride != (2, 2):
        raise fields.fail("stride", "a transposed convolution always has stride 2")
    one_dimensional = operator == "conv1d"
    dilation = fields.pair("dilation", (1, 1))
    return {
        "operands": operands,
        "pool_first": fields.boolean("pool_first", True),
        "groups": fields.integer("groups", 1, 1),
        "activation": fields.choice("activate", {"none": "none", "relu": "relu", "abs": "abs"}, "none"),
        "kernel": _kernel(fields, operator),
        "dilation": (dilation[0], 1) if one_dimensional else dilation,
        "stride": (stride[0], 1) if one_dimensional else stride,
        "pad": (pad[0], 0) if one_dimensional else pad,
        "output_pad": fields.pair("output_pad", (1, 1) if transposed else (0, 0), low=0),
        "flatten": fields.boolean("flatten"),
    }


def _kernel(fields: Fields, operator: Operator) -> Pair:
    value = fields.raw("kernel_size")
    if operator == "linear" and value is not None:
        raise fields.fail("kernel_size", "a linear layer has no kernel size", "remove the key")
    if operator in ("none", "conv1d"):
        length = fields.integer("kernel_size", 9 if operator == "conv1d" else 1, 1, 9)
        return (length, 1) if operator == "conv1d" else (1, 1)
    if operator == "linear":
        return 1, 1
    if value is None:
        return 3, 3
    sizes = {"3x3"} if operator == "convtranspose2d" else {"1x1", "3x3"}
    word = str(value).lower()
    if word not in sizes or not re.fullmatch(r"\dx\d", word):
        raise fields.fail("kernel_size", f"a {operator} layer supports {' and '.join(sorted(sizes))}")
    return int(word[0]), int(word[2])


def _pooling(fields: Fields, operator: Operator, console: Console) -> dict[str, Any]:
    if "max_pool" in fields and "avg_pool" in fields:
        raise fields.fail("avg_pool", "a layer has either max_pool or avg_pool")
    key = "avg_pool" if "avg_pool" in fields else "max_pool"
    pool = fields.pair(key, (1, 1), high=_MAX_POOL)
    stride = fields.pair("pool_stride", (1, 1), high=_MAX_POOL)
    dilation = fields.pair("pool_dilation", (1, 1), high=_MAX_POOL)
    if operator == "conv1d":
        pool, stride, dilation = (pool[0], 1), (stride[0], 1), (dilation[0], 1)
    if "pool_dilation" in fields and "avg_pool" not in fields and "max_pool" not in fields:
        raise fields.fail("pool_dilation", "needs max_pool or avg_pool")
    if pool != (1, 1) and "pool_stride" not in fields:
        console.warn(f"{fields.where(key)}: pooling without pool_stride: stride 1 is used")
    return {"pool": pool, "pool_average": key == "avg_pool", "pool_stride": stride, "pool_dilation": dilation}


def _numbers(fields: Fields) -> dict[str, Any]:
    width = fields.integer("output_width", 8)
    if width not in (8, 32):
        raise fields.fail("output_width", "must be 8 or 32")
    return {
        "quantization": fields.quantization("quantization"),
        "output_shift": fields.optional_integer("output_shift"),
        "output_width": width,
        "chw": fields.choice("data_format", _FORMATS, False),
        "in_channels": fields.optional_integer("in_channels", 1),
        "out_channels": fields.optional_integer("out_channels", 1),
        "in_dim": fields.dimension("in_dim"),
        "in_crop": fields.pair("in_crop", (0, 0), low=0),
        "in_channel_skip": fields.integer("in_channel_skip", 0, 0),
    }


def _placement(fields: Fields) -> dict[str, Any]:
    for key in ("in_offset", "out_offset"):
        value = fields.optional_integer(key)
        if value is not None and value % 4:
            raise fields.fail(key, "must be a multiple of 4: data memory is written in words")
    groups = fields.raw("bias_group")
    items = None if groups is None else groups if isinstance(groups, list) else [groups]
    if items is not None and not all(isinstance(g, int) and not isinstance(g, bool) and 0 <= g <= 3 for g in items):
        raise fields.fail("bias_group", "must be a quadrant number 0 … 3 or a list of them")
    return {
        "output_processors": fields.processor_map("output_processors"),
        "in_offset": fields.optional_integer("in_offset", 0),
        "out_offset": fields.integer("out_offset", 0),
        "write_gap": fields.integer("write_gap", 0, 0, MAX_GAP),
        "read_gap": fields.integer("read_gap", 0, 0, MAX_GAP),
        "bias_groups": None if items is None else tuple(items),
    }


def _modes(fields: Fields) -> dict[str, Any]:
    return {
        "streaming": fields.boolean("streaming"),
        "readahead": fields.boolean("readahead"),
        "tcalc": fields.boolean("tcalc") if "tcalc" in fields else None,
        "calcx4": fields.boolean("calcx4"),
        "output": fields.boolean("output"),
        "bypass": fields.boolean("bypass"),
        "buffer_shift": fields.integer("buffer_shift", 0, 1),
        "buffer_insert": fields.integer("buffer_insert", 0, 1),
    }


def _remarks(fields: Fields, operator: Operator, console: Console) -> None:
    if "out_offset" not in fields:
        console.warn(f"{fields.where()}: no out_offset: 0 is used")
    if fields.raw("in_channel_skip"):
        console.warn(f"{fields.where('in_channel_skip')}: in_channel_skip has no effect: give a sample without them")
    if "operation" not in fields:
        console.warn(f"{fields.where()}: no operation: Conv2d is used")
    if operator != "none" and "activate" not in fields:
        console.detail(f"{fields.where()}: no activation")


def _check_combinations(layer: LayerDescription, fields: Fields) -> None:
    pooled = layer.has_pool
    if layer.stride != (1, 1) and layer.operator != "convtranspose2d" and pooled:
        raise fields.fail("stride", "must be 1 in a layer that also pools")
    if not layer.pool_first and not (pooled and layer.operands > 1):
        raise fields.fail("pool_first", "false needs both pooling and an element-wise operation")
    if layer.buffer_shift and layer.in_sequences is None:
        raise fields.fail("buffer_shift", "needs in_sequences naming the rolling buffer")
    if layer.buffer_insert and "out_offset" not in fields:
        raise fields.fail("buffer_insert", "needs out_offset")
    if layer.in_sequences == (BUFFER,):
        for key in ("in_offset", "out_offset", "in_dim", "in_channels"):
            if key not in fields:
                raise fields.fail("in_sequences", f"a layer that reads the rolling buffer needs {key}")
