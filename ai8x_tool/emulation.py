"""Execution of a project's firmware on the virtual device, with its own sample and with others."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import check_file, write_file
from ai8x_tool.firmware import Firmware, FirmwareRun, build, open_session
from ai8x_tool.firmware.interface import FILE, read_interface
from ai8x_tool.inputs import Input, inputs_of_file
from ai8x_tool.readers.json_file import read_json
from ai8x_tool.readers.preprocessing import checked_preprocessing
from ai8x_tool.settings.project import RunProjectSettings
from ai8x_tool.synthesis.project import ANOMALY_FILE, OUTPUTS_FILE
from ai8x_tool.synthesis.synthesize import load_sample
from ai8x_tool.virtual import VirtualDevice

Array = npt.NDArray[Any]
SCHEMA = "ai8x-run/1"


@dataclass(frozen=True, eq=False)
class ProjectRun:
    """Result of a project's run. `outputs` has a list of outputs (channels, rows, columns) for each further sample.

    `classes` are the names of the output's channels, if the project contains them. An autoencoder that detects
    anomalies has `scores`, the mean squared error of each sample, and the `limit` above which a sample is an anomaly;
    then `classes` are the names of normal samples and of anomalies. `answers` are descriptions of the outputs by file,
    if the project contains their meaning.
    """

    firmware: Firmware
    run: FirmwareRun
    inputs: tuple[Path, ...]
    outputs: tuple[list[Array], ...]
    diagnostics: tuple[str, ...]
    classes: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    limit: float | None = None
    answers: Mapping[Path, str] = field(default_factory=dict)

    def found_class(self, number: int) -> str | None:
        """Return the name of the class of a sample, None if the project contains no class names."""
        outputs = self.outputs[number]
        if self.limit is not None:
            return self.classes[int(self.scores[number] > self.limit)]
        fits = bool(self.classes) and outputs[0].size == len(self.classes)
        return self.classes[int(outputs[0].argmax())] if fits else None

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        samples = [
            {
                "file": str(path),
                "outputs": [output.tolist() for output in outputs],
                **({"class": self.found_class(number)} if self.classes else {}),
                **({"anomaly_score": self.scores[number]} if self.scores else {}),
                **({"answer": self.answers[path]} if path in self.answers else {}),
            }
            for number, (path, outputs) in enumerate(zip(self.inputs, self.outputs, strict=True))
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
    """Compile the project in `folder` unchanged and run it, then run inference with the samples in `settings.input`.

    Raises Ai8xError if the project does not compile, or an input does not fit it.
    """
    if settings.output_file is not None:
        check_file(settings.output_file)
    samples = list(_samples(folder, settings.input))
    firmware = build(folder, host=settings.host)
    console.detail(f"compiled with {firmware.compiler}")
    device = VirtualDevice(firmware.device, strict=settings.strict)
    with open_session(firmware, device, console_out=lambda line: console.show(line.rstrip("\r\n"))) as session:
        run = session.run()
        outputs = tuple(session.infer(i.values, str(path), i.frame) for path, i in samples) if run.passed else ()
    found = tuple(str(diagnostic) for diagnostic in device.diagnostics)
    if settings.output_file is not None and outputs:
        _save_outputs(outputs, settings.output_file)
    inputs = tuple(path for path, _ in samples)[: len(outputs)]
    known = _document(folder / ANOMALY_FILE)
    threshold = known.get("threshold")
    fits = all(out[0].size == each.values.size for (_, each), out in zip(samples, outputs, strict=False))
    if not isinstance(threshold, int | float) or not fits:
        names = _names(_document(folder / FILE).get("classes"))
        answers = _answers(folder, inputs, outputs)
        return ProjectRun(firmware, run, inputs, outputs, found, names, answers=answers)
    pairs = zip((each.values for _, each in samples), outputs, strict=False)
    scores = tuple(float(np.square((out[0].reshape(sample.shape) - sample) / 128).mean()) for sample, out in pairs)
    limit, names = float(threshold), _names(known.get("names"))
    return ProjectRun(firmware, run, inputs, outputs, found, names, scores, limit if len(names) == 2 else None)


def _samples(folder: Path, files: Sequence[Path]) -> Iterator[tuple[Path, Input]]:
    """Yield the inputs in `files`, each with its file; a table may contain several."""
    interface = read_interface(folder)
    for path in files:
        if interface is None:
            yield path, Input(load_sample(path))
            continue
        stored = _document(folder / FILE).get("preprocessing")
        known = None if stored is None else checked_preprocessing(stored, str(folder / FILE))
        for sample in inputs_of_file(path, interface.shape, known, str(folder / FILE)):
            yield path, sample


def _answers(folder: Path, inputs: Sequence[Path], outputs: Sequence[list[Array]]) -> dict[Path, str]:
    """Return a description of the outputs by file; empty if the project does not contain their meaning."""
    known = _document(folder / OUTPUTS_FILE)
    if not known or not outputs:
        return {}
    from ai8x_tool.training.interpretation import image_placement, read_interpretation  # noqa: PLC0415  (torch)

    meaning, preprocessing = read_interpretation(known, str(folder / OUTPUTS_FILE)), _document(folder / FILE)
    found = {}
    for path in dict.fromkeys(inputs):
        theirs = [each for other, each in zip(inputs, outputs, strict=True) if other == path]
        view = image_placement(path, preprocessing.get("preprocessing"))
        try:
            found[path] = meaning.text(theirs, view)
        except (
            LookupError,
            ValueError,
            TypeError,
            ArithmeticError,
            RuntimeError,
        ):  # the file is not checked
            fix = "generate the project again with --overwrite"
            where = str(folder / OUTPUTS_FILE)
            raise Ai8xError("the outputs do not match this file", where=where, fix=fix) from None
    return found


def _document(path: Path) -> Mapping[str, Any]:
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _names(names: Any) -> tuple[str, ...]:
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _save_outputs(outputs: tuple[list[Array], ...], path: Path) -> None:
    """Save the outputs for one sample as a ``.npy`` file (channels, rows, columns), for several with another axis.

    For networks with several outputs, it is an ``.npz`` file with ``output_0`` and so on.
    """
    arrays = [np.stack(each) if len(outputs) > 1 else each[0] for each in zip(*outputs, strict=True)]
    buffer = io.BytesIO()
    if len(arrays) == 1:
        np.save(buffer, arrays[0], allow_pickle=False)
    else:
        named: dict[str, Any] = {f"output_{number}": array for number, array in enumerate(arrays)}
        np.savez(buffer, **named)
    write_file(buffer.getvalue(), path)
