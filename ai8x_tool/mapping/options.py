"""Options of the mapping that are not part of a network description."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MappingOptions:
    """Input path and allocation of memories.

    `fifo`: the input arrives through a FIFO; `fast_fifo` selects the fast one, `quad` spreads it over four quadrants.
    Kernels are placed from column `weight_start` on; equal kernels are stored once with `deduplicate`. With
    `ignore_bias_groups`, groups that name unused quadrants are ignored. `overlap_data` allows trailing overlaps of an
    output with the output of the preceding layer.
    """

    weight_start: int = 0
    deduplicate: bool = True
    fifo: bool = False
    fast_fifo: bool = False
    quad: bool = False
    ignore_bias_groups: bool = False
    overlap_data: bool = False
