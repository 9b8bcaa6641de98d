"""Assignment of weights, biases, shifts and widths from a checkpoint to layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.description import LayerDescription, NetworkDescription
from ai8x_tool.frontend.yaml.parameter_rules import (
    ParameterFile,
    Tensor,
    WeightEntry,
    caution_ignored_norm,
    caution_taken_as_binary,
    caution_unknown_architecture,
    caution_zero_weights,
    constraint_architecture,
    constraint_bias_range,
    constraint_bias_shape,
    constraint_binary_weights,
    constraint_folded_norm,
    constraint_integer_values,
    constraint_kernel_match,
    constraint_parameter_count,
    constraint_weight_range,
    constraint_weight_shape,
    constraint_weight_width,
    hint_zero_bias,
    kernel_size,
)
from ai8x_tool.network.layer import BINARY, IntArray, Parameters
from ai8x_tool.rule import check_rules, require, warn_about

Array = npt.NDArray[Any]

_MAX_BITS = 8
_MOST_NAMES = 5
"""Largest number of modules listed in a message."""
_WEIGHT_RULES = (
    caution_taken_as_binary,
    caution_zero_weights,
    constraint_weight_width,
    constraint_binary_weights,
    constraint_weight_range,
)


@dataclass(frozen=True)
class ParameterOptions:
    """Entries of the checkpoint to be ignored: the first `skip` ones, batch normalization, and biases.

    `no_bias` are the layers whose bias is ignored, None for all.
    """

    skip: int = 0
    ignore_batchnorm: bool = False
    no_bias: tuple[int, ...] | None = ()


def load_parameters(
    description: NetworkDescription,
    checkpoint: Checkpoint,
    device: Device,
    console: Console,
    options: ParameterOptions = ParameterOptions(),
) -> dict[int, Parameters]:
    """Return the parameters of every layer that needs some, by layer index.

    Entries are assigned by name if every layer has the name of a module of the checkpoint, in stored order otherwise;
    unused entries are reported. Raises Ai8xError for a different architecture, missing entries, and weights that are
    not quantized, do not fit their width or do not have the layer's kernel size.
    """
    layers = [layer for layer in description.layers if layer.takes_parameters]
    _check_no_bias(description, options)
    file = ParameterFile(str(checkpoint.path), description, checkpoint.arch, (), tuple(layers))
    _check_file(file, checkpoint, console)
    keys = weight_keys(checkpoint, options, console)
    bound = _by_name(layers, keys) or _by_order(file, layers, keys)
    _report_unused(file, keys, bound, console)
    result = {}
    for layer in layers:
        key = bound[layer.index]
        where = f"{checkpoint.path}: {key!r} ({layer.label} of {description.path.name})"
        use_bias = options.no_bias is not None and layer.index not in options.no_bias
        result[layer.index] = layer_parameters(where, layer, key, checkpoint, device, console, use_bias=use_bias)
    return result


def _by_name(layers: list[LayerDescription], keys: list[str]) -> dict[int, str] | None:
    """Return the keys of all layers by index; None unless every layer has the name of a module of the checkpoint."""
    modules: dict[str, str] = {}
    for key in keys:
        modules.setdefault(weight_module(key).lower(), key)
    names = {layer.index: (layer.name or "").lower() for layer in layers}
    if not layers or not all(name in modules for name in names.values()):
        return None
    return {index: modules[name] for index, name in names.items()}


def _by_order(file: ParameterFile, layers: list[LayerDescription], keys: list[str]) -> dict[int, str]:
    require(constraint_parameter_count, file._replace(tensors=tuple(keys)))
    return {layer.index: key for layer, key in zip(layers, keys, strict=False)}


def weight_module(key: str) -> str:
    """Return the name of the module to which a weight tensor belongs: ``conv1`` for ``module.conv1.op.weight``."""
    return key.removesuffix("weight").removesuffix(".").removesuffix(".op").removeprefix("module.")


def _report_unused(file: ParameterFile, keys: list[str], bound: dict[int, str], console: Console) -> None:
    """Report the modules whose weights no layer uses: the description covers only a part of the model."""
    used = {weight_module(key) for key in bound.values()}
    unused = list(dict.fromkeys(weight_module(key) for key in keys if weight_module(key) not in used))
    if unused:
        names = ", ".join(unused[:_MOST_NAMES]) + (
            f" and {len(unused) - _MOST_NAMES} more" * (len(unused) > _MOST_NAMES)
        )
        console.info(f"{file.where}: no layer of {file.description.path.name} uses the weights of {names}")


def _check_no_bias(description: NetworkDescription, options: ParameterOptions) -> None:
    known = {layer.index for layer in description.layers}
    missing = [index for index in options.no_bias or () if index not in known]
    if missing:
        fix = f"use layers {min(known)} … {max(known)}" if known else "remove the option"
        raise Ai8xError(f"--no-bias {missing[0]}: there is no such layer", where=str(description.path), fix=fix)


def _check_file(file: ParameterFile, checkpoint: Checkpoint, console: Console) -> None:
    if checkpoint.epoch is None:
        raise Ai8xError("the checkpoint has no epoch number", where=file.where)
    check_rules((caution_unknown_architecture,), [file], console)
    require(constraint_architecture, file)


def weight_keys(checkpoint: Checkpoint, options: ParameterOptions, console: Console) -> list[str]:
    """Return the names of all weight tensors, in stored order. Raises Ai8xError if normalization is not folded."""
    keys = []
    _report_doubled(checkpoint, console)
    for key in [k for k in checkpoint.state if k == "weight" or k.endswith(".weight")][options.skip :]:
        entry = WeightEntry(str(checkpoint.path), key, checkpoint.state[key].ndim, options.ignore_batchnorm)
        require(constraint_folded_norm, entry)
        warn_about(caution_ignored_norm, entry, console)
        if entry.dimensions > 1:
            keys.append(key)
    return keys


def _report_doubled(checkpoint: Checkpoint, console: Console) -> None:
    """Report which of two sets of weights is used: here the first one, while a model loads the later one."""
    doubled = sum(f"module.{key}" in checkpoint.state for key in checkpoint.state)
    if doubled:
        text = f"{doubled} tensors are stored twice, with and without prefix 'module': the first set is used"
        console.info(f"{checkpoint.path}: {text}", once=True)


def layer_parameters(
    where: str,
    layer: LayerDescription,
    key: str,
    checkpoint: Checkpoint,
    device: Device,
    console: Console,
    *,
    use_bias: bool = True,
) -> Parameters:
    """Return the parameters of `layer` from the weights `key` and related entries; `where` is for messages.

    Raises Ai8xError for weights that are not quantized, do not fit their width or do not have the layer's kernel size.
    """
    weights = _integers(Tensor(where, checkpoint.state[key], layer))
    prefix = key.removesuffix("weight")
    layer_name = prefix.rstrip(".").rpartition(".")[0]
    stored = _scalar(checkpoint, f"{layer_name}.weight_bits", where) or _MAX_BITS
    require(constraint_weight_width, Tensor(where, weights, layer, stored))
    kernels = _kernels(Tensor(where, weights, layer))
    bits = _bits(kernels, layer, stored, device, console, where)
    stored_bias = checkpoint.state.get(f"{prefix}bias") if use_bias else None
    bias = _bias(stored_bias, stored, layer, console, where)
    shift = layer.output_shift
    if shift is None:
        shift = _scalar(checkpoint, f"{layer_name}.output_shift", where)
        if checkpoint.measured_ranges and layer.output_width != 8:  # the shift has no effect: no value is wrong
            shift = max(abs(bits) - 23, min(abs(bits) + 7, shift))
    scale_key = f"{layer_name}.final_scale"
    final_scale = _scalar(checkpoint, scale_key, where) if scale_key in checkpoint.state else None
    return Parameters(
        key, kernels, bias, bits, shift, final_scale, described(layer), _threshold(checkpoint, layer_name, where)
    )


def _threshold(checkpoint: Checkpoint, layer_name: str, where: str) -> int | None:
    key = f"{layer_name}.activation_threshold"
    return _scalar(checkpoint, key, where) if key in checkpoint.state else None


def described(layer: LayerDescription) -> frozenset[str]:
    """Return the names of the weight properties that the description gives: "bits", "shift"."""
    given = {"bits": layer.quantization, "shift": layer.output_shift}
    return frozenset(name for name, value in given.items() if value is not None)


def _integers(tensor: Tensor) -> IntArray:
    """Return the values as int64. Raises Ai8xError if they are not integers."""
    require(constraint_integer_values, tensor)
    return tensor.values.astype(np.int64)


def _scalar(checkpoint: Checkpoint, key: str, where: str) -> int:
    value = checkpoint.state.get(key)
    if value is None:
        return 0
    if value.size != 1 or not np.isfinite(value).all():
        raise Ai8xError(f"{key!r} must hold one number, not {value.reshape(-1)[:4].tolist()}", where=where)
    return int(value.reshape(-1)[0])


def _kernels(tensor: Tensor) -> IntArray:
    """Return the weights as (out, in/groups, rows, columns)."""
    require(constraint_weight_shape, tensor)
    require(constraint_kernel_match, tensor)
    weights = tensor.values
    kernels = weights.reshape(*weights.shape[:2], *kernel_size(weights.shape))
    if tensor.layer.operator == "convtranspose2d":
        kernels = kernels[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return np.ascontiguousarray(kernels)


def _bits(weights: IntArray, layer: LayerDescription, stored: int, device: Device, console: Console, where: str) -> int:
    bits = layer.quantization
    if bits is None:
        bits = stored
        if device.binary_weights and bool((np.abs(weights) == 1).all()):
            bits = BINARY
        elif not weights.any():
            bits = 1
    check_rules(_WEIGHT_RULES, [Tensor(where, weights, layer, bits)], console)
    return bits


def _bias(values: Array | None, stored: int, layer: LayerDescription, console: Console, where: str) -> IntArray | None:
    if values is None:
        return None
    tensor = Tensor(where, values, layer)
    require(constraint_bias_shape, tensor)
    bias: IntArray = np.floor_divide(_integers(tensor), 1 << (abs(stored) - 1))
    check_rules((constraint_bias_range, hint_zero_bias), [Tensor(where, bias, layer)], console)
    return bias
