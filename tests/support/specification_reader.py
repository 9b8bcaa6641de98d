"""A second reader of network descriptions, written from the published rules of the format alone.

It shares nothing with the reader of the tool: what the format does not name (a key, a value, a type) is an error, and
defaults are those of the format. Parameters are given to layers in the order of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from tests.support.specification_syntax import (
    BUFFER_KEYS,
    KERNELS,
    LAYER_KEYS,
    OPERATIONS,
    UNLOAD_KEYS,
    Pair,
    UniqueKeys,
    checked,
    fail,
    text,
)


@dataclass(frozen=True)
class Chip:
    """What the format has to know about a device."""

    layers: int
    offsets: int
    size: int
    large: bool


CHIPS = {"MAX78000": Chip(32, 0x20000, 1024, False), "MAX78002": Chip(128, 0x50000, 2048, True)}
LARGE_ONLY = ("next_sequence", "snoop_sequence", "bypass", "readahead", "tcalc", "calcx4", "read_gap", "pool_dilation")
DEFAULTS = {
    **{"pool_first": True, "groups": 1, "activate": "none", "dilation": (1, 1), "pool_stride": (1, 1)},
    **{"pool_dilation": (1, 1), "flatten": False, "bypass": False, "in_crop": (0, 0), "output_width": 8},
    **{"buffer_shift": 0, "buffer_insert": 0, "out_offset": 0, "write_gap": 0, "read_gap": 0, "bias_group": None},
    **{"streaming": False, "readahead": False, "tcalc": None, "calcx4": False},
}


@dataclass(frozen=True, eq=False)
class Entry:
    """A weight in the checkpoint as it is stored, with the width and the shift that are stored beside it."""

    key: str
    weights: np.ndarray
    bits: int = 8
    shift: int = 0


@dataclass(frozen=True)
class ReadDescription:
    """A whole description: layers by number, the order in which they run, and what belongs to no layer.

    Sources of layers are names (or numbers) of layers, "input" or "buffer"; `key` is that of the weights.
    """

    arch: str
    layers: tuple[dict[str, Any], ...]
    order: tuple[int, ...]
    chw: bool
    buffer: dict[str, Any] | None
    unload: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...] = field(compare=False)


def read_description(
    source: str, entries: Sequence[Entry], sample: tuple[int, int, int], device: str
) -> ReadDescription:
    """Read a description; `sample` is (channels, rows, columns). Raises FormatError for what is not in the format."""
    top = yaml.load(source, Loader=UniqueKeys)
    known = {"arch", "dataset", "layers", "output_map", "unload", "data_buffer"}  # the others are for hardware tests
    if type(top) is not dict or set(top) - known or not {"arch", "dataset", "layers"} <= set(top):
        fail("unknown or missing keys at the top")
    arch, _ = text(top["arch"]), text(top["dataset"])
    needed = ("processors", "channels", "dim", "offset")
    buffers = [checked(item, BUFFER_KEYS, ("name", *needed)) for item in top.get("data_buffer", ())]
    unload = [checked(item, UNLOAD_KEYS, needed) for item in top.get("unload", ())]
    reader = _Reader(CHIPS[device], buffers[0] if buffers else None, sample)
    reader.number(top["layers"])
    reader.layers = [reader.plain(at, item) for at, item in enumerate(reader.items)]
    reader.follow()
    reader.bind(entries)
    for before, at in zip([None, *reader.order], reader.order, strict=False):
        reader.derive(at, before)
    reader.place(top.get("output_map"))
    chw = reader.items[reader.order[0]].get("data_format", False)
    return ReadDescription(
        arch, tuple(reader.layers), tuple(reader.order), chw, reader.buffer, tuple(unload), tuple(reader.warnings)
    )


@dataclass
class _Reader:
    chip: Chip
    buffer: dict[str, Any] | None
    sample: tuple[int, int, int]
    items: list[dict[str, Any]] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def number(self, listed_layers: Any) -> None:
        """Sort the layers by their numbers, and note their names."""
        if type(listed_layers) is not list or not listed_layers:
            fail("layers is no list")
        numbered, running = {}, -1
        for item in (checked(each, LAYER_KEYS, ("processors",)) for each in listed_layers):
            running = item.get("sequence", running + 1)
            if running >= self.chip.layers or running in numbered:
                fail(f"layer number {running}")
            numbered[running] = item
        self.numbers = sorted(numbered)
        self.items = [numbered[number] for number in self.numbers]
        taken = {"input", "stop"} | ({self.buffer["name"].lower()} if self.buffer else set())
        for at, item in enumerate(self.items):
            if name := item.get("name", "").lower():
                if name in taken or name in self.names:
                    fail(f"layer name {name!r} is taken")
                self.names[name] = at
            if not self.chip.large and (keys := [key for key in LARGE_ONLY if item.get(key)]):
                fail(f"the MAX78000 has no {keys}")

    def refer(self, value: int | str) -> int | str:
        """Return the position of a layer that is referred to, "input", or "buffer"."""
        if value in (-1, "input"):
            return "input"
        if self.buffer and value == self.buffer["name"].lower():
            return "buffer"
        if value not in (self.names if type(value) is str else self.numbers):
            fail(f"no layer {value!r}")
        return self.names[value] if type(value) is str else self.numbers.index(int(value))

    def plain(self, at: int, item: dict[str, Any]) -> dict[str, Any]:
        """Return what a layer says, with defaults, but for what depends on others."""
        operator, own = OPERATIONS[item.get("operation", "conv2d")]
        eltwise = own or item.get("eltwise")
        one, transposed = operator == "conv1d", operator == "convtranspose2d"
        pool, second = item.get("max_pool", item.get("avg_pool", (1, 1))), slice(1 if one else 2)
        default, pad, allowed = KERNELS[operator]
        layer = {
            "sources": tuple(map(self.refer, item.get("in_sequences", ()))),
            "shares": self.refer(item["weight_source"]) if "weight_source" in item else None,
            **{"operator": operator, "eltwise": eltwise, "operands": item.get("operands", 2 if eltwise else 1)},
            **{"kernel": default if operator == "none" else item.get("kernel_size", default), "activation": "none"},
            "stride": item.get("stride", (1 + transposed,) * 2),
            "pad": (item.get("pad", pad), 0 if one else item.get("pad", pad)),
            "output_pad": (item.get("output_pad", int(transposed)),) * 2,
            **{"pool": pool, "pool_average": "avg_pool" in item, "processors": item["processors"]},
        }
        for key, otherwise in DEFAULTS.items():
            layer[key] = item.get(key, otherwise)
        layer["activation"] = item.get("activate", "none")
        for key in ("pool", "pool_stride", "pool_dilation", "stride", "dilation"):
            layer[key] = (*layer[key][second], 1)[:2]
        self.judge(at, item, layer, allowed)
        for key, of in (("operation", True), ("out_offset", True), ("pool_stride", pool != (1, 1))):
            if of and key not in item:
                self.warnings.append(f"layer {at}: no {key}")
        return layer

    def judge(self, at: int, item: dict[str, Any], layer: dict[str, Any], kernels: Sequence[Pair]) -> None:
        """Refuse keys that do not go together."""
        operator, pooled = layer["operator"], "max_pool" in item or "avg_pool" in item
        transposed, none = operator == "convtranspose2d", operator == "none"
        wrong = {
            "max_pool and avg_pool": {"max_pool", "avg_pool"} <= set(item),
            "two element-wise operations": OPERATIONS[item.get("operation", "conv2d")][1] and "eltwise" in item,
            "eltwise and conv1d": operator == "conv1d" and layer["eltwise"],
            "operands": "operands" in item and not layer["eltwise"],
            "pool_first": not layer["pool_first"] and (layer["pool"] == (1, 1) or layer["operands"] != 2),
            "groups": layer["groups"] > 1 and not self.chip.large,
            "activate": none and layer["activation"] != "none",
            "kernel_size": not none and "kernel_size" in item and layer["kernel"] not in kernels,
            "dilation": "dilation" in item and operator != "conv1d" and (none or layer["dilation"] != (1, 1)),
            "stride": layer["stride"][0] != 1 + transposed or layer["stride"][1] not in (1, 1 + transposed),
            "pad": layer["pad"][0] >= max(layer["kernel"][0], 1) and layer["pad"][0] > 0,
            "output_pad": layer["output_pad"][0] != transposed,
            "pool_dilation": "pool_dilation" in item and not pooled,
            "pool_stride": operator != "conv1d" and layer["pool_stride"][0] != layer["pool_stride"][1],
            "output_width": layer["output_width"] == 32 and none,
            "flatten": layer["flatten"] and (pooled or layer["kernel"] != (1, 1) or none or layer["streaming"]),
            "data_format": at > 0 and item.get("data_format"),
            "bias_group": layer["groups"] > 1 and "bias_group" in item,
            "quantization": item.get("quantization") == -1 and not self.chip.large,
            "buffer_shift": "buffer_shift" in item and (not none or "in_sequences" not in item),
            "buffer_insert": "buffer_insert" in item and "out_offset" not in item,
            "in_sequences": layer["sources"] == ("buffer",)
            and not {"in_offset", "out_offset", "in_dim", "in_channels"} <= set(item),
        }
        if broken := [what for what, is_so in wrong.items() if is_so]:
            fail(f"layer {at}: {broken}")

    def follow(self) -> None:
        """Find the order of execution."""
        at, following = 0, {"stop": len(self.items), -1: len(self.items)}
        while at < len(self.items):
            if at in self.order:
                fail(f"layer {at} runs twice")
            self.order.append(at)
            target = self.items[at].get("next_sequence")
            at = at + 1 if target is None else following[target] if target in following else int(self.refer(target))
        if len(self.order) < len(self.items):
            fail("layers that never run")

    def bind(self, entries: Sequence[Entry]) -> None:
        """Give each layer its weights: the next of the checkpoint, or those of another layer."""
        left = iter(entries)
        own = [x for x in self.layers if x["operator"] != "none" and not x["bypass"] and x["shares"] is None]
        for layer in own:
            layer["entry"] = next(left, None) or fail("too few weights in the checkpoint")
        for at, layer in enumerate(self.layers):
            item, entry = self.items[at], layer.setdefault("entry", None)
            if layer["shares"] is not None:
                entry = layer["entry"] = self.layers[layer["shares"]]["entry"]
                item = self.items[layer["shares"]] | {k: v for k, v in item.items() if k == "quantization"}
            if entry is not None:
                sizes = (*entry.weights.shape, 1, 1)[2:4]
                if sizes != layer["kernel"]:
                    fail(f"layer {at}: weights {entry.key} are {entry.weights.shape}")
                layer["bits"] = item.get("quantization") or self.width(entry)
                layer["shift"] = item.get("output_shift", entry.shift) + 8 - abs(layer["bits"])

    def width(self, entry: Entry) -> int:
        """Return the width of weights that no key decides."""
        if not entry.weights.any():
            return 1
        return -1 if self.chip.large and (abs(entry.weights) == 1).all() else entry.bits or 8

    def derive(self, at: int, before: int | None) -> None:
        """Work out channels and sizes of a layer; `before` is the layer that runs before it."""
        layer, item = self.layers[at], self.items[at]
        layer["sources"] = layer["sources"] or ("input" if before is None else before,)
        offers = [self.offer(source) for source in layer["sources"]]
        pixels = sum(size[0] * size[1] for _, size in offers)
        size = item.get("in_dim", offers[0][1])
        if "in_dim" not in item and any(other != size for _, other in offers):
            fail(f"layer {at}: sources of different sizes, and no in_dim")
        rolling = layer["sources"] == ("buffer",)  # of which a part may be read
        if (
            "in_dim" in item
            and "in_sequences" in item
            and not rolling
            and (size[0] + sum(layer["in_crop"])) * size[1] != pixels
        ):
            fail(f"layer {at}: in_dim {size} is not what the sources have")
        if len({channels for channels, _ in offers}) > 1:
            fail(f"layer {at}: sources with different channel counts {[channels for channels, _ in offers]}")
        if layer["operator"] == "none" and size[1] == 1:
            layer["pool"], layer["pool_dilation"] = (layer["pool"][0], 1), (layer["pool_dilation"][0], 1)
        layer["in_size"], layer["pooled_size"] = size, self.pooled(at, layer, size)
        layer["out_size"] = (1, 1) if layer["flatten"] else self.convolved(at, layer)
        folded = layer["pooled_size"][0] * layer["pooled_size"][1] if layer["flatten"] else 1
        self.channels(at, layer, item, sum(channels for channels, _ in offers), offers[0][0], folded)
        if max(*size, *layer["out_size"]) > self.chip.size or folded > 256:
            fail(f"layer {at}: too many rows, columns or pixels")

    def offer(self, source: int | str) -> tuple[int, Pair]:
        """Return channels and size of what a layer can read."""
        if source == "input":
            return self.sample[0], self.sample[1:]
        if source == "buffer":
            assert self.buffer is not None
            return self.buffer["channels"], self.buffer["dim"]
        layer = self.layers[int(source)]
        return layer["channels_out"], layer["out_size"]

    def channels(
        self, at: int, layer: dict[str, Any], item: dict[str, Any], joined: int, first: int, folded: int
    ) -> None:
        """Note the channels of a layer; `joined` are those of all sources, `folded` the pixels made channels."""
        weighted = None
        if layer["entry"] is not None:
            outputs, inputs = layer["entry"].weights.shape[:2]
            if layer["operator"] == "convtranspose2d":
                inputs, outputs = outputs, inputs
                weighted = (inputs, outputs * layer["groups"])
            else:
                weighted = (inputs * layer["groups"], outputs)
        if "in_sequences" in item:
            count = first if layer["eltwise"] else joined
        elif weighted is not None:
            count = weighted[0] // folded
        else:
            count = first // (layer["operands"] if layer["sources"] == ("input",) else 1)
        layer["channels_in"] = item.get("in_channels", count)
        layer["channels_out"] = item.get("out_channels", layer["channels_in"] if weighted is None else weighted[1])
        if weighted is not None and weighted[0] != layer["channels_in"] * folded:
            fail(f"layer {at}: {layer['channels_in']} channels for weights that read {weighted[0]}")
        if max(layer["channels_in"], layer["channels_out"]) > 1024:
            fail(f"layer {at}: too many channels")

    @staticmethod
    def pooled(at: int, layer: dict[str, Any], size: Pair) -> Pair:
        """Return the size after pooling."""
        windows = zip(size, layer["pool"], layer["pool_stride"], layer["pool_dilation"], strict=True)
        rows, columns = ((have + step - pool - far + 1) // step for have, pool, step, far in windows)
        flat = layer["operator"] == "conv1d" or (layer["operator"] == "none" and size[1] == 1)
        if rows < 1 or (columns < 1 and not flat):
            fail(f"layer {at}: nothing is left after pooling")
        return rows, 1 if flat else columns

    @staticmethod
    def convolved(at: int, layer: dict[str, Any]) -> Pair:
        """Return the size after the operator."""
        found = []
        for i in range(2):
            have, kernel, far, pad = layer["pooled_size"][i], layer["kernel"][i], layer["dilation"][i], layer["pad"][i]
            if layer["operator"] == "convtranspose2d":
                found.append((have - 1) * 2 - 2 * pad + far * (kernel - 1) + layer["output_pad"][i] + 1)
            else:
                found.append(have - far * (kernel - 1) + 2 * pad)
        if min(found) < 1:
            fail(f"layer {at}: nothing is left after the operator")
        return found[0], 1 if layer["operator"] == "conv1d" else found[1]

    def place(self, output_map: Any) -> None:
        """Note processors and offsets that other layers decide, and which layers are outputs."""
        for before, at, after in zip([None, *self.order], self.order, [*self.order[1:], None], strict=False):
            layer, item = self.layers[at], self.items[at]
            offset = 0 if before is None else self.layers[before]["out_offset"]
            layer["in_offset"] = item.get("in_offset", offset)
            if before is not None and "in_sequences" not in item and layer["in_offset"] != offset:
                self.warnings.append(f"layer {at}: in_offset is not the out_offset before it")
            given = item.get("output_processors")
            if after is not None:
                given = given or self.layers[after]["processors"]
            layer["output_processors"] = given or (1 << processors(layer["channels_out"])) - 1
            for key, passed in (("processors", "channels_in"), ("output_processors", "channels_out")):
                if layer[key].bit_count() != processors(layer[passed]):
                    fail(f"layer {at}: {layer[key]:#x} for {layer[passed]} channels")
            if layer["out_offset"] >= self.chip.offsets:
                fail(f"layer {at}: out_offset")
            self.warn_of_gaps(at)
        if output_map is not None:
            self.layers[self.order[-1]]["output_processors"] = LAYER_KEYS["processors"](output_map)
        some = any(item.get("output") for item in self.items)
        for at, layer in enumerate(self.layers):
            layer["output"] = self.items[at].get("output", not some and at == self.order[-1])
        if not self.layers[self.order[-1]]["output"]:
            self.warnings.append("the last layer is no output")

    def warn_of_gaps(self, at: int) -> None:
        """Note gaps that do not fit together."""
        layer = self.layers[at]
        gaps = [self.layers[int(source)]["write_gap"] for source in layer["sources"] if type(source) is int]
        if len(set(gaps)) > 1:
            self.warnings.append(f"layer {at}: sources with different write_gap")
        if layer["eltwise"] and any(gap != layer["operands"] - 1 for gap in gaps):
            self.warnings.append(f"layer {at}: write_gap of a source is not operands - 1")
        if "in_sequences" not in self.items[at] and layer["read_gap"] != (gaps or [0])[0] and not layer["eltwise"]:
            self.warnings.append(f"layer {at}: read_gap is not the write_gap of its source")


def processors(channels: int) -> int:
    """Return how many processors work on channels."""
    passes = -(-channels // 64)
    each = -(-channels // passes)
    return each if passes == 1 else min(64, -(-each // 4) * 4)
