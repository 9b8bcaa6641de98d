"""From settings to a project: finding the inputs, checking on the virtual device, comparing and saving."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.codegen import write_project
from ai8x_tool.codegen.writer import KEPT_FILES, check_folder
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import check_file, staged_file
from ai8x_tool.frontend.yaml.load import array_files
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.unweighted import described_input
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.settings.files import SETTINGS_FILE, plain_values, yaml_text
from ai8x_tool.settings.option import options_of
from ai8x_tool.settings.synthesis import ExcerptSettings, SynthesizeSettings
from ai8x_tool.synthesis.model import ModelNetwork
from ai8x_tool.synthesis.program_log import program_log
from ai8x_tool.synthesis.settings import project_name, project_options, synthesis_options
from ai8x_tool.synthesis.synthesize import Synthesis, load_sample, synthesize
from ai8x_tool.synthesis.verified import verified

NETWORK_FILE = "network.yaml"
"""The description in a project whose places were found automatically."""
ShapeOf = Callable[[str], Sequence[int]]
"""The shape of a sample, by the name of a dataset. Raises Ai8xError for an unknown one."""


def build_project(
    settings: SynthesizeSettings,
    console: Console,
    model: ModelNetwork | None = None,
    shape_of: ShapeOf | None = None,
) -> Synthesis:
    """Generate the project that `settings` describe, in memory, without running it.

    Without a description, `model` is the network. `shape_of` is asked for the shape of a sample where there is none.
    Raises Ai8xError for everything that is wrong with the inputs.
    """
    found = _with_files(settings) if model is None else _of_model(settings, model)
    own = model is not None or (_is_open(found) and _keeps_whole_network(found))
    project = project_options(found, NETWORK_FILE if own else None)
    options = synthesis_options(found)
    sample = chosen_sample(found, model, shape_of, console)
    source = Path(str(found.network)) if model is None else model
    result = synthesize(source, found.checkpoint, sample, settings.part, project, options, console)
    extra = {SETTINGS_FILE: _settings_text(found, result)}
    if result.found:
        extra[NETWORK_FILE] = _description(result, _dataset(found, model))
    if settings.log:
        extra[project.files.log] = program_log(result.program, result.statistics)
    return replace(result, files=result.files | extra)


def _description(result: Synthesis, dataset: str) -> str:
    """Return the network's description with its placement, as it is now."""
    mapping = result.mapping
    return write_description(mapping.network, mapping.placement, mapping.device, dataset=dataset)


def _dataset(settings: SynthesizeSettings, model: ModelNetwork | None = None) -> str:
    if model is not None:
        return model.dataset
    return read_description(settings.network_file(), settings.part, Console(verbosity=-1, muted=True)).dataset


def _is_open(settings: SynthesizeSettings) -> bool:
    """Return whether the description leaves places open."""
    description = read_description(settings.network_file(), settings.part, Console(verbosity=-1, muted=True))
    return any(layer.processors is None for layer in description.layers)


def _of_model(settings: SynthesizeSettings, model: ModelNetwork) -> SynthesizeSettings:
    """Return the settings with the files that were found for names, for a network that is that of a model."""
    folder = settings.check or settings.output
    name = settings.prefix or (model.network.name if folder is None else folder.resolve().name)
    sample = settings.sample_file(model.dataset)
    return replace(settings, checkpoint=settings.checkpoint_file(), sample_input=sample, prefix=name)


def chosen_sample(
    settings: SynthesizeSettings, model: ModelNetwork | None, shape_of: ShapeOf | None, console: Console
) -> npt.NDArray[Any]:
    """Return the sample of the known-answer test: from its file, or random values."""
    if settings.sample_input is not None:
        return load_sample(settings.sample_input)
    shape = model.network.input_shape if model is not None else _described_shape(settings, shape_of)
    text = "×".join(map(str, shape))
    console.info(f"no sample was found: the known answers are for random values of {text}")
    return np.random.default_rng(0).integers(-128, 128, shape)


def _described_shape(settings: SynthesizeSettings, shape_of: ShapeOf | None) -> Sequence[int]:
    description = read_description(settings.network_file(), settings.part, Console(verbosity=-1, muted=True))
    described = described_input(description)
    if described is not None:
        return described
    name = settings.dataset or description.dataset
    try:
        if shape_of is not None:
            return shape_of(name)
    except Ai8xError:
        pass
    fix = "add --sample-input FILE; `ai8x evaluate -8 --save-sample N` writes one"
    raise Ai8xError(f"no sample 'sample_{name.lower()}.npy' here, in tests/ or among the shipped ones", fix=fix)


def _with_files(settings: SynthesizeSettings) -> SynthesizeSettings:
    """Return the settings with the files that were found for names and for what was left out."""
    network, silent = settings.network_file(), Console(verbosity=-1, muted=True)
    description = read_description(network, settings.part, silent, skip_layers=settings.skip_yaml_layers)
    weights, biases = settings.weight_input, settings.bias_input
    if description.is_test:
        weights, biases = array_files(description, synthesis_options(settings))
    elif weights or biases:
        fix = "leave out --weight-input and --bias-input"
        raise Ai8xError("the parameters come from the checkpoint, not from arrays", where=str(network), fix=fix)
    return replace(
        settings,
        network=str(network),
        checkpoint=settings.checkpoint_file(),
        sample_input=settings.sample_file(description.dataset),
        prefix=project_name(settings),
        weight_input=weights,
        bias_input=biases,
    )


def _settings_text(settings: SynthesizeSettings, result: Synthesis) -> str:
    """Return the project's own settings file, which rebuilds it from any folder."""
    project = settings.check or settings.folder or Path()
    options = options_of(SynthesizeSettings)
    values = {key: value for key, value in plain_values(settings, project).items() if value is not None}
    kept = {key: value for key, value in values.items() if key in options and not options[key].declaration.place}
    if result.found and _keeps_whole_network(settings):
        own = result.mapping.options
        kept |= {"network": NETWORK_FILE, "fifo": own.fifo, "overlap_data": own.overlap_data}
        kept = {name: kept[name] for name in options if name in kept}
    return "# Settings of this project, for ai8x synthesize --settings\n" + yaml_text(kept)


def _keeps_whole_network(settings: SynthesizeSettings) -> bool:
    """Return whether no option leaves out or changes parts of the network, which would then be done twice."""
    options = options_of(ExcerptSettings)
    return all(getattr(settings, name) == option.default for name, option in options.items() if name != "weight_start")


def build_verified_project(
    settings: SynthesizeSettings, console: Console, model: ModelNetwork | None = None, shape_of: ShapeOf | None = None
) -> Synthesis:
    """Generate the project in memory and, unless told not to, run it on the virtual device.

    Raises Ai8xError for everything that is wrong with the inputs, and if the folder could not be written.
    """
    if settings.folder is not None:
        check_folder(settings.folder, overwrite=settings.overwrite)
    for path in (settings.write_network, settings.sample_numpy_filename):
        if path is not None:
            check_file(path)
    result = build_project(settings, console, model, shape_of)
    return result if settings.verify is False else verified(result, console)


def write_synthesis(result: Synthesis, settings: SynthesizeSettings) -> None:
    """Write the project to its folder, if it has one, and what else was asked for: everything or nothing."""
    folder = None if settings.folder is None else settings.folder.resolve()
    inside = _intermediate(result) if settings.log_intermediate else {}
    with ExitStack() as files:
        for path, data in _further_files(result, settings):
            if folder is not None and path.resolve().is_relative_to(folder):
                inside[path.resolve().relative_to(folder).as_posix()] = data
            else:
                files.enter_context(staged_file(data, path))
        if settings.folder is not None:
            write_project(result.files, settings.folder, overwrite=settings.overwrite, more=inside)


def _further_files(result: Synthesis, settings: SynthesizeSettings) -> Iterator[tuple[Path, bytes]]:
    if settings.write_network is not None:
        text = result.files.get(NETWORK_FILE) or _description(result, _dataset(settings))
        yield settings.write_network, text.encode()
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
