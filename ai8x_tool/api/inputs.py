"""Inputs of a project other than its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ai8x_tool.settings.synthesis import SynthesizeSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.synthesis.project import ProjectInputs


Described = TypeVar("Described", bound=SynthesizeSettings)


def inputs_of(settings: Described, console: Console) -> tuple[Described, ProjectInputs | None]:
    """Return the settings, completed, and the inputs that the project must contain, None if it needs none.

    These are the network description of a model without one, with its sample, or a random sample.
    """
    if settings.network is not None and settings.sample_input is not None:
        return settings, None
    if settings.network is not None:
        from ai8x_tool.subjects.sample import missing_sample

        return settings, missing_sample(settings, console)
    from ai8x_tool.subjects.placed import placed_model

    return placed_model(settings, console)
