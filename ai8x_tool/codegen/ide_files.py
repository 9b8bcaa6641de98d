"""Files for VS Code and Eclipse, the same as in the SDK's example projects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

_VSCODE = ("settings.json", "c_cpp_properties.json", "tasks.json", "launch.json", "flash.gdb")
_LAUNCH = ".launch"
DIGESTS = "generated"
"""Key of ``interface.json`` for digests of the files that are kept if the user changes them."""
_ECLIPSE = {".project": "project", ".cproject": "cproject", ".settings/org.eclipse.cdt.core.prefs": "cdt.prefs"}


def ide_files(name: str, show: Callable[[str], str]) -> dict[str, str]:
    """Return the files by name; `name` is the project's name, `show` renders a template.

    Names of files are ASCII, because not every system is set to UTF-8.
    """
    files = {f".vscode/{file}": show(f"vscode/{file}.j2") for file in _VSCODE}
    files |= {file: show(f"eclipse/{template}.j2") for file, template in _ECLIPSE.items()}
    return files | {re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII) + _LAUNCH: show("eclipse/launch.j2")}


def is_kept(name: str) -> bool:
    """Return whether a generated file belongs to the user once it is changed: settings and files for editors."""
    path = PurePosixPath(name)
    return name == "project.mk" or path.parts[0] == ".vscode" or name in _ECLIPSE or path.suffix == _LAUNCH


def kept_digests(files: Mapping[str, str]) -> dict[str, str]:
    """Return, by name, digests of the generated files for which :func:`is_kept` is true."""
    return {name: digest(text.encode()) for name, text in files.items() if is_kept(name)}


def digest(content: bytes) -> str:
    """Return a digest of `content` that ignores the kind of line endings."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()[:16]
