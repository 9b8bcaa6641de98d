"""``ai8x synthesize``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import typer

from ai8x_tool.cli.common import EXIT_FAILED, FileSettings
from ai8x_tool.cli.options import RECIPE, Command, GivenOptions
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.option import Settings, option
from ai8x_tool.settings.program import CHECKS
from ai8x_tool.settings.synthesis import SynthesizeSettings

if TYPE_CHECKING:
    from pathlib import Path

    from ai8x_tool.api import SynthesizeResult
    from ai8x_tool.console import Console


@dataclass(frozen=True, kw_only=True)
class ShownSettings(Settings):
    """Additional output."""

    panel: ClassVar[str] = CHECKS

    display_checkpoint: bool = option(False, "Show the parameters of every layer.")


def _synthesize(given: GivenOptions, console: Console) -> None:
    from ai8x_tool.api.synthesis import named_options, synthesize

    settings = given.resolved(SynthesizeSettings, "synthesize", named=named_options)
    if settings.folder is None and settings.check is None and settings.explain is None:
        raise Ai8xError("no output folder given", fix="add --output FOLDER")
    result = synthesize(settings, console=console)
    if settings.check is not None:
        _show_differences(result, settings.check, console)
    elif settings.explain is not None:
        _explain(result, settings.explain, console)
    else:
        _show(result, settings, given.settings(ShownSettings), console)


def _show(result: SynthesizeResult, settings: SynthesizeSettings, shown: ShownSettings, console: Console) -> None:
    from ai8x_tool.report.synthesis import checkpoint_table, synthesis_document, synthesis_table, synthesis_totals

    synthesis, folder = result.synthesis, result.folder
    assert folder is not None
    if shown.display_checkpoint:
        console.show(checkpoint_table(synthesis.network))
    console.show(synthesis_table(synthesis.statistics, settings.part))
    for line in synthesis_totals(synthesis.statistics, settings.part):
        console.show(line)
    if synthesis.check is None:
        console.show("not verified (--no-verify)")
    elif result.verification is None:
        console.show(f"{synthesis.check.text()}; not compared: the model in torch and the firmware (--verify)")
    if result.verification is not None:
        from ai8x_tool.report.verification import show_verification

        show_verification(result.verification, console)
    console.show(f"project: {folder}")
    verified = {} if result.verification is None else {"proof": result.verification.document()}
    console.result(synthesis_document(synthesis, folder) | verified)


def _explain(result: SynthesizeResult, layer: str, console: Console) -> None:
    from ai8x_tool.report.explain import explain_rows, explain_table, find_layer

    program = result.synthesis.program
    found = find_layer(program, layer)
    console.show(explain_table(program, found))
    console.result({"schema": "ai8x-explain/1", "layer": found.index, "registers": explain_rows(program, found)})


def _show_differences(result: SynthesizeResult, folder: Path, console: Console) -> None:
    different = list(result.different or ())
    console.result({"schema": "ai8x-check/1", "project": str(folder), "different": different})
    if not different:
        console.show(f"{folder}: up to date")
        return
    console.error(f"{folder}: differs from what would be generated: {', '.join(different)} (generate it again)")
    raise typer.Exit(EXIT_FAILED)


COMMAND = Command(
    _synthesize,
    (SynthesizeSettings, FileSettings, ShownSettings),
    (
        replace(
            RECIPE,
            help="Recipe, network description or model: a file, or a name (see `ai8x list`).",
            metavar="[RECIPE|NETWORK|MODEL]",
        ),
    ),
    common=(
        *("network", "checkpoint", "sample_input", "model", "dataset", "device", "settings", "output", "prefix"),
        *("overwrite", "board_name", "softmax", "timer", "energy", "fifo", "fast_fifo", "riscv", "kat", "verify"),
        *("explain", "check", "json", "quiet", "verbose"),
    ),
    examples=(
        "ai8x synthesize kws20_v3 --output build/kws20",
        "ai8x synthesize ai85net5 --dataset MNIST --checkpoint mnist-q.pth.tar --output build/mnist",
        "ai8x synthesize --network net.yaml --checkpoint net-q.pth.tar --sample-input sample.npy "
        "--device MAX78000 --output build/net",
    ),
)
