"""Synthesis with everything around it: finding the inputs, writing or comparing the project."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from ai8x_tool.codegen import write_project
from ai8x_tool.codegen.writer import KEPT_FILES, check_folder
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.hardware_check import check_program
from ai8x_tool.synthesis.program_log import program_log
from ai8x_tool.synthesis.synthesize import Synthesis, load_sample, synthesize

_PLACES = ("output", "test_dir", "overwrite", "check", "explain", "verify")
"""Settings that say where to, not what."""


def generate(settings: SynthesizeSettings, console: Console) -> Synthesis:
    """Generate the project that `settings` describe, in memory.

    Raises Ai8xError for everything that is wrong with the inputs.
    """
    project, options = settings.project_options(), settings.synthesis_options()
    network_file, sample_file = settings.network_file(), settings.sample_input
    if sample_file is None:
        dataset = read_description(network_file, settings.part, Console(verbosity=-1, muted=True)).dataset
        sample_file = settings.sample_file(dataset)
    sample = load_sample(sample_file)
    result = synthesize(network_file, settings.checkpoint_file(), sample, settings.part, project, options, console)
    extra = {"ai8x.yaml": _resolved(settings, sample_file)}
    if settings.log:
        extra[project.files.log] = program_log(result.program, result.statistics)
    return replace(result, files=result.files | extra)


def _resolved(settings: SynthesizeSettings, sample_file: Path) -> str:
    """Return the resolved settings for ``--settings``: files by name only, so that no path gets into a project."""
    values = {key: value for key, value in vars(settings).items() if key not in _PLACES and value is not None}
    names = {"network": settings.network_file(), "checkpoint": settings.checkpoint_file(), "sample_input": sample_file}
    names |= {"weight_input": settings.weight_input, "bias_input": settings.bias_input}
    values |= {key: path.name for key, path in names.items() if path is not None}
    return "# Settings of this project, for ai8x synthesize --settings\n" + yaml.safe_dump(values, sort_keys=False)


def synthesize_project(settings: SynthesizeSettings, console: Console) -> Synthesis:
    """Generate the project and write it to its folder; where anything is wrong, nothing is written."""
    result = generate_checked(settings, console)
    write_synthesis(result, settings)
    return result


def generate_checked(settings: SynthesizeSettings, console: Console) -> Synthesis:
    """Generate the project in memory and, unless told not to, run it on the virtual device.

    Raises Ai8xError for everything that is wrong with the inputs, and if the folder could not be written.
    """
    check_folder(settings.folder, overwrite=settings.overwrite)
    result = generate(settings, console)
    if settings.verify is not False:
        result = replace(result, check=check_program(result.program, result.tensors))
        _report(result, console)
    return result


def write_synthesis(result: Synthesis, settings: SynthesizeSettings) -> None:
    """Write the project to its folder."""
    write_project(result.files, settings.folder, overwrite=settings.overwrite)


def _report(result: Synthesis, console: Console) -> None:
    """Warn about what the virtual device noticed, and if it does not compute what the engine does."""
    assert result.check is not None
    for diagnostic in result.check.problems:
        console.warn(f"virtual device: {diagnostic}")
    if not result.check.equal:
        console.warn(f"the program does not compute what the network does: {result.check.text()}")


def save_output(result: Synthesis, path: Path) -> None:
    """Save the expected output of the last layer, (channels, rows, columns), as int64 ``.npy`` file."""
    _save_array(result.tensors.last[0], path)


def save_intermediate(result: Synthesis, folder: Path) -> None:
    """Save weights, bias and output of every layer, int64, as ``layer<index>-<what>.npy`` in `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Ai8xError(f"cannot be written: {error.strerror or error}", where=str(folder)) from None
    for index in result.tensors.order:
        layer = result.network[index]
        arrays = {"output": result.tensors.outputs[index][0]}
        if layer.parameters is not None:
            arrays["weights"] = layer.parameters.weights
        if layer.bias is not None:
            arrays["bias"] = layer.bias
        for what, array in arrays.items():
            _save_array(array, folder / f"layer{index:02}-{what}.npy")


def _save_array(array: npt.NDArray[Any], path: Path) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array.astype(np.int64), allow_pickle=False)
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise Ai8xError(f"cannot be written: {error.strerror or error}", where=str(path)) from None


def differing_files(files: dict[str, str], folder: Path) -> list[str]:
    """Return the generated files that differ from those in `folder`, or are missing there.

    Files of the user's own are not compared. Raises Ai8xError if there is no such folder.
    """
    if not folder.is_dir():
        raise Ai8xError("no such project folder", where=str(folder))
    different = []
    for name, text in sorted(files.items()):
        path = folder / name
        if name not in KEPT_FILES and (not path.is_file() or path.read_bytes() != text.encode()):
            different.append(name)
    return different
