"""Several trainings, one after the other, in processes that are started once."""

from __future__ import annotations

from collections.abc import Mapping

from ai8x_tool.console import Console
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.results import TrainResult
from ai8x_tool.training.trainer import Trainer, train_in
from ai8x_tool.training.world import World


def train_all(runs: Mapping[str, TrainSettings], _: TrainSettings, console: Console, world: World) -> TrainResult:
    """Train each of `runs` as one of the processes; return the last result."""
    Trainer._draw = lambda *_: None  # type: ignore[method-assign]
    return [train_in(settings, console, world) for settings in runs.values()][-1]
