"""The virtual device knows the part, not the tool that writes programs for it."""

from __future__ import annotations

import ast

ALLOWED = ("ai8x_tool.device", "ai8x_tool.errors", "ai8x_tool.virtual")


def imported(tree):
    """Return every module that a syntax tree imports, at whatever depth."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            if node.module == "ai8x_tool":
                yield from (f"ai8x_tool.{alias.name}" for alias in node.names)


def test_imports(root):
    files = sorted((root / "ai8x_tool/virtual").glob("*.py"))
    assert len(files) > 15
    names = {(file.name, name) for file in files for name in imported(ast.parse(file.read_text()))}
    own = {(file, name) for file, name in names if name.startswith((".", "ai8x_tool"))}
    outside = {(f, n) for f, n in own if not any(n == a or n.startswith(f"{a}.") for a in ALLOWED)}
    assert ("layer.py", "ai8x_tool.device.facts") in own
    assert outside == set()


def test_the_check_sees_hidden_imports():
    tree = ast.parse("def f():\n    from ai8x_tool import lowering\n    import ai8x_tool.mapping as m\n")
    assert set(imported(tree)) == {"ai8x_tool", "ai8x_tool.lowering", "ai8x_tool.mapping"}
