"""Check of the compiled program: its own known-answer test, and its outputs for other samples."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.codegen import write_project
from ai8x_tool.codegen.unload import placements
from ai8x_tool.engine import LayerTensors
from ai8x_tool.firmware import build, open_session
from ai8x_tool.firmware.session import Session
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.virtual import VirtualDevice

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FirmwareCheck:
    """Result of the firmware: whether its own check passed, its console output, and the fault if it did not end.

    `samples` further samples were run; for `different` of them the output differs from the engine's, first at `first`.
    """

    passed: bool
    console: str
    fault: str
    compiler: str
    instructions: int
    samples: int = 0
    different: int = 0
    first: str | None = None

    @property
    def equal(self) -> bool:
        """True if the program passed its own check and its outputs equal the engine's for all samples."""
        return self.passed and not self.different

    def text(self) -> str:
        """Return the result as a line."""
        if not self.passed:
            return f"firmware: {self.fault or 'FAIL: ' + self.console.strip().splitlines()[-1]}"
        if self.different:
            return f"firmware: {self.different:,} of {self.samples:,} samples differ; first: {self.first}"
        count = f"{self.samples:,} samples" if self.samples != 1 else "1 sample"
        more = f", outputs of {count} equal to the engine's" if self.samples else ""
        return f"firmware: PASS ({self.compiler}, {self.instructions:,} instructions){more}"

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return vars(self)


def check_firmware(synthesis: Synthesis, receive: Callable[[], Any], advance: Callable[[int], None]) -> FirmwareCheck:
    """Compile the generated project and run it on a virtual device, then with each of several samples.

    `receive` returns the samples (N, C, H, W), and later what the engine computes from them (LayerTensors); it waits
    until they are known. `advance` is called with the number of each sample that has run. For a program that does not
    unload its outputs, only its own check of the accelerator's memory is run. Raises Ai8xError if there is no compiler
    or emulator.
    """
    with tempfile.TemporaryDirectory(prefix="ai8x-verify-") as scratch:
        project = Path(scratch) / "project"
        write_project(synthesis.files, project, overwrite=False)
        firmware = build(project)
        with open_session(firmware, VirtualDevice(firmware.device)) as session:
            run = session.run()
            own = FirmwareCheck(run.passed, run.text, run.fault, firmware.compiler, run.instructions)
            if not own.passed or not synthesis.project.unload:
                return own
            session.prepare()  # while the samples are read
            outputs = _outputs(session, synthesis, receive(), advance)
    different = _differences(synthesis, outputs, receive())
    return replace(own, samples=len(outputs), different=len(different), first=next(iter(different), None))


def _outputs(
    session: Session, synthesis: Synthesis, samples: Array, advance: Callable[[int], None]
) -> list[list[Array]]:
    """Return the outputs of the program for each sample."""
    found = []
    for number, sample in enumerate(samples):
        if synthesis.network.buffer is not None:
            session.forget()  # each sample is the first of a sequence
        found.append(session.infer(sample, f"sample {number}"))
        advance(number)
    return found


def _differences(synthesis: Synthesis, outputs: Sequence[Sequence[Array]], tensors: LayerTensors) -> list[str]:
    """Return the first difference of each sample whose outputs are not what the engine computes."""
    layers = synthesis.network.outputs()
    placed = placements(synthesis.program.unload, scale_output=synthesis.project.scale_output)
    different = []
    for number, have in enumerate(outputs):
        expected = (tensors.outputs[layer.index][number] for layer in layers)
        wanted = [_scaled(values, p.scale) for values, p in zip(expected, placed, strict=True)]
        place = _difference(have, wanted)
        if place is not None:
            different.append(f"sample {number}, {place}")
    return different


def _scaled(values: Array, scale: int) -> Array:
    """Return values · 2^scale, rounded down and saturated to 32 bits."""
    wide = values.astype(np.int64)
    return np.clip(wide << scale if scale >= 0 else wide >> -scale, -(1 << 31), (1 << 31) - 1)


def _difference(outputs: Sequence[Array], wanted: Sequence[Array]) -> str | None:
    for number, (have, want) in enumerate(zip(outputs, wanted, strict=True)):
        wrong = have.reshape(want.shape) != want
        if wrong.any():
            channel, row, column = np.argwhere(wrong)[0].tolist()
            values = f"the firmware has {have.reshape(want.shape)[channel, row, column]}"
            values += f", the engine {want[channel, row, column]}"
            return f"output {number}, channel {channel}, row {row}, column {column}: {values}"
    return None
