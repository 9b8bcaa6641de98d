"""Functions whose keyword options are the fields of a settings class."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import list_configs
from ai8x_tool.settings.files import SETTINGS_FILE
from ai8x_tool.settings.option import Settings, options_of
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.values import typed

P = ParamSpec("P")
S = TypeVar("S", bound=Settings)
R = TypeVar("R")
Result_co = TypeVar("Result_co", covariant=True)


class FromRecipe(Protocol[P, Result_co]):
    """A function of a recipe, or of complete settings, and of options, which override a settings file and the recipe.

    Without `console`, it prints warnings only.
    """

    def __call__(
        self,
        recipe: str | Path | Settings | None = None,
        settings: str | Path | None = None,
        console: Console | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result_co:
        """Call the function."""


class FromCheckpoint(Protocol[P, Result_co]):
    """A function that creates a checkpoint, `target`, from another one. Without `console`, it prints warnings only."""

    def __call__(
        self,
        source: str | Path,
        target: str | Path,
        recipe: str | None = None,
        console: Console | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result_co:
        """Call the function."""


class FromName(Protocol[P, Result_co]):
    """A function that creates a named object. Without `console`, it prints warnings only."""

    def __call__(self, name: str, console: Console | None = None, *args: P.args, **kwargs: P.kwargs) -> Result_co:
        """Call the function."""


class FromProject(Protocol[P, Result_co]):
    """A function of a project's folder. Without `console`, it prints warnings only."""

    def __call__(
        self, project: str | Path, console: Console | None = None, *args: P.args, **kwargs: P.kwargs
    ) -> Result_co:
        """Call the function."""


class FromSubject(Protocol[P, Result_co]):
    """A function of a subject, such as a recipe, and of options. Without `console`, it prints warnings only."""

    def __call__(
        self,
        subject: str | Path,
        settings: str | Path | None = None,
        console: Console | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Result_co:
        """Call the function."""


Named = Callable[["str | Path"], "dict[str, Any] | None"]
"""Function that returns the options for a name that is not that of a recipe, None for a recipe."""


def from_recipe(
    cls: Callable[P, S], section: str, *, projects: bool = False, named: Named | None = None
) -> Callable[[Callable[[S, Console], R]], FromRecipe[P, R]]:
    """Convert a function of settings to one of a recipe and options; `section` is the section of the recipe.

    With `projects`, the folder of a project may take the place of the recipe; with `named`, another name may.
    """

    def decorate(function: Callable[[S, Console], R]) -> FromRecipe[P, R]:
        def call(
            recipe: str | Path | Settings | None = None,
            settings: str | Path | None = None,
            console: Console | None = None,
            *args: P.args,
            **options: P.kwargs,
        ) -> R:
            chosen = chosen_settings(
                cast("type[S]", cls), section, recipe, settings, options, projects=projects, named=named
            )
            with _flushed(console or quiet()) as shown:
                return function(chosen, shown)

        return _described(call, function, cls)

    return decorate


def from_checkpoint(
    cls: Callable[P, S],
) -> Callable[[Callable[[Path, Path, S, Console], R]], FromCheckpoint[P, R]]:
    """Convert a function of two files and settings to one with options and, for its samples, a recipe."""

    def decorate(function: Callable[[Path, Path, S, Console], R]) -> FromCheckpoint[P, R]:
        def call(
            source: str | Path,
            target: str | Path,
            recipe: str | None = None,
            console: Console | None = None,
            *args: P.args,
            **options: P.kwargs,
        ) -> R:
            chosen = chosen_settings(cast("type[S]", cls), "quantize", recipe, None, options)
            with _flushed(console or quiet()) as shown:
                return function(Path(source), Path(target), chosen, shown)

        return _described(call, function, cls)

    return decorate


def from_project(cls: Callable[P, S]) -> Callable[[Callable[[Path, S, Console], R]], FromProject[P, R]]:
    """Convert a function of a project and settings to one with options."""

    def decorate(function: Callable[[Path, S, Console], R]) -> FromProject[P, R]:
        def call(project: str | Path, console: Console | None = None, *args: P.args, **options: P.kwargs) -> R:
            chosen = chosen_settings(cast("type[S]", cls), "run", None, None, options)
            with _flushed(console or quiet()) as shown:
                return function(Path(project), chosen, shown)

        return _described(call, function, cls)

    return decorate


def from_name(cls: Callable[P, S]) -> Callable[[Callable[[str, S, Console], R]], FromName[P, R]]:
    """Convert a function of a name and settings to one with options."""

    def decorate(function: Callable[[str, S, Console], R]) -> FromName[P, R]:
        def call(name: str, console: Console | None = None, *args: P.args, **options: P.kwargs) -> R:
            chosen = chosen_settings(cast("type[S]", cls), "new", None, None, options)
            with _flushed(console or quiet()) as shown:
                return function(name, chosen, shown)

        return _described(call, function, cls)

    return decorate


def from_subject(
    cls: Callable[P, S], section: str, recipe_of: Callable[[str | Path], str | None]
) -> Callable[[Callable[[str | Path, S, Console], R]], FromSubject[P, R]]:
    """Convert a function of a subject and settings to one with options; `recipe_of` returns the subject's recipe."""

    def decorate(function: Callable[[str | Path, S, Console], R]) -> FromSubject[P, R]:
        def call(
            subject: str | Path,
            settings: str | Path | None = None,
            console: Console | None = None,
            *args: P.args,
            **options: P.kwargs,
        ) -> R:
            chosen = chosen_settings(cast("type[S]", cls), section, recipe_of(subject), settings, options)
            with _flushed(console or quiet()) as shown:
                return function(subject, chosen, shown)

        return _described(call, function, cls)

    return decorate


@contextmanager
def _flushed(console: Console) -> Iterator[Console]:
    """Show pending warnings of `console` at the end of the block."""
    try:
        yield console
    finally:
        console.flush()


def chosen_settings(
    cls: type[S],
    section: str,
    recipe: str | Path | Settings | None,
    settings_file: str | Path | None,
    given: Mapping[str, Any],
    *,
    projects: bool = False,
    named: Named | None = None,
) -> S:
    """Return the settings for a call.

    `recipe` may be complete settings or, with `projects`, the folder of a project: then the project's settings file is
    read, and its files are compared with. `named` returns the options for other names.
    """
    if isinstance(recipe, cls):
        return dataclasses.replace(recipe, **typed(given, options_of(cls), None))
    file = None if settings_file is None else Path(settings_file)
    if projects and isinstance(recipe, str | Path) and _is_project(Path(recipe)):
        own = file or Path(recipe) / SETTINGS_FILE
        return resolve(cls, section, None, own, {"check": recipe, **given})
    meant = None if recipe is None or named is None else named(recipe)  # type: ignore[arg-type]
    if meant is not None:
        return resolve(cls, section, None, file, {**meant, **given})
    return resolve(cls, section, None if recipe is None else str(recipe), file, given)


def _is_project(folder: Path) -> bool:
    """Return whether `folder` is a project rather than a recipe. Raises Ai8xError for a folder that is neither."""
    if (folder / SETTINGS_FILE).is_file():
        return True
    if folder.is_dir() and str(folder) not in list_configs("recipes"):
        raise Ai8xError(f"not a project: it has no {SETTINGS_FILE}", where=str(folder), fix="generate it again")
    return False


def quiet() -> Console:
    """Return a console that prints warnings only."""
    return Console(verbosity=-1)


def _described(call: Any, function: Callable[..., Any], cls: Any) -> Any:
    """Return `call` with the name and the docstring of `function`, and the options of `cls` in its signature."""
    functools.update_wrapper(call, function, ("__module__", "__name__", "__qualname__", "__doc__"))
    own = [
        p
        for p in inspect.signature(call, follow_wrapped=False).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    options = [p for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    call.__signature__ = inspect.Signature([*own, *options])
    return call
