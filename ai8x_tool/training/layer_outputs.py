"""Outputs of a PyTorch model for individual layers of the network."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.nn import FusedModule, named_fused_modules
from ai8x_tool.nn.hooks import Call, observed_calls


@contextmanager
def captured_outputs(model: nn.Module, names: Collection[str] | None = None) -> Iterator[dict[str, list[Tensor]]]:
    """Collect the outputs of fused modules, by name, one entry per call, while the block runs.

    `names` are those of the modules (default: all).

    Outputs are those of the accelerator, without final scales.
    """
    modules = [(name, module) for name, module in named_fused_modules(model) if names is None or name in names]
    outputs: dict[str, list[Tensor]] = {name: [] for name, _ in modules}

    def keep(call: Call[FusedModule], output: Tensor) -> None:
        outputs[call.name].append(output.detach() * 2.0**-call.module.final_scale_exponent)

    with observed_calls(modules, after=keep):
        yield outputs


@torch.no_grad()
def layer_outputs(
    model: nn.Module, network: Network, inputs: Tensor, layers: Collection[Layer] | None = None
) -> dict[int, Tensor]:
    """Run `inputs` through `model`; return, by layer, the outputs of the modules whose weights the layers use.

    `layers` are those to return (default: all). Layers without weights are left out, as are those whose module the
    model does not contain.
    """
    names = None if layers is None else {module_name(layer) for layer in layers}
    with captured_outputs(model.eval(), names) as outputs:
        model(inputs)
    found = {}
    for name in network.evaluation_order():
        layer = network[name]
        calls = outputs.get(module_name(layer), []) if layer.parameters is not None else []
        if calls:
            found[layer.index] = calls.pop(0)
    return found


def module_name(layer: Layer) -> str:
    """Return the name of the module whose weights the layer uses."""
    assert layer.parameters is not None
    return layer.parameters.key.removesuffix("weight").removesuffix(".").removesuffix(".op")


def conv_strides(model: nn.Module, network: Network) -> dict[int, tuple[int, int]]:
    """Return the strides of convolutions with strides other than 1, by layer.

    The accelerator computes such a convolution with stride 1; a separate layer selects the required values.
    """
    strides = {}
    modules = dict(named_fused_modules(model))
    for layer in network.layers:
        op = modules[module_name(layer)].op if layer.parameters and module_name(layer) in modules else None
        if isinstance(op, nn.Conv1d | nn.Conv2d):
            rows, columns = (*op.stride, 1)[:2]
            strides[layer.index] = int(rows), int(columns)
    return strides
