"""The program: every store the generated code makes, in order, and the answers it expects."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.device.stores import Stores
from ai8x_tool.engine import LayerTensors
from ai8x_tool.lowering.configure import configure
from ai8x_tool.lowering.input_data import input_blocks, repeat_pattern
from ai8x_tool.lowering.kernel_blocks import kernel_blocks
from ai8x_tool.lowering.options import Context, LoweringOptions
from ai8x_tool.lowering.outputs import OutputRegion, answer_blocks
from ai8x_tool.lowering.program_stores import bias_stores, input_stores, kernel_stores, step_stores
from ai8x_tool.lowering.start import fifo_writes, initialise, interrupt_mask, start
from ai8x_tool.lowering.steps import AnswerBlock, InputBlock, KernelBlock, Step, Wait, Words, Write
from ai8x_tool.mapping import Mapping
from ai8x_tool.network.network import Layer, Network

__all__ = ["Program", "Wait", "Write", "lower"]


@dataclass(frozen=True, eq=False)
class Program:
    """Everything the C project is rendered from. `bias` maps a quadrant to its bytes.

    `start` precedes the timer, `go` starts the master quadrant. `unload` are the regions that ``cnn_unload()`` copies.
    """

    mapping: Mapping
    options: LoweringOptions
    init: tuple[Step, ...]
    kernels: tuple[KernelBlock, ...]
    bias: dict[int, list[int]]
    configure: tuple[Write, ...]
    inputs: tuple[InputBlock, ...]
    start: tuple[Write, ...]
    go: tuple[Write, ...]
    answers: tuple[AnswerBlock, ...]
    unload: tuple[OutputRegion, ...]
    interrupt_mask: int

    def stores(self) -> Stores:
        """Return every store to the accelerator, in the order in which the generated C code makes them."""
        options, device = self.mapping.options, self.mapping.device
        pattern, start = self.options.synthesized_input, self.mapping.start.layer
        blocks = self.inputs
        if pattern is not None:
            blocks = tuple(replace(b, words=repeat_pattern(b.words, pattern, start)) for b in blocks)
        inputs = input_stores(device, blocks, fifo=options.fifo, fast=options.fast_fifo)
        before, after = (Stores.join([]), inputs) if options.fifo else (inputs, Stores.join([]))
        return Stores.join(
            [
                step_stores(self.init),
                kernel_stores(self.kernels, express=self.options.express),
                bias_stores(device, self.bias),
                step_stores(self.configure),
                before,
                step_stores([*self.start, *self.go]),
                after,
            ]
        )

    @property
    def context(self) -> Context:
        """What register functions see."""
        return Context(self.mapping, self.options)


def layer_region(layer: Layer) -> OutputRegion:
    """Return where the output of `layer` lies."""
    return OutputRegion(
        layer.output_map,
        layer.channels_out,
        layer.out_size,
        layer.out_offset,
        layer.output_width,
        layer.write_gap,
        layer.final_scale,
    )


def checked_layers(mapping: Mapping, tensors: LayerTensors) -> list[Layer]:
    """Return the layers whose output is verified: executed output layers and the one executed last."""
    last = tensors.order[-1]
    network = mapping.network
    return [network[i] for i in tensors.order if network[i].output or i == last]


def _unload_regions(mapping: Mapping) -> tuple[OutputRegion, ...]:
    network = mapping.network
    if not network.description.unload:
        return tuple(layer_region(layer) for layer in network.outputs())
    return tuple(
        OutputRegion(item.processors, item.channels, item.dim, item.offset, item.width, item.write_gap, scale or 0)
        for item, scale in zip(network.description.unload, listed_scales(network), strict=True)
    )


def listed_scales(network: Network) -> list[int | None]:
    """Return the final scale of every item of the `unload` list: its output layer's, None if it is of none.

    spec: qatv2, section 7.4, U7.
    """
    places = {(layer.out_offset, layer.output_map): layer.final_scale for layer in network.outputs()}
    return [places.get((item.offset, item.processors)) for item in network.description.unload]


def lower(mapping: Mapping, options: LoweringOptions, sample: Words, tensors: LayerTensors) -> Program:
    """Return the program. `sample` is (channels, rows, columns), `tensors` what the engine computes from it.

    Raises Ai8xError if a value does not fit its register field.
    """
    context = Context(mapping, options)
    before, go = start(context)
    answers: list[AnswerBlock] = []
    if options.known_answers:
        layers = checked_layers(mapping, tensors)
        regions = [(layer_region(layer), tensors.outputs[layer.index][0]) for layer in layers]
        answers = answer_blocks(mapping.device, regions, options.max_verify_length)
    return Program(
        mapping=mapping,
        options=options,
        init=tuple(initialise(context)),
        kernels=tuple(kernel_blocks(context)),
        # Depth-wise layers have zeros, which nothing adds, in quadrants below their own, whose clocks may be off.
        bias={quadrant: values for quadrant, values in mapping.bias_bytes.items() if quadrant in mapping.quadrants},
        configure=tuple(configure(context) + fifo_writes(context)),
        inputs=tuple(input_blocks(context, sample)),
        start=tuple(before),
        go=tuple(go),
        answers=tuple(answers),
        unload=_unload_regions(mapping),
        interrupt_mask=interrupt_mask(context),
    )
