"""``ai8x verify``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from ai8x_tool.cli.common import EXIT_FAILED, FileSettings
from ai8x_tool.cli.options import RECIPE, Command, GivenOptions
from ai8x_tool.settings.verification import VerifySettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


def _verify(given: GivenOptions, console: Console) -> None:
    from ai8x_tool import api
    from ai8x_tool.report.verification import show_verification

    settings = given.resolved(VerifySettings, "synthesize", projects=True)
    verification = api.verify(settings, console=console)
    show_verification(verification, console)
    console.result({"schema": "ai8x-verify/1"} | verification.document())
    if not verification.passed:
        console.error(verification.text())
        raise typer.Exit(EXIT_FAILED)


COMMAND = Command(
    _verify,
    (VerifySettings, FileSettings),
    (
        replace(
            RECIPE,
            help="Folder of a project, as written by `ai8x synthesize`, or a recipe (see `ai8x list recipes`).",
            metavar="[PROJECT|RECIPE]",
        ),
    ),
    details="Accepts all options of `ai8x synthesize`; those about writing the project have no effect. "
    "A project must be identical to what its own settings generate.",
    common=(
        *("trained", "samples", "data", "firmware", "network", "checkpoint", "sample_input", "model", "dataset"),
        *("device", "settings", "json", "quiet", "verbose"),
    ),
    examples=(
        "ai8x verify build/kws20",
        "ai8x verify mnist --checkpoint mnist_q.pth.tar --trained logs/latest/qat_best.pth.tar --samples 100",
    ),
    ignored=("output", "test_dir", "overwrite", "explain", "verify", "sample_numpy_filename", "log_intermediate"),
)
