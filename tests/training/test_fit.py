"""A model that cannot run on its device is refused before the first epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai8x_tool.analysis import device_analysis
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper import Shortage, UnmappableError
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.setup import prepare

SETTINGS = {
    "model": "tiny",
    "dataset": "Stripes",
    "cpu": True,
    "optimizer": "SGD",
    "learning_rate": 0.1,
    "qat_policy": None,
}
"""Without a policy, weights count as 1 bit wide."""


def grow(workspace: Path) -> None:
    """Put a convolution of 768 channels into the model."""
    file = workspace / "models" / "tiny.py"
    old = "ai8x.FusedAvgPoolConv2dReLU(8, 8, 3, padding=1, bias=bias, **kwargs)"
    new = ", ".join(
        f"ai8x.{kind}({inputs}, {outputs}, 3, padding=1, **kwargs)"
        for kind, inputs, outputs in (
            ("FusedConv2dReLU", 8, 768),
            ("FusedConv2dReLU", 768, 768),
            ("FusedAvgPoolConv2dReLU", 768, 8),
        )
    )
    file.write_text(file.read_text().replace(old, f"nn.Sequential({new})"))


def test_a_model_that_fits(workspace: Path, console: Console) -> None:
    prepare(TrainSettings(**SETTINGS), console)
    assert console.warnings == []


def test_too_many_weights(workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_analysis, "remedies", lambda *_, **__: ("fewer channels: 1 ms", "another device: 2 ms"))
    grow(workspace)
    with pytest.raises(Ai8xError) as caught:
        prepare(TrainSettings(**SETTINGS), console)
    text = str(caught.value)
    assert "All weights must fit the kernel memory" in text and "\n" not in text
    assert text.endswith("; or fewer channels: 1 ms; or --no-check trains it nevertheless) [weights-device]")
    prepare(TrainSettings(**SETTINGS, check=False), console)


def test_what_is_not_known_is_a_warning(workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search ended without a placement, but no memory is too small."""

    def in_vain(*_: object, **__: object) -> None:
        raise UnmappableError("no place was found", Shortage("data memory", "no place was found", 100, 100))

    monkeypatch.setattr(device_analysis, "map_automatically", in_vain)
    prepare(TrainSettings(**SETTINGS), console)
    (warning,) = console.warnings
    assert "no place was found" in warning
