"""Calibration: what it chooses is legal, the best of its candidates, and better than every clip method."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.device import MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import load_state, named_fused_modules
from ai8x_tool.quantization.calibration import calibrate, limit_ranges
from ai8x_tool.quantization.rounding import CompensatedRounding
from ai8x_tool.quantization.rules import Clipping, fold_range, quantize_clipped, quantize_trained


class Net(torch.nn.Module):
    """All kinds of layers: pooling of both kinds, a join, groups, a transposed convolution, Abs, a wide output."""

    def __init__(self, bias=True):
        super().__init__()
        self.conv1 = nn.FusedConv2dBNReLU(3, 16, 3, padding=1)
        self.conv2 = nn.FusedMaxPoolConv2dReLU(16, 16, 3, padding=1, bias=bias)
        self.depthwise = nn.FusedDepthwiseConv2dReLU(16, 16, 3, padding=1, bias=bias)
        self.add = nn.Add()
        self.up = nn.FusedConvTranspose2dReLU(16, 8, 3, stride=2, padding=1, bias=bias)
        self.abs = nn.FusedAvgPoolConv2d(8, 8, 1, activation="Abs", bias=bias)
        self.unused = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8 * 16, 5, bias=bias, wide=True)

    def forward(self, x):
        x = self.conv2(self.conv1(x))
        x = self.up(self.add(x, self.depthwise(x)))
        return self.fc(self.abs(x).flatten(1))


def build(model=Net, simulate=False, measured_ranges=False, **options):
    with nn.build_context(MAX78002, simulate=simulate, measured_ranges=measured_ranges):
        return model(**options).eval()


def trained(seed=0, **options):
    """A model with random weights whose activations use their range, batch normalization folded."""
    torch.manual_seed(seed)
    model = build(**options)
    with torch.no_grad():
        for name, module in named_fused_modules(model):
            if module.op is not None:
                fan = module.op.weight[0].numel() if name != "up" else 16 * 4
                module.op.weight.normal_().mul_(1.6 / fan**0.5 * (4 if name == "conv1" else 1))
                if module.op.bias is not None:
                    module.op.bias.uniform_(-0.1, 0.1)
    nn.fuse_batchnorm(model)
    return model


def samples(count, seed=3):
    """Smooth images, as integers."""
    noise = torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed)) * 60
    return torch.nn.functional.interpolate(noise, (8, 8), mode="bilinear").round().clamp(-128, 127)


def layers_of(model):
    return {name: module for name, module in named_fused_modules(model) if module.op is not None}


def simulated(model, layers, bits, **options):
    """Return the integer model with quantized layers."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for name, layer in layers.items():
        state[f"{name}.op.weight"] = layer.weights
        if layer.bias is not None:
            state[f"{name}.op.bias"] = layer.bias
        shift = layer.output_shift
        state[f"{name}.output_shift"] = torch.tensor([0.0 if shift is None else shift])
        state[f"{name}.weight_bits"] = torch.tensor([bits])
    for name in layers:
        state[f"{name}.quantize_activation"] = torch.tensor([True])
    target = build(simulate=True, **options)
    nn.fuse_batchnorm(target)
    load_state(target, state)
    return target


@torch.no_grad()
def relative_error(model, integer, x):
    """Error of the outputs, whatever their scale: that is lost in some clip methods, and with it nothing else."""
    expected, result = model(x / 128), integer(x)
    scale = (expected * result).sum() / (result * result).sum().clamp(min=1e-9)
    return float((result * scale - expected).square().mean() / expected.square().mean())


CLIPPINGS = ("AVGMAX", "MAX", "STDDEV", "SCALE", None)


def by_clipping(model, bits, method):
    result = {}
    for name, module in layers_of(model).items():
        weights, bias = module.op.weight.data, None if module.op.bias is None else module.op.bias.data
        if method is None:
            result[name] = quantize_trained(weights, bias, bits, 1.0)
        else:
            result[name] = quantize_clipped(weights, bias, bits, Clipping(method))
    return result


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_better_than_every_clip_method(bits, bias):
    model = trained(bias=bias)
    chosen = calibrate(model, build(simulate=True, bias=bias), samples(64), dict.fromkeys(layers_of(model), bits))
    test = samples(200, seed=9)
    error = relative_error(model, simulated(model, chosen, bits, bias=bias), test)
    others = {
        method: relative_error(model, simulated(model, by_clipping(model, bits, method), bits, bias=bias), test)
        for method in CLIPPINGS
    }
    assert error < min(others.values()), others
    assert error < {8: 0.002, 4: 0.1, 2: 0.8}[bits]


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
def test_what_is_chosen_is_legal(bits):
    model = trained()
    widths = dict.fromkeys(layers_of(model), bits)
    chosen = calibrate(model, build(simulate=True), samples(16), widths)
    assert set(chosen) == set(widths) - {"unused"}
    for name, layer in chosen.items():
        assert torch.equal(layer.weights, layer.weights.round())
        assert -(2 ** (bits - 1)) <= layer.weights.min() and layer.weights.max() <= 2 ** (bits - 1) - 1
        assert layer.weights.shape == layers_of(model)[name].op.weight.shape
        units = layer.bias / 2 ** (bits - 1)
        assert torch.equal(units, units.round()) and units.min() >= -128 and units.max() <= 127
        assert -15 <= layer.output_shift + 8 - bits <= 15


@pytest.mark.parametrize("level", [1.0, 0.98])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_a_model_trained_with_quantization_stays_as_it_is(bits, level):
    """Its own integers are among the candidates and have no error. (Abs may round ties differently.)"""
    model = trained()
    nn.start_qat(model, nn.QatPolicy(0, bits, level))
    chosen = calibrate(model, build(simulate=True), samples(32), dict.fromkeys(layers_of(model), bits))
    x = samples(40, seed=9)
    integer = simulated(model, chosen, bits)
    before, after = [], []
    for target, outputs in ((model, before), (integer, after)):
        target.up.register_forward_hook(lambda _m, _i, output, outputs=outputs: outputs.append(output))
    with torch.no_grad():
        model(x / 128)
        integer(x)
    assert (before[0] * 128 - after[0]).abs().max() == 0
    assert after[0].std() > 1


class One(torch.nn.Module):
    """One layer."""

    def __init__(self):
        super().__init__()
        self.a = nn.FusedConv2dReLU(3, 4, 3)

    def forward(self, x):
        return self.a(x)


@pytest.mark.parametrize("bits", [8, 2])
def test_best_of_the_powers_of_two(bits):
    """No shift with plain rounding comes closer to the model, computed here by hand."""
    torch.manual_seed(1)
    model = build(One)
    weights = torch.randn(4, 3, 3, 3) * 0.2
    weights[0, 0, 0, 0] = 2.5
    model.a.op.weight.data.copy_(weights)
    x = samples(20)
    (layer,) = calibrate(model, build(One, simulate=True), x, {"a": bits}).values()

    def error(integers, bias, shift):
        z = torch.nn.functional.conv2d(x.double(), integers.double(), bias.double() * 2.0 ** (8 - bits))
        output = torch.floor(z * 2.0 ** (shift + 1 - bits) + 0.5).clamp(0, 127) / 128
        with torch.no_grad():
            return float((output - model(x / 128)).square().mean())

    best = error(layer.weights, layer.bias, layer.output_shift)
    levels = 2 ** (bits - 1)
    others = []
    for exponent in range(-4, 6):
        scale = levels * 2.0**exponent
        integers = torch.floor(weights * scale + 0.5).clamp(-levels, levels - 1)
        bias = torch.floor(model.a.op.bias.detach() * scale + 0.5).clamp(-128, 127) * levels
        others.append(error(integers, bias, -exponent))
    assert 0 < best <= min(others)


def test_a_bias_much_larger_than_the_weights_fits():
    model = build(One)
    model.a.op.weight.data.uniform_(-0.01, 0.01)
    model.a.op.bias.data.fill_(0.75)
    (layer,) = calibrate(model, build(One, simulate=True), samples(8), {"a": 8}).values()
    assert layer.bias.max() / 128 * 2.0 ** (layer.output_shift - 7) == pytest.approx(0.75, abs=0.02)


def test_zero_weights():
    model = build(One)
    model.a.op.weight.data.zero_()
    model.a.op.bias.data.zero_()
    (layer,) = calibrate(model, build(One, simulate=True), samples(8), {"a": 8}).values()
    assert not layer.weights.any() and not layer.bias.any()


def test_compensated_rounding_lowers_the_error_of_the_sums():
    generator = torch.Generator().manual_seed(4)
    rows = torch.randn(400, 3, generator=generator) @ torch.randn(3, 24, generator=generator)
    op = torch.nn.Linear(24, 6)
    weights = torch.randn(6, 24, generator=generator)
    scale = 2.0
    better = CompensatedRounding(op, rows)(weights, scale, 4)
    nearest = torch.floor(weights * scale + 0.5).clamp(-8, 7)
    assert torch.equal(better, better.round()) and better.abs().max() <= 8

    def error(integers):
        return ((integers / scale - weights) @ rows.T).square().mean()

    assert error(better) < 0.3 * error(nearest)


def test_compensated_rounding_sees_what_a_convolution_sees():
    """Linear and convolution with the same products give the same integers."""
    image = torch.randn(5, 3, 6, 1, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(1))
    flat = CompensatedRounding(torch.nn.Conv1d(3, 4, 3, padding=1), image[..., 0])(weights, 3.0, 4)
    padded = torch.nn.functional.pad(image[..., 0], (1, 1)).unfold(2, 3, 1)
    rows = padded.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    linear = CompensatedRounding(torch.nn.Linear(9, 4), rows)(weights.flatten(1), 3.0, 4)
    assert torch.equal(flat.flatten(1), linear)
    assert CompensatedRounding(torch.nn.Conv2d(4, 4, 1, groups=2), torch.ones(1, 4, 2, 2))(weights, 1.0, 8) is None


class Twice(torch.nn.Module):
    """One layer under two names, used twice."""

    def __init__(self):
        super().__init__()
        self.a = self.b = nn.FusedConv2dReLU(3, 3, 3, padding=1)

    def forward(self, x):
        return self.b(self.a(x))


def test_one_layer_under_two_names():
    torch.manual_seed(0)
    model = build(Twice)
    chosen = calibrate(model, build(Twice, simulate=True), samples(8), OrderedDict(a=4, b=4))
    assert chosen["a"] is chosen["b"]
    with pytest.raises(Ai8xError, match="a and b are the same layer and must have the same weight bits, not 4 and 8"):
        calibrate(model, build(Twice, simulate=True), samples(8), {"a": 4, "b": 8})


def test_repeatable():
    model = trained()
    runs = [calibrate(model, build(simulate=True), samples(16), dict.fromkeys(layers_of(model), 4)) for _ in range(2)]
    for name, layer in runs[0].items():
        np.testing.assert_array_equal(layer.weights, runs[1][name].weights)


@torch.no_grad()
def ranged_error(expected, layers, bits, ranges):
    """Relative error of the integer model with these layers and ranges, whose outputs are scaled back."""
    integer = build(simulate=True, measured_ranges=True)
    nn.fuse_batchnorm(integer)
    load_state(integer, simulated(trained(), layers, bits).state_dict() | ranges)
    exponent = float(layers["fc"].output_shift + ranges["fc.activation_threshold"])
    result = integer(samples(200, seed=9)) / 128 / 2 ** (bits - 1) * 2.0**exponent
    return float((result - expected).square().mean() / expected.square().mean())


@pytest.mark.parametrize("bits", [8, 4])
@torch.no_grad()
def test_ranges_are_measured_where_activations_were_never_limited(bits):
    """Activations of many times 1 survive, better than with the integers nearest to the weights."""
    model = trained(measured_ranges=True)
    for module in layers_of(model).values():
        module.op.weight.mul_(2.5)
    expected = model(samples(200, seed=9) / 128)
    ranges = limit_ranges(model, samples(64), pytest.fail)
    assert all(model.state_dict()[key] == value for key, value in ranges.items())
    assert ranges["fc.final_scale"] > 2 and ranges["conv1.activation_threshold"] > 0
    target = build(simulate=True, measured_ranges=True)
    chosen = calibrate(model, target, samples(64), dict.fromkeys(layers_of(model), bits))
    nearest = {}
    for name, layer in by_clipping(model, bits, None).items():
        shift = fold_range(layer.output_shift, int(ranges[f"{name}.activation_threshold"]), bits).shift
        nearest[name] = replace(layer, output_shift=float(shift))
    error = ranged_error(expected, chosen, bits, ranges)
    assert error < {8: 0.02, 4: 0.2}[bits] and error < ranged_error(expected, nearest, bits, ranges)


def test_ranges_that_were_trained_stay():
    model = trained(measured_ranges=True)
    nn.start_qat(model, nn.QatPolicy(start_epoch=0, weight_bits=8))
    model.conv1.activation_threshold.data.fill_(3)
    assert limit_ranges(model, samples(8), pytest.fail)["conv1.activation_threshold"] == 3
