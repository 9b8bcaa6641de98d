"""Transformations of complete models: folding batch normalization, starting QAT, loading and checking parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool.device.limits import WEIGHT_BITS
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.policy import QatPolicy

_DEFAULTS = {
    "output_shift": 0.0,
    "weight_bits": 0,
    "bias_bits": 0,
    "quantize_activation": False,
    "adjust_output_shift": False,
    "shift_quantile": 1.0,
    "activation_threshold": 0.0,
    "final_scale": 0.0,
    "clamp_activation": False,
}
_EXPONENTS = ("output_shift", "activation_threshold", "final_scale")
_LARGEST_EXPONENT = 126
_OF_MEASURED_RANGES = ("activation_threshold", "final_scale", "clamp_activation")


def named_fused_modules(model: nn.Module) -> Iterator[tuple[str, FusedModule]]:
    """Yield dotted name and module of every fused module, nested ones included, in definition order."""
    for name, module in model.named_modules():
        if isinstance(module, FusedModule):
            yield name, module


def fuse_batchnorm(model: nn.Module) -> None:
    """Fold every batch normalization, and the factor that follows it, into weight and bias, and remove it."""
    for _, module in named_fused_modules(model):
        if module.bn is not None:
            _fuse(module)


@torch.no_grad()
def _fuse(module: FusedModule) -> None:
    bn, op = module.bn, module.op
    assert isinstance(bn, nn.BatchNorm1d | nn.BatchNorm2d)
    assert isinstance(op, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d)
    assert bn.running_mean is not None and bn.running_var is not None and op.bias is not None
    factor = torch.rsqrt(bn.running_var + bn.eps) * module.batchnorm_factor
    offset = torch.zeros_like(factor)
    if bn.affine:
        factor, offset = factor * bn.weight, bn.bias * module.batchnorm_factor
    if isinstance(op, nn.ConvTranspose2d):
        grouped = op.weight.view(op.groups, -1, *op.weight.shape[1:])
        grouped.mul_(factor.view(op.groups, 1, -1, *(1,) * (op.weight.dim() - 2)))
    else:
        op.weight.mul_(factor.view(-1, *(1,) * (op.weight.dim() - 1)))
    op.bias.sub_(bn.running_mean).mul_(factor).add_(offset)
    module.bn = None
    module.update()


def drop_parameters(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Remove parameters from `optimizer` that `model` no longer has; the others keep their state and group options.

    This is equivalent to rebuilding the optimizer with the remaining state, but schedulers remain valid.
    """
    surviving = {id(parameter) for parameter in model.parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if id(parameter) not in surviving:
                optimizer.state.pop(parameter, None)
        group["params"] = [parameter for parameter in group["params"] if id(parameter) in surviving]


def start_qat(model: nn.Module, policy: QatPolicy) -> list[str]:
    """Switch every fused module to QAT. Returns the names in the policy's overrides that match no module.

    A module with several names can be overridden by any of them. Raises Ai8xError if overrides disagree.
    """
    unknown = set(policy.overrides)
    for name, module, names in _with_all_names(model):
        module.start_qat(*policy.choose(_overriding_name(name, names, policy)))
        unknown.difference_update(names)
    update_model(model)
    return sorted(unknown)


def _with_all_names(model: nn.Module) -> Iterator[tuple[str, FusedModule, list[str]]]:
    """Yield the items of :func:`named_fused_modules`, with all names of each module in the model."""
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    for name, module in named_fused_modules(model):
        yield name, module, names[id(module)]


def _overriding_name(name: str, names: list[str], policy: QatPolicy) -> str:
    given = [other for other in names if other in policy.overrides]
    if len({policy.overrides[other] for other in given}) > 1:
        widths = ", ".join(f"{other}: {policy.choose(other)[0]}" for other in given)
        raise Ai8xError(
            f"all names of a layer must have the same weight bits, not {widths}",
            fix="use the same value in the QAT policy",
        )
    return given[0] if given else name


def update_model(model: nn.Module) -> None:
    """Make every module apply its stored parameters (required after changing them directly)."""
    clamps = False
    for _, module in named_fused_modules(model):
        module.update()
        clamps = clamps or module.clamps
    for joint in model.modules():
        if isinstance(joint, Elementwise) and joint.measured_ranges:  # does not save whether it clamps
            joint.clamps = joint.simulate or clamps


def check_quantized(model: nn.Module) -> None:
    """Raise Ai8xError if weights do not fit their bits or biases do not fit bias memory."""
    for name, module in named_fused_modules(model):
        if module.op is None:
            continue
        bits = int(module.weight_bits) or 8
        for parameter, width, step in (("weight", bits, 1), ("bias", 8, 2 ** (bits - 1))):
            values = getattr(module.op, parameter)
            if values is None:
                continue
            low, high = (int(end // step) for end in torch.aminmax(values))
            if not -(2 ** (width - 1)) <= low <= high < 2 ** (width - 1):
                text = f"{parameter} values of {name!r} must fit {width} bits, but are {low} … {high}"
                raise Ai8xError(text, fix="quantize it again")


@torch.no_grad()
def round_stored_biases(model: nn.Module) -> list[str]:
    """Round the biases of a quantized model down to values that fit bias memory: multiples of 2^(weight bits − 1).

    Returns the names of the changed modules; only files of older tools contain such biases.
    """
    changed = []
    for name, module in named_fused_modules(model):
        bias = getattr(module.op, "bias", None)
        if bias is None:
            continue
        step = 2.0 ** (int(module.weight_bits) - 1)
        stored = torch.floor(bias / step) * step
        if not torch.equal(stored, bias):
            bias.copy_(stored)
            changed.append(name)
    return changed


def load_state(model: nn.Module, state: Mapping[str, Any]) -> list[str]:
    """Load a state dict of arrays or tensors; return the names that the model does not contain.

    The component ``module`` is removed from names; if two names become equal, the later entry is used. Missing
    bookkeeping tensors get the values of an unquantized model. Raises Ai8xError naming tensors that are missing or have
    another shape.
    """
    own: dict[str, Tensor] = model.state_dict()
    chosen: dict[str, Tensor] = {}
    unexpected = []
    for key, value in state.items():
        name = key if key in own else _without_module(key)
        if name in own:
            chosen[name] = torch.as_tensor(np.array(value)) if not isinstance(value, Tensor) else value
        elif key.rpartition(".")[2] not in _OF_MEASURED_RANGES:  # not used here; see Checkpoint.measured_ranges
            unexpected.append(key)
    _add_defaults(own, chosen)
    _check(own, chosen)
    model.load_state_dict({name: value.reshape(own[name].shape) for name, value in chosen.items()})
    update_model(model)
    return unexpected


def _without_module(key: str) -> str:
    parts = key.split(".")
    if "module" in parts:
        parts.remove("module")
    return ".".join(parts)


def _add_defaults(own: Mapping[str, Tensor], chosen: dict[str, Tensor]) -> None:
    for name, value in own.items():
        default = _DEFAULTS.get(name.rpartition(".")[2])
        if default is not None and value.numel() == 1:
            chosen.setdefault(name, torch.tensor([default], dtype=value.dtype))


def _check(own: Mapping[str, Tensor], chosen: Mapping[str, Tensor]) -> None:
    missing = [name for name in own if name not in chosen]
    if missing:
        names = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        fix = "is it a checkpoint of another model, or of the same with other options (--use-bias)?"
        raise Ai8xError(f"{len(missing)} of the model's {len(own)} tensors are missing: {names}", fix=fix)
    for name, value in chosen.items():
        if value.shape != own[name].shape and value.numel() + own[name].numel() > 2:
            shapes = f"{tuple(value.shape)} in the checkpoint, {tuple(own[name].shape)} in the model"
            raise Ai8xError(f"{name}: shape {shapes}", fix="is it a checkpoint of another model or dataset?")
        _check_number(name, value)
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise Ai8xError(f"{name} must not hold infinite or undefined values", fix="use an earlier checkpoint")


def _check_number(name: str, value: Tensor) -> None:
    """Raise Ai8xError for invalid values of a one-element tensor."""
    parameter = name.rpartition(".")[2]
    if parameter in ("weight_bits", "bias_bits") and float(value) not in (0, *WEIGHT_BITS):
        raise Ai8xError(f"{name} must be 1, 2, 4 or 8, not {float(value):g}")
    if parameter in ("activation_threshold", "final_scale") and not float(value).is_integer():
        raise Ai8xError(
            f"{name} must be a whole number, not {float(value)}",
            fix="train the model again: all outputs of a layer were 0",
        )
    if parameter in _EXPONENTS and abs(float(value)) > _LARGEST_EXPONENT:
        raise Ai8xError(f"{name} must be within ±{_LARGEST_EXPONENT}, not {float(value):g}")
