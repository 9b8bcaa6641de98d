"""Files for VS Code and Eclipse, as the SDK's example projects have them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

_VSCODE = ("settings.json", "c_cpp_properties.json", "tasks.json", "launch.json", "flash.gdb")
_LAUNCH = ".launch"
DIGESTS = "generated"
"""Key of ``interface.json`` for digests of the files that are kept when they were changed."""
_ECLIPSE = {".project": "project", ".cproject": "cproject", ".settings/org.eclipse.cdt.core.prefs": "cdt.prefs"}


def ide_files(name: str, show: Callable[[str], str]) -> dict[str, str]:
    """Return the files by name; `name` is the project's, `show` renders a template.

    Names of files are ASCII, which every system can write: not all of them are set to UTF-8.
    """
    files = {f".vscode/{file}": show(f"vscode/{file}.j2") for file in _VSCODE}
    files |= {file: show(f"eclipse/{template}.j2") for file, template in _ECLIPSE.items()}
    return files | {re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII) + _LAUNCH: show("eclipse/launch.j2")}


def is_kept(name: str) -> bool:
    """Whether a generated file is the user's own once it is changed: settings, and what is for an editor."""
    path = PurePosixPath(name)
    return name == "project.mk" or path.parts[0] == ".vscode" or name in _ECLIPSE or path.suffix == _LAUNCH


def kept_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return, by name, digests of the generated files that :func:`is_kept` names."""
    return {name: digest(text.encode()) for name, text in files.items() if is_kept(name)}


def digest(content: bytes) -> str:
    """Return a number that another content does not have; ends of lines do not count."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()[:16]
