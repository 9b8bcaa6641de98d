"""Declaration of options: each is one field of a settings dataclass, with everything that is said about it.

The command line, settings files and recipes, the Python interface and the documentation are made from these fields.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from ai8x_tool.device import DEVICES
from ai8x_tool.errors import Ai8xError

T = TypeVar("T")
_METADATA = "ai8x"
_LARGEST_SHOWN = 1 << 64


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes: from `least` to `most`, between `above` and `below`, or only some `values`."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    values: tuple[int, ...] = ()
    unit: str = ""

    def __contains__(self, number: float) -> bool:
        return (
            -math.inf < number < math.inf
            and (not self.values or number in self.values)
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def text(self) -> str:
        """Return the range in words; nothing for one without limits."""
        if self.values:
            *first, last = map(str, self.values)
            words = f"{', '.join(first)} or {last}" if first else last
        elif self.least is not None and self.most is not None:
            words = f"{self.least} … {self.most}"
        else:
            limits = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
            words = " and ".join(f"{name} {limit}" for name, limit in limits.items() if limit is not None)
        return f"{words} {self.unit}" if self.unit else words


NUMBERS, AT_LEAST_0, AT_LEAST_1, ABOVE_0 = Range(), Range(least=0), Range(least=1), Range(above=0)
"""All numbers that are finite, and the ranges that most options have."""


@dataclass(frozen=True)
class Declaration:
    """What a field says about its option.

    `names` are the spellings on the command line that set it, `off` those that mean False or, for other values, None;
    `aliases` are accepted like `names` without being shown in ``--help``. An option with `needs` exists on devices with
    that capability only. `named_in` is the folder of resources in which the value is looked up as a name if it is no
    file. A `place` decides where results go, not what they are. `repeatable` options have one value each time they
    are given; `assignments` are ``name=value`` each and, in files, a mapping. `default` are the words for a default
    that depends. Numbers must lie in `range`; a text that may be empty is `blank`; the shell completes `suggested`
    ones.
    """

    help: str
    names: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    panel: str | None = None
    metavar: str | None = None
    default: str | None = None
    needs: str | None = None
    named_in: str | None = None
    place: bool = False
    repeatable: bool = False
    assignments: bool = False
    range: Range = NUMBERS
    blank: bool = False
    suggested: tuple[str, ...] = ()


@dataclass(frozen=True)
class Legacy:
    """An option of the reference tools' scripts that is accepted and stands for no setting.

    `kind` is the type of its value, bool for flags. Options with `reason` are refused with that message; `implied` ones
    ask for what is always the case; all others are named in a warning when they are used.
    """

    names: tuple[str, ...]
    kind: type = bool
    implied: bool = False
    reason: str | None = None
    fix: str = ""


def refused(*names: str, fix: str, kind: type = bool) -> Legacy:
    """Return an option of the reference tools that has no counterpart; `fix` is what to do instead."""
    return Legacy(names, kind, reason=f"{names[0]} is not supported", fix=fix)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of all settings: small frozen classes by concern, which each stage combines.

    `panel` is the heading under which ``--help`` shows the options of a class, `panels` the order of a command's
    headings, `legacy` what the command accepts beyond its options. Every value is checked against its declaration; what
    several values must fulfil together, each class checks in `check_values`.
    """

    panel: ClassVar[str] = ""
    panels: ClassVar[tuple[str, ...]] = ()
    legacy: ClassVar[tuple[Legacy, ...]] = ()

    def __post_init__(self) -> None:
        for name, declared in options_of(type(self)).items():
            declared.check(getattr(self, name))
        for base in reversed(type(self).__mro__):
            if issubclass(base, Settings) and "check_values" in vars(base):
                base.check_values(self)

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""


@dataclass(frozen=True)
class AllowedValue:
    """What an annotation allows: the type of one value, None, the only texts, several values."""

    kind: type
    optional: bool = False
    choices: tuple[str, ...] = ()
    several: bool = False


@dataclass(frozen=True)
class Option:
    """One option: the field's name, its declaration, and what its annotation says about the value."""

    name: str
    declaration: Declaration
    panel: str
    value: AllowedValue
    default: Any

    @property
    def required(self) -> bool:
        """True if there is no default."""
        return self.default is MISSING

    @property
    def names(self) -> tuple[str, ...]:
        """The spellings that set the option, without aliases."""
        return self.declaration.names or ("--" + self.name.replace("_", "-"),)

    @property
    def off(self) -> tuple[str, ...]:
        """The spellings that unset the option."""
        if self.declaration.off or self.value.kind is not bool:
            return self.declaration.off
        return ("--no-" + self.names[0].removeprefix("--"),)

    @property
    def shown(self) -> tuple[str, ...]:
        """The spellings to show: of flags with a default, the one that changes it."""
        if self.value.kind is not bool:
            return self.names
        if self.default is True:
            return self.off
        return self.names if self.default is False and not self.declaration.off else (*self.names, *self.off)

    @property
    def nested(self) -> type[Settings] | None:
        """The settings that are the value, written as a mapping; None for options of the command line, too."""
        return self.value.kind if issubclass(self.value.kind, Settings) else None

    @property
    def is_path(self) -> bool:
        """True if the value is a file or a folder, or may be one."""
        return self.value.kind is Path or self.declaration.named_in is not None

    def check(self, value: Any) -> None:
        """Raise Ai8xError for numbers out of range, and for texts that are empty or hold what no name can hold."""
        for entry in value if self.value.several and value is not None else (value,):
            if isinstance(entry, int | float) and not isinstance(entry, bool):
                number_range = self.declaration.range
                words = number_range.text() or "a finite number"
                require(entry in number_range, self.name, entry, words)
            elif isinstance(entry, str):
                require(bool(entry.strip()) or self.declaration.blank, self.name, entry, "a text that is not empty")
                require("\0" not in entry, self.name, entry, "a text without the character 0")

    def text(self) -> str:
        """Return the help with the range, the default and the devices that have the option."""
        text, devices, default = self.declaration.help, self.devices(), self.default_text()
        limits = self.declaration.range.text()
        if self.value.choices:
            *first, last = self.value.choices
            text = f"{text.removesuffix('.')}: {', '.join(first)} or {last}."
        notes = [limits] if limits else []
        notes += [f"default{':' if ' ' in default else ''} {default}"] if default else []
        if notes:
            text = f"{text.removesuffix('.')} ({'; '.join(notes)})."
        return f"{text} {devices} only." if devices else text

    def devices(self) -> str:
        """Return the devices that have the option; nothing if all do."""
        needs = self.declaration.needs
        names = [device.name for device in DEVICES if needs is None or getattr(device, needs)]
        return "" if len(names) == len(DEVICES) else ", ".join(names)

    def default_text(self) -> str:
        """Return the default as it is written on the command line; nothing where it goes without saying."""
        if self.declaration.default is not None:
            return self.declaration.default
        if self.default in (None, MISSING, ()) or isinstance(self.default, bool):
            return ""
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


def option(default: T, text: str, /, *names: str, **more: Any) -> T:
    """Declare an option with a default and its help. `more` are further fields of :class:`Declaration`."""
    declared: Any = field(default=default, metadata={_METADATA: Declaration(text, names, **more)})
    return declared


def required(text: str, /, *names: str, **more: Any) -> Any:
    """Declare an option without a default, with its help; settings made without it raise Ai8xError."""

    def missing() -> Any:
        raise Ai8xError(f"an option is missing: {text.removesuffix('.')}", fix=f"pass {', '.join(names)}")

    return field(default_factory=missing, metadata={_METADATA: Declaration(text, names, **more)})


def options_of(settings: type[Settings]) -> Mapping[str, Option]:
    """Return the options of a settings dataclass by name, in the order of their declaration."""
    return _options_of(typing.cast(Any, settings))


@functools.cache
def _options_of(settings: Any) -> Mapping[str, Option]:
    kinds = typing.get_type_hints(settings)
    found = {}
    for declared in dataclasses.fields(settings):
        declaration: Declaration = declared.metadata[_METADATA]
        value = _value(kinds[declared.name])
        panel = declaration.panel or _declaring(settings, declared.name).panel
        found[declared.name] = Option(declared.name, declaration, panel, value, declared.default)
    return types.MappingProxyType(found)


def _declaring(settings: type[Settings], name: str) -> type[Settings]:
    """Return the class that declares field `name`."""
    return next(base for base in settings.__mro__ if name in inspect.get_annotations(base))


def _value(annotation: Any) -> AllowedValue:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return dataclasses.replace(_value(next(a for a in arguments if a is not type(None))), optional=True)
    if origin is Literal:
        return AllowedValue(str, choices=tuple(map(str, arguments)))
    if origin is tuple:
        return AllowedValue(arguments[0], several=True)
    return AllowedValue(annotation)


def require(condition: bool, key: str, value: Any, rule: str) -> None:
    """Raise Ai8xError if `condition`, which `rule` states for the value of option `key`, is False."""
    if not condition:
        digits = isinstance(value, int) and abs(value) >= _LARGEST_SHOWN
        raise Ai8xError(f"{key} must be {rule}, not {'a number of so many digits' if digits else repr(value)}")
