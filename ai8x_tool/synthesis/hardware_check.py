"""Comparison of the virtual device, which executes the program's stores, with the integer engine, layer by layer.

Every layer is compared as it was written; outputs, and data that a data buffer keeps for the next inference, are also
compared as they are in data memory at the end. Needs neither torch nor a compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ai8x_tool.device.facts import PROCESSORS, PROCESSORS_PER_INSTANCE
from ai8x_tool.engine import LayerTensors
from ai8x_tool.lowering.program import Program, ProgramSample
from ai8x_tool.lowering.program_stores import step_stores
from ai8x_tool.mapping.regions import layer_region
from ai8x_tool.synthesis.layer_comparison import LayerCheck, LayerComparison
from ai8x_tool.text import counted
from ai8x_tool.virtual import Diagnostic, VirtualDevice


@dataclass(frozen=True)
class HardwareCheck:
    """Engine ≡ virtual device for one sample: layers in order of execution, and the device's diagnostics."""

    layers: tuple[LayerCheck, ...]
    diagnostics: tuple[Diagnostic, ...]

    @property
    def equal(self) -> bool:
        """True if every value of every layer is equal, and memory still holds every output at the end."""
        return not any(layer.different for layer in self.layers)

    @property
    def problems(self) -> list[Diagnostic]:
        """The device's diagnostics other than mere notes."""
        return [d for d in self.diagnostics if d.severity != "note"]

    def text(self) -> str:
        """Return the result as a line."""
        if self.equal:
            values = sum(layer.values for layer in self.layers)
            layers = counted(len(self.layers), "layer")
            return f"virtual device ≡ integer engine: {layers}, {values:,} values, all equal"
        return next(layer.text() for layer in self.layers if layer.different)

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "equal": self.equal,
            "layers": [
                {"index": c.index, "values": c.values, "different": c.different, "first": c.first and vars(c.first)}
                for c in self.layers
            ],
            "diagnostics": [{"severity": d.severity, "message": str(d)} for d in self.diagnostics],
        }


class ProgramCheck:
    """A program on a virtual device, which runs one sample after another.

    With `strict`, diagnostics of the device raise Ai8xError. A network with a rolling buffer is restarted for each
    sample, since its outputs depend on the samples before.
    """

    def __init__(self, program: Program, *, strict: bool = False) -> None:
        self.program = program
        self.strict = strict
        self._device = self._loaded()
        self._comparisons: list[LayerComparison] | None = None

    def _loaded(self) -> VirtualDevice:
        return VirtualDevice(self.program.mapping.device, strict=self.strict).load(self.program.setup_stores())

    def check(self, sample: ProgramSample, tensors: LayerTensors) -> HardwareCheck:
        """Run `sample` and compare every layer with the engine's `tensors`."""
        program, device = self.program, self._device
        device.load(program.run_stores(sample))
        for _ in range(len(tensors.order) - 1 if program.options.one_shot else 0):
            device.load(step_stores(program.go)).load(step_stores(program.go))  # acknowledge, then continue
        device.run()
        if self._comparisons is None:
            self._comparisons = _comparisons(program, tensors.order)
        result = _compare(self._comparisons, tensors, device)
        if program.mapping.network.buffer is not None:
            self._device = self._loaded()
        return result


def check_program(
    program: Program, sample: ProgramSample, tensors: LayerTensors, *, strict: bool = False
) -> HardwareCheck:
    """Run the program's stores for `sample` on a virtual device; compare every layer with the engine's `tensors`."""
    return ProgramCheck(program, strict=strict).check(sample, tensors)


def compare_run(program: Program, tensors: LayerTensors, device: VirtualDevice) -> HardwareCheck:
    """Compare what a device computed, and what its memory holds now, with the engine's `tensors`."""
    return _compare(_comparisons(program, tensors.order), tensors, device)


def _compare(comparisons: Sequence[LayerComparison], tensors: LayerTensors, device: VirtualDevice) -> HardwareCheck:
    results = [c.compare(tensors.outputs[c.layer.index][0], device) for c in comparisons]
    replaced = [diagnostic for _, diagnostic in results if diagnostic is not None]
    return HardwareCheck(tuple(check for check, _ in results), (*device.diagnostics, *replaced))


def _comparisons(program: Program, order: Sequence[int]) -> list[LayerComparison]:
    """Return the comparisons of layers in order of execution.

    In memory at the end must be outputs and what is unloaded, and, of layers that fill the rolling buffer, the words
    that no later layer replaces.
    """
    mapping = program.mapping
    comparisons = [LayerComparison(program, mapping.network[index]) for index in order]
    buffered = [c for c in comparisons if c.layer.buffer_shift or c.layer.buffer_insert]
    shape = PROCESSORS // PROCESSORS_PER_INSTANCE, mapping.device.instance_size // 4
    owner = np.full(shape if buffered else 0, -1, np.int16)
    for comparison in buffered:
        owner[comparison.places.instance, comparison.places.word] = comparison.layer.index
    for comparison in buffered:
        comparison.kept = owner[comparison.places.instance, comparison.places.word] == comparison.layer.index
    regions = {replace(region, final_scale=0) for region in program.unload}
    written = {replace(layer_region(mapping[c.layer.index]), final_scale=0): c for c in comparisons}
    unloaded = [comparison for region, comparison in written.items() if region in regions]
    for comparison in (*unloaded, *(c for c in comparisons if c.layer.output), *comparisons[-1:]):
        comparison.kept = np.ones((1, 1), bool)
    return comparisons
