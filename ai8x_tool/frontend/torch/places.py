"""Lines of the user's files that call the operations of a model."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from itertools import takewhile
from pathlib import Path
from traceback import walk_stack
from types import CodeType, FrameType

import torch
from torch import fx

_PACKAGE = str(Path(__file__).resolve().parents[2])
_TORCH = str(Path(torch.__file__).resolve().parent)


SOURCE_LINE = "ai8x_line"
"""Key of a node's file:line, relative to the working folder, in the node's metadata."""
_GENERATED, _LINES = "<eval_with_key>", "ai8x_lines"


def calling_line(within: CodeType) -> str:
    """Return file:line of the innermost call that is neither in torch nor in this package; empty if there is none.

    Only direct and indirect calls from the function with the code `within` are considered. In functions compiled from
    a graph, the line is that of the node.
    """
    for frame, line in takewhile(lambda call: call[0].f_code is not within, walk_stack(sys._getframe(1))):
        name = frame.f_code.co_filename
        found = _line_of_node(frame, line) if name.startswith(_GENERATED) else users_line([(name, line)])
        if found:
            return found
    return ""


def lines_of_nodes(module: fx.GraphModule) -> dict[str, Mapping[int, str]]:
    """Return the attribute from which `calling_line` reads the origins of the nodes of a compiled graph."""
    places = {node.name: node.meta.get(SOURCE_LINE, "") for node in module.graph.nodes}
    assigned = (re.match(r"\s+(\w+)\b[^=]*=", text) for text in module.code.splitlines())
    return {_LINES: {line: places.get(found[1], "") for line, found in enumerate(assigned, 1) if found}}


def _line_of_node(frame: FrameType, line: int) -> str:
    return str(getattr(frame.f_locals.get("self"), _LINES, {}).get(line, ""))


def users_line(frames: Iterable[tuple[str, int]], *, whole: bool = False) -> str:
    """Return file:line of the first of `frames` that is neither in torch nor in this package; empty if there is none.

    The path of a file in the working folder is relative to that folder, except with `whole`.
    """
    for name, line in frames:
        if not name.startswith((_PACKAGE, _TORCH, "<")):
            return f"{name if whole else _shown(name)}:{line}"
    return ""


def _shown(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name
