#!/usr/bin/env python3
"""Write the generated pages of docs/ from the code; a test fails when they are stale."""

from pathlib import Path

from ai8x_tool.cli.options_page import options_page
from ai8x_tool.report.reference import pages

if __name__ == "__main__":
    for name, text in {**pages(), "options.md": options_page()}.items():
        path = Path(__file__).resolve().parent.parent / "docs" / name
        path.write_text(text, encoding="utf-8")
        print(path)
