"""The commands of ``ai8x`` as Python functions with typed options and results.

Every option of a command is a keyword; what is not given comes from the settings file, then from the recipe, then from
the built-in defaults. All raise Ai8xError, with one line, for whatever a user can put right.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ai8x_tool.calls import from_checkpoint, from_name, from_project, from_recipe, from_subject
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import has_own, list_configs
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.project import RunProjectSettings
from ai8x_tool.settings.quantization import QuantizeSettings
from ai8x_tool.settings.starter import NewSettings
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.settings.verification import ChainSettings, VerifySettings

if TYPE_CHECKING:
    from ai8x_tool.analysis import Analysis
    from ai8x_tool.console import Console
    from ai8x_tool.doctor import Diagnosis
    from ai8x_tool.emulation import ProjectRun
    from ai8x_tool.quantization import QuantizeResult
    from ai8x_tool.quantization.rules import Clipping
    from ai8x_tool.report.catalogue import Resource
    from ai8x_tool.starter import NewProject
    from ai8x_tool.synthesis.project import ProjectInputs
    from ai8x_tool.synthesis.synthesize import Synthesis
    from ai8x_tool.training.evaluation import EvaluateResult
    from ai8x_tool.training.results import TrainResult
    from ai8x_tool.verification.chain import Proof

Described = TypeVar("Described", bound=SynthesizeSettings)


@dataclass(frozen=True, eq=False)
class SynthesizeResult:
    """What was synthesized, and where it was written (None: nowhere).

    `proof` is the verification of the whole chain, where that was asked for; `different` are the generated files that
    differ from those of the project to compare with, None without one.
    """

    synthesis: Synthesis
    folder: Path | None
    proof: Proof | None = None
    different: tuple[str, ...] | None = None


def _recipe_of(subject: str | Path) -> str | None:
    from ai8x_tool.subjects import recipe_of

    return recipe_of(subject)


@from_subject(AnalyzeSettings, "analyze", _recipe_of)
def analyze(subject: str | Path, settings: AnalyzeSettings, console: Console) -> Analysis:
    """Analyze a recipe, a network description or a model: whether it fits, how fast it is, what limits it.

    Neither weights nor training are needed. A network that does not fit is a result, not an exception.
    """
    from ai8x_tool.files import check_file, write_file
    from ai8x_tool.subjects import analyze

    if settings.html is not None:
        check_file(settings.html)
    result = analyze(subject, settings, console)
    if settings.html is not None:
        from ai8x_tool.report.html import html_report

        write_file(html_report(result).encode(), settings.html)
    return result


@from_name(NewSettings)
def new(name: str, settings: NewSettings, console: Console) -> NewProject:
    """Make a project, the folder `name`, that trains on a folder of images, sounds or tables."""
    from ai8x_tool.starter import new_project

    return new_project(name, settings, console)


@from_recipe(TrainSettings, "train")
def train(settings: TrainSettings, console: Console) -> TrainResult:
    """Train a model, first in floating point, then quantization-aware.

    Raises TrainingInterruptedError on Ctrl-C, after writing a checkpoint of the last complete epoch.
    """
    from ai8x_tool.training.trainer import train

    return train(settings, console)


@from_checkpoint(QuantizeSettings)
def quantize(source: Path, target: Path, settings: QuantizeSettings, console: Console) -> QuantizeResult:
    """Quantize the trained checkpoint `source` into `target`; batch normalization of float checkpoints is folded."""
    from ai8x_tool.device import find_device
    from ai8x_tool.quantization import quantize
    from ai8x_tool.quantization.samples import calibration
    from ai8x_tool.resources import find_config

    device, network = find_device(settings.device), settings.config_file
    console.info(f"quantizing {source} for the {device.name}")
    return quantize(
        source,
        target,
        device,
        console,
        network=None if network is None else find_config("networks", network),
        default_bits=settings.qat_weight_bits,
        compact=settings.compact,
        clipping=_clipping(settings, console),
        calibration=calibration(settings, console) if settings.calibrates else None,
    )


def _clipping(settings: QuantizeSettings, console: Console) -> Clipping | None:
    from ai8x_tool.quantization.rules import Clipping

    method, scale, stddev = settings.clip_method, settings.scale, settings.stddev
    if method is None:
        return None
    if method == "SCALE" and not scale:
        console.warn("no --scale: 0.85 is used")
    if method == "STDDEV" and not stddev:
        console.warn("no --stddev: 2.0 is used")
    return Clipping(method, scale or 0.85, stddev or 2.0)


@from_recipe(EvaluateSettings, "evaluate")
def evaluate(settings: EvaluateSettings, console: Console) -> EvaluateResult:
    """Evaluate a checkpoint on the test split of its dataset, with `simulate` in the accelerator's integers."""
    from ai8x_tool.training.evaluation_run import evaluate_into_folder

    return evaluate_into_folder(settings, console)


def named_options(given: str | Path) -> dict[str, Any] | None:
    """Return the options that a model or a network description stands for, None for a recipe."""
    if str(given) in list_configs("recipes"):
        return None
    from ai8x_tool.subjects.find import options_of_name

    return options_of_name(given)


@from_recipe(SynthesizeSettings, "synthesize", named=named_options)
def synthesize(settings: SynthesizeSettings, console: Console) -> SynthesizeResult:
    """Turn a recipe, a network description or a model, and a quantized checkpoint, into a C project.

    Without a network description, the network is that of the model; with one, its structure is compared with that of
    the model if the working folder holds models of the user's own. The project is written to `output`, or to the
    folder `prefix` in `test_dir`; without either it stays in memory.
    """
    from ai8x_tool.synthesis.project import build_project, build_verified_project, differing_files, write_synthesis

    settings, inputs = _inputs(settings, console)
    if settings.check is not None:
        synthesis = build_project(settings, console, inputs)
        return SynthesizeResult(synthesis, None, different=tuple(differing_files(synthesis.files, settings.check)))
    if settings.explain is not None:
        return SynthesizeResult(build_project(settings, console, inputs), None)
    synthesis = build_verified_project(settings, console, inputs)
    proof = _complete_proof(settings, synthesis, console) if settings.verify else None
    if settings.verify is None and settings.network is not None and has_own("models"):
        from ai8x_tool.verification.own_model import require_structure

        require_structure(settings, synthesis, console)
    write_synthesis(
        synthesis, settings, None if settings.html is None else {settings.html: _report(synthesis, settings)}
    )
    return SynthesizeResult(synthesis, settings.folder, proof)


def _inputs(settings: Described, console: Console) -> tuple[Described, ProjectInputs | None]:
    """Return what a project contains of its inputs: a model, traced and placed, or a random sample."""
    if settings.network is not None:
        from ai8x_tool.subjects.sample import missing_sample

        return settings, missing_sample(settings, console)
    from ai8x_tool.subjects.placed import placed_model

    return placed_model(settings, console)


def _report(synthesis: Synthesis, settings: SynthesizeSettings) -> bytes:
    from ai8x_tool.analysis import Analysis, analyze_mapping
    from ai8x_tool.codegen.options import accelerator_mhz, clock
    from ai8x_tool.report.html import html_report

    mapping, pipeline = synthesis.mapping, synthesis.program.context.pipeline
    clock_mhz = accelerator_mhz(mapping.device, clock(mapping.device, synthesis.project, pipeline=pipeline))
    device = analyze_mapping(mapping, clock_mhz=clock_mhz, pipeline=pipeline)
    name, file, shape = synthesis.project.name, _network_file(settings), synthesis.network.input_shape
    return html_report(Analysis(name, "project of", file, shape, (device,))).encode()


def _network_file(settings: SynthesizeSettings) -> Path:
    """Return the network description's file; where it was made for the project, that in the project."""
    return settings.network_file() if settings.network is not None else (settings.folder or Path()) / "network.yaml"


def _complete_proof(settings: SynthesizeSettings, synthesis: Synthesis, console: Console) -> Proof:
    from ai8x_tool.verification.run import verify_synthesis

    proof = verify_synthesis(settings, synthesis, ChainSettings(), console)
    if not proof.complete:
        raise Ai8xError(proof.text())
    return proof


@from_recipe(VerifySettings, "synthesize", projects=True)
def verify(settings: VerifySettings, console: Console) -> Proof:
    """Verify the whole chain: trained ≈ quantized ≡ integer engine ≡ virtual device ≡ firmware.

    Takes what `synthesize` takes; in place of the recipe also the folder of a project, which must then be exactly what
    its settings generate. A broken link is part of the result.
    """
    from ai8x_tool.verification.run import verify

    settings, inputs = _inputs(settings, console)
    return verify(settings, console, inputs)


@from_project(RunProjectSettings)
def run(project: Path, settings: RunProjectSettings, console: Console) -> ProjectRun:
    """Compile a project unchanged and run its firmware in emulation, on the virtual device, or on this computer."""
    from ai8x_tool.emulation import run_project

    return run_project(project, settings, console)


def doctor() -> Diagnosis:
    """Look at this computer: what there is of what the tool can use, and what to do about the rest."""
    from ai8x_tool.doctor import examine

    return examine()


def list_resources(kind: str, console: Console | None = None) -> tuple[Resource, ...]:
    """Return all ``models``, ``datasets``, ``recipes``, ``networks``, ``devices`` or ``operators``."""
    from ai8x_tool.report.catalogue import catalogue

    return tuple(catalogue(kind, console))
