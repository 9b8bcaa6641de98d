"""Post-training quantization by calibration: the output shift of each layer that minimizes its output error.

The weights of a layer can be scaled by powers of two only, because the output shift has to undo the scale. The scale is
a compromise between clipping and step size. For each candidate, the layer is run as on the accelerator, on the sample
outputs of the preceding layers, which are quantized already; the error is the difference from the layer's output in the
trained model. The bias compensates for the mean error of each channel and uses all 8 bits of bias memory, whatever the
width of the weights.

A float model built for measured activation ranges has no ranges before QAT; they are measured with the samples, as
training does with the training set when QAT starts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import fuse_batchnorm, measure_ranges, named_fused_modules, update_model
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.hooks import Call, observed_calls
from ai8x_tool.nn.policy import QatPolicy
from ai8x_tool.nn.ranges import Warn
from ai8x_tool.quantization.rounding import CompensatedRounding
from ai8x_tool.quantization.rules import HIGHEST_SHIFT, LOWEST_SHIFT, QuantizedLayer, quantize_trained, to_integers

_COARSER, _FINER = 1, 5
"""Candidate scales: exponents of two relative to the largest scale that does not clip."""
_RANGE_ENTRIES = ("activation_threshold", "final_scale", "clamp_activation")


@torch.no_grad()
def limit_ranges(model: nn.Module, samples: Tensor, warn: Warn) -> dict[str, Tensor]:
    """Apply the measured activation ranges of a model; measure them with `samples` if it has none yet.

    `model` is trained, with batch normalization folded; `samples` are integers −128…127 as float32. Returns the
    state-dict entries of the ranges, empty if the model has fixed ranges.
    """
    modules = [module for _, module in named_fused_modules(model)]
    if not any(module.clamps for module in modules):
        measure_ranges(model, [samples / 128], QatPolicy(start_epoch=0, weight_bits=8), warn)
    for module in modules:
        module.clamp_activation.data.fill_(True)
    update_model(model)
    state = model.state_dict()
    return {key: value.clone() for key, value in state.items() if key.rpartition(".")[2] in _RANGE_ENTRIES}


@torch.no_grad()
def calibrate(
    reference: nn.Module, simulated: nn.Module, samples: Tensor, bits: Mapping[str, int]
) -> dict[str, QuantizedLayer]:
    """Return integer weights and biases of every layer in `bits` that is executed for the samples.

    `reference` is the trained model, with batch normalization folded; `simulated` the same model built in simulate
    mode, whose parameters are overwritten; `samples` (N, C, L) or (N, C, H, W) are integers −128…127 as float32. A
    module that is used several times is calibrated for its first use.
    """
    _enter_integer_mode(simulated)
    trained = dict(named_fused_modules(reference.eval()))
    inputs = _first_inputs(reference, samples / 128)
    chosen: dict[str, QuantizedLayer] = {}

    def choose(call: Call[FusedModule]) -> None:
        name = call.name
        if name in bits and name in inputs and name not in chosen:
            search = _Search(trained[name], call.module, inputs.pop(name), call.input, bits[name])
            chosen[name] = search.best()
            _install(call.module, chosen[name], bits[name])

    with observed_calls(_operators(simulated.eval()), before=choose):
        simulated(samples)
    return _under_all_names(reference, chosen, bits)


def _under_all_names(
    model: nn.Module, chosen: dict[str, QuantizedLayer], bits: Mapping[str, int]
) -> dict[str, QuantizedLayer]:
    """Add the other names of layers that the model registers under several names, which must have the same width."""
    first = {id(module): name for name, module in named_fused_modules(model)}
    result = dict(chosen)
    for name, module in model.named_modules(remove_duplicate=False):
        known = first.get(id(module))
        if known not in chosen or name not in bits:
            continue
        if bits[name] != bits[known]:
            have = f"{bits[known]} and {bits[name]}"
            raise Ai8xError(f"{known} and {name} are the same layer and must have the same weight bits, not {have}")
        result[name] = chosen[known]
    return result


def _enter_integer_mode(model: nn.Module) -> None:
    fuse_batchnorm(model)
    for _, module in named_fused_modules(model):
        module.quantize_activation.data.fill_(True)
        module.adjust_output_shift.data.fill_(False)
        module.update()


def _first_inputs(model: nn.Module, samples: Tensor) -> dict[str, Tensor]:
    """Return the input of every operator at its first use."""
    found: dict[str, Tensor] = {}
    with observed_calls(_operators(model), before=lambda call: found.setdefault(call.name, call.input)):
        model(samples)
    return found


def _operators(model: nn.Module) -> list[tuple[str, FusedModule]]:
    return [(name, module) for name, module in named_fused_modules(model) if module.op is not None]


def _install(module: FusedModule, layer: QuantizedLayer, bits: int) -> None:
    """Copy integer parameters to a module in simulate mode."""
    weights, bias = _tensors(module)
    weights.copy_(layer.weights)
    if bias is not None and layer.bias is not None:
        bias.copy_(layer.bias)
    module.weight_bits.data.fill_(bits)
    module.bias_bits.data.fill_(bits)
    module.output_shift.data.fill_(layer.output_shift or 0.0)
    module.update()


class _Search:
    """Search for the integers of one layer; `trained` and `given` are its inputs in the trained and integer models."""

    def __init__(self, reference: FusedModule, module: FusedModule, trained: Tensor, given: Tensor, bits: int) -> None:
        assert module.op is not None and reference.op is not None
        self.module, self.op, self.given, self.bits = module, reference.op, given, bits
        self.weights, self.bias, exponent = _parameters(reference)
        self.target = reference(trained) * 2.0 ** ((exponent if reference.wide else 0) - reference.final_scale_exponent)
        self.range = reference.range_exponent
        self.means = _channel_means(self.op, _pooled(reference, trained), self.weights, self.bias)
        self.pooled = _pooled(module, given) / 128
        self.compensated = CompensatedRounding(self.op, self.pooled)

    def best(self) -> QuantizedLayer:
        """Return the candidate with the smallest error; of equal ones the first: coarse scales precede fine ones."""
        candidates = (layer for exponent in self._exponents() for layer in self._layers(exponent))
        return min(candidates, key=self._error)

    def _exponents(self) -> list[int]:
        """Return the exponents (of two) of the scales to try: around those at which weights and bias just fit."""
        fitting = _fitting_exponent(self.weights, 1.0)
        both = fitting if self.bias is None else min(fitting, _fitting_exponent(self.bias, 2.0 ** (8 - self.bits)))
        low, high = (-limit - self.bits - self.range for limit in (HIGHEST_SHIFT, LOWEST_SHIFT))
        return sorted({max(low, min(high, exponent)) for exponent in range(both - _COARSER, fitting + _FINER + 1)})

    def _layers(self, exponent: int) -> Iterator[QuantizedLayer]:
        """Yield the candidates for the layer at a scale of 2^exponent: combinations of rounding and bias."""
        scale = 2 ** (self.bits - 1) * 2.0**exponent
        nearest = to_integers(self.weights, scale, self.bits)
        for weights in (nearest, self.compensated(self.weights, scale, self.bits)):
            if weights is None:
                continue
            biases: list[Tensor | None] = [None]
            if self.bias is not None:
                corrected = self.means - _channel_means(self.op, self.pooled, weights / scale, None)
                biases = [_stored_bias(bias, scale, self.bits) for bias in (self.bias, corrected)]
            for bias in biases:
                yield QuantizedLayer(weights, bias, float(-exponent - self.range))

    def _error(self, layer: QuantizedLayer) -> float:
        _install(self.module, layer, self.bits)
        output = self.module(self.given)
        scale = 1 / 128
        if self.module.wide:
            scale /= 2 ** (self.bits - 1) * 2.0 ** -((layer.output_shift or 0.0) + self.range)
        return float((output * scale - self.target).square().mean())


def _fitting_exponent(values: Tensor, limit: float) -> int:
    """Return the largest E at which all |values|·2^E stay within `limit`; 0 for zeros."""
    largest = float(values.abs().max())
    return math.floor(math.log2(limit / largest)) if largest else 0


def _pooled(module: FusedModule, given: Tensor) -> Tensor:
    """Return the input of a module's operator, after pooling."""
    if module.pooling is None:
        return given
    quantize = bool(module.quantize_activation)
    modes = {"simulate": module.simulate, "nearest": module.round_avg, "clamps": module.clamps}
    return module.pooling(given, quantize=quantize, **modes)


def _channel_means(op: nn.Module, given: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Return the mean result of an operator for each output channel, with the given weights and bias."""
    if bias is None and isinstance(op.bias, Tensor):
        bias = torch.zeros_like(op.bias)
    parameters = {"weight": weights} if bias is None else {"weight": weights, "bias": bias}
    result: Tensor = functional_call(op, parameters, (given,))
    return result.mean(dim=[axis for axis in range(result.dim()) if axis != 1])


def _tensors(module: FusedModule) -> tuple[Tensor, Tensor | None]:
    """Return the stored weights and bias, detached."""
    assert module.op is not None
    weights, bias = module.op.weight, module.op.bias
    assert isinstance(weights, Tensor) and (bias is None or isinstance(bias, Tensor))
    return weights.detach(), None if bias is None else bias.detach()


def _parameters(module: FusedModule) -> tuple[Tensor, Tensor | None, int]:
    """Return the weights and bias that the trained module uses, and s of its wide output's final scale 2^s."""
    weights, bias = _tensors(module)
    bits, shift = int(module.weight_bits), int(module.output_shift)
    if bits:
        layer = quantize_trained(weights, bias, bits, float(module.shift_quantile))
        shift, levels = int(layer.output_shift or 0), 2.0 ** (bits - 1)
        scale = 2.0**shift / levels
        weights, bias = layer.weights * scale, None if layer.bias is None else layer.bias / levels * scale
        return weights, bias, shift
    scale = 1.0 if module.wide else 2.0**shift
    return weights * scale, None if bias is None else bias * scale, 0


def _stored_bias(bias: Tensor, scale: float, bits: int) -> Tensor:
    """Return a bias in the format of quantized checkpoints: 8-bit integers times 2^(bits − 1)."""
    return to_integers(bias, scale, 8) * 2 ** (bits - 1)
