"""Parsing of the keys of one layer."""

from __future__ import annotations

import re
from typing import Any

from ai8x_tool.console import Console
from ai8x_tool.frontend.yaml.description import LayerDescription
from ai8x_tool.frontend.yaml.keys import ALIASES
from ai8x_tool.frontend.yaml.layer_key_rules import LAYER_KEY_RULES, DescribedLayer
from ai8x_tool.frontend.yaml.references import References
from ai8x_tool.frontend.yaml.values import Fields
from ai8x_tool.network.layer import Operator, Pair
from ai8x_tool.rule import check_rules

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
"""Limit of gaps, in words: far larger than registers allow, small enough for all computations."""


def parse_layer(
    index: int, given: Fields, references: References, console: Console, *, placed: bool = True
) -> LayerDescription:
    """Return the typed layer; `given` are its keys, `references` its resolved references.

    `placed`: all layers of the description have processors. Types are checked first, then the rules about values and
    their combinations. Raises Ai8xError for values that a layer of its kind cannot have; warns about defaults that are
    rarely intended.
    """
    spelled = _labeled(given, index, references.name)
    fields = _without_aliases(spelled)
    operation = fields.choice("operation", _OPERATIONS, ("conv2d", None))
    operator: Operator = operation[0]
    eltwise = operation[1] or fields.choice("eltwise", _ELTWISE, None)
    values: dict[str, Any] = {
        **_operation(fields, operator, eltwise),
        **_pooling(fields, operator),
        **_numbers(fields),
        **_placement(fields),
        **_modes(fields),
    }
    layer = LayerDescription(
        index=index,
        line=given.line,
        processors=fields.processor_map("processors"),
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
    check_rules(LAYER_KEY_RULES, [DescribedLayer(layer, fields, spelled, placed)], console)
    return layer


def _labeled(fields: Fields, index: int, name: str | None) -> Fields:
    label = f"layer {index} ({name})" if name else f"layer {index}"
    return Fields(fields.entries, fields.file, label, fields.line)


def _without_aliases(fields: Fields) -> Fields:
    entries = dict(fields.entries)
    for key, group in ALIASES.items():
        present = [alias for alias in group if alias in entries]
        if present:
            entries[key] = entries.pop(present[0])
    return Fields(entries, fields.file, fields.label, fields.line)


def _operation(fields: Fields, operator: Operator, eltwise: str | None) -> dict[str, Any]:
    transposed, plain = operator == "convtranspose2d", operator in ("none", "linear")
    pad = fields.pair("pad", (0, 0) if plain else (1, 1), low=0)
    stride = fields.pair("stride", (2, 2) if transposed else (1, 1))
    one_dimensional = operator == "conv1d"
    dilation = fields.pair("dilation", (1, 1))
    return {
        "operands": fields.integer("operands", 2 if eltwise else 1),
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
    if operator in ("none", "conv1d"):
        if re.fullmatch(r"[0-9]{1,3}[xX]1", str(fields.raw("kernel_size"))):
            raise fields.fail("kernel_size", "must be one number for a 1D layer, for example 3 instead of 3x1")
        length = fields.integer("kernel_size", 9 if operator == "conv1d" else 1)
        return (length, 1) if operator == "conv1d" else (1, 1)
    value = fields.raw("kernel_size")
    if operator == "linear":
        return 1, 1
    if value is None:
        return 3, 3
    size = re.fullmatch(r"([0-9]{1,3})x([0-9]{1,3})", str(value).lower())
    if size is None:
        raise fields.fail("kernel_size", "must be rows and columns, for example 3x3")
    return int(size[1]), int(size[2])


def _pooling(fields: Fields, operator: Operator) -> dict[str, Any]:
    key = "avg_pool" if "avg_pool" in fields else "max_pool"
    pool = fields.pair(key, (1, 1))
    stride = fields.pair("pool_stride", (1, 1))
    dilation = fields.pair("pool_dilation", (1, 1))
    if operator == "conv1d":
        pool, stride, dilation = (pool[0], 1), (stride[0], 1), (dilation[0], 1)
    return {"pool": pool, "pool_average": key == "avg_pool", "pool_stride": stride, "pool_dilation": dilation}


def _numbers(fields: Fields) -> dict[str, Any]:
    return {
        "quantization": fields.quantization("quantization"),
        "output_shift": fields.optional_integer("output_shift"),
        "output_width": fields.integer("output_width", 8),
        "chw": fields.choice("data_format", _FORMATS, False),
        "layout_given": "data_format" in fields,
        "in_channels": fields.optional_integer("in_channels", 1),
        "out_channels": fields.optional_integer("out_channels", 1),
        "in_dim": fields.dimension("in_dim"),
        "in_crop": fields.pair("in_crop", (0, 0), low=0),
        "in_channel_skip": fields.integer("in_channel_skip", 0, 0),
    }


def _placement(fields: Fields) -> dict[str, Any]:
    groups = fields.raw("bias_group")
    items = None if groups is None else groups if isinstance(groups, list) else [groups]
    if items is not None and not all(isinstance(g, int) and not isinstance(g, bool) and 0 <= g <= 3 for g in items):
        raise fields.fail("bias_group", "must be a quadrant number 0 … 3 or a list of them")
    return {
        "output_processors": fields.processor_map("output_processors"),
        "in_offset": fields.optional_integer("in_offset", 0),
        "out_offset": fields.optional_integer("out_offset"),
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
