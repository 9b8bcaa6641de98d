"""Construction of a model from its plugin, and loading of its weights from a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ai8x_tool.checkpoint import Checkpoint, repair_checkpoint
from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import DatasetEntry
from ai8x_tool.device import find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import Replacement, legalize
from ai8x_tool.model.loading import fitting_state, without_data_moves
from ai8x_tool.nn import BuildContext, FusedModule, build_context, load_state, named_fused_modules
from ai8x_tool.nn.dataflow import trace_dataflow
from ai8x_tool.plugins.find import ModelEntry, find_model

_MOST_NAMES = 3
"""Largest number of tensors named in a message."""


def build_model(
    name: str | ModelEntry,
    entry: DatasetEntry,
    *,
    device: str,
    use_bias: bool = False,
    round_avg: bool = False,
    simulate: bool = False,
    arguments: Mapping[str, Any] | None = None,
    console: Console | None = None,
    measured_ranges: bool = False,
    convert: bool = True,
    adapt: bool = False,
) -> nn.Module:
    """Return the model `name` (a name or a catalog entry) for the inputs of the dataset `entry`.

    `arguments` are keyword arguments that the task adds. With `convert`, plain torch layers are replaced by fused ones;
    with `adapt`, also where that changes the function. Raises Ai8xError naming the model file and its line if the model
    cannot be built for the dataset or the device.
    """
    model = name if isinstance(name, ModelEntry) else find_model(name, console)
    if arguments and "dimensionality" in arguments and not model.dr:
        message, fix = f"{model.name} does not support --dr", "choose a model that lists 'dr'"
        raise Ai8xError(message, where=str(model.file), fix=fix)
    dimensions = (*entry.input[1:], 1)[:2]
    keywords: dict[str, Any] = {
        "pretrained": False,
        "num_classes": len(entry.labels),
        "num_channels": entry.input[0],
        "dimensions": dimensions,
        "bias": use_bias,
        "weight_bits": 8 if simulate else None,
        "bias_bits": 8 if simulate else None,
        "quantize_activation": simulate,
        **(arguments or {}),
    }
    if model.dim > 1 and dimensions[1] < model.min_input:
        keywords["padding"] = (model.min_input - dimensions[1] + 1) // 2
    modes = {"simulate": simulate, "round_avg": round_avg, "measured_ranges": measured_ranges}
    context = BuildContext(find_device(device), **modes)
    with build_context(context.device, **modes):
        built = model.build(**keywords)
    if not isinstance(built, nn.Module):
        raise Ai8xError(f"{model.name} returned {type(built).__name__}, not a module", where=str(model.file))
    table = legalize(built, entry.sample, context, adapt=adapt) if convert else []
    if console is not None:
        _report_replacements(table, console)
    return built


def _report_replacements(table: Sequence[Replacement], console: Console) -> None:
    """Report which plain layers were replaced by which fused ones."""
    for row in table:
        outcome = f"becomes {row.became}" if row.became else "is left to software, after the network"
        exact = "" if row.exact else ", which computes a different function"
        console.info(f"{row.where}: {row.was} {outcome}{exact}", once=True)


def build_for_checkpoint(
    name: str | ModelEntry, entry: DatasetEntry, checkpoint: Checkpoint, console: Console, **options: Any
) -> nn.Module:
    """Return `build_model(name, entry, **options)`, with biases if the checkpoint or the model requires them.

    The checkpoint requires them if it contains biases that the model would otherwise lack; a model with batch
    normalization cannot be built without them. A model that was adapted before training is adapted again.
    """
    options |= {"adapt": True}
    try:
        plain = build_model(name, entry, console=console, **options)
    except Ai8xError:
        if options.get("use_bias") or not any(key.endswith(".bias") for key in checkpoint.state):
            raise
        return build_model(name, entry, console=console, **(options | {"use_bias": True}))
    known = set(plain.state_dict())
    stored = repair_checkpoint(checkpoint, console, known=known).state
    if options.get("use_bias") or all(key in known for key in stored if key.endswith(".op.bias")):
        return plain
    return build_model(name, entry, console=console, **(options | {"use_bias": True}))


def load_weights(model: nn.Module, checkpoint: Checkpoint, console: Console, *, complete: bool = False) -> None:
    """Load the weights of a checkpoint of any tool version into `model`; necessary repairs are reported.

    Raises Ai8xError if the weights do not fit or, with `complete`, if the model lacks a weight or bias of the
    checkpoint.
    """
    state = fitting_state(model, checkpoint, console)
    try:
        unexpected = load_state(model, state)
    except Ai8xError as error:
        raise Ai8xError(str(error), where=str(checkpoint.path)) from None
    unexpected = _without_software_layers(model, checkpoint, unexpected)
    if checkpoint.is_quantized:
        unexpected = without_data_moves(state, unexpected, console)
    lost = [key for key in unexpected if key.endswith((".op.weight", ".op.bias"))]
    if complete and lost:
        message = f"the model has no {', '.join(map(repr, lost[:_MOST_NAMES]))}, which the checkpoint contains"
        fix = "choose the model, and the options, that the checkpoint was trained with"
        raise Ai8xError(message, where=str(checkpoint.path), fix=fix)
    if unexpected:
        names = ", ".join(unexpected[:_MOST_NAMES]) + (", …" if len(unexpected) > _MOST_NAMES else "")
        console.warn(f"{checkpoint.path}: {len(unexpected)} tensors are not part of the model and ignored: {names}")


def _without_software_layers(model: nn.Module, checkpoint: Checkpoint, unexpected: list[str]) -> list[str]:
    """Set the unit of layers that software computes; return the `unexpected` names that do not belong to them."""
    software = {name: module for name, module in model.named_modules() if isinstance(module, SoftwareLinear)}
    if checkpoint.is_quantized:
        for name, module in software.items():
            bits, shift = (checkpoint.state.get(f"{name}.{key}") for key in ("weight_bits", "output_shift"))
            width = 8 if bits is None else int(bits.flat[0]) or 8
            module.unit = 2.0 ** ((0 if shift is None else float(shift.flat[0])) - width + 1)
    return [key for key in unexpected if key.rpartition(".")[0] not in software]


def check_architecture(name: str, checkpoint: Checkpoint) -> None:
    """Raise Ai8xError if the checkpoint belongs to another model than `name`."""
    if checkpoint.arch is not None and checkpoint.arch.lower() != name.lower():
        message = f"the checkpoint belongs to model {checkpoint.arch!r}, not to {name!r}"
        raise Ai8xError(message, where=str(checkpoint.path), fix=f"use --model {checkpoint.arch}")


def require_trainable(checkpoint: Checkpoint) -> None:
    """Raise Ai8xError if the weights are quantized: they are integers, and training needs real numbers."""
    if checkpoint.is_quantized:
        fix = "use the checkpoint from which it was quantized"
        raise Ai8xError("a quantized checkpoint cannot be trained", where=str(checkpoint.path), fix=fix)


def is_in_qat(model: nn.Module) -> bool:
    """Return whether quantization-aware training has started."""
    return any(int(module.weight_bits) > 0 for _, module in named_fused_modules(model) if module.op is not None)


def output_scale(model: nn.Module, simulate: bool) -> float:
    """Return the factor by which raw outputs are multiplied to obtain real numbers; 1.0 without `simulate`.

    In simulate mode it is 1/128, and for a wide last layer of n-bit weights another 1/2^(n−1). A last layer that
    software computes contributes its weights' unit.
    """
    if not simulate:
        return 1.0
    last = [module for _, module in named_fused_modules(model) if module.op is not None][-1:]
    scale = 1 / 128 / (2 ** ((int(last[0].weight_bits) or 8) - 1) if last and last[0].wide else 1)
    software = [module for module in model.modules() if isinstance(module, SoftwareLinear)]
    return scale * software[-1].unit if software else scale


def output_scales(model: nn.Module, inputs: Tensor) -> Any:
    """Return the factor of each output that converts integers to real numbers, in the model's tuple or dictionary.

    `inputs` is a batch with which the model is run once. Raises Ai8xError if an output joins values of different
    scales.
    """
    training = model.training
    with torch.no_grad():
        outputs, structure = tree_flatten(model.eval()(inputs))
    model.train(training)
    flow, modules = trace_dataflow(model, inputs, SoftwareLinear), dict(model.named_modules())

    def scale_of(name: str) -> set[float]:
        module = modules.get(name)
        if isinstance(module, SoftwareLinear):
            return {scale * module.unit for source in flow.inputs[name] for scale in scale_of(source)}
        if isinstance(module, FusedModule):
            return {1 / 128 / 2 ** ((int(module.weight_bits) or 8) - 1 if module.wide else 0)}
        return set()

    scales = []
    for number, sources in enumerate(flow.outputs[: len(outputs)]):
        found = {scale for source in sources for scale in scale_of(source)}
        if len(found) != 1:
            raise Ai8xError(f"output {number} joins values of different scales: its scale is not defined")
        scales.append(found.pop())
    return tree_unflatten(scales, structure)


def warn_about_inner_scales(model: nn.Module, shape: Sequence[int], where: str, console: Console) -> None:
    """Warn about layers with a final scale whose outputs another layer reads: the accelerator ignores such scales.

    `shape` is that of an input without the batch. Some tools write such checkpoints if a layer is defined after the
    layer that reads it.
    """
    scaled = [name for name, module in named_fused_modules(model) if module.final_scale_exponent]
    if not scaled:
        return
    try:
        consumed = trace_dataflow(model, torch.zeros(1, *shape)).consumed
    except Ai8xError:  # the layers that read it are unknown
        return
    for name in scaled:
        if name in consumed:
            console.warn(
                f"{where}: {name!r} has a final scale, but is not an output: the accelerator does not scale it"
            )


def count_nonzero_weights(model: nn.Module) -> int:
    """Return the number of non-zero elements of the weight tensors: "Params" of the log."""
    state = model.state_dict().items()
    chosen = [v for k, v in state if v.dim() >= 2 and ("weight" in k or "bias" in k)]
    return sum(int(torch.count_nonzero(value)) for value in chosen)


def compute_device(*, cpu: bool, gpus: Sequence[int] | None, console: Console) -> torch.device:
    """Return the compute device: the CPU with `cpu`, else the first of `gpus`, else the fastest available one.

    Warns if `gpus` are given but there is no GPU. Raises Ai8xError for the number of a GPU that does not exist.
    """
    if cpu:
        return torch.device("cpu")
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        for number in gpus or ():
            if not 0 <= number < count:
                raise Ai8xError(f"there is no GPU {number}", fix=f"--gpus takes 0 to {count - 1}")
        return torch.device("cuda", gpus[0] if gpus else 0)
    if gpus:
        console.warn("no GPU found: --gpus is ignored")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    console.detail("no accelerator found: computing on the CPU")
    return torch.device("cpu")
