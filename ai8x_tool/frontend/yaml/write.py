"""Writing of commented network descriptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from ai8x_tool.device import Device
from ai8x_tool.mapping.options import MappingOptions
from ai8x_tool.mapping.placement import LayerPlacement, Placement
from ai8x_tool.network.layer import BINARY, BUFFER, INPUT, Layer, Pair, Source
from ai8x_tool.network.network import Network
from ai8x_tool.network.sizes import passes, pooled_size, processor_map_for

_OPERATIONS = {"none": "none", "conv1d": "Conv1d", "conv2d": "Conv2d", "convtranspose2d": "ConvTranspose2d"}
_ACTIVATIONS = {"none": "None", "relu": "ReLU", "abs": "Abs"}
Keys = dict[str, Any]


_SHARED_BITS = 8
"""Default width of weights that belong to another layer."""


class _Hex(int):
    """A number that is written in hexadecimal."""


def write_description(
    network: Network,
    placement: Placement,
    device: Device,
    *,
    dataset: str = "none",
    title: str | None = None,
    options: MappingOptions | None = None,
    input_shape: bool = False,
) -> str:
    """Return the description of `network` and `placement`; places that are not decided are omitted.

    Reading it with the same checkpoint gives an equal network and placement, except that biases of layers that were
    left out are not known; a comment states that. `title` is the first comment; the next one names the options of the
    generator that the placement needs. With `input_shape` the layers that read the input give its shape, which
    otherwise is that of the dataset.
    """
    top: Keys = {"arch": network.name, "dataset": dataset}
    if placement.snoop is not None:
        top["snoop"] = [_Hex(value) for value in placement.snoop]
    if network.buffer is not None and placement.buffer is not None:
        buffer, where = network.buffer, placement.buffer
        top["data_buffer"] = [
            {
                "name": buffer.name,
                "processors": _Hex(where.processors),
                "channels": buffer.channels,
                "dim": _dimension(buffer.size),
                "offset": _Hex(where.offset),
            }
        ]
    if placement.unload:
        top["unload"] = [
            {
                "processors": _Hex(item.processors),
                "channels": item.channels,
                "dim": _dimension(item.size),
                "offset": _Hex(item.offset),
                **({"width": item.width} if item.width != 8 else {}),
                **({"write_gap": item.write_gap} if item.write_gap else {}),
            }
            for item in placement.unload
        ]
    lines = [f"# {title or f'{network.name} on the {device.name}: {len(network.layers)} layers'}", "---"]
    lines[1:1] = [*_needed_options(options or MappingOptions()), *_left_out_biases(network)]
    lines += [f"{key}: {_text(value)}" for key, value in top.items()]
    lines += ["", "layers:"]
    for layer in network.layers:
        keys = _layer_keys(network, placement, layer)
        if input_shape and layer.inputs == (INPUT,):
            keys |= {"in_channels": layer.channels_in, "in_dim": _dimension(layer.in_size)}
        lines += _layer_lines(_comment(network, placement, layer), keys)
    return "\n".join(lines) + "\n"


def _needed_options(options: MappingOptions) -> list[str]:
    """Return a comment with the options that the placement requires."""
    fifo = "--fast-fifo" if options.fast_fifo else "--fifo" if options.fifo else ""
    needed = [name for name in (fifo, "--overlap-data" if options.overlap_data else "") if name]
    return [f"# Options of the generator: {' '.join(needed)}"] if needed else []


def _left_out_biases(network: Network) -> list[str]:
    """Return a comment if only layers that were left out have biases, because then the bias memory is not cleared."""
    left_out = network.has_bias and not any(layer.has_bias for layer in network.layers)
    return ["# Layers that were left out have biases; these have none: the bias memory is not cleared"] * left_out


def _layer_lines(comment: str, keys: Keys) -> Iterator[str]:
    yield f"  # {comment}"
    bullet = "  - "
    for key, value in keys.items():
        yield f"{bullet}{key}: {_text(value)}"
        bullet = "    "


def _text(value: Any) -> str:
    """Return a value in YAML's flow style."""
    if isinstance(value, _Hex):
        return f"{value:#x}" if value < 1 << 16 else f"{value:#018x}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, str):
        # The width keeps long names on one line; the end marker of the document is cut off.
        return (
            yaml.safe_dump(value, width=10_000, allow_unicode=True, default_flow_style=True).split("\n...")[0].rstrip()
        )
    return str(value).lower() if isinstance(value, bool) else str(value)


def _dimension(size: Pair) -> Any:
    return list(size)


def _comment(network: Network, placement: Placement, layer: Layer) -> str:
    """Return a comment about a layer: shapes, bytes of data memory and weights, and the purpose of a copy."""
    shape = "×".join(map(str, (layer.channels_in * layer.operands, *layer.in_size)))
    result = "×".join(map(str, (layer.channels_out, *layer.out_size)))
    at = placement.layers.get(layer.name, LayerPlacement())
    size = layer.out_size[0] * layer.out_size[1] * passes(layer.channels_out) * layer.output_width // 2
    text = f"layer {layer.index}: {shape} -> {result}"
    text += f", output {size * (at.write_gap + 1):,} bytes in each instance"
    if layer.has_weights and layer.shares is None:
        text += f", weights {layer.weight_size // 8:,} bytes"
    readers = network.readers(layer.name)
    is_copy = not layer.is_convolution and not layer.has_pool and layer.eltwise is None
    combined = next((reader for reader in readers if reader.eltwise), None)
    if is_copy and combined is not None and len(layer.inputs) == 1:
        text += f"; a copy, interleaved with the other operands of {combined.label}"
    return text


def _layer_keys(network: Network, placement: Placement, layer: Layer) -> Keys:
    at = placement.layers.get(layer.name, LayerPlacement())
    order = [network[name] for name in placement.order] or list(network.layers)
    position = next(number for number, other in enumerate(order) if other.name == layer.name)
    previous = order[position - 1] if position else None
    places = _place_keys(placement, layer, at, order, position)
    elsewhere = previous is not None and "in_offset" in places
    return {
        **({"name": layer.name} if layer.is_named else {}),
        **_source_keys(network, layer, previous, elsewhere=elsewhere),
        **_operation_keys(layer),
        **_number_keys(layer),
        **_sequence_keys(network, placement, layer, order, position),
        **places,
    }


def _reference(network: Network, source: Source) -> Any:
    if source is INPUT:
        return "input"
    if source is BUFFER:
        return network.buffer.name if network.buffer is not None else "buffer"
    layer = network[str(source)]
    return layer.name if layer.is_named else layer.index - network.first


def _source_keys(network: Network, layer: Layer, previous: Layer | None, *, elsewhere: bool) -> Keys:
    """Return the keys of a layer's sources.

    They include the preceding layer if it is read from a place other than where it writes (`elsewhere`).
    """
    keys: Keys = {}
    default: tuple[Source, ...] = (INPUT if previous is None else previous.name,)
    if elsewhere or layer.inputs != default:
        names = [_reference(network, source) for source in layer.inputs]
        keys["in_sequences"] = names if len(names) > 1 else names[0]
    sizes = [_source_shape(network, source) for source in layer.inputs]
    reads_buffer = BUFFER in layer.inputs
    if layer.in_size != sizes[0][1] or len({size for _, size in sizes}) > 1 or reads_buffer:
        keys["in_dim"] = _dimension(layer.in_size)
    if any(layer.in_crop):
        keys["in_crop"] = list(layer.in_crop)
    offered = sizes[0][0] if layer.eltwise else sum(channels for channels, _ in sizes)
    offered = offered // layer.operands if layer.inputs == (INPUT,) else offered
    if (layer.parameters is None and layer.channels_in != offered) or reads_buffer:
        keys["in_channels"] = layer.channels_in
    if layer.channels_out != layer.channels_in or (layer.has_weights and layer.shares is None):
        keys["out_channels"] = layer.channels_out  # also known from the weights, if there are some
    return keys


def _source_shape(network: Network, source: Source) -> tuple[int, Pair]:
    if source is INPUT:
        return network.input_shape[0], (network.input_shape[1], network.input_shape[2])
    if source is BUFFER:
        assert network.buffer is not None
        return network.buffer.channels, network.buffer.size
    layer = network[str(source)]
    return layer.channels_out, layer.out_size


def _operation_keys(layer: Layer) -> Keys:
    fused = layer.eltwise if layer.is_convolution else None
    own = layer.eltwise if layer.eltwise and not layer.is_convolution else None
    keys: Keys = {"op": own or _OPERATIONS.get(layer.operator, "Linear")}
    if fused:
        keys["eltwise"] = fused
    if layer.eltwise and layer.operands != 2:
        keys["operands"] = layer.operands
    if layer.operator == "conv1d":
        keys["kernel_size"] = layer.kernel[0]
    elif layer.operator in ("conv2d", "convtranspose2d"):
        keys["kernel_size"] = f"{layer.kernel[0]}x{layer.kernel[1]}"
    if layer.is_convolution and layer.operator != "linear":
        keys["pad"] = layer.pad[0] if len(set(layer.pad)) == 1 or layer.operator == "conv1d" else list(layer.pad)
    if layer.operator == "conv1d" and layer.dilation != (1, 1):
        keys["dilation"] = layer.dilation[0]
    if layer.groups > 1:
        keys["groups"] = layer.groups
    keys |= _pool_keys(layer)
    if layer.is_convolution:
        keys["activate"] = _ACTIVATIONS[layer.activation]
    keys |= {key: True for key in ("flatten", "bypass") if getattr(layer, key)}
    return keys | {key: getattr(layer, key) for key in ("buffer_shift", "buffer_insert") if getattr(layer, key)}


def _pool_keys(layer: Layer) -> Keys:
    keys: Keys = {}
    one = layer.operator == "conv1d"
    strides = pooled_size(layer, layer.in_size) != layer.in_size or layer.pool_stride != (1, 1)
    if layer.has_pool:
        keys["avg_pool" if layer.pool_average else "max_pool"] = layer.pool[0] if one else list(layer.pool)
    if layer.has_pool or strides:  # for 1D data only the first value counts, and two values must be equal
        keys["pool_stride"] = layer.pool_stride[0] if one or layer.in_size[1] == 1 else list(layer.pool_stride)
    if layer.pool_dilation != (1, 1):
        keys["pool_dilation"] = layer.pool_dilation[0] if one else list(layer.pool_dilation)
    return keys if layer.pool_first else keys | {"pool_first": False}


def _number_keys(layer: Layer) -> Keys:
    keys: Keys = {}
    fixed = frozenset(("bits", "shift")) if layer.parameters is None else layer.parameters.described
    if layer.shares is not None and layer.bits != _SHARED_BITS:
        fixed |= {"bits"}
    if layer.has_weights and "bits" in fixed and (layer.parameters is not None or layer.bits != 8):
        keys["quantization"] = "binary" if layer.bits == BINARY else layer.bits
    if layer.is_convolution and "shift" in fixed and layer.shares is None:
        implicit = 8 - abs(layer.bits) if layer.parameters is not None else 0
        default = 7 if layer.bypass else 0
        if layer.parameters is not None or layer.shift != default:
            keys["output_shift"] = layer.shift - implicit
    return keys | ({"output_width": layer.output_width} if layer.output_width != 8 else {})


def _sequence_keys(network: Network, placement: Placement, layer: Layer, order: list[Layer], position: int) -> Keys:
    keys: Keys = {}
    last = position + 1 == len(order)
    if last and layer.index != network.layers[-1].index:
        keys["next_sequence"] = "stop"
    elif not last and order[position + 1].index != layer.index + 1:
        keys["next_sequence"] = _reference(network, order[position + 1].name)
    if placement.simulated is not None and layer.name in placement.simulated:
        place = placement.simulated.index(layer.name)
        following = placement.simulated[place + 1] if place + 1 < len(placement.simulated) else None
        if following != (None if last else order[position + 1].name):
            keys["simulated_sequence"] = "stop" if following is None else _reference(network, following)
    target = placement.layers.get(layer.name, LayerPlacement()).snoop_target
    if target is not None:
        keys["snoop_sequence"] = _reference(network, target)
    if layer.shares is not None:
        keys["weight_source"] = _reference(network, layer.shares)
    outputs = network.outputs()
    if layer.output and not (len(outputs) == 1 and last):
        keys["output"] = True
    return keys


def _place_keys(placement: Placement, layer: Layer, at: LayerPlacement, order: list[Layer], position: int) -> Keys:
    keys: Keys = {}
    previous = placement.layers.get(order[position - 1].name, LayerPlacement()) if position else None
    following = None if position + 1 == len(order) else placement.layers.get(order[position + 1].name, LayerPlacement())
    if position == 0 and placement.chw:
        keys["data_format"] = "CHW"
    if at.processors is not None:
        keys["processors"] = _Hex(at.processors)
    default = processor_map_for(layer.channels_out) if following is None else following.processors
    if at.output_processors is not None and at.output_processors != default:
        keys["output_processors"] = _Hex(at.output_processors)
    needed = BUFFER in layer.inputs
    if at.in_offset is not None and (needed or at.in_offset != (previous.out_offset if previous is not None else 0)):
        keys["in_offset"] = _Hex(at.in_offset)
    if at.out_offset is not None:
        keys["out_offset"] = _Hex(at.out_offset)
    if at.bias_groups is not None:
        keys["bias_group"] = list(at.bias_groups)
    if at.tcalc is not None:
        keys["tcalc"] = at.tcalc
    keys |= {key: getattr(at, key) for key in ("write_gap", "read_gap") if getattr(at, key)}
    return keys | {key: True for key in ("streaming", "readahead", "calcx4") if getattr(at, key)}
