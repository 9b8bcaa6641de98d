"""Execution of a synthesized program on the virtual device before anything is written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ai8x_tool.console import Console
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import lower_sample
from ai8x_tool.synthesis.hardware_check import HardwareCheck, ProgramCheck
from ai8x_tool.synthesis.synthesize import Sample, Synthesis

_SEED = 78000
"""Seed of the random sample: a project is verified with the same sample each time."""
_FIX = "add --no-verify to write the project anyway"


def verify_program(result: Synthesis, console: Console) -> Synthesis:
    """Return `result` with the comparison of the engine and the virtual device.

    Compared are the sample of the known-answer test and a random one, since a single sample can hide errors. Raises
    Ai8xError if the program does not compute what the network does.
    """
    device = ProgramCheck(result.program)
    check = device.check(result.program_sample, result.tensors)
    for diagnostic in check.problems:
        console.warn(f"virtual device: {diagnostic}")
    _require_equal(check, "the sample")
    conditional = result.mapping.placement.snoop is not None  # the sample decides which layers run
    if result.program.options.synthesized_input is None and not conditional:
        _require_equal(_random_check(device, result), "a random sample")
    return replace(result, check=check)


def _random_check(device: ProgramCheck, result: Synthesis) -> HardwareCheck:
    sample: Sample = np.random.default_rng(_SEED).integers(-128, 128, result.sample.shape)
    placement, rounding = result.mapping.placement, result.program.options.average_rounding
    layers = placement.simulated or placement.order
    tensors = run(result.network, sample[None], layers, average_rounding=rounding)
    return device.check(lower_sample(result.program, sample, tensors), tensors)


def _require_equal(check: HardwareCheck, which: str) -> None:
    if not check.equal:
        raise Ai8xError(f"for {which}, the program does not compute what the network does: {check.text()}", fix=_FIX)
