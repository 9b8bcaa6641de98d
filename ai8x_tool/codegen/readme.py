"""The project's README.md: what goes in, what comes out, and how to build it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ai8x_tool.codegen.interface import class_names
from ai8x_tool.codegen.options import ProjectOptions
from ai8x_tool.codegen.tables import shape_text
from ai8x_tool.lowering.program import Program
from ai8x_tool.text import markdown

_STEPS = {
    "images": (
        "An image is scaled to {rows} rows and {columns} columns; its edges are repeated where the proportions differ."
    ),
    "sound": "A sound is converted to {rate} samples per second and one channel; {window} samples are an input.",
    "series": "Each input holds {window} rows of the columns {columns}.",
}
_VALUES = {
    "images": "`value` is a pixel, 0 to 255",
    "sound": "`value` is a sample as unsigned 8 bit: 128 is silence",
    "series": "`value` is what the table holds",
}
_MOST_CHANNELS = 16


def readme(program: Program, options: ProjectOptions) -> str:
    """Return the text; it depends on nothing but the program and its options."""
    names = class_names(program, options)
    note = [f"**The network was trained with {markdown(options.data_note)}.**", ""] if options.data_note else []
    lines = [f"# {markdown(options.name)}", "", *note, *_input(program, options), *_outputs(program, names)]
    return "\n".join([*lines, *_building(options), *_changes(options)]) + "\n"


def _input(program: Program, options: ProjectOptions) -> Iterator[str]:
    network = program.mapping.network
    yield from ("## Input", "")
    yield f"{shape_text(network.input_shape)} signed bytes (channels x rows x columns), −128 … 127."
    yield "`load_input()` in `main.c` stores the sample of the known-answer test; `interface.json` says which byte of"
    yield "which word belongs to which channel."
    known = options.preprocessing
    if known is not None and known.get("kind") in _STEPS:
        yield ""
        yield from _preprocessing(str(known["kind"]), known)
    yield ""


def _preprocessing(kind: str, known: Mapping[str, Any]) -> Iterator[str]:
    reading = dict(known["reading"])
    size = reading.get("size", (0, 0))
    shown = {"rows": size[0], "columns": size[1], "rate": 0, "window": 0} | reading
    if kind == "series":
        shown["columns"] = ", ".join(markdown(str(name)) for name in reading["columns"])
    elif kind == "images":
        shown["columns"] = size[1]
    yield _STEPS[kind].format(**shown)
    if kind == "sound":
        rows = known["input"][0]
        yield f"Sample n is in channel n mod {rows} of column n div {rows}."
    if known["per_sample"]:
        yield "Then, with the mean of the channel and the largest distance from it in this sample:"
        yield from ("", "    input = round((value - mean) * 127 / distance)", "")
        return
    yield f"Then, where {_VALUES[kind]}:"
    yield from ("", "    input = round((value - offset) * gain), limited to -128 ... 127", "")
    yield from _numbers(known["offset"], known["gain"])
    yield from ("", "In C:", "", "```c")
    yield from _c_code(known["offset"], known["gain"])
    yield "```"


def _numbers(offsets: Sequence[float], gains: Sequence[float]) -> Iterator[str]:
    yield from ("| Channel | Offset | Gain |", "|---|---:|---:|")
    pairs = list(zip(offsets, gains, strict=True))
    if len(set(pairs)) == 1:
        yield f"| all | {pairs[0][0]:.9g} | {pairs[0][1]:.9g} |"
        return
    for channel, (offset, gain) in enumerate(pairs[:_MOST_CHANNELS]):
        yield f"| {channel} | {offset:.9g} | {gain:.9g} |"
    if len(pairs) > _MOST_CHANNELS:
        yield "| … | see `interface.json` | |"


def _c_code(offsets: Sequence[float], gains: Sequence[float]) -> Iterator[str]:
    same = len(set(zip(offsets, gains, strict=True))) == 1
    count, index = (1, "[0]") if same else (len(offsets), "[channel]")
    for name, values in (("offset", offsets), ("gain", gains)):
        numbers = ", ".join(f"{float(value):.9g}" for value in values[:count])
        yield f"static const float {name}[] = {{ {numbers} }};"
    yield ""
    yield f"static int8_t network_input(float value{'' if same else ', int channel'})"
    yield "{"
    yield f"  float scaled = roundf((value - offset{index}) * gain{index});"
    yield "  return (int8_t) (scaled < -128.0f ? -128.0f : scaled > 127.0f ? 127.0f : scaled);"
    yield "}"


def _outputs(program: Program, names: Sequence[str]) -> Iterator[str]:
    final = program.mapping.final.layer
    yield from ("## Outputs", "")
    yield f"{shape_text((final.channels_out, *final.out_size))} values of {final.output_width} bits, copied by"
    yield "`cnn_unload()`; `interface.json` says where each begins. `cnn.h` names their scale, where they have one."
    if names:
        yield from ("", "The largest output is the class; `cnn_class_names[]` holds the names:", "")
        yield from (f"{number}. {markdown(name)}" for number, name in enumerate(names))
    yield ""


def _building(options: ProjectOptions) -> Iterator[str]:
    yield from ("## Build, flash, debug", "")
    yield f"With the MSDK installed, and `MAXIM_PATH` naming its folder, for the board {markdown(options.board)}:"
    yield from ("", "    make BOARD=" + options.board, "")
    yield "writes `build/`. In VS Code open this folder with the MSDK's settings: `.vscode/tasks.json` has the tasks"
    yield "`build`, `clean` and `flash`. In Eclipse import the folder as a makefile project. Without a device:"
    yield "`ai8x run` and the path of this folder."
    yield ""


def _changes(options: ProjectOptions) -> Iterator[str]:
    yield from ("## When the network is trained again", "")
    yield f"`cnn.c`, `cnn.h`, `{options.files.weights}`, the sample files, `interface.json` and this file change."
    yield "`--overwrite` replaces all generated files, `main.c` included, but `project.mk` and `.vscode`: keep programs"
    yield "of your own in another folder, next to copies of `cnn.c`, `cnn.h` and the weights."
