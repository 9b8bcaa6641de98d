"""Synthesis with everything around it: finding the inputs, writing the project."""

from __future__ import annotations

from ai8x_tool.codegen import write_project
from ai8x_tool.codegen.writer import check_folder
from ai8x_tool.console import Console
from ai8x_tool.network.parser import read_description
from ai8x_tool.synthesis import Synthesis, load_sample, synthesize
from ai8x_tool.synthesis_settings import SynthesizeSettings


def synthesize_project(settings: SynthesizeSettings, console: Console) -> Synthesis:
    """Generate the project that `settings` describe and write it to its folder.

    Raises Ai8xError for everything that is wrong with the inputs; then nothing is written.
    """
    project, options = settings.project_options(), settings.synthesis_options()
    check_folder(settings.folder, overwrite=settings.overwrite)
    network_file = settings.network_file()
    sample_file = settings.sample_input
    if sample_file is None:
        silent = Console(verbosity=-1)
        silent.warn = lambda text: None  # type: ignore[method-assign]  # the second reading warns
        sample_file = settings.sample_file(read_description(network_file, settings.part, silent).dataset)
    result = synthesize(
        network_file, settings.checkpoint_file(), load_sample(sample_file), settings.part, project, options, console
    )
    write_project(result.files, settings.folder, overwrite=settings.overwrite)
    return result
