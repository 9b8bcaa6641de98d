"""Verification of the whole chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai8x_tool.api.inputs import inputs_of
from ai8x_tool.calls import from_recipe
from ai8x_tool.settings.verification import VerifySettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.verification.chain import Verification


@from_recipe(VerifySettings, "synthesize", projects=True)
def verify(settings: VerifySettings, console: Console) -> Verification:
    """Verify the whole chain: trained ≈ quantized ≡ integer engine ≡ virtual device ≡ firmware.

    Accepts the options of `synthesize`. The folder of a project can be given instead of the recipe; it must then be
    identical to what its settings generate. A broken link is part of the result, not an exception.
    """
    from ai8x_tool.files import check_file, write_file
    from ai8x_tool.verification.run import verify

    if settings.html is not None:
        check_file(settings.html)
    settings, inputs = inputs_of(settings, console)
    verification = verify(settings, console, inputs)
    if settings.html is not None and verification.synthesis is not None:
        from ai8x_tool.api.synthesis import analysis_of
        from ai8x_tool.report.html import verification_report

        write_file(
            verification_report(verification, analysis_of(verification.synthesis, settings)).encode(), settings.html
        )
    return verification
