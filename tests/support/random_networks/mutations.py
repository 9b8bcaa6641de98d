"""Hypothesis strategy for descriptions, checkpoints and options that differ from legal ones in a few places."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
from hypothesis import strategies as st

from ai8x_tool.frontend.yaml.keys import LAYER_KEYS
from ai8x_tool.frontend.yaml.parser import GLOBAL_KEYS
from ai8x_tool.synthesis.settings import SynthesizeSettings
from tests.support.random_networks.choices import choices
from tests.support.random_networks.drawn_network import DrawnNetwork

VALUES = (
    *(None, True, False, -1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 64, 65, 1000, 1024, 2048, 0x2000, 0x7FFC),
    *(0x8000, 0x1_4000, 0x2_0000, 0xFFFF, (1 << 64) - 1, 1 << 20, 1 << 64, 1 << 200, 1.5, float("nan"), "", "x"),
    *("1x1", "3x3", [], [1], [0, 0], [2, 3], [1, 2, 3], [16, 1], {}, [[1]], {"a": 1}, "stop", "input", "ring"),
    *("Conv1d", "Conv2d", "ConvTranspose2d", "none", "Linear", "add", "xor", "binary", "CHW", "ReLU", "0xffff", "é\n"),
)
NUMBERS = (-1, 0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 127, 128, 0x1FFC, 0x8000, 1 << 20, 1 << 40)
TEXTS = ("", "0", "1", "-1", "all", "x", "0x2580", "2.5", "1.2.3", "0,1", "none", "a/b", "é")
DTYPES = (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.bool_)
_PATHS = {
    *("network", "device", "checkpoint", "sample_input", "output", "test_dir", "check", "explain", "weight_input"),
    *("bias_input", "templates"),
}
_OPTIONS = tuple(field for field in fields(SynthesizeSettings) if field.name not in _PATHS)


@st.composite
def mutations(draw, net: DrawnNetwork):
    """Draw a network that differs from `net` in one to four places of description, weights, options or sample."""
    r = draw(choices())
    content, state, options = copy.deepcopy(net.content), dict(net.state), dict(net.options)
    shape = net.sample_shape
    for _ in range(r.pick((1, 1, 1, 2, 3, 4))):
        kind = r.number(0, 9)
        if kind <= 4:
            _mutate_layer(r, content)
        elif kind == 5:
            _mutate_top(r, content)
        elif kind <= 7:
            _mutate_state(r, state)
        elif kind == 8:
            _mutate_option(r, options)
        else:
            shape = tuple(max(1, size + r.pick((0, 0, 1, -1, 3))) for size in shape)
    return replace(net, content=content, state=state, options=options, sample_shape=shape)


def _mutate_layer(r, content):
    layers = content["layers"]
    if not isinstance(layers, list) or not layers:
        return
    index = r.number(0, len(layers) - 1)
    layer, kind = layers[index], r.number(0, 7)
    if not isinstance(layer, dict):
        return
    if kind == 0 and layer:
        layer.pop(r.pick(list(layer)))
    elif kind == 1:
        layers.insert(r.number(0, len(layers) - 1), layers.pop(index))
    elif kind == 2:
        layers.insert(index, copy.deepcopy(layers[r.number(0, len(layers) - 1)]))
    elif kind == 3:
        layers.pop(index)
    elif kind == 4 and layer:
        key = r.pick(list(layer))
        if isinstance(layer[key], int):
            layer[key] = r.pick((layer[key] + r.pick((1, -1, 4, -4)), 2 * layer[key], layer[key] // 2, -layer[key]))
    elif kind == 5:
        other = r.pick(layers)
        key = r.pick(list(other)) if isinstance(other, dict) and other else "op"
        layer[key] = copy.deepcopy(other[key]) if isinstance(other, dict) and key in other else r.pick(VALUES)
    else:
        layer[r.pick((*LAYER_KEYS, "oops") if kind == 6 else tuple(layer) or ("op",))] = copy.deepcopy(r.pick(VALUES))


def _mutate_top(r, content):
    kind = r.number(0, 3)
    if kind == 0:
        content.pop(r.pick([key for key in content if key != "layers"] or ["layers"]), None)
    elif kind == 1:
        content[r.pick(("unload", "data_buffer"))] = [_item(r)]
    elif kind == 2:
        content[r.pick((*GLOBAL_KEYS, "oops"))] = copy.deepcopy(r.pick(VALUES))
    else:
        for key in ("unload", "data_buffer"):
            items = content.get(key)
            if isinstance(items, list) and items and isinstance(items[0], dict):
                items[0][r.pick(list(items[0]))] = copy.deepcopy(r.pick(VALUES))


def _item(r):
    keys = ("name", "processors", "channels", "dim", "offset", "width", "write_gap")
    return {key: copy.deepcopy(r.pick(VALUES)) for key in keys[: r.number(0, 7)]}


def _mutate_state(r, state):
    if not state:
        return
    key = r.pick(list(state))
    array, kind = state[key], r.number(0, 8)
    if kind == 0:
        del state[key]
    elif kind == 1:
        with np.errstate(all="ignore"):
            state[key] = array.astype(r.pick(DTYPES))
    elif kind == 2:
        state[key] = array.reshape(r.pick(((-1,), (1, *array.shape), (*array.shape, 1))))
    elif kind == 3:
        state[key] = array.T
    elif kind == 4:
        state[key] = array[: r.number(0, len(array))] if array.ndim else array
    elif kind == 5:
        state[r.pick(list(state))] = array
    elif kind == 6:
        state[r.pick(("x.weight", "weight", "layer0.bn.weight", "layer0.op.bias"))] = state.pop(key)
    elif kind == 7:
        with np.errstate(invalid="ignore"):
            state[key] = array.astype(np.float64) * r.pick((0, 0.5, -1, 2, 300, 1e30, np.inf, np.nan))
    else:
        state[key] = np.array(r.pick((0, 1, 3, -8, 2.5, np.nan, 1e300)))


def _mutate_option(r, options):
    option = r.pick(_OPTIONS)
    kinds = str(option.type)
    if "bool" in kinds:
        options[option.name] = r.number(0, 1) == 1
    elif "int" in kinds:
        options[option.name] = r.pick(NUMBERS)
    else:
        options[option.name] = r.pick(TEXTS)
