"""The commands when all is well: what they write, what they print, what they import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch

from ai8x_tool import __version__
from ai8x_tool.cli.main import COMMANDS, app


def commands():
    assert {"synthesize", "quantize", "list"} <= COMMANDS.keys()
    return list(COMMANDS)


def in_new_process(root, script, *arguments):
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)


SHOW_MODULES = """
import sys
from typer.testing import CliRunner
from ai8x_tool.cli.main import app
runner = CliRunner()
for words in {lines!r}:
    result = runner.invoke(app, words)
    assert result.exit_code == {status}, (words, result.output)
print(*[name for name in ("torch", "numpy", "torchaudio", "matplotlib", "jinja2", "yaml") if name in sys.modules])
"""


def test_help_is_quick(root):
    """No command's help imports the large libraries."""
    lines = [["--help"], ["-h"], ["--version"], *([name, "--help"] for name in commands())]
    result = in_new_process(root, SHOW_MODULES.format(lines=lines, status=0))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_lists_do_without_torch(root):
    lines = [["list", kind] for kind in ("recipes", "networks", "devices", "operators")]
    result = in_new_process(root, SHOW_MODULES.format(lines=lines, status=0))
    assert result.returncode == 0, result.stderr
    assert "torch" not in result.stdout.split()


def test_synthesis_does_without_torch(root, workspace):
    words = [str(word) for pair in workspace.arguments.items() for word in pair]
    result = in_new_process(root, SHOW_MODULES.format(lines=[["synthesize", *words]], status=0))
    assert result.returncode == 0, result.stderr
    assert "torch" not in result.stdout.split()
    assert (workspace.output / "cnn.c").is_file()


def test_main_program(root, workspace):
    """As installed: exit status and streams."""
    script = "from ai8x_tool.cli.main import main; main()"
    words = [word for pair in workspace.arguments.items() for word in pair]
    result = in_new_process(root, script, "synthesize", *words, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["project"] == str(workspace.output)
    again = in_new_process(root, script, "synthesize", *words)
    assert again.returncode == 1
    assert again.stdout == ""
    assert again.stderr.splitlines() == [again.stderr.strip()]
    assert again.stderr.startswith("error: ")
    assert in_new_process(root, script, "nonsense").returncode == 2


def test_as_a_module(root):
    script = "import runpy; runpy.run_module('ai8x_tool', run_name='__main__')"
    result = in_new_process(root, script, "list", "devices", "--json")
    assert result.returncode == 0 and len(json.loads(result.stdout)["devices"]) == 2


@pytest.mark.parametrize("name", commands())
def test_help(ai8x, name):
    result = ai8x(name, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout
    assert "--json" in result.stdout


def test_version(ai8x):
    assert ai8x("--version").stdout.strip() == f"ai8x {__version__}"


@pytest.mark.parametrize("kind", ["models", "datasets", "recipes", "networks", "devices", "operators"])
def test_lists(ai8x, kind):
    rows = json.loads(ai8x("list", kind, "--json").stdout)[kind]
    assert rows
    shown = ai8x("list", kind).stdout
    for row in rows:
        assert row["name"] in shown
        assert row["description"]


def test_synthesis(workspace):
    result = workspace.synthesize()
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "first" in result.stdout
    assert str(workspace.output) in result.stdout
    assert {"cnn.c", "cnn.h", "main.c", "weights.h", "Makefile"} <= {p.name for p in workspace.output.iterdir()}
    assert sorted(p.name for p in workspace.folder.iterdir()) == ["net-q.pth.tar", "net.yaml", "out", "sample.npy"]


def test_synthesis_in_json(workspace):
    result = workspace.synthesize("--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert "schema" in document
    assert document["project"] == str(workspace.output)
    files = {str(p.relative_to(workspace.output)) for p in workspace.output.rglob("*") if p.is_file()}
    assert set(document["files"]) == files
    assert [layer["name"] for layer in document["statistics"]["layers"]] == ["first", "last"]
    assert document["statistics"]["operations"]["macc"] == 3 * 9 * 8 * 16 + 128 * 5


def test_quiet(workspace):
    result = workspace.synthesize("-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def texts(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_same_project_in_another_place(workspace):
    """Nothing of the output's own place goes into its files but the way from its settings to the inputs."""
    assert workspace.synthesize("--prefix", "demo").exit_code == 0
    elsewhere = workspace.folder / "a" / "b" / "c"
    assert workspace.synthesize("--prefix", "demo", output=elsewhere).exit_code == 0
    one, two = texts(workspace.output), texts(elsewhere)
    assert one.pop("ai8x.yaml").replace(": ../", ": ../../../") == two.pop("ai8x.yaml")
    assert one == two


def test_overwriting(workspace):
    assert workspace.synthesize().exit_code == 0
    before = texts(workspace.output)
    (workspace.output / "project.mk").write_text("BOARD = FTHR_RevA\n")
    (workspace.output / "cnn.c").write_text("old")
    (workspace.output / "mine.c").write_text("int mine;")
    assert workspace.synthesize("--overwrite").exit_code == 0
    expected = {**before, "project.mk": "BOARD = FTHR_RevA\n", "mine.c": "int mine;"}
    assert texts(workspace.output) == expected


def test_folder_of_old_scripts(workspace):
    result = workspace.synthesize("--test-dir", "projects", "--prefix", "demo", output=None)
    assert result.exit_code == 0
    assert (workspace.folder / "projects" / "demo" / "cnn.c").is_file()


def test_options_of_old_scripts(workspace):
    """Options without effect are accepted, others do what they did."""
    old = ["--compact-data", "--embedded-code", "--display-checkpoint", "--no-log", "--no-progress"]
    other = ["--softmax", "--timer", "0", "--no-kat", "--board-name", "FTHR_RevA"]
    result = workspace.synthesize(*old, *other)
    assert result.exit_code == 0
    assert result.stderr == "warning: without effect: --compact-data, --embedded-code, --no-progress\n"
    assert workspace.synthesize(*old, *other, "--overwrite", "-q").stderr == ""
    files = texts(workspace.output)
    assert "sampleoutput.h" not in files
    assert "softmax_layer" in files["main.c"]
    assert "MXC_TMR0" in files["cnn.h"]
    assert "FTHR_RevA" in files["Makefile"]


def test_log(workspace):
    """Statistics and registers; the same text wherever the project is written."""
    assert workspace.synthesize("--log", "--log-filename", "mine.txt").exit_code == 0
    text = (workspace.output / "mine.txt").read_text()
    assert "MAX78000, 2 layers" in text
    assert "  L0 G0 RCNT (50100010): 00010005 // count = 5, pad = 1" in text
    elsewhere = workspace.folder / "elsewhere"
    assert workspace.synthesize("--log", output=elsewhere).exit_code == 0
    assert (elsewhere / "log.txt").read_text() == text


@pytest.mark.parametrize("name", ["../log.txt", "cnn.c", ""])
def test_wrong_log_name(workspace, name):
    result = workspace.synthesize("--log", "--log-filename", name)
    assert result.exit_code == 1
    assert not workspace.output.exists()


def test_intermediate_data(workspace):
    assert workspace.synthesize("--log-intermediate").exit_code == 0
    folder = workspace.output / "intermediate"
    names = [f"layer{index:02}-{what}.npy" for index in (0, 1) for what in ("bias", "output", "weights")]
    assert sorted(path.name for path in folder.iterdir()) == names
    shapes = [np.load(folder / name, allow_pickle=False).shape for name in names]
    assert shapes == [(8,), (8, 4, 4), (8, 3, 3, 3), (5,), (5, 1, 1), (5, 128, 1, 1)]


def test_final_scale(workspace, states):
    """Applied, or not with the option, and only where the checkpoint has one."""
    assert workspace.synthesize().exit_code == 0
    assert "scale" not in texts(workspace.output)["cnn.c"]
    state = states[1]
    ranges = {"last.activation_threshold": torch.tensor(1.0), "last.final_scale": torch.tensor(3.0)}
    workspace.save(OrderedDict([(k, v) for key in state for k, v in [(key, state[key]), *_behind(key, ranges)]]))
    result = workspace.synthesize("--overwrite")
    assert result.exit_code == 0
    assert "warning" not in result.stderr
    files = texts(workspace.output)
    assert "Final Scales: layer 1: 3" in files["cnn.c"]
    assert "#define CNN_OUTPUT_0_SCALE (3)" in files["cnn.h"]
    result = workspace.synthesize("--overwrite", "--no-scale-output")
    assert "the final scales (layer 1: 3) are not applied" in result.stderr
    assert "scaled" not in texts(workspace.output)["cnn.c"]


def _behind(key, ranges):
    return ranges.items() if key == "last.output_shift" else ()


def test_stopping_early(workspace):
    assert workspace.synthesize("--stop-after", "0", "--json").exit_code == 0
    document = json.loads(workspace.synthesize("--stop-after", "0", "--json", "--overwrite").stdout)
    assert [layer["name"] for layer in document["statistics"]["layers"]] == ["first"]


def test_recipe_and_flags(workspace):
    """Flags come after the recipe."""
    recipe = workspace.folder / "mine.yaml"
    recipe.write_text(
        "description: mine\nmodel: tiny\ndataset: Toy\ndevice: MAX78002\nsynthesize:\n"
        f"  network: {workspace.network}\n  checkpoint: {workspace.checkpoint}\n  timer: 1\n  prefix: mine\n"
    )
    from typer.testing import CliRunner

    words = ["synthesize", recipe, "--sample-input", workspace.sample, "--output", workspace.output, "--timer", "2"]
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    files = texts(workspace.output)
    assert "MXC_TMR2" in files["cnn.h"]
    assert "MAX78002" in files["cnn.c"]
    assert "CNN Inference Test mine" in files["main.c"]


def test_sample_by_name_of_the_data_set(workspace):
    """sample_<dataset>.npy here, or in tests/."""
    tests = workspace.folder / "tests"
    tests.mkdir()
    workspace.sample.rename(tests / "sample_toy.npy")
    assert workspace.synthesize(sample_input=None).exit_code == 0


@pytest.mark.parametrize("kind", [np.int8, np.int64])
def test_types_of_samples(workspace, kind):
    np.save(workspace.sample, np.load(workspace.sample).astype(kind))
    assert workspace.synthesize().exit_code == 0


def test_warnings_are_no_errors(workspace):
    workspace.edit("    flatten: true\n", "    flatten: true\n    in_channel_skip: 4\n")
    result = workspace.synthesize()
    assert result.exit_code == 0
    assert "warning: net.yaml:" in result.stderr
    assert "layer 1 (last)" in result.stderr
    assert workspace.synthesize("--overwrite", "-q").stderr == result.stderr


def test_quantize_then_synthesize(workspace, ai8x, states):
    trained = workspace.folder / "qat.pth.tar"
    workspace.save(states[0], path=trained)
    workspace.checkpoint.unlink()
    result = ai8x("quantize", trained, workspace.checkpoint, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert [layer["key"] for layer in document["layers"]] == ["first.op.weight", "last.op.weight"]
    assert all(layer["bits"] == 8 for layer in document["layers"])
    assert workspace.synthesize().exit_code == 0


def test_quantize_for_people(workspace, ai8x, states):
    trained = workspace.folder / "qat.pth.tar"
    workspace.save(states[0], path=trained)
    result = ai8x("quantize", trained, workspace.folder / "q2.pth.tar", "--clip-method", "scale")
    assert result.exit_code == 0
    assert "first.op.weight" in result.stdout
    assert "0.85" in result.stderr


def test_samples_of_one_dimension(workspace):
    """Flat inputs are channels of one pixel."""
    from ai8x_tool.synthesis.synthesize import load_sample

    np.save(workspace.sample, np.arange(-3, 3))
    assert load_sample(workspace.sample).tolist() == [[-3], [-2], [-1], [0], [1], [2]]


def test_programs_without_known_answers_need_no_sample(workspace):
    workspace.edit("    op: Conv2d\n", "    op: Conv2d\n    in_channels: 3\n    in_dim: [4, 4]\n")
    result = workspace.synthesize("--no-kat", sample_input=None)
    assert result.exit_code == 0, result.stderr
    assert "known answers" not in result.stderr
