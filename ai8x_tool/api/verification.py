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
    from ai8x_tool.verification.run import verify

    settings, inputs = inputs_of(settings, console)
    return verify(settings, console, inputs)
