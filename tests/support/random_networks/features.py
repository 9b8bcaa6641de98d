"""Which operators and modes a drawn network has, for statistics and for tests that all of them occur."""

from __future__ import annotations

from ai8x_tool.device import MAX78000
from ai8x_tool.network.layer import BINARY, BUFFER, INPUT
from tests.support.random_networks.drawn_network import DrawnNetwork

_BOTH = """
conv1d conv2d convtranspose2d linear none add sub or xor relu abs no-activation bias bias-group flatten
kernel1x1 kernel3x3 conv1d-kernel1 conv1d-kernel2 conv1d-kernel3 conv1d-kernel4 conv1d-kernel5 conv1d-kernel6
conv1d-kernel7 conv1d-kernel8 conv1d-kernel9 pad0 pad1 pad2 stretched-dilation folded-dilation
max-pool avg-pool passthrough-pool copy non-square-window subsample pool-stride
operands2 operands3 operands4 operands5 operands8 operands12 operands16 pool-last eltwise-convolution eltwise-pool
concatenation interleaved-passes stacked write-gap multi-pass-in multi-pass-out unaligned-output
bits8 bits4 bits2 bits1 wide weight-source in-dim in-crop data-buffer outputs unload output-map older-source input-again
hwc chw memory-input fifo several-fifos fast-fifo quad streaming streaming-pool streaming1x1
stop-after input-offset names sequence mexpress zero-sram init-tram powerdown average-rounding kat no-bias weight-start
synthesized-input
"""
_NEW = """
binary bypass depthwise depthwise-conv1d depthwise-moved depthwise-streaming pool-dilation read-gap jumps start-layer
readahead tcalc calcx4 streaming-readahead snoop no-pipeline one-shot link-layer fifo-go hidden-layer
"""
_OLD = "streaming-none emulated-eltwise"


def _of(device, names):
    return {f"{device}:{name}" for name in names.split()}


EVERY = _of("MAX78000", _BOTH + _OLD) | _of("MAX78002", _BOTH + _NEW)
"""Everything that the strategy draws."""


def features(net: DrawnNetwork, result) -> set[str]:
    """Return the names of what occurs; `result` is the network's Synthesis."""
    network = result.network
    found = set()
    for mapped in result.mapping.layers:
        found |= _operator(mapped) | _modes(result.mapping, mapped)
    found |= _whole(net, result.mapping) | _options(net, network, result)
    return {f"{net.device.name}:{name}" for name in found}


def _named(**conditions):
    return {name.replace("_", "-") for name, holds in conditions.items() if holds}


def _operator(mapped):
    layer, view = mapped.layer, mapped.view
    found = {layer.operator if layer.eltwise is None or layer.is_convolution else layer.eltwise}
    if layer.eltwise:
        found |= {layer.eltwise, f"operands{layer.operands}"}
    if layer.operator == "conv2d":
        found.add(f"kernel{layer.kernel[0]}x{layer.kernel[1]}")
    if layer.operator == "conv1d":
        found |= {f"conv1d-kernel{layer.kernel[0]}"}
        found |= _named(stretched_dilation=layer.dilation[0] > 1 and not view.extra_words and view.operator == "conv1d")
        found |= _named(folded_dilation=view.operator == "conv2d")
    if layer.is_convolution:
        found |= {f"pad{layer.pad[0]}", f"bits{layer.bits}" if layer.bits != BINARY else "binary"}
        found.add({"none": "no-activation"}.get(layer.activation, layer.activation))
    pools, alone = layer.has_pool, layer.operator == "none" and layer.eltwise is None
    return found | _named(
        max_pool=pools and not layer.pool_average,
        avg_pool=pools and layer.pool_average,
        passthrough_pool=pools and alone,
        copy=alone and layer.in_size == layer.out_size,
        non_square_window=layer.pool[0] != layer.pool[1] and layer.in_size[1] > 1,
        subsample=not pools and layer.pool_stride[0] > 1,
        pool_stride=pools and layer.pool_stride[0] > 1,
        pool_dilation=max(layer.pool_dilation) > 1,
        pool_last=not layer.pool_first,
        eltwise_convolution=layer.eltwise is not None and layer.is_convolution,
        eltwise_pool=layer.eltwise is not None and pools,
        emulated_eltwise=view.emulated,
        depthwise=layer.depthwise,
        depthwise_conv1d=layer.depthwise and layer.operator == "conv1d",
        depthwise_moved=layer.depthwise and not mapped.broadcast,
        flatten=layer.flatten,
        bypass=layer.bypass,
        bias=layer.bias is not None,
    )


def _modes(mapping, mapped):
    layer, view, network = mapped.layer, mapped.view, mapping.network
    placed, sources = mapping.placed, layer.inputs
    several = len(sources) > 1 and not layer.eltwise
    maps = {placed[s].output_map for s in sources if isinstance(s, str)}
    start = mapped is mapping.start
    before = None if mapped.previous is None else placed[mapped.previous].layer.name
    first = next((network[s].out_size for s in sources if isinstance(s, str)), layer.in_size)
    reshaped = layer.in_size != first
    return _named(
        concatenation=several and len(maps) > 1,
        interleaved_passes=several and len(maps) == 1 and not reshaped,
        stacked=several and reshaped,
        write_gap=mapped.write_gap > 0,
        read_gap=mapped.read_gap > 0,
        multi_pass_in=view.input_passes > 1,
        multi_pass_out=view.output_passes > 1,
        wide=layer.output_width == 32,
        weight_source=layer.shares is not None,
        in_dim=reshaped,
        in_crop=any(layer.in_crop),
        bias_group=mapped.bias_groups is not None and layer.bias is not None,
        older_source=len(sources) == 1 and sources[0] not in (before, BUFFER, INPUT),
        input_again=not start and sources == (INPUT,),
        unaligned_output=layer.is_convolution
        and bool(mapped.output_map)
        and not mapped.output_map & 0x1111_1111_1111_1111,
        jumps=mapped.next not in (None, layer.index + 1),
        readahead=mapped.readahead,
        tcalc=mapped.tcalc,
        calcx4=mapped.calcx4,
        streaming=mapped.streaming,
        streaming_pool=mapped.streaming and layer.has_pool,
        streaming1x1=mapped.streaming and layer.operator == "conv2d" and layer.kernel == (1, 1),
        streaming_none=mapped.streaming and layer.operator == "none",
        streaming_readahead=mapped.streaming and mapped.readahead,
        depthwise_streaming=mapped.streaming and layer.depthwise,
        hidden_layer=mapped.resets_accumulator,
    )


def _whole(net, mapping):
    network, start, content = mapping.network, mapping.start, net.content
    fed = {"fifo", "fast_fifo", "fast_fifo_quad"} & set(net.options)
    return _named(
        data_buffer="data_buffer" in content,
        outputs=len(network.outputs()) > 1,
        unload="unload" in content,
        output_map="output_map" in content,
        snoop="snoop" in content,
        hwc=not start.chw,
        chw=start.chw,
        memory_input=not fed,
        fifo="fifo" in fed,
        fast_fifo="fast_fifo" in fed,
        quad="fast_fifo_quad" in fed,
        several_fifos="fifo" in fed and start.own_processors >= 1 << 16,
        names=any("name" in layer for layer in net.layers),
        sequence=any("sequence" in layer for layer in net.layers),
    )


def _options(net, network, result):
    chosen = net.options
    return _named(
        stop_after="stop_after" in chosen,
        input_offset="input_offset" in chosen,
        start_layer="start_layer" in chosen,
        mexpress="mexpress" in chosen,
        zero_sram="zero_sram" in chosen,
        init_tram="init_tram" in chosen,
        powerdown="powerdown" in chosen,
        average_rounding="avg_pool_rounding" in chosen,
        kat="kat" in chosen,
        no_bias="no_bias" in chosen,
        weight_start="weight_start" in chosen,
        synthesized_input="synthesize_input" in chosen,
        no_pipeline=net.device is not MAX78000 and chosen.get("pipeline") is False,
        one_shot="one_shot" in chosen,
        link_layer="link_layer" in chosen,
        fifo_go="fifo_go" in chosen,
    )
