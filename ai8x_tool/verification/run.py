"""Verification of a recipe or project: finding inputs, synthesis in memory, and the check of every link."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware.toolchain import find_toolchain
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.plugins.find import find_dataset, find_model
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.files import SETTINGS_FILE
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.verification import ChainSettings, VerifySettings
from ai8x_tool.synthesis.project import ProjectInputs, build_project, differing_files
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.verification.firmware_process import FirmwareProcess

if TYPE_CHECKING:
    from ai8x_tool.verification.chain import Verification

_SHARED = ("checkpoint", "model", "dataset", "device", "avg_pool_rounding")
"""Settings of the synthesis that have the same meaning in evaluation."""


def verify(settings: VerifySettings, console: Console, inputs: ProjectInputs | None = None) -> Verification:
    """Check the whole chain for the project that `settings` describe; nothing is written.

    Raises Ai8xError for any error in the inputs, and if the project in `settings.check` differs from what is generated;
    broken links are part of the result.
    """
    synthesis = build_project(settings, console, inputs)
    if settings.check is not None:
        different = differing_files(synthesis.files, settings.check)
        if different:
            names = ", ".join(different)
            fix = f"generate it again, or verify --settings {settings.check / SETTINGS_FILE} alone"
            raise Ai8xError(f"differs from what its settings generate: {names}", where=str(settings.check), fix=fix)
    return verify_synthesis(settings, synthesis, settings, console)


def verify_synthesis(
    settings: SynthesizeSettings, synthesis: Synthesis, chain: ChainSettings, console: Console
) -> Verification:
    """Check the whole chain for `synthesis`, which was generated with `settings`."""
    missing = _missing_for_firmware(settings, chain)
    if missing:
        return _verify_links(settings, synthesis, chain, console, missing)
    with FirmwareProcess(synthesis) as firmware:  # before PyTorch is imported, which takes as long as the compiler
        return _verify_links(settings, synthesis, chain, console, firmware)


def _verify_links(
    settings: SynthesizeSettings,
    synthesis: Synthesis,
    chain: ChainSettings,
    console: Console,
    firmware: FirmwareProcess | str,
) -> Verification:
    """Check all links; `firmware` is the reason if the last one is skipped."""
    from ai8x_tool.verification.samples import choose_samples  # noqa: PLC0415  (needs PyTorch)

    evaluation, skipped = evaluation_settings(settings, chain)
    samples = choose_samples(synthesis, evaluation, chain.samples, console)
    program = None if isinstance(firmware, str) else firmware
    if program is not None:
        program.start(samples.values)
    from ai8x_tool.verification.chain import model_settings, verify_samples  # noqa: PLC0415  (while the firmware runs)

    models = (
        {}
        if evaluation is None
        else model_settings(evaluation, evaluation.checkpoint, chain.trained, chain.float_checkpoint)
    )
    if evaluation is not None and chain.trained is None:
        skipped = ["trained ≈ quantized (no --trained)"]
    skipped += [f"firmware ({firmware})"] if isinstance(firmware, str) else []
    verification = verify_samples(synthesis, samples, models, console, firmware=program)
    return replace(verification, skipped=tuple(skipped), synthesis=synthesis)


def _missing_for_firmware(settings: SynthesizeSettings, chain: ChainSettings) -> str:
    """Return the reason why the program is not compiled and run; empty if it is."""
    if chain.firmware is not None:
        return "" if chain.firmware else "--no-firmware"
    if importlib.util.find_spec("unicorn") is None:
        return "no emulator: pip install 'ai8x-tool[virtual]'"
    try:
        for core in ("arm", "riscv") if settings.uses_riscv else ("arm",):
            find_toolchain(core)
    except Ai8xError as error:
        return str(error)
    return ""


def evaluation_settings(
    settings: SynthesizeSettings, chain: ChainSettings
) -> tuple[EvaluateSettings | None, list[str]]:
    """Return the settings for running the models in torch; None, and the skipped links, if the model is not known."""
    checkpoint = settings.checkpoint_file()
    if checkpoint is None:
        return None, ["trained ≈ quantized ≡ engine (no checkpoint)"]
    shared = {key: getattr(settings, key) for key in _SHARED}
    given = {key: value for key, value in shared.items() if value is not None}
    given |= {"checkpoint": checkpoint, "simulate": True}
    given |= {} if chain.data == ChainSettings().data else {"data": chain.data}  # it may be the user's own folder
    if settings.evaluation_recipe is None and settings.dataset is None:
        muted = Console(verbosity=-1, muted=True)
        given["dataset"] = read_description(settings.network_file(), settings.part, muted).dataset
    wanted = chain.trained is not None or chain.samples is not None or settings.model is not None
    try:
        chosen = resolve(EvaluateSettings, "evaluate", settings.evaluation_recipe, None, given)
        find_dataset(chosen.dataset, chosen)
        find_model(chosen.model or read_checkpoint(checkpoint).arch or "")
    except Ai8xError as error:
        if wanted:
            raise
        return None, [f"trained ≈ quantized ≡ engine ({error})"]
    return chosen, []
