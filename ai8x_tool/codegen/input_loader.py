"""Values and addresses of ``cnn_load_input()`` and its variants for camera frames.

The layout is described in docs/accelerator/memory-layout.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.codegen.options import ProjectOptions
from ai8x_tool.codegen.tables import shape_text
from ai8x_tool.device import registers as tables
from ai8x_tool.lowering.input_data import input_blocks
from ai8x_tool.lowering.options import Context
from ai8x_tool.lowering.program import Program, ProgramSample
from ai8x_tool.lowering.steps import InputBlock, Words

_LANES = 4
_DIGIT = 100
"""Channel numbers are written into samples as digits of this base, which fit a signed byte."""
_MOST_STATEMENTS = 4
"""Maximum words of a pixel that are stored by one statement each; more words are stored by a table."""
_COLORS = 3
_SHADES = 256


def loader_values(program: Program, sample: ProgramSample, options: ProjectOptions) -> dict[str, Any]:
    """Return the template's values: layout of the input, and for images the conversion of camera frames."""
    mapping = program.mapping
    start = mapping.start.layer
    shape = (start.channels_in * start.operands, *start.in_size)
    arrays: list[dict[str, Any]] = [
        {
            "address": input_address(program, block),
            "fifo": block.name,
            "channels": [[-1 if channel is None else channel for channel in word] for word in words],
        }
        for block, words in zip(sample.inputs, channel_places(program.context, shape[0]), strict=True)
    ]
    words = max((len(array["channels"]) for array in arrays), default=1)
    colors = shades(options) if has_camera(program, options) else None
    return {
        "shape_text": shape_text(shape),
        "channels": shape[0],
        "pixels": shape[1] * shape[2],
        "chw": mapping.start.chw,
        "arrays": arrays,
        "words": words,
        "table": len(arrays) * words > _MOST_STATEMENTS,
        "camera": colors is not None,
        "tables": [] if colors is None else _distinct(colors),
    }


def has_camera(program: Program, options: ProjectOptions) -> bool:
    """Return whether the input is a color image whose values can be computed for each pixel separately."""
    start = program.mapping.start.layer
    colors = start.channels_in * start.operands == _COLORS and min(start.in_size) > 1
    return colors and shades(options) is not None


def input_address(program: Program, block: InputBlock) -> int:
    """Return the address of a block: that of its first word in data memory, or that of the FIFO."""
    options, device = program.mapping.options, program.mapping.device
    if options.fast_fifo:
        return tables.FAST_FIFO_DATA
    return device.base + tables.FIFO_DATA + 4 * block.name if options.fifo else block.address


def channel_places(context: Context, channels: int) -> list[list[list[int | None]]]:
    """Return for every input array the channel in each byte of the words of one pixel.

    Samples of one pixel that number their channels are laid out, and the position of each channel is read back.
    """
    numbers = np.arange(channels)

    def laid_out(values: Words) -> list[Words]:
        blocks = input_blocks(context, values.reshape(-1, 1, 1))
        return [block.words.astype("<u4").view(np.uint8).reshape(-1, _LANES).astype(int) for block in blocks]

    ones, low, high = map(laid_out, (np.ones_like(numbers), numbers % _DIGIT, numbers // _DIGIT))
    result: list[list[list[int | None]]] = []
    for present, small, large in zip(ones, low, high, strict=True):
        places: Words = np.where(present == 1, large * _DIGIT + small, -1)
        result.append([[None if c < 0 else int(c) for c in word] for word in places])
    return result


def shades(options: ProjectOptions) -> npt.NDArray[np.int8] | None:
    """Return the input (colors, 256) for each value of a color; None if it depends on other values."""
    known = options.preprocessing
    values = np.arange(_SHADES, dtype=np.float32)
    if known is None:
        return np.tile((values - _SHADES // 2).astype(np.int8), (_COLORS, 1))
    if known.get("kind") != "images" or known["per_sample"] or len(known["offset"]) not in (1, _COLORS):
        return None
    offset, gain = (np.array(known[key], np.float32).reshape(-1, 1) for key in ("offset", "gain"))
    inputs = np.clip(np.rint((values - offset) * gain), -128, 127)  # in single precision, as in training
    return np.broadcast_to(inputs, (_COLORS, _SHADES)).astype(np.int8)


def _distinct(colors: npt.NDArray[np.int8]) -> list[list[int]]:
    """Return a table for each color, one if they are equal, none if they subtract 128 as usual."""
    if not (colors == colors[0]).all():
        return [table.tolist() for table in colors]
    usual = np.arange(_SHADES) - _SHADES // 2
    return [] if (colors[0] == usual).all() else [colors[0].tolist()]
