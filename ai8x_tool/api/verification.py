"""Verification of the whole chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.api.inputs import inputs_of
from ai8x_tool.calls import from_recipe
from ai8x_tool.settings.verification import VerifySettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.verification.chain import Proof


@from_recipe(VerifySettings, "synthesize", projects=True)
def verify(settings: VerifySettings, console: Console) -> Proof:
    """Verify the whole chain: trained ≈ quantized ≡ integer engine ≡ virtual device ≡ firmware.

    Takes what `synthesize` takes; in place of the recipe also the folder of a project, which must then be exactly what
    its settings generate. A broken link is part of the result.
    """
    from ai8x_tool.files import check_file, write_file
    from ai8x_tool.verification.run import verify

    if settings.html is not None:
        check_file(settings.html)
    settings, inputs = inputs_of(settings, console)
    proof = verify(settings, console, inputs)
    if settings.html is not None and proof.synthesis is not None:
        from ai8x_tool.api.synthesis import analysis_of
        from ai8x_tool.report.html import verification_report

        write_file(verification_report(proof, analysis_of(proof.synthesis, settings)).encode(), settings.html)
    return proof
