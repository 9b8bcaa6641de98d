"""The catalogue of rules is complete, readable, and covered by tests."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from ai8x_tool.report.rule_catalogue import CATALOGUE
from ai8x_tool.rule import BrokenRuleError, Finding, find, require, rule_code, rule_text
from tests.support.rule_cases import TESTED

PACKAGE = Path(__file__).resolve().parents[2] / "ai8x_tool"


def test_every_rule_is_in_the_catalogue():
    """A rule that is defined anywhere is listed once, and so documented."""
    listed = [rule.__name__ for phase in CATALOGUE for rule in phase.rules]
    defined = [
        node.name
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("constraint_", "caution_", "hint_"))
    ]
    assert sorted(listed) == sorted(defined)
    assert len(set(listed)) == len(listed)


def test_texts_are_sentences():
    texts = [rule_text(rule) for phase in CATALOGUE for rule in phase.rules]
    assert all(texts)
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) < 150


def test_every_rule_has_a_code_and_an_entry(root):
    """Codes are short and unique; messages end with them, and the troubleshooting page has an entry for each."""
    rules = [rule for phase in CATALOGUE for rule in phase.rules]
    codes = [rule_code(rule) for rule in rules]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){0,3}", code) and len(code) <= 24 for code in codes)
    page = (root / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    for rule, code in zip(rules, codes, strict=True):
        _, found, entry = page.partition(f"\n#### {code}\n\n")
        assert found, code
        assert rule_text(rule) in entry.partition("\n")[0]


def test_messages_end_with_the_code():
    def constraint_some_limit(_):
        """Numbers must be small."""
        return Finding("1 of 2", "use 2")

    violation = find(constraint_some_limit, SimpleNamespace(where="net.yaml"))
    assert str(violation) == "net.yaml: Numbers must be small: 1 of 2 (use 2) [some-limit]"
    with pytest.raises(BrokenRuleError) as caught:
        require(constraint_some_limit, SimpleNamespace(where="net.yaml"))
    assert str(caught.value) == str(violation)


def test_every_phase_is_tested():
    """Tests of each package break every rule of some phases; none is left out."""
    tested = [title for titles in TESTED.values() for title in titles]
    assert sorted(tested) == sorted(phase.title for phase in CATALOGUE)
