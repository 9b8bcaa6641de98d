"""The file ``interface.json``, which describes input and outputs of a project, for running samples other than its own.

It does not depend on weights, and so does not change when the network is retrained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ai8x_tool.codegen.ide_files import DIGESTS
from ai8x_tool.codegen.input_loader import channel_places, input_address
from ai8x_tool.codegen.options import ProjectOptions
from ai8x_tool.codegen.unload import UnloadedRegion, placements
from ai8x_tool.lowering.program import Program, ProgramSample

INTERFACE, SCHEMA = "interface.json", "ai8x-interface/1"
_LANES = 4


def interface_text(
    program: Program, sample: ProgramSample, options: ProjectOptions, microseconds: float, digests: Mapping[str, str]
) -> str:
    """Return the file's text: the input's shape and its channels by word, and the outputs in the order of unloading.

    `digests` are those of generated files that belong to the user once they are changed.
    """
    network, mapping = program.mapping.network, program.mapping.options
    arrays = None if program.options.synthesized_input else _arrays(program, sample)
    outputs = [_output(placement) for placement in placements(program.unload, scale_output=options.scale_output)]
    document = {
        "schema": SCHEMA,
        "device": program.mapping.device.name,
        "input_shape": list(network.input_shape),
        "input_fifo": mapping.fifo or mapping.fast_fifo,
        "input_arrays": arrays,
        "outputs": outputs if options.unload else None,
        "continue": program.mapping.final.layer.index if program.options.one_shot else 0,
        "estimated_us": round(microseconds, 1),
    }
    names = class_names(program, options)
    document |= {"classes": list(names)} if names else {}
    document |= {"data_note": options.data_note} if options.data_note else {}
    document |= {} if options.preprocessing is None else {"preprocessing": dict(options.preprocessing)}
    document |= {DIGESTS: dict(digests)}
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_lines(value)}" for key, value in document.items()) + "\n}\n"


def class_names(program: Program, options: ProjectOptions) -> tuple[str, ...]:
    """Return the names of the outputs of the last layer; empty unless there is a name for each."""
    final = program.mapping.final.layer
    single = len(program.mapping.network.outputs()) == 1 and final.out_size == (1, 1)
    return options.class_names if single and len(options.class_names) == final.channels_out else ()


def _lines(value: Any) -> str:
    """Return JSON text with one line for each object of a list."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(entry)}" for entry in value) + "\n ]"
    return json.dumps(value)


def _output(placement: UnloadedRegion) -> dict[str, Any]:
    """Return shape and width of the elements of an output, and the position of its first byte in the buffer."""
    region = placement.region
    return {"shape": [region.channels, *region.size], "bits": placement.width, "start": placement.start}


def _arrays(program: Program, sample: ProgramSample) -> list[dict[str, Any]]:
    """Return for every input array its address, and the channel in each byte of the words of one pixel."""
    context, start = program.context, program.mapping.start
    places = channel_places(context, start.layer.channels_in * start.layer.operands)
    return [
        {
            "address": f"0x{input_address(program, block):08x}",
            "pixels_per_word": _LANES if start.chw else 1,
            "channels": channels,
        }
        for block, channels in zip(sample.inputs, places, strict=True)
    ]
