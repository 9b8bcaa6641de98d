"""Modules with measured ranges: state, the three modes, loading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool import nn
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.quantizers import output_shift
from ai8x_tool.quantization import quantize
from tests.support import measured_range_networks as measured
from tests.support.measured_range_networks import concatenated, network, residual, sequential, shared

FLOAT = nn.BuildContext(MAX78002, measured_ranges=True)
SIMULATE = nn.BuildContext(MAX78002, simulate=True, measured_ranges=True)
FIXED = nn.BuildContext(MAX78002)
KEYS = ["output_shift", "activation_threshold", "final_scale", "weight_bits", "bias_bits"]
KEYS += ["quantize_activation", "clamp_activation", "adjust_output_shift", "shift_quantile"]


def test_state_dict_layout() -> None:
    state = nn.FusedConv2dBNReLU(3, 4, 3, context=FLOAT).state_dict()
    assert list(state)[:11] == [*KEYS, "op.weight", "op.bias"] and list(state)[11] == "bn.weight"
    types = [torch.float32] * 3 + [torch.int64] * 2 + [torch.bool] * 3 + [torch.float32]
    assert [state[key].dtype for key in KEYS] == types
    assert [state[key].item() for key in KEYS] == [0, 0, 0, 0, 0, False, False, False, 1]
    assert [tuple(state[key].shape) for key in KEYS] == [(1,), (), (), *[(1,)] * 6]
    assert list(nn.MaxPool2d(2, context=FLOAT).state_dict()) == KEYS
    built = nn.Linear(3, 4, weight_bits=8, bias_bits=8, quantize_activation=True, context=SIMULATE).state_dict()
    assert [built[key].item() for key in KEYS] == [0, 0, 0, 8, 8, True, True, False, 1]
    assert list(nn.Add(context=FLOAT).state_dict()) == ["activation_threshold"]
    assert nn.BitwiseOr(context=FLOAT).activation_threshold.shape == ()
    assert not nn.Add(context=FIXED).state_dict()
    assert not [p for p in nn.Linear(3, 4, context=FLOAT).parameters() if p.requires_grad][1:]


def test_nothing_is_clamped_before_qat() -> None:
    x = torch.tensor([[3.0, -5.0]])
    for make, expected in (
        (lambda: nn.Linear(2, 2, context=FLOAT), [6.0, -10.0]),
        (lambda: nn.FusedLinearReLU(2, 2, context=FLOAT), [6.0, 0.0]),
        (lambda: nn.FusedLinearAbs(2, 2, context=FLOAT), [6.0, 10.0]),
        (lambda: nn.Linear(2, 2, wide=True, context=FLOAT), [6.0, -10.0]),
    ):
        module = make()
        with torch.no_grad():
            module.op.weight.copy_(torch.eye(2) * 2)
        assert module(x).tolist() == [expected]
    assert nn.AvgPool1d(2, context=FLOAT)(x[None]).tolist() == [[[-1.0]]]
    assert nn.Add(context=FLOAT)(x, x).tolist() == [[6.0, -10.0]]
    assert nn.Add(context=SIMULATE)(x * 100, x).tolist() == [[127.0, -128.0]]
    started = nn.Add(context=FLOAT)
    model = torch.nn.ModuleList([started, nn.Linear(2, 2, context=FLOAT)])
    nn.start_qat(model, nn.QatPolicy(1, 8))
    assert started(x, x).tolist() == [[127 / 128, -1.0]]
    assert nn.AvgPool1d(2, weight_bits=8, bias_bits=8, quantize_activation=True, context=FLOAT)(x[None]).item() == -1


def test_batch_norm_is_not_divided_and_folds() -> None:
    """The model of fixed ranges gives a quarter."""
    torch.manual_seed(0)
    results = []
    for context in (FLOAT, FIXED):
        module = nn.FusedConv2dBN(3, 4, 3, context=context)
        torch.manual_seed(1)
        torch.nn.init.uniform_(module.op.weight, -0.1, 0.1)
        torch.nn.init.zeros_(module.op.bias)
        module.bn.running_var.uniform_(0.5, 2)
        torch.nn.init.uniform_(module.bn.bias, -0.1, 0.1)
        model = torch.nn.Sequential(module).eval()
        x = torch.rand(2, 3, 8, 8) - 0.5
        before = model(x)
        nn.fuse_batchnorm(model)
        torch.testing.assert_close(model(x), before, atol=1e-6, rtol=1e-4)
        results.append(before)
    torch.testing.assert_close(results[0] / 4, results[1])


@pytest.mark.parametrize("activation", [None, "ReLU", "Abs"])
@given(shift=st.integers(-3, 3), r=st.integers(-4, 6), f=st.integers(-3, 5))
def test_range_and_final_scale_of_one_layer(activation: str | None, shift: int, r: int, f: int) -> None:
    """The output is y = clamp(quantize(act(op(x, w') · 2^(s − R)))) · 2^F."""
    module = nn.Conv1d(2, 2, 1, activation=activation, context=FLOAT)
    torch.manual_seed(shift + 100)
    x = torch.rand(2, 2, 5) * 2 - 1
    with torch.no_grad():
        torch.nn.init.uniform_(module.op.weight, -1, 1).mul_(2.0**shift)
        torch.nn.init.uniform_(module.op.bias, -1, 1).mul_(2.0**shift)
        module.activation_threshold.fill_(r)
        module.final_scale.fill_(f)
        module.update()
        act = {None: lambda z: z, "ReLU": torch.relu, "Abs": torch.abs}[activation]
        z = torch.nn.functional.conv1d(x, module.op.weight, module.op.bias)
        torch.testing.assert_close(module(x), act(z * 2.0**-r) * 2.0**f)
        module.start_qat(8, 1.0)
        s = output_shift(module.op.weight, module.op.bias, 1.0)
        w, b = (
            ((p * 2.0**-s * 128 + 0.5).floor() / 128).clamp(-1, 127 / 128) for p in (module.op.weight, module.op.bias)
        )
        y = act(torch.nn.functional.conv1d(x, w, b) * 2.0 ** max(-15, min(15, s - r)))
        y = ((y * 128 + 0.5).floor() / 128).clamp(-1, 127 / 128) * 2.0**f
        torch.testing.assert_close(module(x), y, atol=2.0 ** (f - 7) * 1.001, rtol=0)
        assert (module(x) != y).float().mean() < 0.2  # sums in another order may round differently


def trained(function: Any, bits: int, **policy: Any) -> measured.Network:
    """Return a QAT model whose ranges were measured."""
    model = network(function)
    options = nn.QatPolicy(1, bits, **policy)
    nn.measure_ranges(model, [measured.inputs(3, seed) for seed in range(2)], options, lambda _: None)
    nn.start_qat(model, options)
    return model


def quantized(model: measured.Network, folder: Path) -> dict[str, Any]:
    torch.save({"state_dict": model.state_dict(), "epoch": 1, "arch": "net", "extras": {}}, folder / "t.pth.tar")
    quantize(folder / "t.pth.tar", folder / "q.pth.tar", MAX78000, Console(verbosity=-1))
    return dict(read_checkpoint(folder / "q.pth.tar").state)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize("function", [sequential, residual, concatenated, shared, measured.chain])
def test_qat_output_is_the_simulated_integer(function: Any, bits: int, tmp_path: Path) -> None:
    """QAT × 128 = simulate (wide: × 128·2^(n−1)), final scales included."""
    model = trained(function, bits)
    simulated = network(function, simulate=True)
    assert nn.load_state(simulated, quantized(model, tmp_path)) == []
    x = measured.inputs(5, 77)
    with torch.no_grad():
        real, integers = model(x), simulated(x * 128)
    real, integers = (t if isinstance(t, tuple) else (t,) for t in (real, integers))
    last = {"sequential": ["fc"], "shared": ["head", "head", "cls"]}.get(function.__name__, [None] * 3)
    for y, z, name in zip(real, integers, last, strict=False):
        wide = name is not None and getattr(model, name).wide
        assert torch.equal(y * 128 * (2 ** (bits - 1) if wide else 1), z)
        assert z.abs().max() > 0 or bits == 1


def test_the_quantized_file(tmp_path: Path) -> None:
    """The output shift has the range in it; all else is copied."""
    model = trained(residual, 4, overrides={"c1": nn.Override(8, 0.9)})
    before, after = model.state_dict(), quantized(model, tmp_path)
    assert list(after) == list(before)
    for name, module in nn.named_fused_modules(model):
        if module.op is None:
            continue
        bits = int(module.weight_bits)
        magnitudes = torch.cat([module.op.weight.flatten(), module.op.bias]).abs()
        limit = torch.quantile(magnitudes, float(module.shift_quantile))
        exponent = int(torch.floor(torch.log2(1 / limit)))
        shift = max(-7 - bits, min(23 - bits, -exponent - int(module.activation_threshold)))
        assert after[f"{name}.output_shift"].tolist() == [shift]
        integers = (module.op.weight * 2.0 ** (bits - 1 + exponent) + 0.5).floor()
        assert after[f"{name}.op.weight"].tolist() == integers.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).tolist()
    for key in after:
        if key.endswith(("activation_threshold", "final_scale", "clamp_activation", "shift_quantile")):
            assert after[key].shape == before[key].shape and after[key] == before[key].numpy()
    with pytest.raises(Ai8xError, match="already quantized"):
        quantize(tmp_path / "q.pth.tar", tmp_path / "qq.pth.tar", MAX78000, Console(verbosity=-1))


# -- loading ----------------------------------------------------------------------------------------------------------


def test_loading_other_shapes_and_missing_keys() -> None:
    """Zero-dimensional and one-element tensors, identity layers without the new keys."""
    model = trained(sequential, 8)
    state = model.state_dict()
    for key in ("activation_threshold", "final_scale"):
        state[f"c2.{key}"] = state[f"c2.{key}"].reshape(1)
    for key in ("output_shift", "weight_bits"):
        state[f"c2.{key}"] = state[f"c2.{key}"].reshape(())
    other = network(sequential)
    x = measured.inputs()
    assert nn.load_state(other, state) == [] and torch.equal(other(x), model(x))
    assert other.c2.activation_threshold.shape == () and other.c2.output_shift.shape == (1,)
    for key in ("activation_threshold", "final_scale", "clamp_activation"):
        del state[f"c1.{key}"]
    assert nn.load_state(network(sequential), state) == []
    for bad in (float("inf"), 0.5, float("nan")):
        with pytest.raises(Ai8xError, match=r"c3\.activation_threshold must be a whole number"):
            nn.load_state(other, state | {"c3.activation_threshold": torch.tensor(bad)})


def test_a_resumed_model_clamps_where_it_did(tmp_path: Path) -> None:
    """Element-wise modules do not save it, it follows from the others."""
    model, other = trained(residual, 8), network(residual)
    assert not other.add.clamps
    nn.load_state(other, model.state_dict())
    assert other.add.clamps and torch.equal(other(measured.inputs()), model(measured.inputs()))
    nn.load_state(other, network(residual).state_dict())
    assert not other.add.clamps


def test_qat_of_fixed_ranges_is_the_same_either_way() -> None:
    """R = F = 0."""
    with nn.build_context(MAX78000):
        fixed = measured.Network(residual)
    nn.start_qat(fixed, nn.QatPolicy(1, 8))
    both = network(residual)
    nn.load_state(both, fixed.state_dict())
    x = measured.inputs()
    assert torch.equal(both(x), fixed(x)) and both.add.clamps


ZERO = torch.tensor(0.0)


def state_of(*keys: str, **values: Any) -> dict[str, torch.Tensor]:
    return {key: values.get(key.replace(".", "_"), ZERO) for key in keys}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (state_of("a.output_shift", "a.weight_bits", "a.op.weight"), False),
        (state_of("a.output_shift", "a.activation_threshold", "a.final_scale", "a.op.weight"), True),
        (state_of("module.a.output_shift", "module.a.activation_threshold", "module.a.op.weight"), True),
        (state_of("a.op.weight", "a.activation_threshold", "a.final_scale", "a.clamp_activation"), False),
        (
            state_of("a.op.weight", "b.op.weight", "a.activation_threshold", "a.final_scale", "b.activation_threshold"),
            False,
        ),
        (state_of("a.op.weight", "a.activation_threshold", a_activation_threshold=torch.tensor(2.0)), True),
        (state_of("a.op.weight", "a.activation_threshold", "a.final_scale", a_final_scale=torch.tensor(1.0)), True),
        (state_of("x.weight_bits", "x.op.weight", "a.output_shift", "a.activation_threshold", "a.op.weight"), True),
    ],
)
def test_old_and_new_files_are_told_apart(state: dict[str, torch.Tensor], expected: bool, tmp_path: Path) -> None:
    """A file that was only completed by a newer trainer is an old one."""
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "x.pth.tar")
    assert read_checkpoint(tmp_path / "x.pth.tar").measured_ranges == expected
