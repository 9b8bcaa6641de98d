"""Whole checkpoints of all tool versions against the rules, implemented a second time, key by key."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.quantization import quantize

KINDS = {
    "1d": (4, 3, 5),
    "2d": (4, 3, 3, 3),
    "transposed": (3, 5, 3, 3),
    "depthwise": (4, 1, 3, 3),
    "linear": (4, 6),
    "pool": None,
    "sum": None,
}
FLOATS = st.sampled_from([torch.float32, torch.float32, torch.float64, torch.float16, torch.bfloat16])


@st.composite
def layers(draw, measured):
    """Return the entries of one layer, in the order in which a model defines them."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    if kind == "sum":
        return {"activation_threshold": torch.tensor(float(draw(st.integers(-3, 6))))} if measured else {}
    old = draw(st.booleans())  # all float32
    bits = draw(st.sampled_from([8, 8, 4, 2, 1, 0]))
    integer, boolean = (torch.float32, torch.float32) if old else (torch.int64, torch.bool)
    entries = {"output_shift": torch.zeros(1)}
    if measured:
        entries["activation_threshold"] = torch.tensor(float(draw(st.integers(-4, 8))))
        entries["final_scale"] = torch.tensor(float(draw(st.integers(0, 5))))
    entries["weight_bits"], entries["bias_bits"] = (torch.tensor([bits], dtype=integer) for _ in range(2))
    entries["quantize_activation"] = torch.tensor([bits > 0], dtype=boolean)
    if measured:
        entries["clamp_activation"] = torch.tensor([bits > 0])
    entries["adjust_output_shift"] = torch.tensor([bits > 0], dtype=boolean)
    if draw(st.booleans()):
        entries["shift_quantile"] = torch.tensor([draw(st.sampled_from([1.0, 0.995, 0.985, 0.6]))])
    if KINDS[kind] is not None:
        generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
        scale, dtype = 2.0 ** draw(st.integers(-6, 4)), draw(FLOATS)
        entries["op.weight"] = (scale * torch.randn(KINDS[kind], generator=generator)).to(dtype)
        if draw(st.booleans()):
            entries["op.bias"] = (scale * torch.randn(KINDS[kind][0], generator=generator)).to(dtype)
    return entries


@st.composite
def states(draw):
    measured = draw(st.booleans())
    state = OrderedDict()
    for number in range(draw(st.integers(1, 4))):
        for key, value in draw(layers(measured)).items():
            state[f"block.{number}.{key}" if number % 2 else f"layer{number}.{key}"] = value
    order = draw(st.sampled_from(["as defined", "biases last", "quantiles last"]))
    if order != "as defined":
        end = ".bias" if order == "biases last" else ".shift_quantile"
        state = OrderedDict(sorted(state.items(), key=lambda item: item[0].endswith(end)))
    if draw(st.booleans()):
        state["anchors"] = torch.rand(3)
    prefix = draw(st.sampled_from(["", "", "module.", "both"]))
    if prefix == "both":
        return OrderedDict((p + k, v.clone()) for p in ("module.", "") for k, v in state.items())
    return OrderedDict((prefix + key, value) for key, value in state.items())


def expected(state, default_bits):
    """Return what must be written, as NumPy arrays by key."""
    arrays = {
        key: value.float().numpy() if value.is_floating_point() else value.numpy() for key, value in state.items()
    }
    result = {k: state[k].numpy() if state[k].dtype != torch.bfloat16 else arrays[k] for k in arrays}
    for key in state:
        parameter = key.rpartition(".")[2]
        if parameter == "adjust_output_shift":
            result[key] = np.zeros(1, np.float32)
        if parameter == "quantize_activation":
            result[key] = np.ones(1, np.float32)
        if parameter == "weight" and "." in key:
            result |= expected_layer(arrays, key.removesuffix(".op.weight"), default_bits)
    return result


def expected_layer(arrays, layer, default_bits):
    weight, bias = arrays[f"{layer}.op.weight"], arrays.get(f"{layer}.op.bias")
    stored = int(arrays[f"{layer}.weight_bits"][0])
    n = stored or default_bits or 8
    magnitudes = np.sort(np.abs(np.concatenate([weight.ravel(), *([] if bias is None else [bias])])))
    level = float(arrays.get(f"{layer}.shift_quantile", [1.0])[0])
    limit = float(torch.quantile(torch.from_numpy(magnitudes), level))
    exponent = min(max(math.floor(math.log2(1 / limit)), -7 - n), 23 - n)
    shift = -exponent
    if f"{layer}.activation_threshold" in arrays:
        shift = min(max(shift - int(arrays[f"{layer}.activation_threshold"]), -7 - n), 23 - n)

    def integers(values):
        scaled = np.float32(2.0 ** (n - 1 + exponent)) * values + np.float32(0.5)
        return np.clip(np.floor(scaled), -(2 ** (n - 1)), 2 ** (n - 1) - 1).astype(np.float32)

    result = {f"{layer}.op.weight": integers(weight), f"{layer}.output_shift": np.array([shift], np.float32)}
    if bias is not None:
        result[f"{layer}.op.bias"] = integers(bias) * np.float32(2 ** (n - 1))
        result[f"{layer}.bias_bits"] = np.array([n], np.float32)
    if stored != n:
        result[f"{layer}.weight_bits"] = np.array([n], np.float32)
    return result


@pytest.mark.parametrize("compact", [False, True])
@settings(max_examples=100)
@given(state=states(), default_bits=st.sampled_from([None, None, 4, 2]), operator=st.sampled_from(["op", "conv2d"]))
def test_every_key(tmp_path_factory, compact, state, default_bits, operator):
    """Names, values, types, shapes and order."""
    folder = tmp_path_factory.getbasetemp()
    source, target = folder / "trained.pth.tar", folder / "quantized.pth.tar"
    stored = OrderedDict((key.replace(".op.", f".{operator}."), value) for key, value in state.items())
    torch.save({"epoch": 1, "arch": "net", "extras": {}, "state_dict": stored}, source)
    quantize(source, target, MAX78000, Console(verbosity=-1, muted=True), default_bits=default_bits, compact=compact)
    result, wanted = read_checkpoint(target).state, expected(state, default_bits)
    assert list(result) == list(stored)
    for name, value in wanted.items():
        key = name.replace(".op.", f".{operator}.")
        np.testing.assert_array_equal(result[key], value, err_msg=key)
        assert result[key].shape == value.shape, key
        small = {"weight": np.int8, "bias": np.int32} if compact and ".op." in name else {}
        assert result[key].dtype == small.get(key.rpartition(".")[2], value.dtype), key
