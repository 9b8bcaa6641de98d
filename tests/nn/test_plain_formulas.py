"""Every fused module against the plain formulas, and its gradients against finite differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ai8x_tool import nn
from ai8x_tool.device import MAX78002
from ai8x_tool.nn.fused import FusedModule, FusedOperator
from ai8x_tool.nn.layers import Linear
from tests.support.reference_modules import FLOAT, QAT, SIMULATE, Parameters, PlainModule, StraightThrough
from tests.support.turns import in_turn

MODULES = sorted(
    {
        value
        for value in vars(nn).values()
        if isinstance(value, type) and issubclass(value, FusedModule) and value is not FusedModule
    },
    key=lambda value: value.__name__,
)
OPERATORS = [value for value in MODULES if issubclass(value, FusedOperator)]
BITS = st.sampled_from([8, 4, 2, 1])
EXAMPLES = 3


@dataclass(frozen=True)
class Case:
    """A module, what it is in plain formulas, and the sizes of its input."""

    module: FusedModule
    plain: PlainModule
    shape: tuple[int, ...]


def axes(kind: type) -> int:
    return 0 if issubclass(kind, Linear) else 1 if "1d" in kind.__name__ else 2


@st.composite
def arguments(draw: Any, kind: type, mode: str) -> dict[str, Any]:
    """Keyword arguments within the part's rules; small, so that float32 sums of the integer modes are exact."""
    count, fixed = axes(kind), getattr(kind, "fixed", None)
    pooled = fixed is None or fixed.pooling is not None
    chosen: dict[str, Any] = {}
    if fixed is None:
        chosen["kernel_size"], chosen["stride"] = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        if kind.__name__.startswith("Max"):
            chosen["dilation"] = draw(st.integers(1, 2))
        return chosen
    chosen["bias"] = True if fixed.batchnorm else draw(st.booleans())
    if not fixed.activation:
        chosen["wide"] = draw(st.booleans())
    if not count:
        chosen["in_features"], chosen["out_features"] = draw(st.integers(1, 9)), draw(st.integers(1, 5))
        return chosen
    depth = draw(st.integers(1, 4))
    chosen["in_channels"], chosen["out_channels"] = depth, depth if fixed.depthwise else draw(st.integers(1, 4))
    chosen["kernel_size"] = draw(st.sampled_from([1, 3] if count == 2 else range(1, 5)))
    chosen["padding"] = draw(st.integers(0, 2))
    chosen["stride"] = 2 if fixed.transposed else 1 if pooled or count == 1 else draw(st.integers(1, 3))
    if count == 1:
        chosen["dilation"] = draw(st.integers(1, 2))
    if pooled:
        chosen["pool_size"], chosen["pool_stride"] = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    if mode == SIMULATE and fixed.batchnorm:
        chosen["batchnorm"] = None  # it is folded by then
    return chosen


@st.composite
def cases(draw: Any, kind: type, mode: str) -> Case:
    chosen = draw(arguments(kind, mode))
    rounded, measured = draw(st.booleans()), draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 2**31)))
    module = kind(**chosen, context=nn.BuildContext(MAX78002, mode == SIMULATE, rounded, measured))
    bits = draw(BITS)
    plain = PlainModule(mode, None, bits=bits, round_average=rounded, measured=measured, **described(module))
    if measured:  # without meaning for pooling alone
        plain = replace(plain, range=draw(st.integers(-3, 4)), final_scale=draw(st.integers(-2, 3)))
        module.activation_threshold.data.fill_(plain.range)
        module.final_scale.data.fill_(plain.final_scale)
        module.update()
    if module.op is not None:
        plain = prepared(draw, module, plain)
    shape = {0: (), 1: (21,), 2: (9, 11)}[axes(kind)]
    depth = chosen.get("in_features") or chosen.get("in_channels", 3)
    return Case(module, plain, (4, depth, *shape))


def described(module: FusedModule) -> dict[str, Any]:
    """What the constructor has made of the arguments, with one entry per axis of the image."""

    def pair(values: tuple[int, ...], missing: int) -> tuple[int, ...]:
        return values if len(values) == 2 else (missing, *values)

    result: dict[str, Any] = {"activation": module.activation, "wide": module.wide}
    if module.pooling is not None:
        pooling = module.pooling
        sizes = (pair(values, 1) for values in (pooling.size, pooling.stride, pooling.dilation))
        result |= dict(zip(("window", "pool_stride", "pool_dilation"), sizes, strict=True), pooling=pooling.kind)
    op = module.op
    if isinstance(op, torch.nn.modules.conv._ConvNd):
        result |= {"stride": op.stride[0], "groups": op.groups}
        result |= {"padding": pair(op.padding, 0), "dilation": pair(op.dilation, 1)}
    return result


def prepared(draw: Any, module: FusedModule, plain: PlainModule) -> PlainModule:
    """Give the module parameters of its mode, and return what it is then."""
    plain = replace(plain, operator="transposed" if isinstance(module.op, torch.nn.ConvTranspose2d) else "convolution")
    shift = draw(st.integers(-3, 2))
    for parameter in module.op.parameters():
        torch.nn.init.uniform_(parameter, -1.5, 1.5)
    if plain.mode == QAT:
        plain = replace(plain, quantile=draw(st.sampled_from([1.0, 0.985, 0.7])))
        module.start_qat(plain.bits, plain.quantile)
    elif plain.mode == FLOAT:
        plain = replace(plain, stored_shift=shift)
        module.output_shift.data.fill_(shift)
    else:
        plain = replace(plain, stored_shift=shift)
        store_integers(module, plain.bits, shift)
    module.update()
    if module.bn is not None:
        plain = with_batchnorm(module, plain, training=draw(st.booleans()))
    else:
        module.eval()
    return plain


def store_integers(module: FusedModule, bits: int, shift: int) -> None:
    """Fill a module as a quantized checkpoint does."""
    levels = 2 ** (bits - 1)
    for parameter, unit in ((module.op.weight, 1), (module.op.bias, levels)):
        if parameter is not None:
            lowest, highest = (-levels, levels) if unit == 1 else (-128, 128)
            parameter.data = torch.randint(lowest, highest, parameter.shape).float() * unit
    for parameter, value in ((module.output_shift, shift), (module.weight_bits, bits), (module.bias_bits, bits)):
        parameter.data.fill_(value)


def with_batchnorm(module: FusedModule, plain: PlainModule, *, training: bool) -> PlainModule:
    bn = module.bn
    torch.nn.init.uniform_(bn.running_mean, -0.3, 0.3)
    torch.nn.init.uniform_(bn.running_var, 0.1, 2)
    torch.nn.init.uniform_(bn.weight, 0.5, 2)
    torch.nn.init.uniform_(bn.bias, -0.5, 0.5)
    module.train(training)
    past = (bn.running_mean.double().numpy().copy(), bn.running_var.double().numpy().copy())
    return replace(plain, batchnorm=past, batch_statistics=training, epsilon=bn.eps)


def image(value: torch.Tensor, missing: int = 1) -> np.ndarray:
    """A tensor as (B, C, H, W)."""
    array = value.detach().double().numpy()
    return array[:, :, None] if array.ndim == 3 else array.reshape(*array.shape, *[1] * (4 - array.ndim))


def parameters_of(module: FusedModule) -> Parameters | None:
    if module.op is None:
        return None
    bias = module.op.bias
    vectors = [bias, *((module.bn.weight, module.bn.bias) if module.bn is not None else (None, None))]
    return Parameters(
        image(module.op.weight), *(None if value is None else value.detach().double().numpy() for value in vectors)
    )


def inputs_of(case: Case) -> torch.Tensor:
    """Random integers, in units of the mode; nothing limits them before ranges are measured."""
    integers = torch.randint(-128, 128, case.shape).float()
    unlimited = case.plain.mode == FLOAT and case.plain.measured
    return integers if case.plain.mode == SIMULATE else integers / (16 if unlimited else 128)


@pytest.mark.parametrize("mode", [FLOAT, QAT, SIMULATE])
@pytest.mark.parametrize("kind", in_turn(MODULES, 2), ids=lambda kind: kind.__name__)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_outputs(kind: type, mode: str, data: Any) -> None:
    case = data.draw(cases(kind, mode))
    if case.module.op is None and mode == QAT:
        case.module.start_qat(8, 1.0)
    plain, x, parameters = case.plain, inputs_of(case), parameters_of(case.module)
    with torch.no_grad():
        found = image(case.module(x))
    shift = 0 if parameters is None else plain.output_shift(parameters)
    expected = plain.forward(image(x), parameters, StraightThrough(), shift)
    assert found.shape == expected.shape
    if mode == FLOAT:
        unit = 2.0 ** (plain.final_scale - min(0, plain.range))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3 * max(1, unit))
    elif case.module.bn is None:
        np.testing.assert_array_equal(found, expected)
    else:  # sums are not exact: a value near the middle of two steps may be rounded to either
        steps = (2**14 if plain.wide else 128) * 2.0**-plain.final_scale
        assert np.abs(found - expected).max() * steps <= (2 if plain.wide else 1)
        assert plain.wide or (found != expected).mean() < 0.01


STEP = 1e-6
NEAR = 1000 * STEP


def defined_direction(plain: PlainModule, parameters: Parameters, shift: int) -> Parameters:
    """A random direction for the parameters, 0 where a quantized one lies on a bound and has no derivative."""

    def direction(name: str, value: np.ndarray | None) -> np.ndarray | None:
        if value is None:
            return None
        random = np.random.default_rng(value.size).uniform(-1, 1, value.shape)
        if plain.mode != QAT or name not in ("weight", "bias"):
            return random
        levels = 2 ** (plain.bits - 1)
        integers = np.floor(value * 2.0**-shift * levels + 0.5)
        return np.where((integers == -levels) | (integers == levels - 1), 0, random)

    return Parameters(**{name: direction(name, value) for name, value in vars(parameters).items()})


def before_activation(plain: PlainModule, x: np.ndarray, parameters: Parameters | None, shift: int) -> np.ndarray:
    rounds = StraightThrough()
    result = replace(plain, activation=None).before_clamping(x, parameters, rounds, shift)
    return result - rounds.offsets[-1] if plain.mode == QAT else result


@pytest.mark.parametrize("mode", [FLOAT, QAT])
@pytest.mark.parametrize("kind", in_turn(MODULES, 2), ids=lambda kind: kind.__name__)
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_gradients(kind: type, mode: str, data: Any) -> None:
    case = data.draw(cases(kind, mode))
    module, plain = case.module.double(), case.plain
    if module.op is None and mode == QAT:
        module.start_qat(8, 1.0)
    x = (torch.rand(case.shape, dtype=torch.float64) * 1.8 - 0.9).requires_grad_()
    parameters, start = parameters_of(module), image(x)
    shift = 0 if parameters is None else plain.output_shift(parameters)
    rounds = StraightThrough()
    unclamped = plain.before_clamping(start, parameters, rounds, shift)
    rounds.frozen = True
    cotangent = np.random.default_rng(1).uniform(-1, 1, unclamped.shape)
    # There the output has no derivative: on a bound, and where ReLU and Abs have their kink. A step changes outputs by
    # the sum over many weights, each of them scaled.
    for bound in plain.limits():
        cotangent[np.abs(unclamped - bound) < NEAR] = 0
    if plain.activation is not None:
        cotangent[np.abs(before_activation(plain, start, parameters, shift)) < NEAR] = 0
    output = module(x)
    (output * torch.from_numpy(cotangent.reshape(output.shape))).sum().backward()
    ahead = np.random.default_rng(2).uniform(-1, 1, start.shape)
    along = None if parameters is None else defined_direction(plain, parameters, shift)

    def moved(step: float) -> float:
        changed = None if parameters is None or along is None else parameters.moved(along, step)
        return float((plain.forward(start + step * ahead, changed, rounds, shift) * cotangent).sum())

    found = float((image(x.grad) * ahead).sum())
    if along is not None:
        vectors = [module.op.bias, *((module.bn.weight, module.bn.bias) if module.bn is not None else (None, None))]
        found += float((image(module.op.weight.grad) * along.weight).sum())
        for vector, direction in zip(vectors, (along.bias, along.gain, along.offset), strict=True):
            found += 0 if vector is None else float((vector.grad.numpy() * direction).sum())
    assert found == pytest.approx((moved(STEP) - moved(-STEP)) / (2 * STEP), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("mode", [FLOAT, QAT, SIMULATE])
@pytest.mark.parametrize("kind", [nn.Add, nn.Sub, nn.BitwiseXor, nn.BitwiseOr], ids=lambda kind: kind.__name__)
@given(seed=st.integers(0, 2**31), count=st.integers(2, 4))
@settings(max_examples=EXAMPLES)
def test_elementwise_outputs(kind: type, mode: str, seed: int, count: int) -> None:
    integers = np.random.default_rng(seed).integers(-128, 128, (count, 2, 3, 4, 5))
    combine = {nn.Add: np.add, nn.Sub: np.subtract, nn.BitwiseXor: np.bitwise_xor, nn.BitwiseOr: np.bitwise_or}[kind]
    expected = integers[0]
    for operand in integers[1:]:
        expected = combine(expected, operand)
    scale = 1 if mode == SIMULATE else 128
    module = kind(context=nn.BuildContext(MAX78002, mode == SIMULATE))
    found = module(*(torch.tensor(operand).float() / scale for operand in integers))
    np.testing.assert_array_equal(found.numpy() * scale, expected.clip(-128, 127))
