"""The command line in every locale, with every name, and with streams that cannot be written."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ai8x_tool.console import Console, PlainText, json_text
from ai8x_tool.report.columns import table_of
from ai8x_tool.text import decode_surrogates, one_line, printable, utf8

NAMES = ["[/]", "[bold]x", ":100:", "größe", "卷积 → ×", "a\nb", "\x1b[31m", "50 %"]
PLAIN_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""}


def ai8x(*words, environment=(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options):
    """Run the command in a process of its own; its output is bytes."""
    settings = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **dict(environment)}
    command = [sys.executable, "-m", "ai8x_tool", *words]
    return subprocess.run(command, env=settings, stdout=stdout, stderr=stderr, timeout=120, check=False, **options)


def written(show):
    """Return what a console writes, messages and results."""
    out, err = io.StringIO(), io.StringIO()
    show(Console(out=PlainText(file=out, width=200), err=PlainText(file=err, width=200)))
    return out.getvalue(), err.getvalue()


# -- Text is text ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["info", "warn", "error"])
def test_messages(name, way):
    _, err = written(lambda console: getattr(console, way)(f"n.yaml{name}"))
    shown = f"n.yaml{printable(name) if way == 'info' else one_line(name)}\n"
    assert err == {"info": "", "warn": "warning: ", "error": "error: "}[way] + shown


@pytest.mark.parametrize("name", NAMES)
def test_results(name):
    out, _ = written(lambda console: console.show(f"project: {name}"))
    assert out == f"project: {printable(name)}\n"
    table = table_of((name,), [(name,)], title=name)
    out, _ = written(lambda console: console.show(table))
    assert out.splitlines() == 3 * [one_line(name)]


def test_warnings_of_a_kind_are_counted():
    def show(console, kind="gap"):
        for number in range(4):
            console.warn(f"n.yaml: layer {number}: read_gap", kind)
        console.warn("n.yaml: layer 1: another", "other")
        console.info("done")

    _, err = written(show)
    first = "warning: n.yaml: layer 0: read_gap"
    assert err.splitlines() == [
        f"{first} – and 3 others like this (-v shows them)",
        "warning: n.yaml: layer 1: another",
        "done",
    ]
    err = io.StringIO()
    console = Console(verbosity=1, err=PlainText(file=err, width=200))
    show(console)
    assert len(err.getvalue().splitlines()) == 6 and len(console.warnings) == 5


def test_paths_are_relative_to_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    here = Path.cwd()
    _, err = written(lambda console: console.warn(f"{here}/n.yaml:3: no /x{here}/n.yaml, {here}2/n.yaml, {here}"))
    assert err == f"warning: n.yaml:3: no /x{here}/n.yaml, {here}2/n.yaml, {here}\n"


def test_text():
    assert one_line("a\n\x1b[31m\udcff\udcc3\udca9 é\u202e") == r"a\n\x1b[31m\udcffé é\u202e"
    assert printable("a\tb\n\x07") == "a\tb\n\\x07"
    assert decode_surrogates("\udcc3\udca9\udcff") == "é\udcff"
    assert utf8("é\udcff\ud800") == b"\xc3\xa9\xff\xef\xbf\xbd"


# -- Locales ---------------------------------------------------------------------------------------------------------


def synthesis(workspace, *more):
    return ["synthesize", *(str(word) for pair in workspace.arguments.items() for word in pair), *map(str, more)]


@pytest.mark.parametrize("environment", [{}, PLAIN_LOCALE], ids=["UTF-8", "ASCII"])
def test_synthesis(workspace, environment):
    """Both locales generate the same project, whatever it is called."""
    workspace.edit("name: first", 'name: "größe → [/] :100:"')
    folder = os.fsencode(workspace.folder) + "/projekt größe [b] :100:".encode()
    words = [os.fsencode(word) for word in synthesis(workspace)]
    words[words.index(os.fsencode(workspace.output))] = folder
    result = ai8x(*words, environment=environment)
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    shown = "projekt größe [b] :100:".encode() if not environment else rb"projekt gr\xf6\xdfe [b] :100:"
    assert shown in result.stdout
    assert result.stdout.isascii() == bool(environment)
    main = Path(os.fsdecode(folder), "main.c").read_text()
    assert r"projekt gr\303\266\303\237e [b] :100: ***\n" in main
    assert "PROJECT ?= projekt_größe__b___100_" in Path(os.fsdecode(folder), "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("words", [["--help"], ["synthesize", "--help"], ["list", "recipes"], ["list", "devices"]])
def test_help_and_lists(words):
    result = ai8x(*words, environment=PLAIN_LOCALE)
    assert result.returncode == 0, result.stderr
    assert result.stdout.isascii()


def test_errors(workspace):
    """File names that are not UTF-8, in both locales."""
    name = os.fsencode(workspace.folder) + b"/n\xff\xc3\xa9[b]:100:.yaml"
    Path(os.fsdecode(name)).write_text("arch: x\nlayers: 5\n")
    words = [os.fsencode(word) for word in synthesis(workspace)]
    words[words.index(os.fsencode(workspace.network))] = name
    for environment, shown in (({}, "n\\udcffé[b]:100:.yaml".encode()), (PLAIN_LOCALE, rb"n\udcff\xe9[b]:100:.yaml")):
        result = ai8x(*words, "--json", environment=environment)
        assert result.returncode == 1
        assert shown in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert "100:" in json.loads(result.stdout)["error"]


# -- Streams that cannot be written ----------------------------------------------------------------------------------

COMMANDS = [["list", "networks", "--json"], ["list", "networks"], ["--version"], ["list", "--help"]]
EVERY_COMMAND = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
NEEDS_FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


@NEEDS_FULL
@EVERY_COMMAND
def test_full(words):
    with Path("/dev/full").open("wb") as full:
        result = ai8x(*words, stdout=full)
        assert result.returncode == 1
        assert result.stderr == b"error: standard output: No space left on device\n"
        assert ai8x(*words, stderr=full).returncode == 0


@NEEDS_FULL
def test_full_after_an_error(workspace):
    with Path("/dev/full").open("wb") as full:
        result = ai8x(*synthesis(workspace, "--json", "--timer", "9"), stdout=full)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
        assert b"timer" in result.stderr
        assert ai8x(*synthesis(workspace, "--timer", "9"), stderr=full).returncode == 1


@EVERY_COMMAND
def test_nobody_reads(words):
    reading, writing = os.pipe()
    os.close(reading)
    result = ai8x(*words, stdout=writing)
    os.close(writing)
    assert result.returncode == 1
    assert result.stderr == b""


@EVERY_COMMAND
def test_closed(words):
    """No other file gets the number of a stream that is closed."""
    for number in (1, 2):
        result = ai8x(*words, preexec_fn=lambda number=number: os.close(number))
        assert result.returncode == 0
        assert b"Traceback" not in result.stdout + result.stderr


def test_closed_streams_do_not_get_into_results(workspace):
    result = ai8x(*synthesis(workspace), preexec_fn=lambda: os.closerange(0, 3))
    assert result.returncode == 0
    assert (workspace.output / "cnn.c").read_text().startswith("/*")


def test_numbers_that_json_does_not_have_become_null():
    document = {"loss": float("nan"), "more": [float("inf"), 1.5, {"x": -float("inf")}]}
    assert json.loads(json_text(document)) == {"loss": None, "more": [None, 1.5, {"x": None}]}
