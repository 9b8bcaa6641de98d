"""The network of a model before training, with the weight bits that it will have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ai8x_tool.device import Device
from ai8x_tool.frontend.torch.trace import trace
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.nn import FusedModule, QatPolicy

_FEWEST_BITS = 1


def model_network(
    model: nn.Module,
    input_shape: Sequence[int],
    device: Device,
    *,
    policy: QatPolicy | None = None,
    name: str = "",
    undecided: int = _FEWEST_BITS,
) -> Network:
    """Return the network of a model, with the weight bits that it will have.

    `input_shape` is (channels, rows, columns) or (channels, length). `policy` decides the weight bits of layers that
    are not quantized yet; without one, they are `undecided`. Raises Ai8xError naming module and line.
    """
    network = trace(model, input_shape, name or type(model).__name__, device=device)
    modules = dict(model.named_modules())
    return replace(network, layers=tuple(_with_bits(layer, modules, policy, undecided) for layer in network.layers))


def _with_bits(layer: Layer, modules: dict[str, nn.Module], policy: QatPolicy | None, undecided: int) -> Layer:
    module = modules.get(layer.shares or layer.name)
    if not layer.has_weights or not isinstance(module, FusedModule) or int(module.weight_bits):
        return layer
    return replace(layer, bits=undecided if policy is None else policy.choose(layer.name)[0])
