"""Rules that a device imposes on a network, wherever its layers are placed."""

from __future__ import annotations

from typing import NamedTuple

from ai8x_tool.device import Device
from ai8x_tool.device.facts import COLUMN_BYTES, PROCESSORS, QUADRANTS
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.rule import Finding, require


class DeviceNetwork(NamedTuple):
    """A network and the device that executes it."""

    network: Network
    device: Device

    @property
    def where(self) -> str:
        """The network's name."""
        return self.network.name


class DeviceLayer(NamedTuple):
    """A layer and the device that executes it."""

    layer: Layer
    device: Device

    @property
    def where(self) -> str:
        """Where the layer is defined."""
        return self.layer.where


def constraint_depthwise_device(s: DeviceLayer) -> Finding | None:
    """Depthwise convolutions need a device that supports them."""
    if not s.layer.depthwise or s.device.depthwise:
        return None
    return Finding(f"{s.layer.groups} groups on the {s.device.name}", "use groups=1, or --device MAX78002")


def constraint_pooling_dilation_device(s: DeviceLayer) -> Finding | None:
    """The dilation of pooling windows must not exceed the limit of the device."""
    dilation, limit = max(s.layer.pool_dilation), s.device.pool_dilation
    values = f"pool_dilation = {dilation}, the {s.device.name} supports up to {limit}"
    return Finding(values, f"use a pool_dilation of at most {limit}") if dilation > limit else None


def constraint_padded_passes_device(s: DeviceLayer) -> Finding | None:
    """1D data of more channels than processors can be padded only on devices that support it."""
    wrong = s.layer.operator == "conv1d" and s.layer.pad[0] > 0 and s.layer.channels_in > PROCESSORS
    if not wrong or s.device.padded_multi_pass_conv1d:
        return None
    return Finding(f"{s.layer.channels_in} channels on the {s.device.name}", "use padding=0")


def constraint_channels_device(s: DeviceLayer) -> Finding | None:
    """Layers must not read or write more channels than the device supports."""
    most = max(s.layer.channels_in, s.layer.channels_out)
    values = f"{most} channels, the {s.device.name} supports up to {s.device.channels}"
    return Finding(values) if most > s.device.channels else None


def constraint_dimensions_device(s: DeviceLayer) -> Finding | None:
    """Rows and columns of all data must not exceed the limit of the device."""
    most = max(*s.layer.in_size, *s.layer.out_size)
    limit = s.device.dimension
    values = f"{most}, the {s.device.name} supports up to {limit}"
    return Finding(values, "pool or fold the data") if most > limit else None


def constraint_layers_device(s: DeviceNetwork) -> Finding | None:
    """A network must not have more layers than the device."""
    count, limit = len(s.network.layers), s.device.layers
    return Finding(f"{count} layers, the {s.device.name} has {limit}") if count > limit else None


def constraint_weights_device(s: DeviceNetwork) -> Finding | None:
    """All weights must fit the kernel memory."""
    bits = sum(layer.weight_size for layer in s.network.layers if layer.has_weights and layer.shares is None)
    have = sum(s.device.kernel_columns(processor) for processor in range(PROCESSORS)) * COLUMN_BYTES * 8
    if bits <= have:
        return None
    values = f"{bits // 8:,} bytes, the {s.device.name} has {have // 8:,}"
    return Finding(values, "use fewer channels, or fewer weight bits in the QAT policy")


def constraint_biases_device(s: DeviceNetwork) -> Finding | None:
    """All biases must fit the bias memory."""
    count = sum(layer.channels_out for layer in s.network.layers if layer.has_bias)
    have = s.device.bias_size * QUADRANTS
    values = f"{count:,} values, the {s.device.name} holds {have:,}"
    return Finding(values, "build layers without bias") if count > have else None


DEVICE_LAYER_RULES = (
    constraint_depthwise_device,
    constraint_pooling_dilation_device,
    constraint_padded_passes_device,
    constraint_channels_device,
    constraint_dimensions_device,
)
DEVICE_NETWORK_RULES = (constraint_layers_device, constraint_weights_device, constraint_biases_device)


def require_device(network: Network, device: Device) -> None:
    """Raise Ai8xError if `device` cannot execute `network`, or hold its weights, wherever the layers are placed."""
    for layer_rule in DEVICE_LAYER_RULES:
        for layer in network.layers:
            require(layer_rule, DeviceLayer(layer, device))
    for network_rule in DEVICE_NETWORK_RULES:
        require(network_rule, DeviceNetwork(network, device))
