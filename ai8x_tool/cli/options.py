"""Commands built from the settings classes that declare their options."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from typer.core import TyperArgument, TyperCommand, TyperOption

from ai8x_tool.cli.common import MessageSettings, guarded, make_console
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.option import Legacy, Option, Settings, options_of
from ai8x_tool.settings.synthesis import BOARDS
from ai8x_tool.settings.values import typed

if TYPE_CHECKING:
    from ai8x_tool.calls import Named

S = TypeVar("S", bound=Settings)
Completion = Callable[[click.Context, "list[str]", str], "list[str]"]

_TYPES: dict[type, Any] = {int: click.INT, float: click.FLOAT, str: click.STRING, Path: click.STRING}
_METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
_WIDEST_CHOICE = 16
_ALL = "ai8x.help-all"
"""Key in a context: whether all options are shown."""


@dataclass(frozen=True)
class Argument:
    """A positional argument; `named_in` is the folder of resources whose names the shell completes."""

    name: str
    help: str
    metavar: str
    optional: bool = False
    named_in: str | None = None
    choices: tuple[str, ...] = ()


RECIPE = Argument(
    "recipe",
    "Recipe: a file, or a name in configs/recipes (see `ai8x list recipes`).",
    "[RECIPE]",
    optional=True,
    named_in="configs/recipes",
)


@dataclass(frozen=True)
class GivenOptions:
    """Options given on the command line, by name; all others are absent."""

    values: Mapping[str, Any]

    def of(self, settings: type[Settings]) -> dict[str, Any]:
        """Return the given options of `settings`."""
        return {name: value for name, value in self.values.items() if name in options_of(settings)}

    def settings(self, cls: type[S]) -> S:
        """Return settings that take nothing from recipes or files."""
        return cls(**typed(self.of(cls), options_of(cls), None))

    def resolved(
        self,
        cls: type[S],
        section: str,
        *,
        projects: bool = False,
        named: Named | None = None,
    ) -> S:
        """Return the settings that result from the recipe, the settings file and the command line."""
        from ai8x_tool.calls import chosen_settings

        recipe, file = self.get("recipe"), self.get("settings")
        return chosen_settings(cls, section, recipe, file, self.of(cls), projects=projects, named=named)

    def get(self, name: str) -> Any:
        """Return the value of one option, None if it was not given."""
        return self.values.get(name)


@dataclass(frozen=True)
class Command:
    """A command: the function that runs it, and the settings classes that declare its options.

    The first settings are those of the command's stage; they order the panels of ``--help`` and determine which options
    of old scripts are accepted. If there are `common` options, ``--help`` shows only those, in this order within their
    panels, and ``--help-all`` shows all. Options in `ignored` are accepted without effect. `examples` are shown at the
    end of the help and can be run as they are.
    """

    run: Callable[[GivenOptions, Console], None]
    settings: tuple[type[Settings], ...] = ()
    arguments: tuple[Argument, ...] = ()
    details: str = ""
    examples: tuple[str, ...] = ()
    from_recipe: bool = True
    common: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def stage(self) -> type[Settings]:
        """The settings of the command's stage."""
        return self.settings[0] if self.settings else Settings

    @property
    def in_files(self) -> frozenset[str]:
        """The names of the options that settings files, recipes and Python also accept."""
        return frozenset(options_of(self.stage))

    def options(self) -> list[Option]:
        """Return all options by panel, in the order of ``--help``."""
        declared = [option for cls in (*self.settings, MessageSettings) for option in options_of(cls).values()]
        found = [option for option in declared if option.nested is None]
        order = list(dict.fromkeys([*self.stage.panels, *(o.panel for o in found if o.panel)]))
        return sorted(found, key=lambda option: order.index(option.panel or order[0]))

    def build(self, name: str, summary: str) -> TyperCommand:
        """Return the command for click."""
        shown = [*map(_argument, self.arguments), *(p for option in self.options() for p in self._parameters(option))]
        hidden = [_legacy(old) for old in self.stage.legacy]
        made = _CommandWithOptions(
            name,
            params=[*shown, *hidden, _help_all(hidden=not self.common)],
            callback=self._call,
            help=f"{summary}\n\n{self.details}".strip(),
            epilog="\n\n".join(["Examples:", *(f"[bold]{example}[/]" for example in self.examples)]),
        )
        made.common = self.common
        return made

    def _parameters(self, option: Option) -> Iterator[click.Parameter]:
        panel = option.panel or self.stage.panels[0]  # options of all commands with a recipe are shown first
        hidden = option.name in self.ignored
        yield _option(option, panel, required=option.required and not self.from_recipe, hidden=hidden)
        if option.off and option.value.kind is not bool:
            text = f"Unset {option.names[0]}, which a recipe may set."
            declared = [_unset(option.name), *option.off]
            yield TyperOption(
                param_decls=declared, is_flag=True, default=None, help=text, rich_help_panel=panel, hidden=hidden
            )

    def _call(self, **values: Any) -> None:
        given = {name: value for name, value in values.items() if value not in (None, ())}
        for option in self.options():
            if given.pop(_unset(option.name), False):
                given[option.name] = None
        console = make_console(GivenOptions(given).settings(MessageSettings))

        def work() -> None:
            for argument in self.arguments:
                if not str(given.get(argument.name, argument.name)).strip():
                    raise Ai8xError(f"{argument.metavar.strip('[]')} must not be empty")
            self._warn_without_effect(given, console)
            self.run(GivenOptions(given), console)

        guarded(console, work)

    def _warn_without_effect(self, given: Mapping[str, Any], console: Console) -> None:
        """Raise Ai8xError for a withdrawn option; name options without effect in one warning, unless quiet."""
        used = []
        for old in self.stage.legacy:
            spelling = given.get(_legacy_name(old))
            if spelling is not None and old.reason is not None:
                raise Ai8xError(old.reason, fix=old.fix)
            if spelling is not None and not old.implied:
                used.append(old.names[1] if spelling is False else old.names[0])
        used += [option.names[0] for option in self.options() if option.name in self.ignored and option.name in given]
        if used and console.verbosity >= 0:
            console.warn(f"without effect: {', '.join(used)}")


class _CommandWithOptions(TyperCommand):
    """A command whose ``--help`` shows the `common` options only, each in one of its accepted spellings."""

    common: tuple[str, ...] = ()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise click.NoSuchOption(
                error.option_name, possibilities=self._nearest(error.option_name), ctx=ctx
            ) from None

    def _nearest(self, given: str) -> list[str]:
        """Return the visible option closest to a misspelled one; an empty list if none is close."""
        shown = [_as_shown(parameter) for parameter in self.params]
        names = [name for p in shown if not getattr(p, "hidden", False) for name in (*p.opts, *p.secondary_opts)]
        return difflib.get_close_matches(given, names, n=1)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = copy.copy(self)
        params = [_as_shown(parameter) for parameter in self.params]
        if self.common and not ctx.meta.get(_ALL):
            options = [p for p in params if isinstance(p, _DeclaredOption)]
            left_out = [p for p in options if p.name not in self.common and not p.hidden]
            places = {name: number for number, name in enumerate(self.common)}
            params = sorted(
                (p for p in params if p not in options or p.name in self.common),
                key=lambda p: places.get(str(p.name), -1) if p in options else -1,
            )
            params = [p for p in params if not _is_unset(p)]
            shown.epilog = f"{self.epilog}\n\n[bold]--help-all[/] shows {len(left_out)} further options."
        shown.params = params
        TyperCommand.format_help(shown, ctx, formatter)


def _help_all(*, hidden: bool) -> click.Parameter:
    """Return the option that shows the help with all options."""

    def show(context: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked:
            context.meta[_ALL] = True
            click.echo(context.get_help(), color=context.color)
            context.exit()

    return TyperOption(
        param_decls=["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        hidden=hidden,
        callback=show,
        help="Show this message with all options and exit.",
    )


class _DeclaredOption(TyperOption):
    """A click option that refers to the declaration it was made from."""

    declared: Option


def _option(option: Option, panel: str, *, required: bool, hidden: bool) -> click.Parameter:
    declaration, kind = option.declaration, option.value.kind
    flag = kind is bool
    names = [*option.names, *declaration.aliases]
    off = [f" /{name}" for name in option.off] if flag else []
    made = _DeclaredOption(
        param_decls=[option.name, *names, *off],
        type=None if flag else click.STRING if option.value.several else _TYPES[kind],
        is_flag=True if flag else None,
        multiple=declaration.repeatable,
        required=required,
        default=None,
        help=option.text(),
        metavar=None if flag else metavar(option),
        hidden=hidden,
        rich_help_panel=panel,
        autocompletion=_completion(
            option.value.choices or declaration.suggested, declaration.named_in, declaration.metavar
        ),
    )
    made.declared = option
    return made


def _argument(argument: Argument) -> click.Parameter:
    made = TyperArgument(
        param_decls=[argument.name],
        type=click.Choice(argument.choices) if argument.choices else click.STRING,
        required=not argument.optional,
        default=None,
        metavar=argument.metavar,
        show_default=False,
        autocompletion=_completion(argument.choices, argument.named_in),
    )
    made.help = argument.help  # click 8.5 drops the help text that typer passes to it
    return made


def _legacy(old: Legacy) -> click.Parameter:
    flag = old.kind is bool
    off = [f" /{name}" for name in old.names if flag and name.startswith("--no-") and name != old.names[0]]
    names = [name for name in old.names if f" /{name}" not in off]
    kind = None if flag else _TYPES[old.kind]
    return TyperOption(
        param_decls=[_legacy_name(old), *names, *off], type=kind, is_flag=flag or None, default=None, hidden=True
    )


def _legacy_name(old: Legacy) -> str:
    return "legacy" + old.names[0].replace("-", "_")


def _is_unset(parameter: click.Parameter) -> bool:
    return str(parameter.name).startswith(_unset(""))


def _unset(name: str) -> str:
    return f"unset_{name}"


def metavar(option: Option) -> str:
    """Return the placeholder for an option's value in help."""
    if option.declaration.metavar is not None:
        return option.declaration.metavar
    choices = "|".join(option.value.choices)
    if choices:
        return choices if len(choices) <= _WIDEST_CHOICE else "NAME"
    return _METAVARS[option.value.kind]


def _as_shown(parameter: click.Parameter) -> click.Parameter:
    """Return an option with the spellings to show: no aliases, and of flags the one that changes the default."""
    if not isinstance(parameter, _DeclaredOption):
        return parameter
    shown, names = copy.copy(parameter), parameter.declared.shown
    shown.secondary_opts = [name for name in names if name in parameter.secondary_opts and len(names) > 1]
    shown.opts = [name for name in names if name not in shown.secondary_opts]
    return shown


def _completion(choices: tuple[str, ...], named_in: str | None, metavar: str | None = None) -> Completion | None:
    """Return the completion of an option's value: its choices, names of resources, or names implied by its metavar."""
    if not choices and named_in is None and metavar not in _KNOWN_NAMES:
        return None

    def names(_context: click.Context, _arguments: list[str], start: str) -> list[str]:
        if choices:
            known = list(choices)
        elif named_in is None:
            known = _KNOWN_NAMES[str(metavar)]()
        else:
            from ai8x_tool.resources import list_names

            known = list_names(named_in)
        return [name for name in known if name.startswith(start)]

    return names


def _models() -> list[str]:
    from ai8x_tool.plugins.find import list_models

    return [listing.name for listing in list_models()]


def _datasets() -> list[str]:
    from ai8x_tool.plugins.find import list_datasets

    return [listing.name for listing in list_datasets()]


def _devices() -> list[str]:
    from ai8x_tool.device import DEVICES

    return [device.name for device in DEVICES]


_KNOWN_NAMES: dict[str, Callable[[], list[str]]] = {
    "MODEL": _models,
    "DATASET": _datasets,
    "DEVICE": _devices,
    "BOARD": lambda: list(BOARDS),
}
"""Names that complete the values of options, by the placeholder for the value in help."""
