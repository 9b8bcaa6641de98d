"""The documentation site: its navigation has every page, links and anchors resolve, messages are quoted as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ai8x_tool.report.rule_catalogue import CATALOGUE
from ai8x_tool.report.rules_page import MARKER
from ai8x_tool.rule import rule_text

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(path):
    """Return the text of a page without its code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", lambda code: code.group(0).replace("[", "").replace("]", ""), text)


def anchors(path):
    headings = re.findall(r"^#+ (.*)$", prose(path), re.M)
    plain = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {re.sub(r"[\s]+", "-", heading) for heading in plain}


def entries(part):
    if isinstance(part, str):
        return [part]
    return [entry for item in (part.values() if isinstance(part, dict) else part) for entry in entries(item)]


def test_every_page_is_in_the_navigation():
    navigation = entries(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(navigation) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


@pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_links_resolve(path):
    for link in LINK.findall(prose(path)):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert path.name == "README.md" or DOCS in target.parents, f"{link} leads out of the site"
        if anchor:
            assert anchor in anchors(target), link


def test_messages_are_quoted_as_they_are():
    """A heading of the troubleshooting page is the text of a rule, or stands in the source."""
    written = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").partition(MARKER)[0]
    sections = written.split("\n### ")[1:]
    headings = [section.splitlines()[0] for section in sections]
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ai8x_tool").rglob("*.py"))
    rules = "\n".join(rule_text(rule) for phase in CATALOGUE for rule in phase.rules)
    unknown = [text for text in headings if text not in source and text not in rules and "known-answer" not in text]
    assert len(headings) > 10 and not unknown
