"""Weights, biases, shifts and widths from a checkpoint, assigned to layers.

spec: quantization, section 7.2; qatv2, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.description import BINARY, LayerDescription, NetworkDescription
from ai8x_tool.network.network import IntArray, Parameters

Array = npt.NDArray[Any]

_MAX_BITS = 8


@dataclass(frozen=True)
class ParameterOptions:
    """Which entries of the checkpoint to leave out. `no_bias`: layers whose bias is ignored, None for all."""

    skip: int = 0
    ignore_batchnorm: bool = False
    no_bias: tuple[int, ...] | None = field(default=())


def load_parameters(
    description: NetworkDescription,
    checkpoint: Checkpoint,
    device: Device,
    console: Console,
    options: ParameterOptions = ParameterOptions(),
) -> dict[int, Parameters]:
    """Return the parameters of every layer that takes some, by layer index.

    Entries are assigned in stored order; surplus entries are ignored. Raises Ai8xError for a foreign architecture,
    missing entries, weights that are not quantized, do not fit their width or do not have the layer's kernel size.
    """
    _check_file(description, checkpoint, console)
    keys = _weight_keys(checkpoint, options, console)
    layers = [layer for layer in description.layers if layer.takes_parameters]
    if len(keys) < len(layers):
        raise Ai8xError(
            f"{len(keys)} weight tensors, but {len(layers)} layers of {description.path.name} need weights",
            where=str(checkpoint.path),
            fix="the description lists the model's layers in the order in which the model defines them",
        )
    return {
        layer.index: _layer_parameters(description, layer, key, checkpoint, device, console, options)
        for layer, key in zip(layers, keys, strict=False)
    }


def _check_file(description: NetworkDescription, checkpoint: Checkpoint, console: Console) -> None:
    if checkpoint.epoch is None:
        raise Ai8xError("the checkpoint has no epoch number", where=str(checkpoint.path))
    if checkpoint.arch is None:
        console.warn(f"{checkpoint.path}: the checkpoint does not say which architecture it holds")
    elif checkpoint.arch.lower() != description.arch.lower():
        raise Ai8xError(
            f"the checkpoint holds architecture {checkpoint.arch!r}, the network description is for "
            f"{description.arch!r}",
            where=str(checkpoint.path),
            fix=f"choose the checkpoint and the description ({description.path}) of one model",
        )


def _weight_keys(checkpoint: Checkpoint, options: ParameterOptions, console: Console) -> list[str]:
    keys = []
    for key in [k for k in checkpoint.state if k == "weight" or k.endswith(".weight")][options.skip :]:
        if checkpoint.state[key].ndim > 1:
            keys.append(key)
        elif options.ignore_batchnorm and key.endswith(".bn.weight"):
            console.warn(f"{checkpoint.path}: batch normalization {key!r} is ignored")
        else:
            fix = "quantize a checkpoint of the QAT phase, or fold its batch normalization first"
            what = "batch normalization was not folded" if ".bn." in key else "one-dimensional weights"
            raise Ai8xError(f"{key!r}: {what}", where=str(checkpoint.path), fix=fix)
    return keys


def _layer_parameters(
    description: NetworkDescription,
    layer: LayerDescription,
    key: str,
    checkpoint: Checkpoint,
    device: Device,
    console: Console,
    options: ParameterOptions,
) -> Parameters:
    where = f"{checkpoint.path}: {key!r} ({layer.label} of {description.path.name})"
    weights = _integers(checkpoint.state[key], where)
    prefix = key.removesuffix("weight")
    layer_name = prefix.rstrip(".").rpartition(".")[0]
    stored = _scalar(checkpoint, f"{layer_name}.weight_bits", where) or _MAX_BITS
    kernels = _kernels(weights, layer, where)
    bits = _bits(kernels, layer, stored, device, console, where)
    bias = None
    if options.no_bias is not None and layer.index not in options.no_bias:
        bias = _bias(checkpoint.state.get(f"{prefix}bias"), stored, console, where)
    shift = layer.output_shift
    if shift is None:
        shift = _scalar(checkpoint, f"{layer_name}.output_shift", where)
        if checkpoint.measured_ranges and layer.output_width != 8:  # it has no effect, so no value of it is wrong
            shift = max(abs(bits) - 23, min(abs(bits) + 7, shift))
    scale_key = f"{layer_name}.final_scale"
    final_scale = _scalar(checkpoint, scale_key, where) if scale_key in checkpoint.state else None
    return Parameters(key, kernels, bias, bits, shift, final_scale)


def _integers(values: Array, where: str) -> IntArray:
    """Return `values` as int64; Ai8xError if they are not whole numbers."""
    whole = values.astype(np.int64)
    if values.dtype.kind == "f" and not np.array_equal(whole, values):
        raise Ai8xError(
            "the values are not integers: this checkpoint is not quantized",
            where=where,
            fix="run `ai8x quantize` on it first",
        )
    return whole


def _scalar(checkpoint: Checkpoint, key: str, where: str) -> int:
    value = checkpoint.state.get(key)
    if value is None:
        return 0
    if value.size != 1 or not np.isfinite(value).all():
        raise Ai8xError(f"{key!r} must hold one number, not {value.reshape(-1)[:4].tolist()}", where=where)
    return int(value.reshape(-1)[0])


def _kernels(weights: IntArray, layer: LayerDescription, where: str) -> IntArray:
    """Return the weights as (out, in/groups, rows, columns)."""
    if 0 in weights.shape:
        raise Ai8xError(f"the weights are empty: {'×'.join(map(str, weights.shape))}", where=where)
    size = {2: (1, 1), 3: (*weights.shape[2:], 1), 4: weights.shape[2:]}.get(weights.ndim)
    if size is None:
        raise Ai8xError(f"weights with {weights.ndim} dimensions are not supported", where=where)
    if size != layer.kernel:
        have, want = "×".join(map(str, size)), "×".join(map(str, layer.kernel))
        raise Ai8xError(f"the kernels are {have}, but kernel_size says {want}", where=where, fix=f"set it to {have}")
    kernels = weights.reshape(*weights.shape[:2], *size)
    if layer.operator == "convtranspose2d":
        kernels = kernels[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return np.ascontiguousarray(kernels)


def _bits(weights: IntArray, layer: LayerDescription, stored: int, device: Device, console: Console, where: str) -> int:
    low, high = (int(weights.min()), int(weights.max())) if weights.size else (0, 0)
    bits = layer.quantization
    if bits is None:
        bits = stored
        if device.binary_weights and bool((np.abs(weights) == 1).all()):
            bits = BINARY
            console.warn(f"{where}: all weights are +1 or −1: taken as binary weights")
        elif low == high == 0:
            bits = 1
    if low == high == 0:
        console.warn(f"{where}: all weights are 0")
    if bits > _MAX_BITS or bits not in (BINARY, 1, 2, 4, _MAX_BITS):
        raise Ai8xError(f"{bits}-bit weights are not supported", where=where)
    if bits == BINARY:
        if not bool((np.abs(weights) == 1).all()):
            raise Ai8xError("binary weights must all be +1 or −1", where=where)
    elif low < -(1 << (bits - 1)) or high > (1 << (bits - 1)) - 1:
        raise Ai8xError(
            f"weights {low} … {high} do not fit {bits} bits", where=where, fix="quantize with this width, or raise it"
        )
    return bits


def _bias(values: Array | None, stored: int, console: Console, where: str) -> IntArray | None:
    if values is None:
        return None
    if values.ndim != 1:
        raise Ai8xError(f"a bias has one dimension, this one {values.ndim}", where=where)
    bias = np.floor_divide(_integers(values, where), 1 << (stored - 1))
    if bias.min(initial=0) < -128 or bias.max(initial=0) > 127:
        raise Ai8xError(f"bias values {bias.min()} … {bias.max()} do not fit 8 bits", where=where)
    if not bias.any():
        console.detail(f"{where}: all bias values are 0")
    return bias
