"""What users get wrong: one line that says what, where and how to put it right; status 1; nothing written."""

from __future__ import annotations

import os

import numpy as np
import pytest


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.fixture
def fails(workspace):
    """Return a function that runs a failing synthesis and returns its one line of error."""

    def function(*more, result=None, **replaced):
        before = sorted(workspace.folder.iterdir())
        result = result or workspace.synthesize(*more, **replaced)
        assert result.exit_code == 1
        assert result.stdout == ""
        lines = result.stderr.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        assert "Traceback" not in result.stderr
        assert sorted(workspace.folder.iterdir()) == before
        return lines[0]

    return function


def test_truncated_checkpoint(workspace, fails):
    data = workspace.checkpoint.read_bytes()
    for length in (0, 100, len(data) // 2, len(data) - 10):
        workspace.checkpoint.write_bytes(data[:length])
        message = fails()
        assert "net-q.pth.tar" in message
        assert "not a checkpoint, or damaged" in message


def test_malicious_checkpoint(workspace, fails):
    marker = workspace.folder / "marker"
    workspace.save_pickle({"epoch": 1, "state_dict": Hostile(f"touch {marker}")})
    message = fails()
    assert "net-q.pth.tar" in message
    assert "'posix.system'" in message
    assert not marker.exists()


def test_unquantized_checkpoint(workspace, fails, states):
    workspace.save(states[0])
    message = fails()
    assert "not quantized" in message
    assert "ai8x quantize" in message
    assert "first.op.weight" in message


def test_checkpoint_of_another_architecture(workspace, fails, states):
    workspace.save(states[1], arch="ai85net5")
    message = fails()
    assert "'ai85net5'" in message
    assert "'tiny'" in message


def test_checkpoint_with_too_few_layers(workspace, fails, states):
    workspace.save({key: value for key, value in states[1].items() if key.startswith("first")})
    message = fails()
    assert "1 weight" in message
    assert "2 layers" in message


def test_yaml_syntax(workspace, fails):
    workspace.edit("    pad: 1\n", "    pad: [1\n")
    assert "net.yaml:7: YAML syntax error" in fails()


def test_unknown_key(workspace, fails):
    workspace.edit("    activate: ReLU\n", "    actvate: ReLU\n")
    message = fails()
    assert "net.yaml:7: layer 0" in message
    assert "did you mean 'activate'?" in message


def test_duplicate_key(workspace, fails):
    workspace.edit("    pad: 1\n", "    pad: 1\n    pad: 2\n")
    assert "net.yaml:7: duplicate key 'pad'" in fails()


def test_map_that_does_not_fit_the_channels(workspace, fails):
    """How many bits there are, how many are needed, and why."""
    workspace.edit("0x0000.0000.0000.0007", "0x0000.0000.0000.000f")
    message = fails()
    assert "net.yaml:4: layer 0 (first)" in message
    assert "has 4 bits" in message
    assert "3 bits are needed" in message
    assert "3 channels" in message
    assert "0x0000000000000007" in message


def test_map_for_several_passes(workspace, fails, states):
    """100 channels: two passes over 52 processors."""
    import torch

    state = states[1]
    state["first.op.weight"] = torch.zeros(100, 3, 3, 3) + 1
    state["first.op.weight"][0] = 5
    del state["first.op.bias"]
    state["last.op.weight"] = torch.ones(5, 1600) * 3
    workspace.save(state)
    workspace.edit("0x00000000000000ff", "0xffffffffffffffff")
    message = fails()
    assert "52 bits are needed" in message
    assert "100 channels" in message
    assert "2 passes" in message


def test_sample_of_another_shape(workspace, fails):
    np.save(workspace.sample, np.zeros((3, 4, 5), np.int64))
    assert "layer 1 (last)" in fails()
    np.save(workspace.sample, np.zeros((1, 4, 4), np.int64))
    message = fails()
    assert "1×4×4" in message
    assert "3×4×4" in message
    assert "--sample-input" in message


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros((3, 4, 4), np.float32), "float32"),
        (np.full((3, 4, 4), 128), "128"),
        (np.zeros((0, 4, 4), np.int64), "0"),
        (np.array([[[{"a": 1}]]], dtype=object), "sample.npy"),
    ],
    ids=["floats", "out of range", "empty", "objects"],
)
def test_samples_that_are_none(workspace, fails, array, text):
    np.save(workspace.sample, array, allow_pickle=True)
    message = fails()
    assert "sample.npy" in message
    assert text in message


def test_sample_of_one_dimension_has_one_pixel(workspace, fails):
    np.save(workspace.sample, np.zeros(48, np.int64))
    assert "the sample is 48×1×1, the layer expects 3×1×1" in fails()


def test_sample_that_is_no_array(workspace, fails):
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        workspace.sample.write_bytes(content)
        assert "sample.npy" in fails()


def test_existing_output(workspace, fails):
    workspace.output.mkdir()
    (workspace.output / "notes.txt").write_text("mine")
    message = fails()
    assert message.startswith("error: out: ")
    assert "--overwrite" in message
    assert [p.name for p in workspace.output.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("option", ["config_file", "checkpoint_file", "sample_input"])
def test_missing_files(fails, option):
    message = fails(**{option: "nowhere.xyz"})
    assert "nowhere.xyz" in message


def test_nothing_given(workspace, fails):
    assert "checkpoint" in fails(checkpoint_file=None)
    assert "sample_toy.npy" in fails(sample_input=None)
    assert "--output" in fails(output=None)


def test_unknown_recipe(ai8x, fails):
    message = fails(result=ai8x("synthesize", "mnits", "--output", "x"))
    assert "'mnits'" in message
    assert "did you mean 'mnist'?" in message


def test_unknown_network_name(fails):
    assert "did you mean 'mnist'?" in fails(config_file="mnits")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--device", "MAX78001"], "MAX78001"),
        (["--timer", "9"], "9"),
        (["--output-width", "16"], "16"),
        (["--clock-divider", "3"], "3"),
        (["--boost", "two"], "PORT.PIN"),
        (["--no-bias", "x"], "no-bias"),
        (["--fast-fifo"], "--riscv"),
        (["--deepsleep"], "--riscv"),
        (["--one-shot"], "MAX78002"),
        (["--pipeline"], "MAX78002"),
        (["--start-layer", "1"], "MAX78002"),
        (["--stop-after", "7"], "7"),
        (["--one-shot", "--timer", "0", "--device", "MAX78002"], "timer"),
        (["--timer", "6"], "0 … 5"),
        (["--debugwait", "-1"], "0 … 4294 seconds"),
        (["--boost", "99.99"], "0 … 3"),
        (["--weight-start", "-1"], "weight_start must be at least 0, not -1"),
        (["--skip-yaml-layers", "-1"], "skip_yaml_layers must be at least 0"),
        (["--skip-checkpoint-layers", "-1"], "skip_checkpoint_layers must be at least 0"),
        (["--max-verify-length", "0"], "max_verify_length must be at least 1, not 0"),
        (["--no-bias", "99"], "no such layer (use layers 0 … 1)"),
        (["--prefix", ""], "prefix: ''"),
        (["--output", ""], "output: ''"),
        (["--templates", "nowhere"], "error: nowhere: template folder not found"),
        (["--weight-input", "nowhere.npy"], "from the checkpoint"),
        (["--switch-delay", "-1"], "milliseconds"),
        (["--define", "A=1 B;x"], "'B;x'"),
        (["--board-name", "a b"], "'a b'"),
        (
            ["--board-name", "EvKitV1"],
            "unknown board; did you mean 'EvKit_V1'? (MAX78000 boards: EvKit_V1, FTHR_RevA, ",
        ),
        (["--weight-filename", "Makefile"], "'Makefile'"),
        (["--api-filename", "int"], "'int'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_contradict_the_part_or_each_other(fails, more, text):
    assert text in fails(*more)


def test_a_line_quotes_no_whole_files(workspace, fails):
    workspace.edit("op: Linear", f"op: {'x' * 100_000}")
    assert len(fails()) < 2000


def test_memory_conflict(workspace, fails):
    workspace.edit("out_offset: 0x2000", "out_offset: 0x0")
    message = fails()
    assert "net.yaml:4: layer 0 (first)" in message
    assert "overwrites input data" in message
    assert workspace.synthesize("--overlap-data").exit_code == 0


def test_output_that_cannot_be_created(workspace, fails):
    blocked = workspace.folder / "file"
    blocked.write_text("x")
    assert "file" in fails(output=blocked / "project")
    assert "file" in fails(output=blocked)


def test_errors_in_json(workspace):
    """The document says so, too; the line for people stays."""
    import json

    result = workspace.synthesize("--json", checkpoint_file="nowhere")
    assert result.exit_code == 1
    assert "nowhere" in json.loads(result.stdout)["error"]
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "words",
    [
        ["synthesise"],
        ["synthesize", "--no-such-option"],
        ["synthesize", "--timer", "one"],
        ["synthesize", "--output"],
        ["quantize", "only-one"],
        ["quantize"],
        ["list"],
        ["list", "nothing"],
    ],
    ids=" ".join,
)
def test_wrong_usage(ai8x, words):
    result = ai8x(*words)
    assert result.exit_code == 2
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_quantizing_what_cannot_be_quantized(workspace, ai8x, states):
    import torch

    state = states[0]
    state["first.bn.weight"] = torch.ones(8)
    workspace.save(state)
    target = workspace.folder / "target.pth.tar"
    for source in (workspace.checkpoint, workspace.folder / "nowhere", workspace.network):
        result = ai8x("quantize", source, target, "-q")
        assert result.exit_code == 1
        lines = result.stderr.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        assert source.name in lines[0]
        assert not target.exists()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["--clip-method", "AVG"], "AVGMAX"),
        (["--scale", "0.5"], "--clip-method"),
        (["--qat-weight-bits", "3"], "3"),
        (["--calibrate", "8"], "--calibrate needs samples"),
        (["--dataset", "MNIST"], "need --calibrate (add --calibrate N"),
        (["--calibrate", "8", "--recipe", "mnits"], "mnist"),
        (["--calibration-input", "nowhere.npy"], "nowhere.npy: file with calibration samples not found"),
    ],
)
def test_quantize_options(workspace, ai8x, states, more, text):
    workspace.save(states[0])
    result = ai8x("quantize", workspace.checkpoint, workspace.folder / "q.pth.tar", "-q", *more)
    assert result.exit_code == 1
    assert text in result.stderr


def test_interruption(workspace, monkeypatch):
    from ai8x_tool.synthesis import project as synthesis_run

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(synthesis_run, "build_project", interrupted)
    result = workspace.synthesize()
    assert result.exit_code == 130
    assert result.stderr.splitlines() == ["error: interrupted"]
    assert not workspace.output.exists()
