"""Environment of the templates: those of the user's folder, if any, override those of the tool."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ai8x_tool.codegen.user_text import LANGUAGES, refuse_user_text
from ai8x_tool.errors import Ai8xError
from ai8x_tool.resources import shipped
from ai8x_tool.text import ASCII

_SUFFIX = ".j2"
_REPORTS = "report"
"""Folder of templates that are not part of a project."""


def render(template: str, values: Mapping[str, Any], folder: Path | None = None) -> str:
    """Return the text of a template with `values`; if `folder` has a template of this name, that one is used.

    Templates run in Jinja's sandbox. The tool's own texts are plain ASCII, because not every compiler and terminal is
    set to UTF-8. Raises Ai8xError for an error in a template of `folder`.
    """
    try:
        return _environment(folder).get_template(template).render(values).translate(ASCII)
    except jinja2.TemplateSyntaxError as error:
        where = f"{error.filename or template}:{error.lineno}"
        raise Ai8xError(f"template: {error.message}", where=where) from None
    except Ai8xError:
        raise
    except Exception as error:
        if folder is None:
            raise
        raise Ai8xError(f"template: {type(error).__name__}: {error}", where=str(folder / template)) from None


@cache
def _environment(folder: Path | None) -> jinja2.Environment:
    own = [] if folder is None else [str(_checked(folder))]
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([*own, str(shipped("templates"))]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=refuse_user_text,
    )
    environment.filters.update(LANGUAGES)
    return environment


def _checked(folder: Path) -> Path:
    """Return `folder`. Raises Ai8xError if it does not exist or contains no known template."""
    if not folder.is_dir():
        raise Ai8xError("template folder not found", where=str(folder))
    every = (path.relative_to(shipped("templates")) for path in shipped("templates").rglob(f"*{_SUFFIX}"))
    known = sorted(path.as_posix() for path in every if path.parts[0] != _REPORTS)
    if not any((folder / name).is_file() for name in known):
        raise Ai8xError(f"contains none of the templates {', '.join(known)}", where=str(folder))
    return folder
