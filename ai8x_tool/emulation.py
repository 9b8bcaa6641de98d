"""``ai8x run``: a project's firmware on the virtual device, with its own sample and with others."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.console import Console
from ai8x_tool.files import check_file, write_file
from ai8x_tool.firmware import Firmware, FirmwareRun, build, open_session
from ai8x_tool.settings.project import RunProjectSettings
from ai8x_tool.synthesis.synthesize import load_sample
from ai8x_tool.virtual import VirtualDevice

Array = npt.NDArray[Any]
SCHEMA = "ai8x-run/1"


@dataclass(frozen=True, eq=False)
class ProjectRun:
    """What a project did. `outputs`: for each further sample a list, for each output (channels, rows, columns)."""

    firmware: Firmware
    run: FirmwareRun
    inputs: tuple[Path, ...]
    outputs: tuple[list[Array], ...]
    diagnostics: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return everything for JSON."""
        samples = [
            {"file": str(path), "outputs": [output.tolist() for output in outputs]}
            for path, outputs in zip(self.inputs, self.outputs, strict=True)
        ]
        return {
            "schema": SCHEMA,
            "project": str(self.firmware.project.folder),
            "device": self.firmware.device.name,
            "compiler": self.firmware.compiler,
            **self.run.document(),
            "samples": samples,
            "diagnostics": list(self.diagnostics),
        }


def run_project(folder: Path, settings: RunProjectSettings, console: Console) -> ProjectRun:
    """Compile the project in `folder` unchanged and run it, then its functions with the samples in `settings.input`.

    Raises Ai8xError if the project does not compile, or an input does not fit it.
    """
    if settings.output_file is not None:
        check_file(settings.output_file)
    inputs = settings.input
    samples = [(path, load_sample(path)) for path in inputs]
    firmware = build(folder, host=settings.host)
    console.detail(f"compiled with {firmware.compiler}")
    device = VirtualDevice(firmware.device, strict=settings.strict)
    with open_session(firmware, device, console_out=lambda line: console.show(line.rstrip("\r\n"))) as session:
        run = session.run()
        outputs = tuple(session.infer(sample, str(path)) for path, sample in samples) if run.passed else ()
    found = tuple(str(diagnostic) for diagnostic in device.diagnostics)
    if settings.output_file is not None and outputs:
        _save_outputs(outputs, settings.output_file)
    return ProjectRun(firmware, run, inputs[: len(outputs)], outputs, found)


def _save_outputs(outputs: tuple[list[Array], ...], path: Path) -> None:
    """Save the outputs for one sample as ``.npy`` file (channels, rows, columns), for several with one axis more.

    Networks with several outputs make an ``.npz`` file: ``output_0`` and so on.
    """
    arrays = [np.stack(each) if len(outputs) > 1 else each[0] for each in zip(*outputs, strict=True)]
    buffer = io.BytesIO()
    if len(arrays) == 1:
        np.save(buffer, arrays[0], allow_pickle=False)
    else:
        named: dict[str, Any] = {f"output_{number}": array for number, array in enumerate(arrays)}
        np.savez(buffer, **named)
    write_file(buffer.getvalue(), path)
