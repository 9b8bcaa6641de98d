"""Models with random integer weights, and the comparison of what they compute with the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.device import MAX78002, Device
from ai8x_tool.engine import run
from ai8x_tool.frontend.torch import bind, model_network, trace
from ai8x_tool.network.device_rules import require_device
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.nn import QatPolicy, build_context, fuse_batchnorm, named_fused_modules, update_model
from ai8x_tool.nn.elementwise import Elementwise
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.hooks import Call, observed_calls


def check_model(
    model: nn.Module, shape: Sequence[int], device: Device, *, policy: QatPolicy | None = None, name: str = ""
) -> None:
    """Refuse a model that cannot run on a device wherever its layers would be placed."""
    require_device(model_network(model, shape, device, policy=policy, name=name), device)


@contextmanager
def simulated(device: Device = MAX78002) -> Iterator[None]:
    """Build modules that compute with the accelerator's integers."""
    with build_context(device, simulate=True):
        yield


def randomize(model: nn.Module, seed: int, widths: Sequence[int] = (8, 4, 2, 1)) -> nn.Module:
    """Fill a model in 8-bit mode with random integers, as quantization would leave them."""
    generator = torch.Generator().manual_seed(seed)
    fuse_batchnorm(model)
    for _, module in named_fused_modules(model):
        op: Any = module.op
        if op is None:
            continue
        bits = widths[int(torch.randint(len(widths), (1,), generator=generator))]
        low, high = -(1 << bits - 1), 1 << bits - 1
        op.weight.data = torch.randint(low, high, op.weight.shape, generator=generator).float()
        op.weight.data.flatten()[0] = low
        if op.bias is not None:
            op.bias.data = torch.randint(-128, 128, op.bias.shape, generator=generator).float() * (1 << bits - 1)
        module.weight_bits.data.fill_(bits)
        module.bias_bits.data.fill_(bits)
        products = op.weight[0].numel() ** 0.5 * 64 * (1 << bits - 1) / 2
        module.output_shift.data.fill_(round(float(np.log2(60 * (1 << bits - 1) / products))))
    update_model(model)
    return model.eval().requires_grad_(False)


def checkpoint_of(model: nn.Module) -> Checkpoint:
    """Return what saving the model would store."""
    state = {name: value.detach().numpy() for name, value in model.state_dict().items()}
    return Checkpoint(Path("memory.pth.tar"), state, 0, "net", {}, {})


def recorded(model: nn.Module, inputs: Tensor) -> tuple[dict[str, list[Tensor]], Any]:
    """Run `model`; return the outputs of its fused and element-wise modules, by name and call, and its own."""
    modules = [(n, m) for n, m in model.named_modules() if isinstance(m, FusedModule | Elementwise)]
    outputs: dict[str, list[Tensor]] = {}

    def keep(call: Call[nn.Module], output: Tensor) -> None:
        outputs.setdefault(call.name, []).append(output.clone())

    with observed_calls(modules, after=keep), torch.no_grad():
        result = model(inputs)
    return outputs, result


def traced(model: nn.Module, shape: Sequence[int], device: Device = MAX78002) -> Network:
    """Return the network of a model in 8-bit mode with its weights."""
    return bind(trace(model, shape, "net", device=device), checkpoint_of(model), device)


def activated(layer: Layer, values: Any) -> Any:
    """Return what the layer makes of values that its module gave, whose activation may be a call of its own."""
    if layer.activation == "relu":
        return np.maximum(values, 0)
    return np.minimum(np.abs(values), 127) if layer.activation == "abs" else values


def stride_of(module: nn.Module) -> int:
    """Return the stride that a layer of its own, or the next one, does by subsampling."""
    op = getattr(module, "op", None)
    return int(op.stride[0]) if isinstance(op, nn.Conv2d) else 1


def agree(
    model: nn.Module,
    shape: Sequence[int],
    device: Device = MAX78002,
    *,
    samples: int = 2,
    seed: int = 0,
    in_software: bool = False,
) -> int:
    """Assert that the engine computes, in every layer, what the model does in torch; return the layers compared.

    Layers that torch has no module for are compared by what reads them. What the model returns is compared, too, unless
    software has computed it.
    """
    network = traced(model, shape, device)
    integers = np.random.default_rng(seed).integers(-128, 128, (samples, *shape))
    tensors = run(network, integers.reshape(samples, *network.input_shape).astype(np.int8))
    outputs, result = recorded(model, torch.from_numpy(integers.astype(np.float32)))
    compared = 0
    for name in network.evaluation_order():
        layer = network[name]
        key = name if name in outputs else re.sub(r"_[0-9]+$", "", name)
        if not outputs.get(key):
            continue
        expected = activated(layer, outputs[key].pop(0).numpy())
        step = stride_of(model.get_submodule(key))
        actual = tensors.outputs[layer.index][:, :, ::step, :: step if layer.operator != "conv1d" else 1]
        assert np.array_equal(actual.reshape(samples, -1), expected.reshape(samples, -1)), name
        compared += 1
    last = [layer for layer in network.layers if layer.output and not in_software]
    if len(last) == 1 and isinstance(result, Tensor) and result.numel() == tensors.outputs[last[0].index].size:
        assert np.array_equal(result.numpy().reshape(samples, -1), tensors.outputs[last[0].index].reshape(samples, -1))
        compared += 1
    return compared
