"""The module that plugin files import as ``ai8x``."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from ai8x_tool import nn as fused
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.compat import ai8x
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.build import load_weights, output_scale
from ai8x_tool.quantization import quantize


def test_bytes_are_normalized_as_published() -> None:
    values = torch.tensor([0, 64, 127, 128, 191, 254, 255]) / 255
    integers = ai8x.normalize(args=SimpleNamespace(act_mode_8bit=True))(values)
    assert integers.tolist() == [-128, -64, -1, 1, 64, 127, 127]
    assert torch.equal(ai8x.normalize(SimpleNamespace(act_mode_8bit=False))(values), integers / 128)


def test_folding_as_published_and_back() -> None:
    image = torch.arange(16.0).reshape(1, 4, 4)
    folded = ai8x.fold(fold_ratio=2)(image)
    assert folded.tolist() == [[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]]
    colors = torch.rand(3, 6, 12)
    assert torch.equal(ai8x.fold(3)(colors)[3:6], colors[:, 0::3, 1::3])
    assert torch.equal(ai8x.unfold(3)(ai8x.fold(3)(colors)), colors) and torch.equal(ai8x.fold(1)(colors), colors)
    assert torch.equal(ai8x.unfold_batch(ai8x.fold(2)(colors)[None], 2)[0], colors)
    with pytest.raises(Ai8xError, match="6×12 cannot be folded by 4"):
        ai8x.fold(4)(colors)


def test_quantizers() -> None:
    x = torch.tensor([-1.3, -0.502, 0.0039, 0.5, 0.999], requires_grad=True)
    y = ai8x.QuantizeFunction.apply(x, 8)
    assert (y * 128).tolist() == [-166, -64, 0, 64, 128]
    assert torch.equal(ai8x.Quantize(num_bits=8)(x), y) and ai8x.QuantizationFunction is ai8x.QuantizeFunction
    assert ai8x.QuantizeFunction.apply(x, 2, 1).tolist() == [-0.5, -0.5, 0, 0.5, 0.5]
    ai8x.Clamp(-1, 0.5)(y).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0, 1, 1, 1, 0]
    z = torch.tensor([-1.5, 2.5])
    assert ai8x.Floor()(z).tolist() == [-2, 2] and ai8x.AvgPoolFloor()(z).tolist() == [-1, 2]
    assert ai8x.Round()(z).tolist() == [-2, 2] and ai8x.get_activation("Abs")(z).tolist() == [1.5, 2.5]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("bits", [8, 2])
def test_quantize_and_clamp_pairs_make_up_a_fused_module(wide: bool, bits: int) -> None:
    x = torch.randint(-128, 128, (2, 8, 6, 6)).float()
    for simulate, mode in ((False, (None, None, False)), (False, (bits, bits, True)), (True, (8, 8, True))):
        with fused.build_context(MAX78000, simulate=simulate):
            module = ai8x.FusedAvgPoolConv2d(8, 4, 3, padding=1, bias=False, wide=wide, weight_bits=mode[0],
                                             bias_bits=mode[1], quantize_activation=mode[2])  # fmt: skip
            chosen = (mode[0] or 0) if not simulate else bits
            quantize_pool, clamp_pool = ai8x.quantize_clamp_pool("Avg", mode[2])
            quantize, clamp = ai8x.quantize_clamp(wide, mode[2], chosen)
            quantize_weight, clamp_weight = ai8x.quantize_clamp_parameters(chosen)
        levels = 2 ** (bits - 1)
        module.op.weight.data = torch.randint(-levels, levels, module.op.weight.shape) / (1 if simulate else levels)
        module.op.weight.data[0, 0, 0, 0] = -levels if simulate else -1
        module.weight_bits.data.fill_(chosen)
        module.update()
        data = x if simulate else x / 128
        pooled = clamp_pool(quantize_pool(functional.avg_pool2d(data, 2)))
        weight = clamp_weight(quantize_weight(module.op.weight))
        expected = clamp(quantize(functional.conv2d(pooled, weight, None, padding=1)))
        with torch.no_grad():
            assert torch.equal(module(data), expected), (simulate, mode)


OPERATORS: list[tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, ...], dict[str, Any]]] = [
    (lambda: nn.Conv2d(4, 8, 3, padding=1), lambda: ai8x.FusedConv2dReLU(4, 8, 3, padding=1), (4, 6, 6), {}),
    (
        lambda: nn.Conv2d(4, 8, 1, bias=False),
        lambda: ai8x.FusedMaxPoolConv2dReLU(4, 8, 1, pool_size=3, pool_stride=2, bias=False),
        (4, 7, 7),
        {"pooling": "Max", "pool": nn.MaxPool2d(3, 2)},
    ),
    (
        lambda: nn.Conv1d(4, 8, 3, dilation=2),
        lambda: ai8x.FusedAvgPoolConv1dReLU(4, 8, 3, dilation=2),
        (4, 14),
        {"pooling": "Avg", "pool": nn.AvgPool1d(2), "func": functional.conv1d},
    ),
    (
        lambda: nn.ConvTranspose2d(4, 8, 3, 2, 1, 1),
        lambda: ai8x.FusedConvTranspose2dReLU(4, 8, 3, stride=2, padding=1),
        (4, 5, 5),
        {},
    ),
    (lambda: nn.Linear(12, 5, bias=False), lambda: ai8x.FusedLinearReLU(12, 5), (12,), {"func": functional.linear}),
]


@pytest.mark.parametrize(("op", "named", "shape", "arguments"), OPERATORS)
def test_a_module_of_ones_own_computes_like_the_named_one(
    op: Callable[[], nn.Module], named: Callable[[], nn.Module], shape: tuple[int, ...], arguments: dict[str, Any]
) -> None:
    class Own(ai8x.QuantizationAwareModule):
        def __init__(self) -> None:
            super().__init__(activation="ReLU", op=op(), **arguments)

    for simulate in (False, True):
        with fused.build_context(MAX78000, simulate=simulate):
            own, other = Own().eval(), named().eval()
        assert list(own.state_dict()) == list(other.state_dict())
        state = {key: value.mul(128).round() if simulate and "op." in key else value
                 for key, value in own.state_dict().items()}  # fmt: skip
        for module in (own, other):
            module.load_state_dict(state)
        data = torch.randint(-128, 128, (3, *shape)) / (1.0 if simulate else 128.0)
        for start in (lambda _: None, lambda m: m.start_qat(4, 0.9)):
            for module in (own, other):
                start(module)
            with torch.no_grad():
                assert torch.equal(own(data), other(data))
        assert isinstance(other, ai8x.QuantizationAwareModule)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"op": nn.GELU()}, "operator GELU does not exist"),
        ({"pool": nn.AdaptiveAvgPool2d(1)}, "AdaptiveAvgPool2d is not a pooling"),
        ({"pool": nn.MaxPool2d(2, padding=1)}, "does not pad"),
        ({"pooling": "Avg", "pool": nn.MaxPool2d(2)}, "pooling is 'Avg', but"),
        ({"pooling": "Max"}, "without a module that pools"),
        ({"pool": nn.MaxPool2d(17)}, "pool_size"),
    ],
)
def test_what_the_accelerator_lacks_is_refused(arguments: dict[str, Any], words: str) -> None:
    with fused.build_context(MAX78000), pytest.raises(Ai8xError, match=words):
        ai8x.QuantizationAwareModule(**arguments)


def test_positional_arguments_in_the_order_of_the_reference() -> None:
    with fused.build_context(MAX78002):
        layer = ai8x.Conv2d(8, 16, 3, "Conv2d", "Max", 3, 2, 1, 1, 1, 1, True, "ReLU", False, "NoAffine", None, None,
                            False, 8, 1e-3, 0.1)  # fmt: skip
        line = ai8x.Conv1d(8, 16, 3, "Avg", 3, 2, 1, 1, 0, 1, True, None, True, None, 4, 4, True)
        linear = ai8x.Linear(8, 4, None, True, None, True, None, 2, 2, True)
        ai8x.MaxPool2d(2, None, 2), ai8x.AvgPool1d(3, 2), ai8x.Empty(1, x=2)
    assert (layer.op.groups, layer.bn.eps, layer.bn.momentum, layer.pooling.size) == (8, 1e-3, 0.1, (3, 3))
    assert line.wide and int(line.weight_bits) == 4 and linear.op.bias is not None and int(linear.bias_bits) == 2


def test_the_device_lives_in_the_build() -> None:
    assert ai8x.dev is None
    with fused.build_context(MAX78000):
        assert (ai8x.dev.device, ai8x.dev.WEIGHT_DEPTH, ai8x.dev.simulate) == (85, 768, False)
        ai8x.set_device(87, True, True)
        assert (ai8x.dev.device, ai8x.dev.WEIGHT_DEPTH, ai8x.dev.simulate) == (87, 5120, True)
        layer = ai8x.DepthwiseConv2d(4, 4, 3)
    assert layer.simulate and layer.round_avg and ai8x.dev is None
    with pytest.raises(AttributeError, match="no attribute 'devices'"):
        ai8x.devices  # noqa: B018


def test_whole_models_are_changed_under_the_old_names() -> None:
    with fused.build_context(MAX78000):
        model = nn.Sequential(ai8x.FusedConv2dBNReLU(1, 2, 3), ai8x.SoftwareLinear(4, 2, bias=True))
    optimizer = torch.optim.Adam(model.parameters())
    ai8x.fuse_bn_layers(model)
    assert ai8x.update_optimizer(model, optimizer) is optimizer
    assert len(optimizer.param_groups[0]["params"]) == len(list(model.parameters()))
    ai8x.initiate_qat(model, {"start_epoch": 1, "weight_bits": 8, "overrides": {"0": {"weight_bits": 4}}})
    assert model[0].bn is None and int(model[0].weight_bits) == 4 and bool(model[0].quantize_activation)
    model[0].op.weight.data = torch.linspace(0.1, 0.9, 18).reshape(2, 1, 3, 3)
    model[0].weight_bits.data.fill_(2)
    before = model[0](torch.full((1, 1, 3, 3), 0.1))
    ai8x.update_model(model)
    assert not torch.equal(model[0](torch.full((1, 1, 3, 3), 0.1)), before)
    assert model[1](torch.ones(1, 4)).shape == (1, 2)


def test_a_last_layer_in_software_has_outputs_on_the_scale_of_the_float_model(tmp_path) -> None:
    """Its weights and bias are integers in quantized checkpoints, and none of its entries is unknown."""
    torch.manual_seed(0)
    console = Console(verbosity=-1)

    def build(simulate: bool) -> nn.Module:
        with fused.build_context(MAX78000, simulate=simulate):
            layers = ai8x.FusedConv2dReLU(2, 4, 3, padding=1, bias=False), ai8x.SoftwareLinear(64, 3, bias=True)
        return nn.Sequential(layers[0], nn.Flatten(), layers[1])

    model, source, target = build(False), tmp_path / "a.pth.tar", tmp_path / "q.pth.tar"
    fused.start_qat(model, fused.QatPolicy(start_epoch=0, weight_bits=8))
    torch.save({"epoch": 1, "arch": "soft", "state_dict": model.state_dict(), "extras": {}}, source)
    quantize(source, target, MAX78000, console)
    integers = build(True)
    load_weights(integers, read_checkpoint(target), console, complete=True)
    assert not [text for text in console.warnings if "not part of the model" in text]
    inputs = torch.randint(-128, 128, (4, 2, 4, 4)).float()
    real = integers.eval()(inputs) * output_scale(integers, simulate=True)
    assert torch.allclose(real, model.eval()(inputs / 128), atol=0.03)
