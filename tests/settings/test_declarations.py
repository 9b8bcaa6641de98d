"""What settings classes declare about their options, and what is made of it."""

from __future__ import annotations

import importlib
from dataclasses import FrozenInstanceError, dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from ai8x_tool.cli.common import FileSettings, MessageSettings
from ai8x_tool.cli.main import COMMANDS
from ai8x_tool.device import DEVICES
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import shipped
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.option import NUMBERS, Range, Settings, option, options_of, require, required
from ai8x_tool.settings.own_data import OwnDataSettings
from ai8x_tool.settings.quantization import QuantizeSettings
from ai8x_tool.settings.synthesis import SynthesizeSettings
from ai8x_tool.settings.training import OptimizerSettings, TrainSettings
from ai8x_tool.settings.values import typed
from ai8x_tool.settings.verification import VerifySettings

STAGES = (TrainSettings, QuantizeSettings, EvaluateSettings, SynthesizeSettings, VerifySettings)
MODULES = [importlib.import_module(f"ai8x_tool.cli.{module}") for module, _ in COMMANDS.values()]
ALL = tuple(dict.fromkeys([MessageSettings, OwnDataSettings, *(cls for m in MODULES for cls in m.COMMAND.settings)]))
"""The settings of all commands."""


@dataclass(frozen=True, kw_only=True)
class Part(Settings):
    """A part."""

    panel: ClassVar[str] = "One"

    size: int = option(3, "Size of the thing.", "--size", "-s", aliases=("--extent",))
    fast: bool = option(True, "Do it slowly.", needs="pipeline")

    def check_values(self) -> None:
        require(self.size > 0, "size", self.size, "above 0")


@dataclass(frozen=True, kw_only=True)
class Whole(Part):
    """A whole."""

    panel: ClassVar[str] = "Two"

    name: str = required("Name of the thing.", "--name")
    kind: Literal["a", "b", "c"] | None = option(None, "Kind of the thing.", default="that of the name")
    share: float = option(0.5, "Share of the thing.", range=Range(least=0, below=1))
    folders: tuple[Path, ...] = option((), "Folders to search.", panel="Three")

    def check_values(self) -> None:
        require(self.name != "no", "name", self.name, "another one")


def test_options_of_a_class() -> None:
    found = options_of(Whole)
    assert list(found) == ["size", "fast", "name", "kind", "share", "folders"]
    assert [o.panel for o in found.values()] == ["One", "One", "Two", "Two", "Two", "Three"]
    assert [o.names for o in found.values()] == [
        ("--size", "-s"),
        ("--fast",),
        ("--name",),
        ("--kind",),
        ("--share",),
        ("--folders",),
    ]
    assert found["fast"].off == ("--no-fast",) and found["fast"].shown == ("--no-fast",)
    assert [o.text() for o in found.values()] == [
        "Size of the thing (default 3).",
        "Do it slowly. MAX78002 only.",
        "Name of the thing.",
        "Kind of the thing: a, b or c (default: that of the name).",
        "Share of the thing (at least 0 and below 1; default 0.5).",
        "Folders to search.",
    ]
    assert (found["kind"].value.choices, found["kind"].value.optional) == (("a", "b", "c"), True)
    assert found["name"].required and not found["size"].required


def test_every_part_checks_its_own_values() -> None:
    assert Whole(name="x").size == 3
    for wrong, words in (({"name": "x", "size": 0}, "size must be above 0"), ({"name": "no"}, "must be another one")):
        with pytest.raises(Ai8xError, match=words):
            Whole(**wrong)
    with pytest.raises(Ai8xError, match="an option is missing: Name of the thing"):
        Whole()
    with pytest.raises(FrozenInstanceError):
        Whole(name="x").size = 4  # type: ignore[misc]


def test_values_get_the_types_of_the_options() -> None:
    known = options_of(Whole)
    assert typed({"size": "4", "kind": "B", "folders": ["a"]}, known, None) == {
        "size": 4,
        "kind": "b",
        "folders": (Path("a"),),
    }
    assert typed({"kind": "None"}, known, None) == {"kind": None}
    with pytest.raises(Ai8xError, match="unknown option 'sice'; did you mean 'size'"):
        typed({"sice": 4}, known, None)


NEEDED = {
    "path": "p",
    "network": "n",
    "model": "m",
    "dataset": "d",
    "checkpoint": "c",
    "layer_name": "a",
    "layer_depth": 1,
    "insert_before": "b",
}


def resolved(settings: type[Settings], /, **given: object) -> Settings:
    """The settings with these options, and with what they need to be made at all."""
    known = options_of(settings)
    needed = {name: value for name, value in NEEDED.items() if name in known and known[name].required}
    return settings(**typed({**needed, **given}, known, None))


@pytest.mark.parametrize("settings", ALL)
def test_every_number_has_a_range(settings: type[Settings]) -> None:
    """What lies outside is refused in one line that names option and range; nothing else is."""
    for name, found in options_of(settings).items():
        if found.value.kind not in (int, float):
            continue
        numbers = found.declaration.range
        assert numbers != NUMBERS, name
        for text in ("-1e300", "-1", "0", "-0.5", "1e300", "nan", "inf", "-inf", "9" * 70, "1" + "0" * 5000):
            number = float(text) if found.value.kind is float or not text.strip("-").isdigit() else None
            value = text if number is None else number
            try:
                resolved(settings, **{name: [value] if found.value.several else value})
            except Ai8xError as error:
                assert len(str(error)) < 300 and "\n" not in str(error), name
                assert name in str(error) or "needs" in str(error) or "need" in str(error), (name, str(error))
            else:
                assert (float(text) if number is not None else int(text)) in numbers, (name, text)


@pytest.mark.parametrize("settings", ALL)
def test_no_text_is_empty(settings: type[Settings]) -> None:
    """Neither empty nor with a character that no name of a file can hold."""
    for name, found in options_of(settings).items():
        if found.value.kind not in (str, Path) or found.value.choices:
            continue
        for text in ("", " ", "a\0b"):
            if found.declaration.blank and "\0" not in text:
                continue
            with pytest.raises(Ai8xError, match=name):
                resolved(settings, **{name: [text] if found.value.several else text})


def test_ranges() -> None:
    for number, inside in ((0, True), (0.999, True), (1, False), (-0.1, False), (float("nan"), False)):
        assert (number in Range(least=0, below=1)) is inside
    assert 2 in Range(values=(1, 2, 4)) and 3 not in Range(values=(1, 2, 4))
    assert 10**400 not in Range(most=5) and float("inf") not in NUMBERS and 10**400 in NUMBERS
    texts = [Range(1, 3, unit="seconds").text(), Range(values=(1, 2, 4)).text(), Range(above=0, most=1).text()]
    assert texts == ["1 … 3 seconds", "1, 2 or 4", "above 0 and at most 1"]
    with pytest.raises(Ai8xError, match=r"share must be at least 0 and below 1, not nan"):
        Whole(name="x", share=float("nan"))


def test_a_part_stands_alone() -> None:
    assert OptimizerSettings(optimizer="Adam").momentum == 0.9
    assert isinstance(TrainSettings(model="m", dataset="d"), OptimizerSettings)


@pytest.mark.parametrize("settings", ALL)
def test_declarations_are_complete(settings: type[Settings]) -> None:
    """Every field is an option; devices' capabilities and folders of names exist."""
    options = options_of(settings)
    assert list(options) == [field.name for field in fields(settings)]
    for name, found in options.items():
        assert found.panel or settings is FileSettings, name
        needs, named_in = found.declaration.needs, found.declaration.named_in
        assert needs is None or {bool(getattr(device, needs)) for device in DEVICES} == {True, False}, name
        assert named_in is None or shipped(named_in).is_dir(), name


@pytest.mark.parametrize("settings", STAGES)
def test_panels_are_ordered(settings: type[Settings]) -> None:
    assert {found.panel for found in options_of(settings).values()} == set(settings.panels)


@pytest.mark.parametrize("device", ["MAX78000", "MAX78002"])
def test_what_a_device_lacks_is_refused(device: str) -> None:
    """What the help says about devices is what is checked."""
    names = ("fifo_go", "pipeline", "pll", "max_speed", "one_shot", "parallel_outputs")
    values = {**dict.fromkeys(names, True), "start_layer": 1}
    only = {name for name, found in options_of(SynthesizeSettings).items() if found.devices() == "MAX78002"}
    assert only == {*values, "link_layer"}
    for name, value in values.items():
        if device == "MAX78002":
            SynthesizeSettings(network="x", device=device, **{name: value})
        else:
            with pytest.raises(Ai8xError, match=f"--{name.replace('_', '-')} needs a MAX78002"):
                SynthesizeSettings(network="x", device=device, **{name: value})
