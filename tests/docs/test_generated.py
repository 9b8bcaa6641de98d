"""The generated pages must be those that the code gives, and the README's commands must exist and work."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ai8x_tool.cli.main import app
from ai8x_tool.cli.options_page import options_page
from ai8x_tool.report.api_page import api_page
from ai8x_tool.report.html.memory_map import memory_map_svg
from ai8x_tool.report.reference import pages
from ai8x_tool.report.rules_page import with_rules

ROOT = Path(__file__).resolve().parents[2]
SOLVED = with_rules((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"))
PAGES = {**pages(), "options.md": options_page(), "api.md": api_page(), "troubleshooting.md": SOLVED}


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_fresh(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name], "run scripts/generate_docs.py"


def test_picture_is_fresh():
    """Search results may depend on the machine only where time ends the search, which it does not here."""
    picture = (ROOT / "docs" / "memory-map.svg").read_text(encoding="utf-8")
    assert picture == memory_map_svg(), "run scripts/generate_docs.py"


def readme_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def test_readme_scripts_exist_and_parse():
    scripts = [c.split()[0] for c in readme_commands() if c.startswith("scripts/")]
    assert {"scripts/demo.sh", "scripts/test.sh"} <= set(scripts)
    for script in sorted((ROOT / "scripts").glob("*.sh")):
        assert os.access(script, os.X_OK), script
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_readme_synthesize_command_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = [c for c in readme_commands() if c.startswith("ai8x synthesize")]
    assert commands
    for command in commands:
        result = CliRunner().invoke(app, command.split()[1:])
        assert result.exit_code == 0, result.output
    assert list(tmp_path.rglob("cnn.c"))


def test_readme_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / target).exists(), target
