"""Rendering of the C project."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from ai8x_tool.codegen.environment import render
from ai8x_tool.codegen.ide_files import ide_files, kept_digests
from ai8x_tool.codegen.input_loader import loader_values
from ai8x_tool.codegen.interface import INTERFACE, class_names, interface_text
from ai8x_tool.codegen.options import ProjectOptions, accelerator_mhz, clock
from ai8x_tool.codegen.readme import readme_values
from ai8x_tool.codegen.tables import (
    answer_words,
    as_ints,
    bytes_macro,
    kernel_words,
    layer_lines,
    register_comment,
    shape_text,
    statistics_lines,
    words_macro,
)
from ai8x_tool.codegen.unload import UnloadedRegion, output_values, placements, unload_values, unloaded_words
from ai8x_tool.codegen.user_text import UserText
from ai8x_tool.device import registers as tables
from ai8x_tool.device.facts import FLASH_START
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering.program import Program, ProgramSample
from ai8x_tool.lowering.steps import ClearTram, Step, Wait, Write
from ai8x_tool.mapping.regions import layer_region
from ai8x_tool.mapping.statistics import Statistics, statistics
from ai8x_tool.version import __version__


def render_project(
    program: Program, sample: ProgramSample, options: ProjectOptions
) -> tuple[dict[str, str], Statistics]:
    """Return the project's files by name, and the network's statistics.

    The files depend only on the program, its sample and the options; they contain no dates or paths.
    """
    chosen = clock(program.mapping.device, options, pipeline=program.context.pipeline)
    clock_mhz = accelerator_mhz(program.mapping.device, chosen)
    figures = statistics(program.mapping, clock_mhz=clock_mhz, pipeline=program.context.pipeline)
    names, values = options.files, _values(program, sample, options, figures)
    show, data = partial(render, values=values, folder=options.templates), partial(_data, options)
    files = {
        names.api: show("cnn.c.j2"),
        "cnn.h": show("cnn.h.j2"),
        "cnn_input.c": show("cnn_input.c.j2"),
        names.weights: data("Kernels and biases", _weight_macros(program)),
        names.sample: data("Sample input", _input_macros(sample)),
        "softmax.c": show("softmax.c.j2"),
        "project.mk": show("project.mk.j2"),
        "README.md": show("README.md.j2"),
    }
    if program.options.known_answers:
        macros = [("SAMPLE_OUTPUT", words_macro(answer_words(sample)))]
        files[names.answers] = data("Expected output for the sample input", macros)
    files |= _programs(options, show) | ide_files(options.name, show)
    files[INTERFACE] = interface_text(program, sample, options, figures.microseconds, kept_digests(files))
    return files, figures


def _programs(options: ProjectOptions, show: Callable[[str], str]) -> dict[str, str]:
    """Return the test program and the makefiles, for one core or for both."""
    main = options.files.main
    if not options.riscv:
        return {f"{main}.c": show("main.c.j2"), "Makefile": show("Makefile.j2")}
    makefiles = {name: show(f"{name}.j2") for name in ("Makefile.ARM", "Makefile.RISCV", "Makefile.common")}
    programs = {f"{main}_riscv.c": show("main.c.j2"), f"{main}.c": show("wrapper.c.j2")}
    return {**programs, "Makefile": show("Makefile.driver.j2"), **makefiles}


def _data(options: ProjectOptions, title: str, macros: list[tuple[str, str]]) -> str:
    return render("data.h.j2", {"title": title, "macros": macros}, options.templates)


def _weight_macros(program: Program) -> list[tuple[str, str]]:
    macros = [(f"BIAS_{quadrant}", bytes_macro(values)) for quadrant, values in sorted(program.bias.items())]
    return [*macros, ("KERNELS", words_macro(kernel_words(program)))]


def _input_macros(sample: ProgramSample) -> list[tuple[str, str]]:
    return [(f"SAMPLE_INPUT_{block.name}", words_macro(as_ints(block.words))) for block in sample.inputs]


def _values(program: Program, sample: ProgramSample, options: ProjectOptions, figures: Statistics) -> dict[str, Any]:
    mapping, device = program.mapping, program.mapping.device
    final = mapping.final.layer
    placed = placements(program.unload, scale_output=options.scale_output)
    unloaded = placed if options.unload else []
    outputs = final.channels_out * final.out_size[0] * final.out_size[1]
    addresses = device.addresses
    return {
        "project": _project(program, options),
        "files": options.files,
        "layer_lines": list(map(UserText, layer_lines(figures))),
        "statistics_lines": list(map(UserText, statistics_lines(figures))),
        "controls": [device.quadrant(addresses.control, q) for q in mapping.quadrants],
        "interrupt_mask": program.interrupt_mask,
        "quadrant_mask": sum(1 << q for q in mapping.quadrants),
        "express": program.options.express,
        "kernel_mask": addresses.kernel_stride // 4 - 1,
        "bias": sorted(program.bias.items()),
        "bias_address": {q: device.quadrant(addresses.bias, q) for q in program.bias},
        "init": [_step(program, step) for step in program.init],
        "configure": _configure_groups(program),
        "start": [_write(program, write) for write in program.start],
        "go": [_write(program, write) for write in program.go],
        "verify_writes": options.verify_writes,
        "verify_kernels": options.verify_kernels,
        "zero_memory": program.options.zero_memory,
        "outputs": outputs,
        "outputs_text": shape_text((final.channels_out, *final.out_size)),
        "unload_total": max(1, unloaded_words(unloaded)),
        "scaled_outputs": output_values(placed),
        "final_scales": _final_scales(program),
        **unload_values(device, unloaded, mlator=options.mlator),
        **_softmax(program, options, placed),
        **readme_values(program, options, unloaded),
        **_input(program, sample, options),
        "loader": loader_values(program, sample, options),
        "known_answers": program.options.known_answers,
        "class_names": list(map(UserText, class_names(program, options))),
    }


@dataclass(frozen=True)
class _Project:
    """Properties of the project for templates."""

    name: UserText
    device: str
    version: str
    network: UserText
    checkpoint: UserText
    board: str
    has_pll: bool
    flash_end: int
    riscv: bool
    riscv_flash: bool
    riscv_debug: bool
    riscv_exclusive: bool
    deepsleep: bool
    energy: bool
    trigger_pins: bool
    forever: bool
    no_wfi: bool
    timer: int | None
    debug_wait: int
    boost: tuple[int, int] | None
    oscillator: int
    pll: bool
    enable_divider: int
    divider: int
    switch_clock: bool
    switch_delay: int
    one_shot: int
    defines: tuple[str, ...]
    riscv_defines: tuple[str, ...]


def _project(program: Program, options: ProjectOptions) -> _Project:
    device = program.mapping.device
    chosen = clock(device, options, pipeline=program.context.pipeline)
    return _Project(
        name=UserText(options.name),
        device=device.name,
        version=__version__,
        network=UserText(options.network),
        checkpoint=UserText(options.checkpoint),
        board=options.board,
        has_pll=device.pll_mhz is not None,
        flash_end=FLASH_START + device.flash_size,
        riscv=options.riscv,
        riscv_flash=options.riscv and options.riscv_flash,
        riscv_debug=options.riscv_debug,
        riscv_exclusive=options.riscv_exclusive,
        deepsleep=options.deepsleep,
        energy=options.energy,
        trigger_pins=options.energy and device.trigger_pins,
        forever=options.forever,
        no_wfi=options.no_wfi,
        timer=None if options.energy else options.timer,
        debug_wait=options.debug_wait,
        boost=options.boost,
        oscillator=device.oscillator_mhz,
        pll=chosen.pll,
        enable_divider=chosen.enable_divider,
        divider=chosen.divider,
        switch_clock=chosen.switch,
        switch_delay=device.switch_delay_ms if options.switch_delay is None else options.switch_delay,
        one_shot=program.mapping.final.layer.index if program.options.one_shot else 0,
        defines=(*options.arm_defines, *options.defines),
        riscv_defines=(*options.riscv_defines, *options.defines),
    )


def _titles(program: Program) -> dict[str, str]:
    titles = {name: register.title for name, register in tables.registers(program.mapping.device).items()}
    return titles | {"AON": "always-on block", "FIFO_CONTROL": "FIFO control", "FAST_FIFO_CONTROL": "fast FIFO control"}


def _write(program: Program, write: Write) -> dict[str, Any]:
    comment = f"{write.register}: {register_comment(write, _titles(program))}"
    readable = write.register != "FMAX" or program.mapping.device.rollover_readable
    return {
        "kind": "write",
        "address": write.address,
        "value": write.value,
        "comment": comment,
        "readable": readable,
    }


def _step(program: Program, step: Step) -> dict[str, Any]:
    if isinstance(step, Wait):
        return {"kind": "wait", "address": step.address, "mask": step.mask, "error": step.error}
    if isinstance(step, ClearTram):
        return {"kind": "tram", "address": step.address, "size": step.size}
    return _write(program, step)


def _configure_groups(program: Program) -> list[dict[str, Any]]:
    """Return register writes grouped by layer and quadrant, for readability."""
    return [
        {"title": UserText(title), "writes": [_write(program, write) for write in writes]}
        for title, writes in groupby(program.configure, partial(_group_title, program))
    ]


def _group_title(program: Program, write: Write) -> str:
    if write.layer is None:
        return "Conditional execution" if write.register.startswith("SNP") else "Input FIFO"
    label = program.mapping.network[write.layer].label
    return f"{label[0].upper()}{label[1:]}, quadrant {write.quadrant}"


def _final_scales(program: Program) -> str:
    """Return the final scales by layer, empty if all are 0."""
    scaled = [layer for layer in program.mapping.network.layers if layer.final_scale]
    return ", ".join(f"layer {layer.index}: {layer.final_scale}" for layer in scaled)


def _softmax(program: Program, options: ProjectOptions, placed: list[UnloadedRegion]) -> dict[str, Any]:
    """Return the template's values for softmax of the final layer's outputs."""
    final = program.mapping.final.layer
    own = next((p for p in placed if p.region == layer_region(program.mapping.final)), placed[0])
    if options.softmax and not options.unload:
        raise Ai8xError("softmax needs the outputs unloaded", fix="leave out --no-unload")
    shift = 0 if final.bypass else 8 - abs(final.bits or 8)
    return {
        "softmax": options.softmax,
        "softmax_type": f"int{own.width}_t" if final.output_width == 8 else "",
        "output_type": f"int{own.width}_t",
        "softmax_first": own.start * 8 // own.width,
        "softmax_shift": shift,
    }


def _synthesized(program: Program) -> dict[str, int] | None:
    pattern = program.options.synthesized_input
    if pattern is None:
        return None
    rows, columns = program.mapping.start.layer.in_size
    mask = (1 << 8 * program.mapping.start.layer.channels_in) - 1
    return {"total": rows * columns, "words": pattern.words, "increment": pattern.increment & mask, "mask": mask}


def _input(program: Program, sample: ProgramSample, options: ProjectOptions) -> dict[str, Any]:
    mapping, device = program.mapping, program.mapping.device
    start = mapping.start.layer
    shape = shape_text((start.channels_in * start.operands, *start.in_size))
    layout = "CHW" if mapping.start.chw else "HWC"
    return {
        "inputs": sample.inputs,
        "input_text": f"Sample input, {shape} ({layout})",
        "fifo": mapping.options.fifo,
        "synthesized": _synthesized(program),
        "fast_fifo": mapping.options.fast_fifo,
        "fifo_wait": options.fifo_wait,
        "fifo_status": device.base + tables.FIFO_STATUS,
        "fifo_data": device.base + tables.FIFO_DATA,
        "fast_fifo_status": tables.FAST_FIFO_STATUS,
        "fast_fifo_data": tables.FAST_FIFO_DATA,
    }
