"""Options of every command with values that are seldom meant: done, or refused in one line, and nothing half written.

AI8X_FUZZ sets how many combinations are tried (default 12, of slow commands a quarter), AI8X_RANDOM_SEED the seed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import types
from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.cli.main import COMMANDS, build_command
from tests.cli.conftest import run
from tests.support.damaged_files import extreme
from tests.support.every_command import QUICK, SLOWEST
from tests.support.fuzz_figures import FIGURES

COUNT, SEED = int(os.environ.get("AI8X_FUZZ", "12")), int(os.environ.get("AI8X_RANDOM_SEED", "0"))
LEFT_OUT = {
    *("epochs", "map_seconds", "calibrate"),  # however much is asked for is done
    *("distributed", "compile", "tensorboard"),  # slow
    *("help", "help_all"),
}


def tries(command):
    """How often a command is tried."""
    return COUNT if command in QUICK else -(-COUNT // (20 if command in SLOWEST else 4))


def changed(command, words, generator):
    """The words of a command with one to three options or arguments of any values."""
    parameters = [parameter for parameter in build_command(command).params if parameter.name not in LEFT_OUT]
    words, given = list(words), next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    chosen = generator.choice(len(parameters), min(len(parameters), int(generator.integers(1, 4))), replace=False)
    for parameter in (parameters[number] for number in chosen):
        if parameter in arguments:
            place = arguments.index(parameter)
            words[place : place + (place < given)] = [value_of(parameter, generator)]
        elif parameter.is_flag:
            words.append(str(generator.choice([*parameter.opts, *parameter.secondary_opts])))
        else:
            words.append(f"{generator.choice(parameter.opts)}={value_of(parameter, generator)}")
    return words


def value_of(parameter, generator):
    """A value that is seldom meant, or one of those that are offered."""
    declared = getattr(parameter, "declared", None)
    choices = declared.value.choices if declared else getattr(parameter.type, "choices", ())
    if choices and generator.random() < 0.5:
        return str(generator.choice(list(choices)))
    return extreme(generator).decode().replace("\0", "")


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


def remove_new(folder, names):
    """Remove what is in `folder` besides `names`."""
    for name in sorted(files_of(folder) - set(names), reverse=True):
        path = folder / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@contextlib.contextmanager
def no_longer(seconds, what):
    """Raise what nobody catches if the block takes longer: it may wait for what never comes."""

    class TooLong(BaseException):
        pass

    def stop(*_):
        raise TooLong(what)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(kind, folder, names, words):
    """Run a command: done, or refused in one line, in time, and what was there still is."""
    what = f"seed {SEED}: {words}"
    with FIGURES.measured(kind, what) as refused, no_longer(30, what):
        try:
            result = run(*words)
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        refused.extend([result] if result.exit_code else [])
    assert result.exit_code in (0, 1, 2), what
    assert "Traceback" not in result.output, what
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == (result.exit_code == 1), (what, result.stderr)
    if "--json" in words and not set(words) & {"--help", "-h"} and result.exit_code < 2:
        json.loads(result.stdout)
    after = files_of(folder)
    assert set(names) <= after, what
    assert not [name for name in after if ".ai8x-" in name], what
    if result.exit_code and words[0] not in PIECEMEAL:
        assert sorted(after) == names, what
    remove_new(folder, names)


PIECEMEAL = ("train", "demo", "flash")
"""Commands of several steps, of which the last may fail."""


def prepared(workspace, commands, command):
    """Words with which the command works, and what is in the folder before it runs."""
    words, root = commands.words(command), workspace.folder.parent.parent
    names = sorted(files_of(root))
    result = run(command, *words)
    assert result.exit_code == 0 or command == "doctor", result.output  # which finds no SDK, for example
    remove_new(root, names)
    return words, root, names


def odd_places(folder):
    """Names of what is no regular file, cannot be written or cannot be read."""
    (folder / "full").mkdir(parents=True)
    (folder / "full/file").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "locked").mkdir(mode=0o500)
    for name, target in (("loop", "loop"), ("nowhere", "away/away"), ("linked", "full"), ("upwards", "..")):
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "socket"))
    with contextlib.suppress(OSError):
        os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    made = [folder / name for name in ("full", "empty", "loop", "nowhere", "linked", "upwards", "pipe", "socket")]
    made += [folder / name for name in ("null", "locked/x", "full/file/x", "linked/../x", "a" * 256, "b\udcff", "c\nd")]
    return [*map(str, made), "/proc/x", "/proc/self/mem", "/dev/full", "/dev/zero", "~nobody-of-this-name", ".", "/"]


def states_of(folder):
    return {path.name: path.lstat().st_mode for path in folder.rglob("*")}


@pytest.mark.parametrize("command", COMMANDS)
def test_options(workspace, commands, command):
    """Any values; and for what names a file or a folder all that is none: it is never replaced, nor waited for."""
    words, root, _ = prepared(workspace, commands, command)
    places = odd_places(workspace.folder / "places")
    names, before = sorted(files_of(root)), states_of(workspace.folder / "places")
    for number in range(tries(command)):
        generator = np.random.default_rng([SEED, number, *command.encode()])
        check(f"options of {command}", root, names, [command, *changed(command, words, generator)])
    parameters = build_command(command).params
    paths = [p for p in parameters if p.param_type_name == "argument" or getattr(p, "declared", NONE).is_path]
    order = np.random.default_rng([SEED, *command.encode()]).permutation(len(paths) * len(places))
    for number in order[: tries(command)]:
        parameter, place = paths[number // len(places)], places[number % len(places)]
        if parameter.param_type_name == "argument":
            more, own = words[1:] if words and not words[0].startswith("-") else words, [place]
        else:
            more, own = words, [f"{parameter.opts[0]}={place}"]
        check(f"places of {command}", root, names, [command, *own, *more])
        assert states_of(workspace.folder / "places") == before, (command, own)


NONE = types.SimpleNamespace(is_path=False)


def test_settings_files(workspace):
    """The same in settings files, which hold values of other types, too."""
    values = ("null", "true", "[]", "{}", "[1, [2]]", ".nan", ".inf", "1e400", "-1", "0x10", "1_0", "''", "'a\\0b'")
    module, _ = COMMANDS["synthesize"]
    options = importlib.import_module(f"ai8x_tool.cli.{module}").COMMAND.options()
    path = workspace.folder / "s.yaml"
    for number in range(COUNT):
        generator = np.random.default_rng([SEED, number, 7])
        lines = []
        for option in generator.choice(np.array(options, object), 2, replace=False):
            value = str(generator.choice(values)) if generator.random() < 0.7 else extreme(generator).decode()
            lines.append(f"{option.name}: {value}")
        path.write_bytes("\n".join(lines).encode("utf-8", "replace"))
        with FIGURES.measured("settings files", f"settings {lines}") as refused:
            result = workspace.synthesize("--settings", path, output=Path("out"))
            refused.extend([result] if result.exit_code else [])
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert result.exit_code in (0, 1) and len(errors) == result.exit_code, (lines, result.stderr)
        if workspace.output.exists():
            shutil.rmtree(workspace.output)


def test_layer_names(workspace):
    """Names of layers, whatever they are: refused, or the program has one more comment and no more code."""
    good = workspace.network.read_text()
    assert workspace.synthesize("-q", "--output", "plain").exit_code == 0
    lines = code_of(Path("plain"))
    for number in range(COUNT):
        generator = np.random.default_rng([SEED, number, 9])
        name = "".join(extreme(generator).decode() for _ in range(int(generator.integers(1, 4))))
        quoted = '"' + "".join(f"\\U{ord(c):08x}" for c in name if ord(c) < 0xD800 or ord(c) > 0xDFFF) + '"'
        workspace.network.write_text(good.replace("name: first", f"name: {quoted}"))
        with FIGURES.measured("layer names", repr(name)) as refused:
            result = workspace.synthesize("-q", "--output", "out", "--prefix", "plain")
            refused.extend([result] if result.exit_code else [])
        assert result.exit_code in (0, 1), (name, result.output)
        assert len(result.stderr.splitlines()) <= 2, (name, result.stderr)
        if result.exit_code == 0:
            assert code_of(Path("out")) == lines, repr(name)
            shutil.rmtree("out")


def code_of(folder):
    """The lines of the program without comments."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", (folder / "cnn.c").read_text(), flags=re.DOTALL)
    return [line.split() for line in text.splitlines() if line.strip()]
