"""Generation of a project from settings: finding inputs, checking on the virtual device, comparing and writing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.codegen import write_project
from ai8x_tool.codegen.ide_files import is_kept
from ai8x_tool.codegen.writer import check_folder
from ai8x_tool.console import Console
from ai8x_tool.data.stock_inputs import stock_input
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import check_file, resolved_path, staged_file
from ai8x_tool.frontend.yaml.load import array_files
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.settings.files import SETTINGS_FILE, plain_values, yaml_text
from ai8x_tool.settings.option import options_of
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.synthesis.program_log import program_log
from ai8x_tool.synthesis.program_verification import verify_program
from ai8x_tool.synthesis.settings import project_name, project_options, synthesis_options
from ai8x_tool.synthesis.synthesize import Synthesis, load_sample, synthesize

NETWORK_FILE, SAMPLE_FILE, CHECKPOINT_FILE = "network.yaml", "sample.npy", "checkpoint.pth.tar"
ANOMALY_FILE, OUTPUTS_FILE = "anomaly.json", "outputs.json"
"""Files with the threshold and the names of anomalies, and with the meaning of outputs that are no class scores."""


@dataclass(frozen=True, eq=False)
class ProjectInputs:
    """A network description and a sample that were made for the project, which therefore contains them.

    `network` is None if the settings name one. `threshold` is the mean squared error of an autoencoder above which a
    sample is an anomaly, `names` are the names of normal samples and of anomalies; `meaning` describes outputs that are
    not class scores. `checkpoint` is the content of a checkpoint with weights that the one in the settings lacks.
    """

    network: str | None
    sample: npt.NDArray[Any]
    threshold: float | None = None
    names: tuple[str, ...] = ()
    meaning: Mapping[str, Any] | None = None
    checkpoint: bytes | None = None


def build_project(settings: SynthesizeSettings, console: Console, inputs: ProjectInputs | None = None) -> Synthesis:
    """Generate the project that `settings` describe, in memory, without running it.

    `inputs` take the place of the files that the settings name. Raises Ai8xError for any error in the inputs.
    """
    if inputs is None:
        return _build(settings, console, {})
    arrays, contained = {SAMPLE_FILE: _array_bytes(inputs.sample)}, {"sample_input": SAMPLE_FILE}
    with TemporaryDirectory() as folder:
        named = replace(settings, sample_input=Path(folder, SAMPLE_FILE))
        if inputs.checkpoint is not None:
            arrays[CHECKPOINT_FILE] = inputs.checkpoint
            contained |= {"checkpoint": CHECKPOINT_FILE}
            named = replace(named, checkpoint=Path(folder, CHECKPOINT_FILE))
        for name, data in arrays.items():
            Path(folder, name).write_bytes(data)
        if inputs.network is not None:
            network = Path(folder, NETWORK_FILE)
            network.write_text(inputs.network, encoding="utf-8")
            named = replace(named, prefix=project_name(settings, None), network=str(network))
            contained |= {"network": NETWORK_FILE}
        result = _build(named, console, contained)
    files = result.files if inputs.network is None else result.files | {NETWORK_FILE: inputs.network}
    if inputs.threshold is not None:
        files |= {ANOMALY_FILE: json.dumps({"threshold": inputs.threshold, "names": inputs.names}) + "\n"}
    if inputs.meaning is not None:
        files |= {OUTPUTS_FILE: json.dumps(inputs.meaning, ensure_ascii=False) + "\n"}
    return replace(result, files=files, arrays=arrays)


def _build(settings: SynthesizeSettings, console: Console, contained: Mapping[str, str]) -> Synthesis:
    """Generate a project that contains some of its inputs, `contained` by option."""
    found, dataset = _with_files(settings)
    project, options = project_options(found), synthesis_options(found)
    assert found.sample_input is not None and found.network is not None
    sample = load_sample(found.sample_input)
    stock = stock_input(dataset, sample.shape)
    if project.preprocessing is None and stock is not None:
        names = project.class_names or stock.classes
        project = replace(project, preprocessing=stock.document(), class_names=names)
    result = synthesize(Path(found.network), found.checkpoint, sample, settings.part, project, options, console)
    extra = {SETTINGS_FILE: _settings_text(found, contained)}
    if result.found:
        extra[NETWORK_FILE] = _description(result, found)
    if settings.log:
        extra[project.files.log] = program_log(result.program, result.statistics)
    return replace(result, files=result.files | extra)


def _description(result: Synthesis, settings: SynthesizeSettings) -> str:
    """Return the network description with the placement that is used."""
    if NETWORK_FILE in result.files:
        return result.files[NETWORK_FILE]
    silent = Console(verbosity=-1, muted=True)
    dataset = read_description(settings.network_file(), settings.part, silent).dataset
    mapping = result.mapping
    network, placement = mapping.network, mapping.placement
    return write_description(network, placement, mapping.device, dataset=dataset, options=mapping.options)


def _with_files(settings: SynthesizeSettings) -> tuple[SynthesizeSettings, str]:
    """Return the settings with all files filled in, and the dataset's name."""
    network, silent = settings.network_file(), Console(verbosity=-1, muted=True)
    description = read_description(network, settings.part, silent, skip_layers=settings.skip_yaml_layers)
    weights, biases = settings.weight_input, settings.bias_input
    if description.is_test:
        weights, biases = array_files(description, synthesis_options(settings))
    elif weights or biases:
        message = "the network takes its parameters from the checkpoint, not from arrays"
        raise Ai8xError(message, where=str(network), fix="leave out --weight-input and --bias-input")
    completed = replace(
        settings,
        network=str(network),
        checkpoint=settings.checkpoint_file(),
        sample_input=settings.sample_file(description.dataset),
        prefix=project_name(settings, network),
        weight_input=weights,
        bias_input=biases,
    )
    return completed, settings.dataset or description.dataset


def _settings_text(settings: SynthesizeSettings, contained: Mapping[str, str]) -> str:
    """Return the text of the project's settings file, from which it can be regenerated in any folder."""
    project = settings.check or settings.folder or Path()
    options = options_of(SynthesizeSettings)
    values = {key: value for key, value in plain_values(settings, project).items() if value is not None}
    values |= contained
    kept = {key: value for key, value in values.items() if key in options and not options[key].declaration.place}
    return "# Settings of this project, for ai8x synthesize --settings\n" + yaml_text(kept)


def build_verified_project(
    settings: SynthesizeSettings, console: Console, inputs: ProjectInputs | None = None
) -> Synthesis:
    """Generate the project in memory and, unless `settings.verify` is False, run it on the virtual device.

    Raises Ai8xError for any error in the inputs, and if the folder cannot be written.
    """
    if settings.folder is not None:
        check_folder(settings.folder, overwrite=settings.overwrite)
    for path in (settings.write_network, settings.sample_numpy_filename, settings.html):
        if path is not None:
            check_file(path)
    result = build_project(settings, console, inputs)
    return result if settings.verify is False else verify_program(result, console)


def write_synthesis(
    result: Synthesis, settings: SynthesizeSettings, reports: Mapping[Path, bytes] | None = None
) -> None:
    """Write the project to its folder, if it has one, and all other requested files: everything or nothing.

    `reports` are further files with their contents.
    """
    folder = None if settings.folder is None else resolved_path(settings.folder)
    inside = dict(result.arrays) | (_intermediate(result) if settings.log_intermediate else {})
    with ExitStack() as files:
        for path, data in (*_further_files(result, settings), *(reports or {}).items()):
            if folder is not None and resolved_path(path).is_relative_to(folder):
                inside[resolved_path(path).relative_to(folder).as_posix()] = data
            else:
                files.enter_context(staged_file(data, path))
        if settings.folder is not None:
            write_project(result.files, settings.folder, overwrite=settings.overwrite, more=inside)


def _further_files(result: Synthesis, settings: SynthesizeSettings) -> Iterator[tuple[Path, bytes]]:
    if settings.write_network is not None:
        yield settings.write_network, _description(result, settings).encode()
    if settings.sample_numpy_filename is not None:
        yield settings.sample_numpy_filename, _array_bytes(result.tensors.last[0])


def _intermediate(result: Synthesis) -> dict[str, bytes]:
    """Return weights, bias and output of every layer as int64 files ``intermediate/layer<index>-<what>.npy``."""
    files = {}
    for index in result.tensors.order:
        layer = result.network[index]
        arrays = {"output": result.tensors.outputs[index][0]}
        if layer.parameters is not None:
            arrays["weights"] = layer.parameters.weights
        if layer.bias is not None:
            arrays["bias"] = layer.bias
        for what, array in arrays.items():
            files[f"intermediate/layer{index:02}-{what}.npy"] = _array_bytes(array)
    return files


def _array_bytes(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array.astype(np.int64), allow_pickle=False)
    return buffer.getvalue()


def differing_files(files: dict[str, str], folder: Path) -> list[str]:
    """Return the generated files that differ from those in `folder`, or are missing there.

    The user's own files are not compared. Raises Ai8xError if there is no such folder.
    """
    if not folder.is_dir():
        raise Ai8xError("no such project folder", where=str(folder))
    different = []
    for name, text in sorted(files.items()):
        path = folder / name
        if not is_kept(name) and (not path.is_file() or path.read_bytes() != text.encode()):
            different.append(name)
    return different
