"""Every option of the reference tools' command lines is known: it works, has no effect, or has a replacement."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai8x_tool.cli.main import COMMANDS, build_command

FOLDER = Path(__file__).parent


def reference_options(tool):
    """Return the options of a reference tool, as its documentation names them."""
    sections = (FOLDER / "reference_options.txt").read_text(encoding="utf-8").split("[")
    (section,) = (text for text in sections if text.startswith(f"{tool}]"))
    return section.split()[1:]


PAGE = Path(__file__).resolve().parents[2] / "docs" / "migrating.md"


@pytest.mark.parametrize(
    ("command", "tool"),
    [("train", "train"), ("evaluate", "train"), ("quantize", "quantize"), ("synthesize", "synthesize")],
)
def test_every_option_is_known(command, tool):
    known = {name for option in build_command(command).params for name in (*option.opts, *option.secondary_opts)}
    assert not [name for name in reference_options(tool) if name not in known]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_spelling_belongs_to_one_option(command):
    spellings = [name for option in build_command(command).params for name in (*option.opts, *option.secondary_opts)]
    assert len(spellings) == len(set(spellings)), sorted(n for n in spellings if spellings.count(n) > 1)


def rows():
    """Return the page's replacements: options as they are written in its tables, and what to do instead."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `-")]
    cells = [line.strip("|").split(" | ") for line in lines]
    return {name.strip().strip("`"): text.strip() for names, text in cells for name in names.split(",")}


def legacy(command):
    import importlib

    return importlib.import_module(f"ai8x_tool.cli.{command}").COMMAND.stage.legacy


@pytest.mark.parametrize("command", ["train", "evaluate", "synthesize"])
def test_every_refused_option_is_on_the_page(command):
    listed = rows()
    for old in legacy(command):
        if old.reason is not None:
            for name in old.names:
                assert listed.get(name) == old.fix, name


def test_the_page_lists_nothing_else():
    refused = {name for c in ("train", "evaluate", "synthesize") for o in legacy(c) if o.reason for name in o.names}
    assert set(rows()) == refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "mnist", "--nas"), "--nas is not supported (train the architecture"),
        (("evaluate", "mnist", "--yaml-template", "x.yaml"), "--yaml-template is not supported (use ai8x train"),
        (("synthesize", "mnist", "--ai85", "-o", "x"), "--ai85 is not supported (use --device MAX78000)"),
    ],
)
def test_refused_options_say_what_to_do(ai8x, words, said):
    result = ai8x(*words)
    assert result.exit_code == 1
    assert f"error: {said}" in result.stderr


def test_options_without_effect_are_named(workspace):
    result = workspace.synthesize("--kernel-format", "{0:4}", "--eclipse-includes", "x", "-D")
    assert result.exit_code == 0
    assert "without effect: " in result.stderr
    for name in ("--kernel-format", "--eclipse-includes", "--debug"):
        assert name in result.stderr
