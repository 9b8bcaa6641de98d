"""The program: all stores of the generated code, in order; and a sample with its known answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.device.stores import Stores
from ai8x_tool.engine import LayerTensors
from ai8x_tool.lowering.answers import answer_blocks
from ai8x_tool.lowering.configure import configure
from ai8x_tool.lowering.fifo import control_writes
from ai8x_tool.lowering.input_data import input_blocks, repeat_pattern
from ai8x_tool.lowering.kernel_blocks import kernel_blocks
from ai8x_tool.lowering.options import Context, LoweringOptions
from ai8x_tool.lowering.program_stores import bias_stores, input_stores, kernel_stores, step_stores
from ai8x_tool.lowering.start import initialize, interrupt_mask, start
from ai8x_tool.lowering.steps import AnswerBlock, InputBlock, KernelBlock, Step, Wait, Words, Write
from ai8x_tool.mapping import Mapping
from ai8x_tool.mapping.regions import OutputRegion, layer_region
from ai8x_tool.network.layer import Layer

__all__ = ["Program", "ProgramSample", "Wait", "Write", "lower", "lower_sample"]


@dataclass(frozen=True, eq=False)
class Program:
    """Everything from which the C project is rendered, except the sample. `bias` maps a quadrant to its bytes.

    `start` precedes the start of the timer, `go` starts the master quadrant. `unload` are the regions that
    ``cnn_unload()`` copies.
    """

    mapping: Mapping
    options: LoweringOptions
    init: tuple[Step, ...]
    kernels: tuple[KernelBlock, ...]
    bias: dict[int, list[int]]
    configure: tuple[Write, ...]
    start: tuple[Write, ...]
    go: tuple[Write, ...]
    unload: tuple[OutputRegion, ...]
    interrupt_mask: int

    def setup_stores(self) -> Stores:
        """Return the stores that precede all input: initialization, kernels, biases, layer registers."""
        return Stores.join(
            [
                step_stores(self.init),
                kernel_stores(self.kernels, express=self.options.express),
                bias_stores(self.mapping.device, self.bias),
                step_stores(self.configure),
            ]
        )

    def run_stores(self, sample: ProgramSample) -> Stores:
        """Return the stores of one inference: the input and the start, in the order of the C code."""
        options, device = self.mapping.options, self.mapping.device
        pattern, blocks = self.options.synthesized_input, sample.inputs
        if pattern is not None:
            first = self.mapping.start.layer
            blocks = tuple(replace(b, words=repeat_pattern(b.words, pattern, first)) for b in blocks)
        inputs = input_stores(device, blocks, fifo=options.fifo, fast=options.fast_fifo)
        begin = step_stores([*self.start, *self.go])
        return Stores.join([begin, inputs] if options.fifo else [inputs, begin])

    def stores(self, sample: ProgramSample) -> Stores:
        """Return all stores to the accelerator, in the order of the generated C code."""
        return Stores.join([self.setup_stores(), self.run_stores(sample)])

    @property
    def context(self) -> Context:
        """The context passed to register functions."""
        return Context(self.mapping, self.options)


@dataclass(frozen=True, eq=False)
class ProgramSample:
    """A sample as words for the accelerator, and the expected contents of data memory after the run."""

    inputs: tuple[InputBlock, ...]
    answers: tuple[AnswerBlock, ...]


def checked_layers(mapping: Mapping, tensors: LayerTensors) -> list[Layer]:
    """Return the layers whose output is verified: executed output layers and the layer executed last."""
    last = tensors.order[-1]
    network = mapping.network
    return [network[i] for i in tensors.order if network[i].output or i == last]


def _unload_regions(mapping: Mapping) -> tuple[OutputRegion, ...]:
    items = mapping.placement.unload
    if not items:
        return tuple(layer_region(mapping[layer.index]) for layer in mapping.network.outputs())
    return tuple(
        OutputRegion(item.processors, item.channels, item.size, item.offset, item.width, item.write_gap, scale or 0)
        for item, scale in zip(items, listed_scales(mapping), strict=True)
    )


def listed_scales(mapping: Mapping) -> list[int | None]:
    """Return the final scale of each item of the `unload` list: that of its output layer, None if it has none."""
    places = {}
    for layer in mapping.network.outputs():
        mapped = mapping[layer.index]
        places[mapped.out_offset, mapped.output_map] = layer.final_scale
    return [places.get((item.offset, item.processors)) for item in mapping.placement.unload]


def lower(mapping: Mapping, options: LoweringOptions | None = None) -> Program:
    """Return the program of a mapped network. Raises Ai8xError if a value does not fit its register field."""
    chosen = options or LoweringOptions()
    context = Context(mapping, chosen)
    before, go = start(context)
    return Program(
        mapping=mapping,
        options=chosen,
        init=tuple(initialize(context)),
        kernels=tuple(kernel_blocks(context)),
        # Depthwise layers have unused zeros in quadrants below their own, whose clocks may be off.
        bias={quadrant: values for quadrant, values in mapping.bias_bytes.items() if quadrant in mapping.quadrants},
        configure=tuple(configure(context) + control_writes(context)),
        start=tuple(before),
        go=tuple(go),
        unload=_unload_regions(mapping),
        interrupt_mask=interrupt_mask(context),
    )


def lower_sample(program: Program, sample: Words, tensors: LayerTensors) -> ProgramSample:
    """Return `sample` (channels, rows, columns) converted for `program`, with known answers from `tensors`.

    `tensors` are the outputs that the engine computed for the sample.
    """
    answers: list[AnswerBlock] = []
    mapping, options = program.mapping, program.options
    if options.known_answers:
        layers = checked_layers(mapping, tensors)
        regions = [(layer_region(mapping[layer.index]), tensors.outputs[layer.index][0]) for layer in layers]
        answers = answer_blocks(mapping.device, regions, options.max_verify_length)
    return ProgramSample(tuple(input_blocks(program.context, sample)), tuple(answers))
