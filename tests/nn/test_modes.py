"""Float, QAT and simulate mode against each other and against integers computed with NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.nn.quantizers import output_shift

TRAIN = nn.BuildContext(MAX78002)
SIMULATE = nn.BuildContext(MAX78002, simulate=True)
QAT8 = {"weight_bits": 8, "bias_bits": 8, "quantize_activation": True}


def quantized_state(module: nn.FusedModule, bits: int) -> dict[str, torch.Tensor]:
    """State of the integer checkpoint of a QAT module."""
    assert module.op is not None
    weight, bias = module.op.weight.detach(), module.op.bias.detach()
    shift = output_shift(weight, bias, 1.0)
    levels = 2 ** (bits - 1)
    state = {key: value.clone() for key, value in module.state_dict().items()}
    state["op.weight"] = (weight * 2.0**-shift * levels + 0.5).floor().clamp(-levels, levels - 1)
    state["op.bias"] = (bias * 2.0**-shift * levels + 0.5).floor().clamp(-levels, levels - 1) * levels
    state["output_shift"] = torch.tensor([float(shift)])
    state["adjust_output_shift"] = torch.tensor([0.0])
    return state


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize(("activation", "wide"), [(None, False), ("ReLU", False), ("Abs", False), (None, True)])
def test_qat_output_is_the_simulated_integer(bits: int, activation: str | None, wide: bool) -> None:
    torch.manual_seed(bits)
    common: dict[str, Any] = {"padding": 1, "activation": activation, "wide": wide}
    quantization = {"weight_bits": bits, "bias_bits": bits, "quantize_activation": True}
    qat = nn.Conv2d(512, 16, 3, **common, **quantization, context=TRAIN)
    torch.nn.init.uniform_(qat.op.weight, -1, 1)
    torch.nn.init.uniform_(qat.op.bias, -1, 1)
    simulate = nn.Conv2d(512, 16, 3, **common, context=SIMULATE)
    assert nn.load_state(simulate, quantized_state(qat, bits)) == []
    x = torch.randint(-128, 128, (2, 512, 8, 8)).float()
    with torch.no_grad():
        expected, integers = qat(x / 128) * 128 * (2 ** (bits - 1) if wide else 1), simulate(x)
    differs = expected != integers
    if activation == "Abs":  # rounding before or after the absolute value differs at exact ties only
        assert (expected - integers).abs().max() <= 1 and differs.float().mean() < 0.02
    else:
        assert not differs.any()


def integer_convolution(x: Any, w: Any, b: Any, bits: int, shift: int, pad: int, wide: bool) -> Any:
    """acc, and its 8-bit form with ReLU, as the accelerator's arithmetic is written down: plain integers."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    height, width = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    acc = np.zeros((x.shape[0], w.shape[0], height, width), np.int64)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            acc += np.einsum("oc,bchw->bohw", w[:, :, i, j], x[:, :, i : i + height, j : j + width])
    acc += 128 * b[None, :, None, None]
    if wide:
        return acc
    total = 7 - (shift + 8 - bits)
    y = (acc + (1 << (total - 1))) >> total if total > 0 else acc << -total
    return np.clip(np.clip(y, -128, 127), 0, None)


@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shift", [-3, 0, 2])
def test_simulate_mode_is_exact(bits: int, wide: bool, shift: int) -> None:
    rng = np.random.default_rng(bits)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    # 512 inputs of the same sign drive the 8-bit sums above 2^24, where float32 is no longer exact.
    w = rng.integers(high // 2 if bits == 8 else low, high + 1, (5, 512, 3, 3))
    b = rng.integers(-128, 128, 5)
    x = rng.integers(64, 128, (2, 512, 6, 6))
    module = nn.Conv2d(512, 5, 3, padding=1, activation=None if wide else "ReLU", wide=wide, context=SIMULATE)
    state = module.state_dict() | {
        "op.weight": torch.tensor(w, dtype=torch.float32),
        "op.bias": torch.tensor(b * 2 ** (bits - 1), dtype=torch.float32),
        "weight_bits": torch.tensor([bits]),
        "bias_bits": torch.tensor([bits]),
        "output_shift": torch.tensor([float(shift)]),
    }
    nn.load_state(module, state)
    expected = integer_convolution(x, w, b, bits, shift, 1, wide)
    with torch.no_grad():
        np.testing.assert_array_equal(module(torch.tensor(x, dtype=torch.float32)).numpy(), expected)


@pytest.mark.parametrize("rounding", [False, True])
@pytest.mark.parametrize("size", [2, 3, (2, 3), 5, 7, 16])
def test_averages_are_exact_in_both_integer_modes(rounding: bool, size: int | tuple[int, int]) -> None:
    x = torch.randint(-128, 128, (4, 8, 32, 32), generator=torch.Generator().manual_seed(3))
    rows, columns = (size, size) if isinstance(size, int) else size
    windows = x.unfold(2, rows, 1).unfold(3, columns, 1).sum((-1, -2)).numpy()
    count = rows * columns
    truncated = np.sign(windows) * (np.abs(windows) // count)
    expected = np.rint(windows / count) if rounding else truncated
    for simulate in (True, False):
        context = nn.BuildContext(MAX78000, simulate, rounding)
        pool = nn.AvgPool2d(size, 1, context=context, **({} if simulate else QAT8))
        scale = 1 if simulate else 128
        np.testing.assert_array_equal(pool(x / scale).numpy() * scale, expected)


def test_1d_average_and_max_pooling() -> None:
    x = torch.tensor([[[-3.0, -4, 100, 3, 127, 127, 9]]])
    assert nn.AvgPool1d(2, context=SIMULATE)(x).tolist() == [[[-3, 51, 127]]]
    assert nn.MaxPool1d(3, 2, context=SIMULATE)(x).tolist() == [[[100, 127, 127]]]
    assert nn.MaxPool1d(2, 1, 2, context=SIMULATE)(x).tolist() == [[[100, 3, 127, 127, 127]]]
    floating = nn.AvgPool1d(2, context=TRAIN)(x / 128)
    torch.testing.assert_close(floating, torch.tensor([[[-3.5, 51.5, 127.0]]]) / 128)


def test_float_mode_limits_activations() -> None:
    module = nn.Linear(2, 2, bias=True, context=TRAIN)
    with torch.no_grad():
        module.op.weight.copy_(torch.eye(2) * 3)
        module.op.bias.zero_()
    assert module(torch.tensor([[0.9, -0.9]])).tolist() == [[127 / 128, -1.0]]
    wide = nn.Linear(2, 2, wide=True, context=TRAIN)
    wide.load_state_dict({k: v for k, v in module.state_dict().items() if k != "op.bias"})
    torch.testing.assert_close(wide(torch.tensor([[0.9, -0.9]])), torch.tensor([[2.7, -2.7]]))


def test_a_stored_output_shift_scales_the_float_output() -> None:
    module = nn.Conv1d(1, 1, 1, bias=False, context=TRAIN)
    state = module.state_dict() | {"output_shift": torch.tensor([-2.0]), "op.weight": torch.full((1, 1, 1), 0.5)}
    nn.load_state(module, state)
    assert module(torch.full((1, 1, 1), 0.5)).item() == 0.0625


def test_batch_norm_is_divided_by_four_and_folds() -> None:
    torch.manual_seed(0)
    modules = [
        nn.FusedConv2dBNReLU(3, 4, 3, padding=1, context=TRAIN),
        nn.FusedMaxPoolConv2dBN(3, 4, 3, batchnorm="NoAffine", context=TRAIN),
        nn.FusedConvTranspose2dBNReLU(3, 5, 3, stride=2, padding=1, context=TRAIN),
        nn.FusedDepthwiseConvTranspose2dBNReLU(4, 4, 3, stride=2, padding=1, context=TRAIN),
        nn.FusedDepthwiseConv2dBNReLU(4, 4, 3, context=TRAIN),
    ]
    for module in modules:
        assert module.bn is not None and module.op is not None
        module.bn.running_mean.uniform_(-0.2, 0.2)
        module.bn.running_var.uniform_(0.05, 2)
        if module.bn.affine:
            torch.nn.init.uniform_(module.bn.weight, -2, 2)
            torch.nn.init.uniform_(module.bn.bias, -1, 1)
        model = torch.nn.Sequential(module).eval()  # a direct numeric child
        x = torch.rand(2, module.op.in_channels, 8, 8) - 0.5
        before = model(x)
        nn.fuse_batchnorm(model)
        assert not [key for key in model.state_dict() if ".bn." in key]
        torch.testing.assert_close(model(x), before, atol=1e-5, rtol=1e-4)


def test_qat_gradients_are_straight_through() -> None:
    qat = nn.Conv1d(2, 2, 1, activation="ReLU", **QAT8, context=TRAIN)
    weight = torch.tensor([[0.30, -0.20], [0.7, 0.9]])
    with torch.no_grad():
        qat.op.weight.copy_(weight[:, :, None])
        qat.op.bias.copy_(torch.tensor([0.0, 0.6]))
    x = torch.tensor([[[0.5, 1 / 512, 0.0], [0.25, 0.0, 0.5]]]).requires_grad_()
    y = qat(x)
    y.sum().backward()
    # Channel 0: 0.1 passes; 0.0006 is rounded to 0 but passes; −0.1 is cut by ReLU. Channel 1 clips at both 1.175.
    z = torch.einsum("oc,bcl->bol", weight, x.detach()) + torch.tensor([0.0, 0.6])[None, :, None]
    inside = ((z > 0) & (z < 127.5 / 128)).float()
    torch.testing.assert_close(
        x.grad, torch.einsum("oc,bol->bcl", qat.op.weight.detach()[:, :, 0], inside), atol=0.01, rtol=0
    )
    torch.testing.assert_close(qat.op.weight.grad[:, :, 0], torch.einsum("bol,bcl->oc", inside, x.detach()))
    torch.testing.assert_close(qat.op.bias.grad, inside.sum((0, 2)))
    assert inside.tolist() == [[[1, 1, 0], [0, 1, 0]]]


def test_clipped_weights_get_no_gradient() -> None:
    module = nn.Linear(4, 1, wide=True, weight_bits=2, bias_bits=2, quantize_activation=True, context=TRAIN)
    with torch.no_grad():
        module.op.weight.copy_(torch.tensor([[1.0, 0.4, -0.2, -1.0]]))
    module(torch.full((1, 4), 0.25)).backward()
    assert module.op.weight.grad.tolist() == [[0.0, 0.25, 0.25, 0.25]]  # 1.0 is above 1/2, the largest 2-bit weight


def test_the_derived_weights_follow_the_parameters() -> None:
    module = nn.Linear(1, 1, **QAT8, context=TRAIN).eval()
    with torch.no_grad():
        module.op.weight.fill_(0.25)
        first = module(torch.ones(1, 1)).item()
        module.op.weight.fill_(0.5)
        assert (first, module(torch.ones(1, 1)).item()) == (0.25, 0.5)
        nn.start_qat(module, nn.QatPolicy(0, 1))
        assert module(torch.ones(1, 1)).item() == 0.0  # one bit: −1 or 0, and 0.5·2 is clipped to 0


def test_dropout_keeps_the_mean_and_depends_on_the_seed() -> None:
    dropout = nn.Dropout(0.2)
    x = torch.ones(1001, 99)
    torch.manual_seed(5)
    first = dropout(x)
    torch.manual_seed(5)
    assert torch.equal(first, dropout(x)) and not torch.equal(first, dropout(x))
    assert abs((first == 0).float().mean().item() - 0.2) < 0.01 and abs(first.mean().item() - 1) < 0.01
    assert torch.equal(dropout.eval()(x), x)


def test_elementwise_saturate_once_and_act_on_integers() -> None:
    a, b, c = (torch.tensor([v]) for v in (100.0, 100.0, -100.0))
    assert nn.Add(context=SIMULATE)(a, b, c).item() == 100
    assert nn.Sub(context=SIMULATE)(c, a).item() == -128
    assert nn.BitwiseXor(context=SIMULATE)(torch.tensor([-1.0]), torch.tensor([5.0])).item() == -6
    assert nn.BitwiseOr(context=TRAIN)(torch.tensor([0.5]), torch.tensor([3 / 128])).item() == 67 / 128
    x = torch.tensor([0.5, -0.9]).requires_grad_()
    nn.Add(context=TRAIN)(x, torch.tensor([0.25, -0.9])).sum().backward()
    assert x.grad.tolist() == [1, 0]
