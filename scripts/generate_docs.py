#!/usr/bin/env python3
"""Write the generated pages of docs/ from the code; a test fails when they are stale."""

from pathlib import Path

from ai8x_tool.cli.options_page import options_page
from ai8x_tool.report.api_page import api_page
from ai8x_tool.report.html.memory_map import memory_map_svg
from ai8x_tool.report.layer_costs import with_costs
from ai8x_tool.report.reference import pages
from ai8x_tool.report.rules_page import with_rules

DOCS = Path(__file__).resolve().parent.parent / "docs"

if __name__ == "__main__":
    solved = with_rules((DOCS / "troubleshooting.md").read_text(encoding="utf-8"))
    written = {**pages(), "options.md": options_page(), "api.md": api_page(), "troubleshooting.md": solved}
    written["memory-map.svg"] = memory_map_svg()
    written["tutorials/models.md"] = with_costs((DOCS / "tutorials" / "models.md").read_text(encoding="utf-8"))
    for name, text in written.items():
        path = DOCS / name
        path.write_text(text, encoding="utf-8")
        print(path)
