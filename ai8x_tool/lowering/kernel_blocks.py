"""Contents of kernel memory as the blocks that ``cnn_load_weights()`` loads."""

from __future__ import annotations

import numpy as np

from ai8x_tool.device.facts import COLUMN_BYTES
from ai8x_tool.lowering.options import Context
from ai8x_tool.lowering.steps import KernelBlock, Words

_COLUMN_ADDRESS_BYTES = 16


def kernel_blocks(context: Context) -> list[KernelBlock]:
    """Return one block per run of loaded columns, by processor and column.

    Columns of zeros are omitted if kernel memory is cleared by its built-in test.
    """
    memory = context.mapping.kernel_memory
    loaded = memory.loaded
    if context.options.zero_memory:
        loaded = loaded & memory.data.any(axis=2)
    blocks = []
    for processor in np.flatnonzero(loaded.any(axis=1)).tolist():
        base = context.device.kernel_base(processor)
        edges = np.flatnonzero(np.diff(loaded[processor].astype(np.int8), prepend=0, append=0))
        for first, end in edges.reshape(-1, 2).tolist():
            columns = memory.data[processor, first:end]
            if context.options.express:
                blocks.append(KernelBlock(base + 4 * first, _packed(columns)))
            else:
                blocks.append(KernelBlock(base + _COLUMN_ADDRESS_BYTES * first, _four_words(columns)))
    return blocks


def _packed(columns: Words) -> Words:
    """Return the bytes as big-endian words, the last one padded with zeros."""
    stream = columns.reshape(-1)
    padded = np.zeros((len(stream) + 3) // 4 * 4, np.uint8)
    padded[: len(stream)] = stream
    return padded.view(">u4").astype(np.uint32)


def _four_words(columns: Words) -> Words:
    """Return four words for each column: byte 0, bytes 1 to 4, bytes 5 to 8, and zero."""
    spread = np.zeros((len(columns), _COLUMN_ADDRESS_BYTES), np.uint8)
    spread[:, 3 : 3 + COLUMN_BYTES] = columns
    return spread.reshape(-1).view(">u4").astype(np.uint32)
