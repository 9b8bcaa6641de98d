"""Synthesis of a C project from a network description and a quantized checkpoint: the steps, in order."""

from __future__ import annotations

from collections.abc import Mapping as TypingMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.codegen.unload import placements
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.engine import LayerTensors, run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.load import LoadOptions, load_network
from ai8x_tool.frontend.yaml.resolve import PlacedDescription
from ai8x_tool.lowering import LoweringOptions, Program, ProgramSample, lower, lower_sample
from ai8x_tool.lowering.input_data import synthesize_sample
from ai8x_tool.lowering.program import listed_scales
from ai8x_tool.lowering.program_rules import (
    SYNTHESIZED_RULES,
    FinalOutput,
    SampleInput,
    caution_mlator,
    caution_softmax_width,
    caution_zero_output,
    constraint_sample_shape,
)
from ai8x_tool.mapping import Mapping, MappingOptions
from ai8x_tool.mapping.check import layer_violations
from ai8x_tool.mapping.check_data import data_violations
from ai8x_tool.mapping.mapping import build_mapping
from ai8x_tool.mapping.placed import place
from ai8x_tool.mapping.replay import replay
from ai8x_tool.mapping.rules.data_rules import hint_overlapping_tail
from ai8x_tool.mapping.statistics import Statistics
from ai8x_tool.network.network import Network
from ai8x_tool.network.scales import output_exponents
from ai8x_tool.readers.numpy_file import read_array
from ai8x_tool.rule import BrokenRuleError, Violation, check_rules, report, require, warn_about
from ai8x_tool.synthesis.hardware_check import HardwareCheck

Sample = npt.NDArray[Any]


@dataclass(frozen=True)
class SynthesisOptions(LoadOptions):
    """Options of the synthesis, by stage.

    With `accept_wrong_data`, outputs that overwrite data and reads from wrong addresses are warnings. `map_seconds` is
    the time limit of the search for a placement; with `parallel_outputs`, it uses calcx4 where possible.
    """

    mapping: MappingOptions = field(default_factory=MappingOptions)
    lowering: LoweringOptions = field(default_factory=LoweringOptions)
    accept_wrong_data: bool = False
    warn_zero: bool = True
    map_seconds: float = 20.0
    parallel_outputs: bool = False


@dataclass(frozen=True, eq=False)
class Synthesis:
    """A synthesized project: the rendered files, and all intermediate results.

    `sample` (C, H, W) is the input of the known-answer test, `tensors` is what the engine computes from it. `check`
    compares the engine with the virtual device, if that was requested. `arrays` are binary files. `found` is True if
    the placement was found automatically.
    """

    files: dict[str, str]
    statistics: Statistics
    mapping: Mapping
    program: Program
    program_sample: ProgramSample
    tensors: LayerTensors
    sample: Sample
    project: ProjectOptions
    check: HardwareCheck | None = None
    arrays: TypingMapping[str, bytes] = field(default_factory=dict)
    found: bool = False

    @property
    def network(self) -> Network:
        """The network that the project computes."""
        return self.mapping.network


def synthesize(
    description: Path,
    checkpoint: Path | None,
    sample: Sample,
    device: Device,
    project: ProjectOptions,
    options: SynthesisOptions,
    console: Console,
) -> Synthesis:
    """Generate the C project in memory; nothing is written.

    `sample` is (C, H, W) or (C, L) of integers −128…127. Raises Ai8xError, which names file, line, layer and rule, for
    any error in the inputs.
    """
    sample = sample if sample.ndim == 3 else sample[..., None]
    shape = (int(sample.shape[0]), int(sample.shape[1]), int(sample.shape[2]))
    described = load_network(description, checkpoint, shape, device, console, options)
    if not described.placement.missing():
        return synthesize_placed(described, sample, device, project, options, console)
    from ai8x_tool.synthesis.automatic_placement import place_automatically  # noqa: PLC0415  (most need no search)

    described, mapping = place_automatically(
        described, device, options.mapping, console, options.map_seconds, parallel=options.parallel_outputs
    )
    options = replace(options, mapping=mapping)
    return replace(synthesize_placed(described, sample, device, project, options, console), found=True)


def synthesize_placed(
    described: PlacedDescription,
    sample: Sample,
    device: Device,
    project: ProjectOptions,
    options: SynthesisOptions,
    console: Console,
) -> Synthesis:
    """Generate the C project of a network and its placement in memory; see :func:`synthesize`."""
    network, placement = described
    mapping = map_checked(described, sample, device, options, console)
    pattern = options.lowering.synthesized_input
    if pattern is not None:
        sample = synthesize_sample(sample, pattern, mapping.start)
    layers = placement.simulated or placement.order
    tensors = run(network, sample[None], layers, average_rounding=options.lowering.average_rounding)
    _warn_about_zeros(network, tensors, options, console)
    program = lower(mapping, options.lowering)
    program_sample = lower_sample(program, sample, tensors)
    _report_scales(mapping, project, console)
    placed = placements(program.unload, scale_output=project.scale_output)
    whole = all(placement.collectable for placement in placed)
    final = FinalOutput(mapping.final.layer, project.softmax, project.mlator, whole)
    check_rules((caution_softmax_width, caution_mlator), [final], console)
    files, statistics = render_project(program, program_sample, project)
    return Synthesis(files, statistics, mapping, program, program_sample, tensors, sample, project)


def map_checked(
    described: PlacedDescription, sample: Sample, device: Device, options: SynthesisOptions, console: Console
) -> Mapping:
    """Return the mapping, after reporting the warnings of the rules. Raises Ai8xError for the first violation."""
    shape = (int(sample.shape[0]), int(sample.shape[1]), int(sample.shape[2]))
    placed = place(*described, device, options.mapping)
    pattern = options.lowering.synthesized_input
    words = None if pattern is None else pattern.words
    start = SampleInput(placed.start, shape, options.mapping.fifo, words)
    for rule in SYNTHESIZED_RULES:
        require(rule, start)
    for violation in layer_violations(placed):
        _raise_or_report(violation, console)
    require(constraint_sample_shape, start)
    mapping = build_mapping(placed)
    for violation in data_violations(placed):
        _raise_or_report(violation, console, accepted=options.accept_wrong_data)
    for conflict in replay(mapping):
        if not options.accept_wrong_data:
            raise Ai8xError(conflict.text(), where=conflict.where, fix="add --no-verify to write the project anyway")
        console.warn(f"{conflict.where}: {conflict.text()}")
    return mapping


def _raise_or_report(violation: Violation, console: Console, *, accepted: bool = False) -> None:
    if violation.severity == "error" and not accepted:
        raise BrokenRuleError(violation)
    if violation.rule == hint_overlapping_tail.__name__:
        console.info(f"{violation.where}: {violation.message}")
    else:
        report(violation, console)


def _report_scales(mapping: Mapping, project: ProjectOptions, console: Console) -> None:
    """Report how the final scales are applied."""
    network = mapping.network
    for layer in network.layers:
        if layer.final_scale and not layer.output:
            console.warn(
                f"{layer.where}: the final scale in the checkpoint is ignored, because the layer is not an output"
            )
    if not project.unload:
        return
    scales = {layer.index: layer.final_scale for layer in network.layers if layer.final_scale}
    if not scales:
        unscaled = unscaled_outputs(network)
        for text in unscaled:
            console.info(text)
        if not unscaled and any(
            layer.parameters and layer.parameters.final_scale is not None for layer in network.layers
        ):
            console.info("all final scales are 0: outputs are unloaded unscaled")
        return
    if not project.scale_output:
        shown = ", ".join(f"layer {index}: {scale}" for index, scale in scales.items())
        console.warn(f"--no-scale-output: the final scales ({shown}) are not applied")
    for text in unscaled_outputs(network):
        console.info(text)
    for item, scale in zip(mapping.placement.unload, listed_scales(mapping), strict=True):
        if scale is None:
            console.info(f"unload: the item at offset {item.offset:#x} is not scaled: its layer is not an output layer")


def unscaled_outputs(network: Network) -> list[str]:
    """Return a line for each output without a final scale whose values are scaled by the ranges of earlier layers.

    This happens if a description ends in the middle of a model.
    """
    exponents = output_exponents(network)
    lines = []
    for layer in network.outputs():
        exponent = exponents[layer.name]
        if exponent and not layer.final_scale:
            values = f"the model's values are the outputs times 2^{exponent}"
            lines.append(f"{layer.where}: {values}: it is not the model's last layer, so the program does not scale it")
    return lines


def _warn_about_zeros(network: Network, tensors: LayerTensors, options: SynthesisOptions, console: Console) -> None:
    for index in tensors.order:
        checked = network[index].output or index == tensors.order[-1]
        if options.warn_zero and checked:
            zero = not tensors.outputs[index].any()
            warn_about(caution_zero_output, FinalOutput(network[index], zero=zero), console)


def load_sample(path: Path) -> Sample:
    """Read a sample: a ``.npy`` file of int64 (or int8) −128…127, shape (C, H, W), (C, L) or (C).

    Channels alone become (C, 1).
    """
    where = str(path)
    if not path.is_file():
        raise Ai8xError("sample file not found", where=where, fix="write one with `ai8x evaluate -8 --save-sample N`")
    sample = read_array(path)
    if sample.dtype not in (np.int64, np.int8):
        raise Ai8xError(f"samples must be int64 or int8, this file holds {sample.dtype}", where=where)
    if sample.ndim not in (1, 2, 3):
        raise Ai8xError(f"samples must have 1 to 3 dimensions, this one has {sample.ndim}", where=where)
    if sample.size == 0 or sample.min() < -128 or sample.max() > 127:
        low, high = (sample.min(), sample.max()) if sample.size else (0, 0)
        raise Ai8xError(f"samples must be in −128 … 127, this one has values {low} … {high}", where=where)
    return sample[:, None] if sample.ndim == 1 else sample
