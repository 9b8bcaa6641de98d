"""Standard operators with constant parameters compute what the fused modules compute."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.device import MAX78002
from ai8x_tool.nn.fused import FusedOperator
from ai8x_tool.nn.plain import PlainLayer, plain_model

MODES = ("float", "qat8", "qat4", "qat2", "simulate8", "simulate2")
KINDS = [
    getattr(nn, name)
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.FusedModule)
]
KINDS.remove(nn.FusedModule)


def build(kind: type[nn.FusedModule], mode: str, **arguments: Any) -> nn.FusedModule:
    """A module with random parameters, as training or quantization leaves them."""
    simulate, bits = mode.startswith("simulate"), int(mode[-1]) if mode[-1].isdigit() else 8
    context = nn.BuildContext(MAX78002, simulate=simulate, round_avg=arguments.pop("round_avg", False))
    arguments = given(kind) | arguments
    if simulate and "batchnorm" not in arguments and "BN" in kind.__name__:
        arguments["batchnorm"] = None
    module = kind(**arguments, context=context)
    if mode.startswith("qat"):
        nn.fuse_batchnorm(module)
        module.start_qat(bits, 0.99)
    if module.op is None:
        return module.eval()
    with torch.no_grad():
        for parameter in (module.op.weight, module.op.bias):
            if parameter is not None and simulate:
                parameter.copy_(torch.randint(1 - 2 ** (bits - 1), 2 ** (bits - 1), parameter.shape))
                parameter.view(-1)[0] = -(2 ** (bits - 1))
            elif parameter is not None:
                parameter.mul_(3)
        if isinstance(module.bn, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.bn.running_mean.normal_()
            module.bn.running_var.uniform_(0.1, 2)
    if simulate:
        module.weight_bits.data.fill_(bits)
        module.output_shift.data.fill_(-4 if bits == 8 else -2)
        module.update()
    return module.eval()


def given(kind: type[nn.FusedModule]) -> dict[str, Any]:
    if "Linear" in kind.__name__:
        return {"in_features": 6 * 64, "out_features": 20, "bias": True}
    if not issubclass(kind, FusedOperator):
        return {"kernel_size": 3, "stride": 2}
    channels = {"in_channels": 6, "out_channels": 6, "kernel_size": 3, "padding": 1, "bias": True}
    return channels | ({"stride": 2} if "Transpose" in kind.__name__ else {}) | {"pool_size": 3, "pool_stride": 2}


def inputs(kind: type, mode: str, channels: int = 6) -> torch.Tensor:
    shape = (3, 6 * 64) if "Linear" in kind.__name__ else (3, channels, 64) if "1d" in kind.__name__ else None
    integers = torch.randint(-128, 128, shape or (3, channels, 8, 8)).float()
    return integers if mode.startswith("simulate") else integers / 128


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_module(kind: type[nn.FusedModule], mode: str) -> None:
    torch.manual_seed(zlib.crc32(f"{kind.__name__} {mode}".encode()))
    module = build(kind, mode)
    values = inputs(kind, mode)
    with torch.no_grad():
        expected, found = module(values), PlainLayer(module, simplified=False)(values)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if mode == "float" else 0)
    assert module.op is None or len(expected.unique()) > 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("arguments", [{"wide": True}, {"round_avg": True, "pooling": "Avg", "pool_size": 3}])
def test_wide_outputs_and_rounded_averages(mode: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(1)
    module = build(nn.Conv2d, mode, **arguments)
    values = inputs(nn.Conv2d, mode)
    with torch.no_grad():
        found, expected = PlainLayer(module, simplified=False)(values), module(values)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6 if mode == "float" else 0, check_dtype=False)


@pytest.mark.parametrize("wide", [False, True])
def test_sums_that_float32_cannot_hold(wide: bool) -> None:
    torch.manual_seed(2)
    module = build(nn.Conv2d, "simulate8", in_channels=1024, wide=wide)
    with torch.no_grad():
        module.op.weight.copy_(torch.randint(90, 128, module.op.weight.shape))
        module.output_shift.data.fill_(-10)
        module.update()
        values = torch.randint(90, 128, (2, 1024, 8, 8)).float()
        layer = PlainLayer(module, simplified=False)
        found, expected = layer(values), module(values)
    weights = [value for name, value in layer.named_parameters() if name.endswith("weight")]
    assert len(weights) > 1 and all(weight.dtype == torch.float32 for weight in weights)
    assert torch.equal(found.double(), expected.double()) and (not wide or found.max() > 2**24)


@pytest.mark.parametrize("simulate", [False, True])
@pytest.mark.parametrize("kind", [nn.Add, nn.Sub, nn.BitwiseXor, nn.BitwiseOr])
def test_elementwise_operators(kind: type, simulate: bool) -> None:
    model = torch.nn.Sequential()
    model.add_module("combine", kind(context=nn.BuildContext(MAX78002, simulate=simulate)))
    left, right, third = (torch.randint(-128, 128, (2, 4, 5, 5)).float() / (1 if simulate else 128) for _ in range(3))
    assert torch.equal(plain_model(model).combine(left, right, third), model.combine(left, right, third))


@pytest.mark.parametrize("mode", ["qat8", "simulate8"])
def test_a_simplified_layer_is_within_a_step_and_saturates(mode: str) -> None:
    torch.manual_seed(3)
    module = build(nn.FusedConv2dReLU, mode)
    if mode == "simulate8":
        module.output_shift.data.fill_(-2)
        module.update()
    values, step = inputs(nn.Conv2d, mode), 1.0 if mode == "simulate8" else 1 / 128
    with torch.no_grad():
        found, expected = PlainLayer(module, simplified=True)(values), module(values)
    assert 0 < float((found - expected).abs().max()) <= 0.5 * step + 1e-5
    assert float(found.max()) == float(expected.max()) == 127 * step


def test_a_shared_module_stays_shared() -> None:
    model = torch.nn.Module()
    model.first = model.second = build(nn.FusedConv2dReLU, "qat8")
    plain = plain_model(model)
    assert plain.first is plain.second and isinstance(plain.first, PlainLayer)
    assert isinstance(model.first, nn.FusedModule)
