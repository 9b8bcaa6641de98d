"""Whether a model can run on a device at all, asked before it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ai8x_tool.device import Device
from ai8x_tool.frontend.torch.trace import trace
from ai8x_tool.network.device_rules import (
    DEVICE_LAYER_RULES,
    DEVICE_NETWORK_RULES,
    DeviceLayer,
    DeviceNetwork,
)
from ai8x_tool.network.layer import Layer
from ai8x_tool.nn import FusedModule, QatPolicy
from ai8x_tool.rule import require


def check_model(
    model: nn.Module, input_shape: Sequence[int], device: Device, *, policy: QatPolicy | None = None, name: str = ""
) -> None:
    """Refuse a model that `device` cannot run wherever its layers would be placed; weights do not matter.

    `input_shape` is (channels, rows, columns) or (channels, length). `policy` decides the weight bits of layers that
    are not quantized yet; without one, they count as the fewest. Raises Ai8xError naming rule, module and line.
    """
    network = trace(model, input_shape, name or type(model).__name__, device=device)
    modules = dict(model.named_modules())
    layers = tuple(_with_bits(layer, modules, policy) for layer in network.layers)
    for layer_rule in DEVICE_LAYER_RULES:
        for layer in layers:
            require(layer_rule, DeviceLayer(layer, device))
    for network_rule in DEVICE_NETWORK_RULES:
        require(network_rule, DeviceNetwork(replace(network, layers=layers), device))


def _with_bits(layer: Layer, modules: dict[str, nn.Module], policy: QatPolicy | None) -> Layer:
    module = modules.get(layer.shares or layer.name)
    if not layer.has_weights or not isinstance(module, FusedModule) or int(module.weight_bits):
        return layer
    return replace(layer, bits=1 if policy is None else policy.choose(layer.name)[0])
