"""``ai8x run``: the firmware's verdict, other samples, and what is wrong in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.engine import run as engine
from ai8x_tool.frontend.yaml.load import LoadOptions, load_network
from ai8x_tool.frontend.yaml.resolve import ResolveOptions
from tests.support.firmware_case import NEEDS_CC, NEEDS_EMULATOR

SHAPE = (3, 4, 4)


@pytest.fixture
def project(workspace):
    """A project, generated."""
    assert workspace.synthesize("-q").exit_code == 0
    return workspace.output


@pytest.fixture
def samples(workspace):
    """Two inputs that are not the project's own, integers and an image's bytes, with the outputs of the engine."""
    arrays = [np.random.default_rng(seed).integers(-128, 128, SHAPE) for seed in (1, 2)]
    paths = [workspace.folder / f"{number}.npy" for number in range(2)]
    np.save(paths[0], arrays[0])
    np.save(paths[1], (arrays[1] + 128).astype(np.uint8).transpose(1, 2, 0))
    options = LoadOptions(network=ResolveOptions())
    network = load_network(
        workspace.network, workspace.checkpoint, SHAPE, MAX78000, Console(verbosity=-1), options
    ).network
    return paths, [engine(network, array[None]).last[0] for array in arrays]


@NEEDS_EMULATOR
def test_run(ai8x, project, samples, tmp_path):
    paths, expected = samples
    saved = tmp_path / "outputs.npy"
    result = ai8x("run", project, "--input", paths[0], "--input", paths[1], "--output-file", saved)
    assert result.exit_code == 0, result.output
    assert "*** PASS ***" in result.stdout
    for words in (
        "Cortex-M4 instructions",
        "load kernels",
        "MAX78000 memory",
        "131,072",
        "0.npy: output 5×1×1, largest",
    ):
        assert words in result.stdout
    outputs = np.load(saved)
    assert outputs.shape == (2, 5, 1, 1)
    assert outputs.tolist() == [output.tolist() for output in expected]


@NEEDS_CC
def test_run_on_this_machine(ai8x, project, samples, tmp_path):
    """One sample makes an array without an axis for samples."""
    paths, expected = samples
    saved = tmp_path / "output.npy"
    result = ai8x("run", project, "--host", "--json", "--input", paths[1], "--output-file", saved)
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["schema"] == "ai8x-run/1"
    assert document["passed"] is True
    assert document["phases"] == []
    assert document["diagnostics"] == []
    assert document["samples"] == [{"file": str(paths[1]), "outputs": [expected[1].tolist()]}]
    assert np.load(saved).tolist() == expected[1].tolist()


@NEEDS_CC
def test_failing_program(ai8x, project):
    """The known answers say something else than the network computes."""
    path = project / "sampleoutput.h"
    text = path.read_text()
    path.write_text(text[:-20].rpartition("0x0")[0] + "0x1" + text[:-20].rpartition("0x0")[2] + text[-20:])
    assert path.read_text() != text
    result = ai8x("run", project, "--host")
    assert result.exit_code == 1
    assert "*** FAIL ***" in result.stdout
    assert ai8x("run", project, "--host", "-q").stdout == ""


def test_wrong_use(ai8x, project, tmp_path):
    """One line, and exit status 1."""
    (tmp_path / "empty").mkdir()
    for words, message in (
        ((tmp_path / "nowhere",), "no such project folder"),
        ((tmp_path / "empty",), "not a generated project"),
        ((project, "--output-file", tmp_path / "y.npy"), "--output-file needs --input"),
        ((project, "--input", tmp_path / "none.npy"), "sample file not found"),
    ):
        result = ai8x("run", *words)
        assert result.exit_code == 1, words
        assert message in result.stderr
        assert result.stderr.startswith("error: ")
        assert len(result.stderr.splitlines()) == 1
