"""What a project is made of besides its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ai8x_tool.settings.synthesis import SynthesizeSettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.synthesis.project import ProjectInputs


Described = TypeVar("Described", bound=SynthesizeSettings)


def inputs_of(settings: Described, console: Console) -> tuple[Described, ProjectInputs | None]:
    """Return what a project contains of its inputs: a model, traced and placed, or a random sample."""
    if settings.network is not None and settings.sample_input is not None:
        return settings, None
    if settings.network is not None:
        from ai8x_tool.subjects.sample import missing_sample

        return settings, missing_sample(settings, console)
    from ai8x_tool.subjects.placed import placed_model

    return placed_model(settings, console)
