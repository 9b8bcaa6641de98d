"""State dict, construction rules, output shift, loading, blocks, pickling."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import layers
from ai8x_tool.nn.fused import FusedOperator
from ai8x_tool.nn.quantizers import output_shift

CONTEXT = nn.BuildContext(MAX78000)
CONTEXT_2 = nn.BuildContext(MAX78002)
SIX = ["output_shift", "weight_bits", "bias_bits", "quantize_activation", "adjust_output_shift", "shift_quantile"]


def test_state_dict_layout() -> None:
    state = nn.FusedConv2dBNReLU(3, 4, 3, context=CONTEXT).state_dict()
    operator = ["op.weight", "op.bias"]
    bn = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]
    assert list(state) == SIX + operator + bn
    types = [torch.float32, torch.int64, torch.int64, torch.bool, torch.bool, torch.float32]
    assert [state[key].dtype for key in SIX] == types
    assert [state[key].item() for key in SIX] == [0, 0, 0, False, False, 1]
    assert list(nn.MaxPool2d(2, context=CONTEXT).state_dict()) == SIX
    assert list(nn.Linear(3, 4, context=CONTEXT).state_dict()) == [*SIX, "op.weight"]
    simulate = nn.BuildContext(MAX78000, simulate=True)
    built = nn.Linear(3, 4, weight_bits=8, bias_bits=8, quantize_activation=True, context=simulate).state_dict()
    assert [built[key].item() for key in SIX] == [0, 8, 8, True, False, 1]
    assert [p.requires_grad for p in nn.Linear(3, 4, context=CONTEXT).parameters()] == [False] * 6 + [True]


def test_starting_qat_sets_the_bookkeeping() -> None:
    model = torch.nn.Sequential(
        nn.FusedConv1dReLU(4, 4, 1, context=CONTEXT), torch.nn.ModuleList([nn.Linear(4, 4, context=CONTEXT)])
    )
    assert nn.start_qat(model, nn.QatPolicy(1, 8, 0.9, {"1.0": nn.Override(2), "conv9": nn.Override(4)})) == ["conv9"]
    first, second = (module for _, module in nn.named_fused_modules(model))
    assert [getattr(first, key).item() for key in SIX] == [0, 8, 8, True, True, pytest.approx(0.9)]
    assert second.weight_bits.item() == second.bias_bits.item() == 2


class Shared(torch.nn.Module):
    """One layer under two names, another beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = self.b = nn.Conv2d(1, 1, 1, context=CONTEXT)
        self.block = torch.nn.Sequential(nn.Conv2d(1, 1, 1, context=CONTEXT))


@pytest.mark.parametrize(
    ("overrides", "bits", "unknown"),
    [
        ({"a": 4}, (4, 8), []),
        ({"b": 4}, (4, 8), []),
        ({"a": 2, "b": 2, "block.0": 1}, (2, 1), []),
        ({"block": 4, "a.op": 4, "c": 4}, (8, 8), ["a.op", "block", "c"]),
    ],
)
def test_overrides_name_layers_by_any_of_their_names(
    overrides: dict[str, int], bits: tuple[int, int], unknown: list[str]
) -> None:
    model = Shared()
    policy = nn.QatPolicy(1, 8, 1.0, {name: nn.Override(bits) for name, bits in overrides.items()})
    assert nn.start_qat(model, policy) == unknown
    assert (model.a.weight_bits.item(), model.block[0].weight_bits.item()) == bits


def test_one_layer_has_one_width() -> None:
    with pytest.raises(Ai8xError, match="all names of a layer must have the same weight bits, not a: 4, b: 2"):
        nn.start_qat(Shared(), nn.QatPolicy(1, 8, 1.0, {"a": nn.Override(4), "b": nn.Override(2)}))


@pytest.mark.parametrize("quantile", [1e-9, 0.5, 1.0])
def test_quantile_of_a_single_weight_and_of_many_zeros(quantile: float) -> None:
    assert output_shift(torch.tensor([0.3]), None, quantile) == -1
    zeros = torch.cat((torch.zeros(99), torch.tensor([0.9])))
    assert output_shift(zeros, None, quantile) == (0 if quantile == 1 else -15)


@pytest.mark.parametrize(
    ("limit", "shift"), [(0.3, -1), (0.5, -1), (0.51, 0), (1.0, 0), (1.3, 1), (4.0, 2), (0.0, -15), (1e9, 15), (2.1, 2)]
)
def test_output_shift(limit: float, shift: int) -> None:
    assert output_shift(torch.tensor([0.0, -limit, limit / 2]), torch.tensor([0.0]), 1.0) == shift


def test_output_shift_covers_the_bias_and_uses_the_exact_quantile() -> None:
    assert output_shift(torch.tensor([0.3]), torch.tensor([-1.5]), 1.0) == 1
    assert output_shift(torch.tensor([0.3]), None, 0.5) == -1
    values = torch.arange(1, 11) / 10
    limits = {0.5: 0.55, 0.9: 0.91, 0.985: 0.9865, 0.995: 0.9955, 1.0: 1.0}
    for q, limit in limits.items():
        below, above = values * (0.999 * 0.5 / limit), values * (1.001 * 0.5 / limit)
        assert (output_shift(below, None, q), output_shift(above, None, q)) == (-1, 0)


def all_operators() -> list[type[FusedOperator]]:
    found = [nn.Conv1d, nn.Conv2d]
    found += [value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, FusedOperator)]
    return sorted({c for c in found if c.__module__ != FusedOperator.__module__}, key=lambda c: c.__name__)


def build(cls: type[Any], **kwargs: Any) -> Any:
    if issubclass(cls, nn.Linear):
        return cls(4, 4, context=CONTEXT_2, **kwargs)
    transposed = {"stride": 2} if cls.fixed.transposed else {}
    return cls(4, 4, 3, context=CONTEXT_2, **transposed, **kwargs)


@pytest.mark.parametrize("cls", all_operators(), ids=lambda c: c.__name__)
def test_every_name_fixes_what_it_says(cls: type[Any]) -> None:
    module, name = build(cls), cls.__name__
    assert (module.activation or "") == ("ReLU" if "ReLU" in name else "Abs" if "Abs" in name else "")
    assert (module.pooling.kind if module.pooling else "") == (
        "Max" if "Max" in name else "Avg" if "Avg" in name else ""
    )
    assert (module.bn is not None) == ("BN" in name)
    assert getattr(module.op, "groups", 1) == (4 if "Depthwise" in name else 1)
    operator = (
        "ConvTranspose2d" if "Transpose" in name else name[name.find("Conv") :][:6] if "Conv" in name else "Linear"
    )
    assert type(module.op).__name__ == operator
    assert cls.__doc__ and name.isidentifier() and getattr(nn, name) is cls
    copy = pickle.loads(pickle.dumps(module))
    x = torch.zeros((2, 4) if operator == "Linear" else (2, 4, 9) if operator == "Conv1d" else (2, 4, 9, 9))
    assert torch.equal(copy.eval()(x), module.eval()(x))


def test_batch_norm_can_be_switched_off_explicitly() -> None:
    assert nn.FusedConv2dBNReLU(3, 4, 3, batchnorm=None, bias=False, context=CONTEXT).bn is None
    assert not nn.FusedConv2dBN(3, 4, 3, batchnorm="NoAffine", context=CONTEXT).bn.affine


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda c: nn.FusedConv2dReLU(1, 1, 3, wide=True, context=c), "wide output"),
        (lambda c: nn.Conv2d(1, 1, 3, weight_bits=3, context=c), "weight_bits must be None, 1, 2, 4 or 8, not 3"),
        (
            lambda c: nn.Conv2d(1, 1, 3, weight_bits=8, context=c),
            "weight_bits=8, bias_bits=None, quantize_activation=False",
        ),
        (lambda c: nn.FusedMaxPoolConv2d(1, 1, 3, pool_size="2", context=c), "pool_size must be"),
        (lambda c: nn.FusedMaxPoolConv2d(1, 1, 3, pool_size=17, context=c), "must be 1 to 16"),
        (lambda c: nn.FusedMaxPoolConv2d(1, 1, 3, pool_stride=(1, 2), context=c), "same on both axes"),
        (lambda c: nn.FusedMaxPoolConv2d(1, 1, 3, pool_size=(2, 3), pool_stride=None, context=c), "same on both"),
        (lambda c: nn.FusedMaxPoolConv1d(1, 1, 3, pool_stride=0, context=c), "must be 1 to 16"),
        (lambda c: nn.MaxPool2d(2, dilation=2, context=c), "does not support dilated pooling"),
        (lambda c: nn.FusedMaxPoolConv2d(1, 1, 3, stride=2, context=c), "stride 2"),
        (lambda c: nn.Conv2d(1, 1, 3, stride=4, context=c), "must be 1 to 3"),
        (lambda c: nn.Conv1d(1, 1, 3, stride=2, context=c), "stride 2"),
        (lambda c: nn.ConvTranspose2d(1, 1, 3, context=c), "pass stride=2"),
        (lambda c: nn.Conv2d(1, 1, 3, padding=3, context=c), "padding 3"),
        (lambda c: nn.Conv2d(1, 1, 3, dilation=2, context=c), "dilation 2"),
        (lambda c: nn.Conv2d(1, 1, 5, context=c), "must be 1 or 3"),
        (lambda c: nn.Conv2d(1, 1, (1, 3), context=c), "square"),
        (lambda c: nn.Conv2d(2, 2, 3, groups=2, context=c), "no depthwise"),
        (lambda c: nn.DepthwiseConv2d(2, 2, 3, context=c), "no depthwise"),
        (lambda c: nn.Conv2d(1, 1, 3, op="Conv3d", context=c), "op 'Conv3d' is not supported"),
        (lambda c: nn.Conv1d(1, 1, 10, context=c), "must be 1 to 9"),
        (lambda c: nn.Conv1d(1, 1, 5, padding=3, context=c), "padding 3"),
        (lambda c: nn.Conv1d(1, 1, 4, dilation=3, context=c), "dilation 3"),
        (lambda c: nn.Conv1d(1, 1, 3, dilation=5, padding=1, context=c), "dilation 5"),
        (lambda c: nn.FusedConv2dBNReLU(1, 1, 3, bias=False, context=c), "requires a bias"),
        (lambda c: nn.Linear(1025, 1, context=c), "in_features 1025"),
        (lambda c: nn.Linear(1, 1, pooling="Max", context=c), "no pooling"),
        (lambda c: nn.Linear(1, 1, batchnorm="Affine", context=c), "no batch normalization"),
        (
            lambda c: nn.FusedConv2dReLU(1, 1, 3, activation="Abs", context=c),
            "activation must be 'ReLU' for this class",
        ),
        (lambda c: nn.Conv2d(1, 1, 3, activation="GELU", context=c), "activation 'GELU' is not supported"),
    ],
)
def test_what_the_part_cannot_do_is_refused(make: Any, words: str) -> None:
    with pytest.raises(nn.ConstraintError) as caught:
        make(CONTEXT)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, Ai8xError) and isinstance(caught.value, ValueError)


def test_the_second_part_can_do_more_and_less() -> None:
    assert nn.DepthwiseConv2d(4, 4, 3, context=CONTEXT_2).op.groups == 4
    assert nn.MaxPool2d(2, dilation=16, context=CONTEXT_2).pooling is not None
    with pytest.raises(nn.ConstraintError, match="requires max pooling"):
        nn.FusedAvgPoolConv2d(1, 1, 3, pool_dilation=2, context=CONTEXT_2)
    assert nn.Conv1d(65, 1, 3, padding=1, context=CONTEXT) is not None
    with pytest.raises(nn.ConstraintError, match="65 input channels"):
        nn.Conv1d(65, 1, 3, padding=1, context=CONTEXT_2)


def test_a_context_is_needed_and_found() -> None:
    with pytest.raises(nn.ConstraintError, match="no device is specified"):
        nn.Conv2d(1, 1, 3)
    with nn.build_context(MAX78000, simulate=True):
        assert nn.Conv2d(1, 1, 3).simulate
    with pytest.raises(nn.ConstraintError):
        nn.Add()


def model() -> torch.nn.Module:
    return torch.nn.Sequential(nn.FusedConv2dReLU(1, 2, 3, context=CONTEXT), nn.MaxPool2d(2, context=CONTEXT))


def test_loading_strips_module_and_takes_the_later_key() -> None:
    target, state = model(), model().state_dict()
    one, two = np.ones((2, 1, 3, 3), np.float32), np.full((2, 1, 3, 3), 2, np.float32)
    arrays = {f"module.{key}": value.numpy() for key, value in state.items()} | {"module.0.op.weight": one}
    nn.load_state(target, arrays | {"0.op.weight": two})
    assert target.state_dict()["0.op.weight"].unique().tolist() == [2]
    nn.load_state(target, {"0.op.weight": two} | arrays)
    assert target.state_dict()["0.op.weight"].unique().tolist() == [1]


def test_loading_old_files_and_strangers() -> None:
    target, state = model(), {k: v.float().numpy() for k, v in model().state_dict().items() if "quantile" not in k}
    state["0.weight_bits"] = np.array([8.0], np.float32)
    state["0.quantize_activation"] = np.array([1.0], np.float32)
    assert nn.load_state(target, state | {"anchors": np.zeros(3)}) == ["anchors"]
    loaded = target.state_dict()
    assert loaded["0.weight_bits"].dtype == torch.int64 and loaded["0.weight_bits"].item() == 8
    assert loaded["0.shift_quantile"].item() == 1.0 and loaded["0.quantize_activation"].item() is True


def test_loading_names_what_is_missing_or_has_another_shape() -> None:
    state = dict(model().state_dict())
    with pytest.raises(Ai8xError, match=r"2 of the model's 14 tensors are missing: 0\.op\.weight, 0\.op\.bias"):
        nn.load_state(model(), {k: v for k, v in state.items() if ".op." not in k})
    with pytest.raises(Ai8xError, match=r"0\.op\.bias: shape \(3,\) in the checkpoint, \(2,\) in the model"):
        nn.load_state(model(), state | {"0.op.bias": torch.zeros(3)})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("weight_bits", [3.0], "weight_bits must be 1, 2, 4 or 8, not 3"),
        ("weight_bits", [math.nan], "weight_bits must be 1, 2, 4 or 8, not nan"),
        ("bias_bits", [-4], "bias_bits must be 1, 2, 4 or 8, not -4"),
        ("weight_bits", [8, 8], "shape"),
        ("output_shift", [math.nan], "output_shift must not hold infinite or undefined values"),
        ("output_shift", [1e30], "output_shift must be within ±126, not 1e\\+30"),
        ("op.weight", [math.inf], "op.weight must not hold infinite or undefined values"),
    ],
)
def test_loading_refuses_what_no_layer_has(key: str, value: Any, words: str) -> None:
    state = dict(model().state_dict())
    name = f"0.{key}"
    state[name] = torch.full(state[name].shape, value[0]) if key == "op.weight" else torch.tensor(value)
    with pytest.raises(Ai8xError, match=words):
        nn.load_state(model(), state)


@pytest.mark.parametrize(
    ("bits", "weight", "bias", "words"),
    [
        (8, 127, -(2.0**14), None),
        (8, 128, 0, "weight values of '0' must fit 8 bits, but are 128 … 128"),
        (4, -9, 0, "weight values of '0' must fit 4 bits, but are -9 … -9"),
        (2, 1, 254, None),
        (2, 1, 256, "bias values of '0' must fit 8 bits, but are 128 … 128"),
        (0, -128, -(2.0**14) - 1, "bias values of '0' must fit 8 bits, but are -129 … -129"),
    ],
)
def test_integers_that_the_part_cannot_hold(bits: int, weight: float, bias: float, words: str | None) -> None:
    layer = torch.nn.Sequential(nn.Conv2d(2, 2, 1, context=nn.BuildContext(MAX78000, simulate=True)))
    for parameter, value in ((layer[0].op.weight, weight), (layer[0].op.bias, bias), (layer[0].weight_bits, bits)):
        parameter.data.fill_(value)
    if words is None:
        nn.transform.check_quantized(layer)
        return
    with pytest.raises(Ai8xError, match=words):
        nn.transform.check_quantized(layer)


def test_blocks() -> None:
    x = torch.zeros(1, 4, 8, 8)
    with nn.build_context(MAX78002):
        fire = nn.Fire(4, 2, 3, 5)
        assert fire(x).shape == (1, 8, 8, 8)
        residual = nn.ResidualBottleneck(4, 4, 2, bias=True, depthwise_bias=True)
        assert residual(x).shape == (1, 4, 8, 8) and residual.resid.__class__ is nn.Add
        assert "conv2.bn.weight" in residual.state_dict() and residual.conv2.op.groups == 8
        down = nn.ResidualBottleneck(4, 6, 1, stride=2, bias=True)
        assert down(x).shape == (1, 6, 4, 4) and isinstance(down.conv1, nn.Empty)
        assert nn.ConvResidualBottleneck(4, 4, 2, bias=True)(x).shape == (1, 4, 8, 8)
        assert nn.ConvResidualBottleneck(4, 6, 2, stride=2, bias=True)(x).shape == (1, 6, 4, 4)
        assert nn.MBConvBlock(4, 4, bias=True, expand_ratio=2, se_ratio=0.5)(x).shape == (1, 4, 8, 8)
        fused = nn.MBConvBlock(4, 6, bias=True, expand_ratio=2, fused=True)
        assert fused(x).shape == (1, 6, 8, 8) and fused.depthwise_conv is None
        assert fused.expand_conv.bn.eps == 1e-3 and fused.expand_conv.bn.momentum == 0.01


def test_policy_files(tmp_path: Any) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("start_epoch: 10\nweight_bits: 2\nshift_quantile: 0.9\noverrides: {conv1: {weight_bits: 8}}\n")
    assert nn.read_policy(path) == nn.QatPolicy(10, 2, 0.9, {"conv1": nn.Override(8)})
    for text, words in {
        "weight_bits: 8": "must contain 'start_epoch'",
        "start_epoch: 3": "must contain 'weight_bits'",
        "start_epoch: 3\nweight_bits: 3": "must be 1, 2, 4 or 8",
        "start_epoch: x\nweight_bits: 8": "start_epoch must be a whole number, not 'x'",
        "start_epoch: 3\nweight_bits: 8\noverrides: {a: {bits: 3}}": "override of 'a'",
        "start_epoch: [": ":2: YAML syntax error",
        "- 1": "must be a mapping",
        "start_epoch: 1\nweight_bits: 8\nshift_quantile: 0": "shift_quantile",
        "start_epoch: 1\nweight_bits: 8\nshift_quantile: 1.01": "shift_quantile",
        "start_epoch: 1\nweight_bits: 8\nshift_quantile: .nan": "shift_quantile",
        "start_epoch: 1\nweight_bits: 8\nshift_quantile: true": "shift_quantile",
        "start_epoch: 1\nweight_bits: 8\nshift_quantile: high": "shift_quantile must be a number, not 'high'",
        "start_epoch: -1\nweight_bits: 8": "start_epoch must not be negative, but is -1",
        "start_epoch: 3\nweight_bits: 8\noverrides: {a: {weight_bits: 3}}": "must be 1, 2, 4 or 8, not 3",
        "start_epoch: 3\nweight_bits: 8\noverrides: {a: {weight_bits: true}}": "whole number, not True",
        "start_epoch: 3\nweight_bits: 8\noverrides: {a: 4}": "override of 'a'",
        "start_epoch: 3\nweight_bits: 8\noverrides: [a]": "overrides must map",
        "start_epoch: 3\nweight_bits: 8\noveride: {a: {weight_bits: 4}}": "'overide'; did you mean 'overrides'",
    }.items():
        path.write_text(text)
        with pytest.raises(Ai8xError, match=words) as caught:
            nn.read_policy(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
