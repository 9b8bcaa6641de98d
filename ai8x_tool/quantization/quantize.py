"""Quantization of a checkpoint to an integer checkpoint."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.checkpoint import Checkpoint, read_checkpoint, repair_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.device.limits import WEIGHT_BITS
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import resolved_path
from ai8x_tool.frontend.yaml.description import LayerDescription
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.model.batchnorm_folding import BatchNormFacts, fold_batchnorm, normalized_layers
from ai8x_tool.network.layer import BINARY
from ai8x_tool.quantization.files import other_content, save_checkpoint
from ai8x_tool.quantization.rules import (
    Clipping,
    QuantizedLayer,
    fold_range,
    quantize_clipped,
    quantize_trained,
)
from ai8x_tool.quantization.state import (
    check_no_ranges,
    check_state,
    layer_of,
    report_defaults,
    report_values,
    stored_number,
    warn_about_shared_scales,
    warn_about_unmeasured_ranges,
    weight_keys,
)

_DROPPED = ("base_b_q", "w_zero_point", "b_zero_point")
CALIBRATED = "CALIBRATED"
"""Name of the quantization method in checkpoints."""


@dataclass(frozen=True, eq=False)
class Calibrated:
    """Integers by layer, and the state-dict entries of the activation ranges for which they were chosen."""

    layers: Mapping[str, QuantizedLayer] = field(default_factory=dict)
    ranges: Mapping[str, Tensor] = field(default_factory=dict)


Chooser = Callable[[Checkpoint, Mapping[str, int]], Calibrated]
"""Function that chooses integers for a checkpoint and the weight bits of its layers."""


@dataclass(frozen=True)
class LayerReport:
    """Quantization of one layer. `saturated` is the share (0…1) of weights at the limits of their range."""

    key: str
    bits: int
    output_shift: float | None
    largest: float
    saturated: float


@dataclass(frozen=True, eq=False)
class QuantizeResult:
    """Content of the quantized file (tensors) and a report for each layer."""

    content: dict[str, Any]
    layers: tuple[LayerReport, ...]


def quantize(
    source: Path,
    target: Path,
    device: Device,
    console: Console,
    *,
    network: Path | None = None,
    default_bits: int | None = None,
    clipping: Clipping | None = None,
    calibration: Chooser | None = None,
    compact: bool = False,
    overwrite: bool = True,
) -> QuantizeResult:
    """Quantize the checkpoint `source` into `target`.

    `network` is a description whose `quantization` keys override the checkpoint's widths; `default_bits` apply where
    neither has a width; `clipping` ignores QAT information; `calibration` chooses the integers (see
    quantization.samples); `compact` stores integers and leaves out what only training needs. Batch normalization of a
    float checkpoint is folded. Raises Ai8xError naming file and key; then nothing is written.
    """
    if clipping is not None and calibration is not None:
        raise Ai8xError("--clip-method and --calibrate exclude each other", fix="specify only one of them")
    if default_bits is not None and default_bits not in WEIGHT_BITS:
        raise Ai8xError(f"{default_bits} weight bits are not supported", fix="use 1, 2, 4 or 8")
    checkpoint = repair_checkpoint(read_checkpoint(source), console, names=calibration is not None)
    if target.exists() and (not overwrite or resolved_path(target) == resolved_path(source)):
        raise Ai8xError("the output file already exists", where=str(target), fix="choose another name")
    described = _described_layers(network, device, console)
    result = quantize_checkpoint(
        checkpoint,
        console,
        described=described,
        default_bits=default_bits,
        clipping=clipping,
        calibration=calibration,
    )
    save_checkpoint(compacted(result.content) if compact else result.content, target)
    return result


def compacted(content: dict[str, Any]) -> dict[str, Any]:
    """Return a quantized checkpoint with weights as int8 and biases as int32: a quarter of the size."""
    state = OrderedDict((key, _compact(key, value)) for key, value in content["state_dict"].items())
    return {"state_dict": state, **{key: content[key] for key in ("epoch", "arch", "extras") if key in content}}


def _compact(key: str, value: Tensor) -> Tensor:
    """Return quantized weights and biases as integers, other values unchanged."""
    kind = {"weight": torch.int8, "bias": torch.int32}.get(key.rpartition(".")[2])
    small = value if kind is None else value.to(kind)
    return small if torch.equal(small.to(value.dtype), value) else value


def quantize_checkpoint(
    checkpoint: Checkpoint,
    console: Console,
    *,
    described: list[LayerDescription],
    default_bits: int | None = None,
    clipping: Clipping | None = None,
    calibration: Chooser | None = None,
) -> QuantizeResult:
    """Return the quantized content of a checkpoint. `described` are the description's layers with weights, if any."""
    where = str(checkpoint.path)
    state = {key: torch.from_numpy(np.array(value)) for key, value in checkpoint.state.items()}
    if "clipping_method" in checkpoint.extras or _holds_integers(checkpoint):
        raise Ai8xError("this checkpoint is already quantized", where=where, fix="use it as it is")
    trained = clipping is None and calibration is None
    if clipping is not None:
        check_no_ranges(state, where)
    factor = 1.0 if checkpoint.measured_ranges else BatchNormFacts.factor
    state = _folded(state, described, console, where, trained=trained, factor=factor)
    check_state(state, where)
    widths = _widths(state, described, default_bits, where)
    console.detail(f"{where}: {', '.join(state)}")
    report_defaults(state, list(widths), console, where, trained=trained)
    warn_about_shared_scales(list(widths), console, where)
    if calibration is None:
        warn_about_unmeasured_ranges(checkpoint, console)
        chosen = Calibrated()
    else:
        chosen = calibration(checkpoint, {layer_of(key): n for key, n in widths.items()})
        state |= {key: value for key, value in chosen.ranges.items() if key in state}
    done: dict[str, Tensor] = {}
    layers = dict(zip(weight_keys(state), described, strict=False))
    reports = []
    for key, bits in widths.items():
        wide = key in layers and layers[key].output_width != 8
        said = f"{where}: {key!r}"
        listener = None if wide else console
        report_values(key, bits, state, console)
        reports.append(_quantize_layer(key, bits, state, done, clipping, chosen.layers, said, listener))
    quantized = _assemble(state, done)
    method = CALIBRATED if calibration else "MAX_BIT_SHIFT" if clipping is None else clipping.method
    content = _content(checkpoint, quantized, method, clipping, console)
    return QuantizeResult(content, tuple(reports))


def _holds_integers(checkpoint: Checkpoint) -> bool:
    """Recognize quantized weights in files that do not name the method; weights of 0 and ±1 alone are ambiguous."""
    return checkpoint.is_quantized and any(value.max() > 1 or value.min() < -1 for _, value in checkpoint.weights())


def _folded(
    state: dict[str, Tensor],
    described: list[LayerDescription],
    console: Console,
    where: str,
    *,
    trained: bool,
    factor: float,
) -> dict[str, Tensor]:
    """Return the state with batch normalization folded. It must not be unfolded in layers trained with QAT.

    Otherwise the integers of the folded weights would differ from those used in training.
    """
    layers = normalized_layers(state)
    quantized = [layer for layer in layers if stored_number(state, f"{layer}.weight_bits", 0)]
    if trained and quantized:
        message = f"'{quantized[0]}.bn': batch normalization was not folded before quantization-aware training"
        fix = "resume training, which folds it, or ignore that training with --calibrate or --clip-method"
        raise Ai8xError(message, where=where, fix=fix)
    keys = [key for key in weight_keys(state) if not key.endswith(".bn.weight")]
    operators = {layer_of(key): entry.operator for key, entry in zip(keys, described, strict=False)}
    transposed = {layer: operator == "convtranspose2d" for layer, operator in operators.items()}
    return fold_batchnorm(state, layers, console, where, BatchNormFacts(transposed=transposed, factor=factor))


def _widths(
    state: Mapping[str, Tensor], described: list[LayerDescription], default_bits: int | None, where: str
) -> dict[str, int]:
    """Return the bits of every weight tensor to quantize: with a description, only those of its layers."""
    keys = weight_keys(state)
    given = [layer.quantization for layer in described] if described else [None] * len(keys)
    widths = {}
    for key, wanted in zip(keys, given, strict=False):
        layer = layer_of(key)
        bits = wanted or int(stored_number(state, f"{layer}.weight_bits", 0)) or default_bits or 8
        if bits not in WEIGHT_BITS:
            raise Ai8xError(f"{layer}.weight_bits = {bits} is not 1, 2, 4 or 8", where=where)
        widths[key] = bits
    return widths


def _quantize_layer(
    key: str,
    bits: int,
    state: Mapping[str, Tensor],
    done: dict[str, Tensor],
    clipping: Clipping | None,
    chosen: Mapping[str, QuantizedLayer],
    where: str,
    console: Console | None,
) -> LayerReport:
    """Quantize one layer into `done`. `console`, None for outputs with a scale, receives warnings about the range."""
    layer, bias_key = layer_of(key), key.removesuffix("weight") + "bias"
    stored = int(stored_number(state, f"{layer}.weight_bits", 0))
    weights = state[key].float()
    bias = state[bias_key].float() if bias_key in state else None
    if layer in chosen:
        result = chosen[layer]
    elif clipping is None:
        level = stored_number(state, f"{layer}.shift_quantile", 1.0)
        result = quantize_trained(weights, bias, bits, level)
        result = _with_range(result, layer, bits, state, where, console)
    else:
        result = quantize_clipped(weights, bias, bits, clipping)
    done[key] = result.weights
    if result.bias is not None:
        done[bias_key] = result.bias
        done[f"{layer}.bias_bits"] = torch.tensor([float(bits)])
    if result.output_shift is not None:
        done[f"{layer}.output_shift"] = torch.tensor([result.output_shift])
    if stored != bits:
        done[f"{layer}.weight_bits"] = torch.tensor([float(bits)])
    limit = 2 ** (bits - 1)
    ends = (result.weights == -limit) | (result.weights == limit - 1)
    largest, saturated = float(weights.abs().max()), float(ends.float().mean())
    return LayerReport(key, bits, result.output_shift, largest, saturated)


def _with_range(
    result: QuantizedLayer, layer: str, bits: int, state: Mapping[str, Tensor], where: str, console: Console | None
) -> QuantizedLayer:
    """Fold the layer's activation range, if it has one, into its output shift; warn if the shift does not fit."""
    if f"{layer}.activation_threshold" not in state:
        return result
    assert result.output_shift is not None
    folded = fold_range(result.output_shift, int(stored_number(state, f"{layer}.activation_threshold", 0)), bits)
    if folded.problem is not None and console is not None:
        console.warn(f"{where}: {folded.problem} (no effect on a 32-bit output)")
    return replace(result, output_shift=float(folded.shift))


def _assemble(state: Mapping[str, Tensor], done: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Return the new state in the old order; added keys come directly before their weights."""
    result: OrderedDict[str, Tensor] = OrderedDict()
    for key, value in state.items():
        name = key.rpartition(".")[2]
        if name in _DROPPED:
            continue
        if name == "weight":
            layer = layer_of(key)
            for extra in ("output_shift", "weight_bits", "bias_bits"):
                if f"{layer}.{extra}" in done and f"{layer}.{extra}" not in state:
                    result[f"{layer}.{extra}"] = done[f"{layer}.{extra}"]
        if name == "adjust_output_shift":
            result[key] = torch.zeros(1)
        elif name == "quantize_activation":
            result[key] = torch.ones(1)
        else:
            result[key] = done.get(key, value)
    return result


def _content(
    checkpoint: Checkpoint,
    state: OrderedDict[str, Tensor],
    method: str,
    clipping: Clipping | None,
    console: Console,
) -> dict[str, Any]:
    content = other_content(checkpoint)
    if not isinstance(content.get("extras"), dict):
        console.warn(f"{checkpoint.path}: the checkpoint has no 'extras'")
        content["extras"] = {}
    extras = content["extras"]
    extras["clipping_method"] = method
    if clipping is not None and clipping.method == "STDDEV":
        extras["clipping_nstds"] = clipping.deviations
    if clipping is not None and clipping.method == "SCALE":
        extras["clipping_scale"] = clipping.scale
    content["state_dict"] = state
    return content


def _described_layers(network: Path | None, device: Device, console: Console) -> list[LayerDescription]:
    """Return the description's layers with weights; empty without a description."""
    if network is None:
        return []
    description = read_description(network, device, console)
    layers = [layer for layer in description.layers if layer.takes_parameters]
    for layer in layers:
        if layer.quantization == BINARY:
            raise Ai8xError("quantize cannot produce binary weights", where=description.where(layer))
    return layers
