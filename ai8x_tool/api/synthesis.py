"""Synthesis of C projects."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ai8x_tool.api.inputs import inputs_of
from ai8x_tool.calls import from_recipe
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import has_own, list_configs
from ai8x_tool.settings.synthesis import SynthesizeSettings

if TYPE_CHECKING:
    from ai8x_tool.analysis import Analysis
    from ai8x_tool.console import Console
    from ai8x_tool.synthesis.synthesize import Synthesis
    from ai8x_tool.verification.chain import Verification


@dataclass(frozen=True, eq=False)
class SynthesizeResult:
    """What was synthesized, and the folder that it was written to (None: it was not written).

    `verification` is the result for the whole chain, if it was requested. `different` are the generated files that
    differ from those of the project to compare with, None without such a project.
    """

    synthesis: Synthesis
    folder: Path | None
    verification: Verification | None = None
    different: tuple[str, ...] | None = None


def named_options(given: str | Path) -> dict[str, Any] | None:
    """Return the options that `given`, a model or a network description, stands for; None for a recipe."""
    if str(given) in list_configs("recipes"):
        return None
    from ai8x_tool.subjects.find import options_of_name

    return options_of_name(given)


@from_recipe(SynthesizeSettings, "synthesize", named=named_options)
def synthesize(settings: SynthesizeSettings, console: Console) -> SynthesizeResult:
    """Turn a recipe, a network description or a model, and a quantized checkpoint, into a C project.

    Without a network description, the network is traced from the model. With one, its structure is compared with that
    of the model if the working folder contains the user's own models. The project is written to `output`, or to the
    folder `prefix` in `test_dir`; without either, it is not written.
    """
    from ai8x_tool.synthesis.project import build_project, build_verified_project, differing_files, write_synthesis

    settings, inputs = inputs_of(settings, console)
    if settings.check is not None:
        synthesis = build_project(settings, console, inputs)
        return SynthesizeResult(synthesis, None, different=tuple(differing_files(synthesis.files, settings.check)))
    if settings.explain is not None:
        return SynthesizeResult(build_project(settings, console, inputs), None)
    synthesis = build_verified_project(settings, console, inputs)
    verification = _required_verification(settings, synthesis, console) if settings.verify else None
    if settings.verify is None and settings.network is not None and has_own("models"):
        from ai8x_tool.verification.own_model import require_structure

        require_structure(settings, synthesis, console)
    write_synthesis(
        synthesis, settings, None if settings.html is None else {settings.html: _report(synthesis, settings)}
    )
    return SynthesizeResult(synthesis, settings.folder, verification)


def _report(synthesis: Synthesis, settings: SynthesizeSettings) -> bytes:
    from ai8x_tool.report.html import html_report

    return html_report(analysis_of(synthesis, settings)).encode()


def analysis_of(synthesis: Synthesis, settings: SynthesizeSettings) -> Analysis:
    """Return memory use, time and energy of the synthesized network, for reports."""
    from ai8x_tool.analysis import Analysis, analyze_mapping
    from ai8x_tool.codegen.options import accelerator_mhz, clock

    mapping, pipeline = synthesis.mapping, synthesis.program.context.pipeline
    clock_mhz = accelerator_mhz(mapping.device, clock(mapping.device, synthesis.project, pipeline=pipeline))
    device = analyze_mapping(mapping, clock_mhz=clock_mhz, pipeline=pipeline)
    name, file, shape = synthesis.project.name, _network_file(settings), synthesis.network.input_shape
    return Analysis(name, "project of", file, shape, (device,))


def _network_file(settings: SynthesizeSettings) -> Path:
    """Return the file of the network description; if it was made for the project, the one in the project."""
    return settings.network_file() if settings.network is not None else (settings.folder or Path()) / "network.yaml"


def _required_verification(settings: SynthesizeSettings, synthesis: Synthesis, console: Console) -> Verification:
    from ai8x_tool.settings.verification import ChainSettings
    from ai8x_tool.verification.run import verify_synthesis

    verification = verify_synthesis(settings, synthesis, ChainSettings(), console)
    if not verification.passed:
        raise Ai8xError(verification.text())
    return verification
