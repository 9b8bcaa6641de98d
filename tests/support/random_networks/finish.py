"""From a draft to a description: order, names, spellings, defaults, options, and the checkpoint."""

from __future__ import annotations

import numpy as np

from tests.support.random_networks.draft import BUFFER, INPUT, Draft
from tests.support.random_networks.drawn_network import DrawnNetwork


def finished(d: Draft, shape):
    """Return the drawn network; `shape` is the sample's."""
    layers = [dict(layer) for layer in d.layers]
    options = dict(d.options)
    executed = _stop(d, layers, options)
    order = _order(d, options)
    _bias_groups(d, layers[:executed])
    _inputs(d, layers[0], options)
    _leave_out_defaults(d, layers, executed, options)
    top = {"arch": "test_net", "dataset": "none"} | d.top | _top(d, layers, executed)
    _options(d, layers, executed, options, jumps=order != list(range(len(order))))
    state = _state(d, layers, order)
    described = _described(d, layers, order)
    return DrawnNetwork(d.device, top | {"layers": described}, state, shape, d.seed, options)


def _stop(d, layers, options):
    """Stop after some layer now and then; return how many layers are executed."""
    if len(layers) == 1 or not d.rarely():
        return len(layers)
    last = d.number(0, len(layers) - 1)
    if layers[last].get("streaming"):
        return len(layers)
    options["stop_after"] = last
    return last + 1


def _order(d, options):
    """Return the list positions of the layers, in the order of execution."""
    order = list(range(len(d.layers)))
    fixed = "stop_after" in options or d.plain or "streaming" in d.layers[0]
    if not d.new or len(order) < 2 or fixed or not d.rarely():
        return order
    first = 1 if {"fifo", "fast_fifo", "fast_fifo_quad"} & set(options) else 0
    moved = d.pick(order[first:]), d.pick(order[first:])
    order[moved[0]], order[moved[1]] = order[moved[1]], order[moved[0]]
    if order[0]:
        options["start_layer"] = order[0]
    return order


def _bias_groups(d, layers):
    union = layers[-1]["output_processors"]
    for layer in layers:
        union |= layer["processors"]
    quadrants = [q for q in range(4) if union >> 16 * q & 0xFFFF]
    for number, layer in enumerate(layers):
        weights = d.weights.get(number)
        if weights is not None and weights.bias is not None and "groups" not in layer and d.rarely():
            chosen = sorted({d.pick(quadrants), d.pick(quadrants)})
            layer[d.pick(("bias_group", "bias_quadrant"))] = chosen if len(chosen) > 1 or d.flag() else chosen[0]


def _inputs(d, layer, options):
    if d.chw:
        layer["data_format"] = d.pick(("CHW", "big"))
    elif d.rarely():
        layer["data_format"] = d.pick(("HWC", "little"))
    if d.rarely() and "streaming" not in layer:
        options["input_offset"] = layer.pop("in_offset")


def _leave_out_defaults(d, layers, executed, options):
    """Leave out keys whose default is meant; references to data are kept."""
    previous_offset = 0
    for number, layer in enumerate(layers):
        if layer.get("in_offset") == previous_offset and layer.get("in_sequences") != [BUFFER] and d.flag():
            del layer["in_offset"]
        previous_offset = layer["out_offset"]
        following = layers[number + 1] if number + 1 < len(layers) else None
        same = following is not None and following["processors"] == layer["output_processors"]
        if same and d.flag():
            del layer["output_processors"]
    if layers[executed - 1].get("output_width") == 32 and d.flag():
        del layers[executed - 1]["output_width"]
        options["output_width"] = 32


def _top(d, layers, executed):
    top, last = {}, layers[executed - 1]
    if d.rarely() and "output_processors" in last:
        top["output_map"] = _map(d, last["output_processors"])
        if d.flag():
            del last["output_processors"]
    known = [t for t in d.tensors if len(t.sources) == 1 and 0 <= t.sources[0] < executed and not any(t.crop)]
    if known and d.rarely():
        chosen = [d.pick(known) for _ in range(d.number(1, 2))]
        top["unload"] = [_unload(d, t) for t in chosen]
        if d.wide_outputs:
            top["unload"].append(_unload(d, d.wide_outputs[-1]) | {"width": 32})
    if d.new and d.rarely() and d.rarely():
        top["snoop"] = [d.number(0, 0xFFFF) * 0x1_0001 for _ in range(32)]
    return top


def _unload(d, tensor):
    item = {"processors": _map(d, tensor.processors), "channels": tensor.channels, "offset": tensor.offset}
    item["dim"] = tensor.rows if tensor.columns == 1 else [tensor.rows, tensor.columns]
    return item | ({"write_gap": tensor.gap} if tensor.gap else {}) | d.pick(({}, {"width": 8}))


_FLAGS = (
    *(("mexpress", False), ("deduplicate_weights", False), ("avg_pool_rounding", True), ("powerdown", True)),
    *(("init_tram", True), ("zero_sram", True), ("write_zero_registers", True), ("kat", False), ("mlator", True)),
    *(("max_verify_length", 5), ("unload", False), ("verify_writes", True), ("verify_kernels", True), ("wfi", False)),
    *(("overlap_data", True), ("error_stop", False), ("warn_zero", False), ("ignore_bias_groups", True)),
    *(("energy", True), ("forever", True), ("timer", 1), ("boost", "2.5"), ("clock_divider", 4), ("no_bias", "0")),
    *(("softmax", True), ("weight_start", 4), ("weight_start", 11)),
)
_NEW_FLAGS = (
    *(("pipeline", False), ("pll", False), ("one_shot", True), ("link_layer", True), ("fifo_go", True)),
    *(("max_speed", True), ("switch_delay", 3)),
)


def _options(d, layers, executed, options, *, jumps):
    flags = _FLAGS + (_NEW_FLAGS * 2 if d.new else ())
    chosen = dict(d.pick(flags) for _ in range(d.number(0, 4)))
    if chosen.get("one_shot"):
        chosen.pop("timer", None)
    if chosen.get("pll") is False:
        chosen.pop("max_speed", None)
    if jumps:
        chosen.pop("link_layer", None)
    if chosen.get("softmax"):
        chosen.pop("unload", None)
    if chosen.get("no_bias") and d.flag():
        chosen["no_bias"] = "all"
    if d.columns + chosen.get("weight_start", 0) + 4 > d.column_limit(False):
        chosen.pop("weight_start", None)
    options |= chosen
    first = layers[0]
    fed = {"fifo", "fast_fifo", "fast_fifo_quad"} & set(options)
    if fed and not d.chw and first["processors"] < 16 and d.rarely():
        options["synthesize_input"], options["synthesize_words"] = "0x2580", 1


def _map(d, value):
    """Spell a processor map as a number or as dotted text."""
    if not d.rarely():
        return value
    digits = f"{value:016x}"
    return "0x" + ".".join(digits[i : i + 4] for i in range(0, 16, 4))


def _state(d, layers, order):
    """Return the checkpoint's arrays, in list order."""
    kind = d.pick((np.int64, np.float32))
    state = {}
    for index in range(len(order)):
        number = order.index(index)
        if number not in d.weights:
            continue
        weights, layer, name = d.weights[number], layers[number], f"layer{index}"
        kernels, bits = weights.kernels, abs(weights.bits)
        if layer["op"] == "ConvTranspose2d":
            kernels = kernels.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
        rank = {"Conv2d": 4, "ConvTranspose2d": 4, "Conv1d": 3}.get(layer["op"], 2)
        state[f"{name}.output_shift"] = np.array([weights.shift])
        state[f"{name}.weight_bits"] = np.array([bits])
        state[f"{name}.op.weight"] = kernels.reshape(kernels.shape[:rank]).astype(kind)
        if weights.bias is not None:
            state[f"{name}.op.bias"] = (weights.bias * (1 << (bits - 1))).astype(kind)
    return state


def _described(d, layers, order):
    """Return the layers in list order, with references as people write them."""
    count, named, step = len(order), d.flag(), d.pick((1, 1, 2))
    if step * count > d.device.layers:
        step = 1
    spelling = d.pick(("op", "operation", "operator", "convolution"))
    refers = [f"Layer_{index}" if named and d.flag() else step * index for index in range(count)]

    def reference(number):
        if number == INPUT:
            return d.pick(("input", -1))
        return d.pick(("ring", "Ring")) if number == BUFFER else refers[order[number]]

    described = [{}] * count
    for number, layer in enumerate(layers):
        index = order[number]
        entry = {"name": f"layer_{index}"} if named else {}
        if step > 1:
            entry["sequence"] = step * index
        entry |= {spelling if key == "op" else key: value for key, value in layer.items()}
        for key in ("processors", "output_processors"):
            if key in entry:
                entry[key] = _map(d, entry[key])
        if "in_sequences" in entry:
            names = [reference(source) for source in entry["in_sequences"]]
            entry["in_sequences"] = names if len(names) > 1 or d.flag() else names[0]
        if "weight_source" in entry:
            entry["weight_source"] = reference(entry["weight_source"])
        following = order[number + 1] if number + 1 < count else None
        if following is None and index != count - 1:
            entry["next_sequence"] = "stop"
        elif following is not None and (following != index + 1 or (d.new and d.rarely())):
            entry["next_sequence"] = refers[following]
        described[index] = entry
    return described
