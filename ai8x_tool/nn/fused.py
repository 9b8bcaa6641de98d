"""Fused module: pooling, operator, batch normalization and activation, in float, QAT and simulate mode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ai8x_tool.nn.constraints import check_bits, choice, require
from ai8x_tool.nn.context import BuildContext, ConstraintError, resolve_context
from ai8x_tool.nn.pooling import Pooling
from ai8x_tool.nn.quantizers import (
    ACTIVATION_HIGH,
    ACTIVATION_LOW,
    HALF_STEP,
    WIDE_HIGH,
    WIDE_LOW,
    clamp,
    clamped_shift,
    output_shift,
    quantize_activation,
    quantize_parameter,
    round_steps,
)

EXACT_FLOAT32 = 2**24
"""Largest magnitude up to which integers and their sums are exact in float32."""
_ACTIVATIONS = (None, "ReLU", "Abs")
_BATCH_NORMS = (None, "Affine", "NoAffine")

Parameters = tuple[Tensor, Tensor | None, int]
"""Weight and bias passed to the operator, and the exponent (of two) to apply to its result."""


def scalar_parameter() -> nn.Parameter:
    """Return a zero-dimensional parameter that is saved but not trained."""
    return nn.Parameter(torch.tensor(0.0), requires_grad=False)


class FusedModule(nn.Module):
    """Base of all fused modules. One-element parameters, saved with the model, control the computation:

    ``output_shift``, ``weight_bits``, ``bias_bits``, ``quantize_activation``, ``adjust_output_shift``,
    ``shift_quantile``; with measured ranges also ``activation_threshold`` R (the output is divided by 2^R relative to
    the input), ``final_scale`` F (the output is multiplied by 2^F, in software) and ``clamp_activation``. After
    changing them, call :meth:`update`, as loading a state dict does.
    """

    op: nn.Module | None
    bn: nn.Module | None
    activation_threshold: nn.Parameter
    final_scale: nn.Parameter
    clamp_activation: nn.Parameter

    def __init__(
        self,
        *,
        pooling: Pooling | None = None,
        activation: str | None = None,
        wide: bool = False,
        weight_bits: int | None = None,
        bias_bits: int | None = None,
        quantize_activation: bool = False,
        context: BuildContext | None = None,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        build = resolve_context(context, owner)
        check_bits(weight_bits, bias_bits, quantize_activation, owner)
        choice(activation, _ACTIVATIONS, "activation", owner)
        require(not wide or activation is None, owner, f"a wide output must have no activation, not {activation}")
        self.simulate, self.round_avg, self.measured_ranges = build.simulate, build.round_avg, build.measured_ranges
        self.pooling, self.activation, self.wide = pooling, activation, wide
        if build.simulate:
            weight_bits, bias_bits, quantize_activation = weight_bits or 8, bias_bits or 8, True
        self._create_parameters(weight_bits or 0, bias_bits or 0, quantize_activation)
        self.op = self.bn = None
        self.update()

    def _create_parameters(self, weight_bits: int, bias_bits: int, quantize: bool) -> None:
        def entry(value: float, dtype: torch.dtype) -> nn.Parameter:
            return nn.Parameter(torch.tensor([value], dtype=dtype), requires_grad=False)

        self.output_shift = entry(0, torch.float32)
        if self.measured_ranges:
            self.activation_threshold, self.final_scale = scalar_parameter(), scalar_parameter()
        self.weight_bits = entry(weight_bits, torch.int64)
        self.bias_bits = entry(bias_bits, torch.int64)
        self.quantize_activation = entry(quantize, torch.bool)
        if self.measured_ranges:
            self.clamp_activation = entry(quantize, torch.bool)
        self.adjust_output_shift = entry(quantize and not self.simulate, torch.bool)
        self.shift_quantile = entry(1.0, torch.float32)

    def _attach(self, op: nn.Module, batchnorm: nn.Module | None = None) -> None:
        """Register the operator, then the batch normalization; their order is that of the state dict."""
        del self.op, self.bn
        self.op, self.bn = op, batchnorm

    def update(self) -> None:
        """Apply changed parameters to the computation."""
        self._bits = int(self.weight_bits)
        self._bias_bits = int(self.bias_bits)
        self._quantize = bool(self.quantize_activation)
        self._adjust = bool(self.adjust_output_shift) and not self.simulate
        self._quantile = float(self.shift_quantile)
        self._shift = int(self.output_shift)
        self._range = int(self.activation_threshold) if self.measured_ranges else 0
        self._final_scale = int(self.final_scale) if self.measured_ranges and self.op is not None else 0
        self.clamps = not self.measured_ranges or self._quantize or bool(self.clamp_activation)
        self._cache: tuple[tuple[object, ...], Parameters] | None = None
        if self.simulate and self._bits == 0:
            self._bits = self._bias_bits = 8

    def start_qat(self, bits: int, shift_quantile: float) -> None:
        """Start quantizing weights and biases to `bits`, and activations to 8 bits."""
        for parameter, value in (
            (self.weight_bits, bits),
            (self.bias_bits, bits),
            (self.quantize_activation, True),
            (self.adjust_output_shift, not self.simulate),
            (self.shift_quantile, shift_quantile),
        ):
            parameter.data.fill_(value)
        if self.measured_ranges:
            self.clamp_activation.data.fill_(True)
        self.update()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.update()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}

    # -- computation ------------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for `x`, (B, C, L), (B, C, H, W) or, if linear, (B, features)."""
        if self.pooling is not None:
            modes = {"quantize": self._quantize, "simulate": self.simulate, "nearest": self.round_avg}
            x = self.pooling(x, clamps=self.clamps, **modes)
        if self.op is None:
            return x
        y = self._operate(self.op, x)
        return y * 2.0**self._final_scale if self._final_scale else y

    def _operate(self, op: nn.Module, x: Tensor) -> Tensor:
        weight, bias, exponent = self._effective()
        if self.simulate:
            return self._finish_simulate(x, weight, bias)
        z = self._compute(op, x, weight, bias)
        if self.bn is not None:
            z = self.bn(z) * self.batchnorm_factor
        if exponent:
            z = z * 2.0**exponent
        return self._finish_qat(z) if self._quantize else self._finish_float(z)

    @property
    def batchnorm_factor(self) -> float:
        """Factor applied to the output of batch normalization: 1/4 to keep it within fixed ranges, else 1."""
        return 1.0 if self.measured_ranges else 0.25

    @property
    def range_exponent(self) -> int:
        """R: outputs are divided by 2^R relative to inputs."""
        return self._range

    @property
    def final_scale_exponent(self) -> int:
        """F: outputs are multiplied by 2^F in software, not by the accelerator."""
        return self._final_scale

    def _compute(self, op: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the result of the operator alone; not called for modules without an operator."""
        raise NotImplementedError

    def _finish_float(self, z: Tensor) -> Tensor:
        if not self.clamps:
            return z.relu() if self.activation == "ReLU" else z.abs() if self.activation == "Abs" else z
        if self.wide:
            return clamp(z, WIDE_LOW, WIDE_HIGH)
        if self.activation == "ReLU":
            return nn.functional.hardtanh(z, 0.0, ACTIVATION_HIGH)
        return clamp(z.abs() if self.activation == "Abs" else z, ACTIVATION_LOW, ACTIVATION_HIGH)

    def _finish_qat(self, z: Tensor) -> Tensor:
        if self.wide:
            return clamp(round_steps(z, 2.0**14), WIDE_LOW, WIDE_HIGH)
        if self._half_step_in_bias:
            return quantize_activation(z, relu=self.activation == "ReLU")
        if self.activation == "Abs":
            return quantize_activation(z.abs() + HALF_STEP, relu=False)
        return quantize_activation(z + HALF_STEP, relu=self.activation == "ReLU")

    def _finish_simulate(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert self.op is not None
        if self.bn is not None:
            message = "batch normalization must be folded before integer simulation"
            raise ConstraintError(message, where=type(self).__name__, fix="call fuse_batchnorm(model)")
        accumulator = self._accumulate(x, weight, bias)
        if self.wide:
            return accumulator.clamp_(-(2.0**29), 2.0**29 - 1)
        z = accumulator.mul_(2.0**self.simulate_exponent).add_(0.5).floor_().clamp_(-128, 127)
        if self.activation == "ReLU":
            z = z.relu_()
        elif self.activation == "Abs":  # after rounding, as on the accelerator: −64 gives 0, not 1
            z = z.abs_().clamp_(max=127)
        return z.to(x.dtype)

    def _accumulate(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the exact sum of products plus bias; `weight` is float64 if sums may be inexact in float32."""
        assert self.op is not None
        # NNPACK may choose Winograd or Fourier transforms, which are not exact.
        with torch.no_grad(), torch.backends.nnpack.flags(enabled=False):
            return self._compute(self.op, x.to(weight.dtype), weight, bias)

    # -- parameters -------------------------------------------------------------------------------------------------

    @property
    def _half_step_in_bias(self) -> bool:
        return self._quantize and not self.wide and self.bn is None and self.activation != "Abs" and not self.simulate

    def _effective(self) -> Parameters:
        """Return weight, bias and remaining exponent; cached between calls while they cannot change."""
        assert self.op is not None
        weight, bias = self.op.weight, self.op.bias
        assert isinstance(weight, Tensor) and (bias is None or isinstance(bias, Tensor))
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            self._cache = None
            return self._derive(weight, bias)
        key = tuple((p.data_ptr(), p._version, p.device) for p in (weight, bias) if p is not None)
        if self._cache is None or self._cache[0] != key:
            self._cache = (key, self._derive(weight, bias))
        return self._cache[1]

    @torch.no_grad()
    def constant_parameters(self) -> tuple[Tensor, Tensor | None, int, bool]:
        """Return the operator's weight and bias in evaluation mode, and the exponent of the following scaling.

        The last value is True if the bias contains the half step that rounds the result. In simulate mode, weights are
        float64 if sums may exceed the integers that float32 represents exactly.
        """
        assert self.op is not None and isinstance(self.op.weight, Tensor)
        assert self.op.bias is None or isinstance(self.op.bias, Tensor)
        return *self._derive(self.op.weight, self.op.bias), self._half_step_in_bias

    @property
    def quantizes(self) -> bool:
        """Whether activations are quantized."""
        return self._quantize

    @property
    def simulate_exponent(self) -> int:
        """Exponent (of two) of the factor from the accumulator of simulate mode to output integers."""
        return self._shift + 1 - self._bits

    def _derive(self, weight: Tensor, bias: Tensor | None) -> Parameters:
        if self.simulate:
            return self._derive_simulate(weight, bias)
        shift = output_shift(weight, bias, self._quantile) if self._adjust else self._shift
        before = shift if self._adjust else 0
        after = clamped_shift(shift - self._range) if self.measured_ranges else shift
        # A power of two commutes with the operator; applying it to the small tensors is nearly free.
        folded = 0 if self.wide or self.bn is not None else after
        if self._bits:
            weight = quantize_parameter(weight, before, self._bits, folded)
            bias = None if bias is None else quantize_parameter(bias, before, self._bias_bits, folded)
        elif folded != before:
            scale = 2.0 ** (folded - before)
            weight, bias = weight * scale, None if bias is None else bias * scale
        if self._half_step_in_bias:
            bias = self._half_step(weight) if bias is None else bias + HALF_STEP
        return weight, bias, 0 if self.wide else after - folded

    def _half_step(self, weight: Tensor) -> Tensor:
        return torch.full((self._channels(weight),), HALF_STEP, dtype=weight.dtype, device=weight.device)

    def _channels(self, weight: Tensor) -> int:
        return weight.shape[0]

    def _derive_simulate(self, weight: Tensor, bias: Tensor | None) -> Parameters:
        """Return integer weights of n bits and the bias in units of the accumulator; float64 if float32 is not exact.

        The reference tools scale both to 8-bit weights and scale the result back; the integers are the same.
        """
        weight = weight.detach().add(0.5).floor_()
        bias = None if bias is None else (bias.detach() * 2.0 ** (8 - self._bits)).add_(0.5).floor_()
        largest = float(self.channel_sums(weight.double().abs()).max()) * 128
        largest += float(bias.abs().max()) if bias is not None else 0.0
        if largest >= EXACT_FLOAT32 or weight.device.type == "cuda":
            weight, bias = weight.double(), None if bias is None else bias.double()
        return weight, bias, 0

    def channel_sums(self, magnitudes: Tensor) -> Tensor:
        """Return the sum of the |weights| that contribute to one output, or a bound for it, per output channel."""
        return magnitudes.flatten(1).sum(1)


@dataclass(frozen=True)
class Fixed:
    """Arguments fixed by the name of a class: ``FusedMaxPoolConv2dReLU`` has pooling 'Max' and activation 'ReLU'."""

    pooling: str | None = None
    activation: str | None = None
    batchnorm: str | None = None
    depthwise: bool = False
    transposed: bool = False

    def describe(self, operator: str) -> str:
        """Return one sentence for the documentation of the class."""
        kind = "depthwise " * self.depthwise + "transposed " * self.transposed + operator
        before = {"Max": "Max pooling, then ", "Avg": "Average pooling, then ", None: ""}[self.pooling]
        steps = [before + kind, "batch normalization" if self.batchnorm else "", self.activation or ""]
        sentence = ", ".join(step for step in steps if step)
        return f"{sentence[0].upper()}{sentence[1:]}."


class Unset:
    """Type of the default of arguments for which None is a value."""

    def __repr__(self) -> str:
        return "default"


UNSET = Unset()


class FusedOperator(FusedModule):
    """A fused module with an operator; subclasses fix arguments in their class statement."""

    fixed: ClassVar[Fixed] = Fixed()
    operator: ClassVar[str] = "operator"

    def __init_subclass__(cls, **fixed: Any) -> None:
        super().__init_subclass__()
        if fixed:
            cls.fixed = replace(cls.fixed, **fixed)
        if "__doc__" not in cls.__dict__ or cls.__doc__ is None:
            cls.__doc__ = cls.fixed.describe(cls.operator)

    def _choose(self, name: str, given: Any) -> Any:
        """Return the argument fixed by the class name, else the given one; raise ConstraintError if they contradict."""
        fixed = getattr(self.fixed, name)
        if fixed is None:
            return given
        require(given in (None, fixed), type(self).__name__, f"{name} must be {fixed!r} for this class, not {given!r}")
        return fixed

    def _choose_batchnorm(self, given: Any, bias: bool) -> str | None:
        chosen = self.fixed.batchnorm if isinstance(given, Unset) else given
        owner = type(self).__name__
        choice(chosen, _BATCH_NORMS, "batchnorm", owner)
        fix = "pass bias=True, or --use-bias on the command line"
        require(chosen is None or bias, owner, "batch normalization requires a bias into which it can be folded", fix)
        return None if chosen is None else str(chosen)
