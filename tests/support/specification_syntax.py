"""The syntax of network descriptions, written from the published rules of the format alone: keys, values, types."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import yaml

Pair = tuple[int, int]


class FormatError(ValueError):
    """A description that the format does not know."""


OPERATIONS = {
    "conv1d": ("conv1d", None),
    "conv2d": ("conv2d", None),
    "convtranspose2d": ("convtranspose2d", None),
    **dict.fromkeys(("none", "passthrough"), ("none", None)),
    **dict.fromkeys(("linear", "fc", "mlp"), ("linear", None)),
    **{name: ("none", name) for name in ("add", "sub")},
    **dict.fromkeys(("xor", "bitwisexor", "bitwise_xor"), ("none", "xor")),
    **dict.fromkeys(("or", "bitwiseor", "bitwise_or"), ("none", "or")),
}
ALIASES = {
    **dict.fromkeys(("op", "operator", "convolution"), "operation"),
    **{"conv_groups": "groups", "activation": "activate", "in_skip": "read_gap", "bias_quadrant": "bias_group"},
}
KERNELS: dict[str, tuple[Pair, int, tuple[Pair, ...]]] = {
    "conv1d": ((9, 1), 1, tuple((length, 1) for length in range(1, 10))),
    "conv2d": ((3, 3), 1, ((1, 1), (3, 3))),
    "convtranspose2d": ((3, 3), 1, ((3, 3),)),
    "linear": ((1, 1), 0, ()),
    "none": ((1, 1), 0, ()),
}
"""For each operator the default kernel, the default padding, and the kernels that may be given."""


def fail(text: str) -> NoReturn:
    """Refuse the description."""
    raise FormatError(text)


def integer(low: int, high: int = 1 << 62) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            fail(f"{value!r} is no integer of {low}…{high}")
        return int(value)

    return check


def text(value: Any) -> str:
    if type(value) is not str or not value:
        fail(f"{value!r} is no text")
    return str(value)


def boolean(value: Any) -> bool:
    if type(value) is not bool:
        fail(f"{value!r} is neither true nor false")
    return bool(value)


def word(*known: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if text(value).lower() not in known:
            fail(f"{value!r} is none of {known}")
        return str(value).lower()

    return check


def processor_map(value: Any) -> int:
    if type(value) is str:
        digits = re.sub(r"[._]", "", value)
        if not re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", digits):
            fail(f"{value!r} is no processor map")
        value = int(digits, 16)
    return integer(1, (1 << 64) - 1)(value)


def address(high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if integer(0, high)(value) % 4:
            fail(f"offset {value} is not a multiple of 4")
        return int(value)

    return check


def pair(low: int, high: int = 1 << 20, *, second: int | None = None) -> Callable[[Any], Pair]:
    """n means (n, n), or (n, `second`); lists have two items."""

    def check(value: Any) -> Pair:
        items = value if type(value) is list else [value, value if second is None else second]
        if len(items) != 2:
            fail(f"{value!r} is no size")
        return integer(low, high)(items[0]), integer(low, high)(items[1])

    return check


def reference(value: Any) -> int | str:
    return integer(-1)(value) if type(value) is int else text(value).lower()


def listed(check: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def each(value: Any) -> tuple[Any, ...]:
        return tuple(check(item) for item in (value if type(value) is list else [value]))

    return each


def quantization(value: Any) -> int:
    if type(value) is int and value in (1, 2, 4, 8):
        return value
    word("bin", "binary")(value)
    return -1


def kernel(value: Any) -> Pair:
    if type(value) is int:
        return integer(1, 9)(value), 1
    if not re.fullmatch(r"[13]x[13]", text(value).lower()) or value[0] != value[2]:
        fail(f"kernel_size {value!r}")
    return int(value[0]), int(value[2])


LAYER_KEYS: dict[str, Callable[[Any], Any]] = {
    "name": text,
    "sequence": integer(0),
    "in_sequences": listed(reference),
    **dict.fromkeys(("next_sequence", "simulated_sequence", "weight_source"), reference),
    "snoop_sequence": integer(0),
    **dict.fromkeys(
        ("output", "bypass", "pool_first", "flatten", "streaming", "readahead", "tcalc", "calcx4"), boolean
    ),
    "operation": word(*OPERATIONS),
    "eltwise": word("add", "sub", "xor", "or"),
    "operands": integer(2, 16),
    "groups": integer(1),
    "activate": lambda value: "none" if value is None else word("relu", "abs", "none")(value),
    "kernel_size": kernel,
    "dilation": pair(1),
    "stride": pair(1, 2),
    "pad": integer(0, 2),
    "output_pad": integer(0, 1),
    **dict.fromkeys(("max_pool", "avg_pool", "pool_stride", "pool_dilation"), pair(1, 16)),
    "quantization": quantization,
    "output_shift": integer(-15, 15),
    "output_width": lambda value: (
        8 + 24 * (integer(8, 32)(value) == 32) if value in (8, 32) else fail(f"width {value}")
    ),
    "data_format": lambda value: word("hwc", "little", "chw", "big")(value) in ("chw", "big"),
    "in_channels": integer(1, 1024),
    "out_channels": integer(1, 1024),
    "in_dim": pair(1, 2048, second=1),
    "in_crop": pair(0),
    "in_channel_skip": integer(0),
    **dict.fromkeys(("processors", "output_processors"), processor_map),
    **dict.fromkeys(("in_offset", "out_offset"), address(0x50000 - 4)),
    "write_gap": integer(0),
    "read_gap": integer(0),
    "bias_group": listed(integer(0, 3)),
    **dict.fromkeys(("buffer_shift", "buffer_insert"), integer(1)),
}
BUFFER_KEYS = {"name": text, "processors": processor_map, "channels": integer(1), "dim": pair(1, second=1)}
BUFFER_KEYS |= {"offset": address(0x50000 - 4), "width": integer(8, 8)}
UNLOAD_KEYS = {"processors": processor_map, "channels": integer(1), "dim": pair(1, second=1)}
UNLOAD_KEYS |= {"offset": address(0x50000 - 4), "width": integer(8, 32), "write_gap": integer(0)}


class UniqueKeys(yaml.SafeLoader):
    """YAML 1.1 in which no mapping has a key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            fail(f"a key is given twice: {keys}")
        return super().construct_mapping(node, deep)


def checked(item: Any, known: dict[str, Callable[[Any], Any]], needed: Sequence[str]) -> dict[str, Any]:
    """Return the values of a mapping, by the first name of each key."""
    found: dict[str, Any] = {}
    for given, value in (item if type(item) is dict else fail(f"{item!r} is no mapping")).items():
        key = ALIASES.get(given, given) if known is LAYER_KEYS else given
        if key not in known or key in found:
            fail(f"unknown or repeated key {given!r}")
        found[key] = known[key](value)
    if missing := set(needed) - set(found):
        fail(f"keys are missing: {missing}")
    return found
