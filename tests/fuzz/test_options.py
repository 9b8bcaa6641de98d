"""Options of every command with values that are seldom meant: done, or refused in one line, and nothing half written.

AI8X_FUZZ sets how many combinations are tried (default 20, of slow commands a quarter), AI8X_RANDOM_SEED the seed.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.cli.main import COMMANDS
from tests.cli.conftest import run
from tests.support.damaged_files import extreme
from tests.support.fuzz_figures import FIGURES
from tests.support.hostile_plugins import GOOD_DATASET, GOOD_MODEL

COUNT, SEED = int(os.environ.get("AI8X_FUZZ", "20")), int(os.environ.get("AI8X_RANDOM_SEED", "0"))
QUICK = ("synthesize", "quantize", "insert-identity", "list")
LEFT_OUT = {
    *("epochs", "map_seconds", "calibrate"),  # however much is asked for is done
    *("distributed", "compile", "tensorboard", "firmware"),  # slow, or other programs
    *("help", "json", "verbose"),
}
IDENTITY = ("--layer-name", "x", "--layer-depth", "8", "--insert-before", "last")
SMALL = ("--epochs", "1", "--batch-size", "16", "--cpu", "-j", "0", "--qat-policy", "none", "--optimizer", "Adam")


@pytest.fixture
def commands(workspace, states, monkeypatch):
    """By command: words with which it works, and whether it is slow."""
    from ai8x_tool.training import evaluation_run, trainer

    monkeypatch.setattr(trainer.Trainer, "_draw", lambda *_: None)
    monkeypatch.setattr(evaluation_run, "_draw", lambda *_: None)
    for kind, text in (("models", GOOD_MODEL), ("datasets", GOOD_DATASET)):
        (workspace.folder / kind).mkdir()
        (workspace.folder / kind / "good.py").write_text(text)
    workspace.save(states[0], path=workspace.folder / "trained.pth.tar")
    synthesis = [str(word) for pair in workspace.arguments.items() for word in pair]
    model = ["--model", "good", "--dataset", "Good"]
    assert run("train", *model, *SMALL, "--lr", "0.01", "-q").exit_code == 0
    shutil.copy(next(workspace.folder.glob("logs/*/checkpoint.pth.tar")), "good.pth.tar")
    shutil.rmtree("logs")
    return {
        "synthesize": synthesis,
        "verify": synthesis[:-2],
        "quantize": ["trained.pth.tar", "q.pth.tar"],
        "insert-identity": ["net-q.pth.tar", "i.pth.tar", *IDENTITY],
        "train": [*model, *SMALL, "--lr", "0.01"],
        "evaluate": [*model, "--checkpoint", "good.pth.tar", "--cpu"],
        "list": ["models"],
    }


def changed(command, generator):
    """One to three options of a command, with any values."""
    module, _ = COMMANDS[command]
    every = importlib.import_module(f"ai8x_tool.cli.{module}").COMMAND.options()
    options = [option for option in every if option.name not in LEFT_OUT]
    for number in generator.choice(len(options), min(len(options), int(generator.integers(1, 4))), replace=False):
        option = options[number]
        names = (*option.names, *option.declaration.aliases)
        if option.value.kind is bool:
            yield str(generator.choice([*names, *option.off]))
        elif option.value.choices and generator.random() < 0.5:
            yield f"{names[0]}={generator.choice(option.value.choices)}"
        else:
            yield f"{generator.choice(names)}={extreme(generator).decode().replace(chr(0), '')}"


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


def remove_new(folder, names):
    """Remove what is in `folder` besides `names`."""
    for name in sorted(files_of(folder) - set(names), reverse=True):
        path = folder / name
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("command", [*QUICK, "verify", "train", "evaluate"])
def test_options(workspace, commands, command):
    names = sorted(files_of(workspace.folder))
    assert run(command, *commands[command]).exit_code == 0
    remove_new(workspace.folder, names)
    for number in range(COUNT if command in QUICK else -(-COUNT // 4)):
        generator = np.random.default_rng([SEED, number, *command.encode()])
        words = [command, *commands[command], *changed(command, generator)]
        what = f"{number} of seed {SEED}: {words}"
        with FIGURES.measured(f"options of {command}", what) as refused:
            try:
                result = run(*words)
            except BaseException as error:
                raise AssertionError(f"{what}: {error!r}") from error
            refused.extend([result] if result.exit_code else [])
        assert result.exit_code in (0, 1, 2), what
        assert "Traceback" not in result.output, what
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == (result.exit_code == 1), (what, result.stderr)
        after = files_of(workspace.folder)
        assert set(names) <= after, what
        assert not [name for name in after if ".ai8x-" in name], what
        if result.exit_code and command != "train":  # which may fail in the middle
            assert sorted(after) == names, what
        remove_new(workspace.folder, names)


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
