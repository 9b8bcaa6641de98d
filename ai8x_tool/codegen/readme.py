"""Values for the project's README.md: preprocessing and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ai8x_tool.codegen.options import ProjectOptions
from ai8x_tool.codegen.tables import shape_text
from ai8x_tool.codegen.unload import UnloadedRegion
from ai8x_tool.codegen.user_text import UserText
from ai8x_tool.lowering.program import Program
from ai8x_tool.mapping.regions import layer_region
from ai8x_tool.text import markdown

_STEPS = {
    "images": (
        "An image is scaled to {rows} rows and {columns} columns; where the proportions differ, its edges are repeated."
    ),
    "sound": "A sound is converted to {rate} samples per second and one channel; an input has {window} samples.",
    "sound windows": (
        "A sound is converted to {rate} samples per second and one channel; every {window} samples form an input."
    ),
    "series": "Each input contains {window} rows of the columns {columns}.",
}
_VALUES = {
    "images": "`value` is a pixel, 0 to 255",
    "sound": "`value` is an unsigned 8-bit sample (128 is silence)",
    "sound windows": "`value` is a sample, -1 to 1",
    "series": "`value` is a value of the table",
}
_MOST_CHANNELS = 16


def readme_values(program: Program, options: ProjectOptions, placed: Sequence[UnloadedRegion]) -> dict[str, Any]:
    """Return the template's values, which depend only on the program and its options."""
    known = options.preprocessing
    told = known is not None and known.get("kind") in _STEPS
    rows, columns = program.mapping.start.layer.in_size
    return {
        "data_note": UserText(options.data_note) if options.data_note else None,
        "rows": rows,
        "columns": columns,
        "program": f"{options.files.main}{'_riscv' if options.riscv else ''}.c",
        "preprocessing": "\n".join(_preprocessing(str(known["kind"]), known)) if known is not None and told else "",
        "readme_outputs": [_output(program, placement) for placement in placed],
    }


def _output(program: Program, placement: UnloadedRegion) -> dict[str, Any]:
    """Return a row of the table of outputs. `one` is the fixed-point value of 1.0."""
    region = placement.region
    same = replace(region, final_scale=0)
    layers = (mapped.layer for mapped in program.mapping.layers if replace(layer_region(mapped), final_scale=0) == same)
    fixed_point = 7 if region.width == 8 else 14 - next((layer.shift for layer in layers), 0)
    power = fixed_point - region.final_scale + placement.scale
    shape = shape_text((region.channels, *region.size))
    return {"shape": shape, "bits": placement.width, "start": placement.start, "one": f"2^{power}"}


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
        yield f"Sample n is in channel n mod {rows}, column n div {rows}."
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
    yield f"  float scaled = rintf((value - offset{index}) * gain{index});"
    yield "  return (int8_t) (scaled < -128.0f ? -128.0f : scaled > 127.0f ? 127.0f : scaled);"
    yield "}"
