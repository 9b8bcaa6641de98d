"""A project's own settings: they rebuild and verify it, from any folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from ai8x_tool.settings.files import path_text


def settings_of(project):
    return yaml.safe_load((project / "ai8x.yaml").read_text())


@pytest.fixture
def project(workspace, ai8x):
    """A project built with relative paths, as people type them."""
    words = ["--network", "net.yaml", "--checkpoint", "net-q.pth.tar", "--sample-input", "sample.npy"]
    assert ai8x("synthesize", *words, "-o", "build/own", "--softmax", "-q").exit_code == 0
    return workspace.folder / "build" / "own"


@pytest.fixture
def elsewhere(tmp_path_factory, monkeypatch):
    """Another working folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(folder)
    return folder


def test_paths_are_relative_to_the_file(project):
    content = settings_of(project)
    assert content["network"] == "../../net.yaml"
    assert content["checkpoint"] == "../../net-q.pth.tar"
    assert content["sample_input"] == "../../sample.npy"
    assert content["prefix"] == "own" and content["softmax"] is True
    assert "output" not in content and "overwrite" not in content


def test_rebuilding_from_another_folder(project, ai8x, elsewhere):
    assert ai8x("synthesize", "--settings", project / "ai8x.yaml", "--check", project).exit_code == 0
    assert ai8x("synthesize", "--settings", project / "ai8x.yaml").exit_code == 0
    again = elsewhere / "build" / "own"
    files = {path.relative_to(project) for path in project.rglob("*") if path.is_file()}
    assert files == {path.relative_to(again) for path in again.rglob("*") if path.is_file()}
    for name in files:
        if name.name != "ai8x.yaml":  # it is as far from its inputs as it is
            assert (again / name).read_bytes() == (project / name).read_bytes(), name
    assert ai8x("synthesize", "--settings", again / "ai8x.yaml", "--check", again).exit_code == 0


def test_a_workspace_can_be_moved(project, workspace, ai8x, tmp_path_factory, monkeypatch):
    moved = tmp_path_factory.mktemp("moved") / "workspace"
    shutil.copytree(workspace.folder, moved)
    shutil.move(workspace.folder / "net.yaml", workspace.folder / "gone.yaml")
    assert (
        ai8x("synthesize", "--settings", moved / "build/own/ai8x.yaml", "--check", moved / "build/own").exit_code == 0
    )


def test_the_same_build_gives_the_same_bytes(project, workspace, ai8x, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other") / "deeper"
    other.mkdir()
    for name in ("net.yaml", "net-q.pth.tar", "sample.npy"):
        shutil.copy(workspace.folder / name, other)
    monkeypatch.chdir(other)
    words = ["--network", "net.yaml", "--checkpoint", "net-q.pth.tar", "--sample-input", "sample.npy"]
    assert ai8x("synthesize", *words, "-o", "build/own", "--softmax", "-q").exit_code == 0
    assert (other / "build/own/ai8x.yaml").read_bytes() == (project / "ai8x.yaml").read_bytes()


def test_what_ships_is_named(ai8x, elsewhere):
    assert ai8x("synthesize", "mnist", "-o", "p", "-q").exit_code == 0
    content = settings_of(elsewhere / "p")
    expected = {"network": "mnist.yaml", "checkpoint": "ai85net5-q.pth.tar", "sample_input": "sample_mnist.npy"}
    assert expected.items() <= content.items()
    assert content["evaluation_recipe"] == "mnist"


def test_absolute_paths_become_relative_where_they_can(workspace, ai8x):
    words = ["--network", workspace.network, "--checkpoint", workspace.checkpoint, "--sample-input", workspace.sample]
    assert ai8x("synthesize", *words, "-o", workspace.folder / "q", "-q").exit_code == 0
    assert settings_of(workspace.folder / "q")["network"] == "../net.yaml"
    assert path_text(Path("/data/net.yaml"), Path("/home/me/q")) == "/data/net.yaml"
    assert path_text(Path("/home/me/net.yaml"), Path("/home/me/build/q")) == "../../net.yaml"


def test_own_files_found_by_name_are_found_again(workspace, ai8x, tmp_path_factory, monkeypatch):
    """A name of the user's own folders means nothing elsewhere."""
    for folder, name in (("configs/networks", "net.yaml"), ("models/checkpoints", "net-q.pth.tar")):
        (workspace.folder / folder).mkdir(parents=True)
        shutil.move(workspace.folder / name, workspace.folder / folder / name)
    words = ["--network", "net", "--checkpoint", "net-q.pth.tar", "--sample-input", "sample.npy", "-o", "p", "-q"]
    assert ai8x("synthesize", *words).exit_code == 0
    project = workspace.folder / "p"
    assert settings_of(project)["network"] == "../configs/networks/net.yaml"
    assert settings_of(project)["checkpoint"] == "../models/checkpoints/net-q.pth.tar"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert ai8x("synthesize", "--settings", project / "ai8x.yaml", "--check", project).exit_code == 0


def test_flags_come_after_the_settings_of_a_project(project, ai8x, elsewhere):
    assert ai8x("synthesize", "--settings", project / "ai8x.yaml", "--no-softmax", "-o", "x").exit_code == 0
    assert "softmax" not in (elsewhere / "x" / "main.c").read_text()


def test_verify_a_project(project, ai8x, elsewhere):
    result = ai8x("verify", project, "--no-firmware")
    assert result.exit_code == 0, result.output
    assert "layer 1 (last)" in result.stdout
    assert list(elsewhere.iterdir()) == []


def test_verify_takes_what_synthesize_takes(workspace, ai8x):
    words = [str(word) for pair in workspace.arguments.items() for word in pair]
    result = ai8x("verify", *words, "--stop-after", "0", "--no-firmware", "--no-mexpress")
    assert result.exit_code == 0, result.output
    assert "layer 0 (first)" in result.stdout and "layer 1" not in result.stdout
    assert not workspace.output.exists()


@pytest.mark.parametrize("name", ["cnn.c", "weights.h", "main.c"])
def test_a_project_that_was_changed_is_not_verified(project, ai8x, name):
    """What is verified must be what is there."""
    path = project / name
    path.write_text(path.read_text() + "\n")
    result = ai8x("verify", project, "--no-firmware")
    assert result.exit_code == 1
    problem = f"build/own: differs from what its settings generate: {name} (generate it again"
    assert result.stderr.startswith(f"error: {problem}")
    assert ai8x("verify", "--settings", project / "ai8x.yaml", "--no-firmware").exit_code == 0


def test_a_project_whose_inputs_changed_is_not_verified(project, workspace, ai8x):
    np.save(workspace.sample, -1 - np.load(workspace.sample))
    result = ai8x("verify", project, "--no-firmware")
    assert result.exit_code == 1 and "sampledata.h" in result.stderr


def test_folders_that_are_no_projects(ai8x, workspace):
    (workspace.folder / "empty").mkdir()
    result = ai8x("verify", "empty")
    assert result.exit_code == 1
    assert result.stderr == "error: empty: not a project: it has no ai8x.yaml (generate it again)\n"
    assert "no file and no recipe named 'nothing'" in ai8x("verify", "nothing").stderr


def test_a_network_whose_parameters_are_arrays(workspace, ai8x, tmp_path_factory, monkeypatch):
    """Files in tests/ that the description names are found again, too."""
    text = "arch: test\ndataset: toy\nlayers:\n  - {op: Conv2d, pad: 1, processors: 7, out_offset: 0x2000}\n"
    (workspace.folder / "test.yaml").write_text(text)
    (workspace.folder / "tests").mkdir()
    with (workspace.folder / "tests" / "weights_toy.npy").open("wb") as file:
        np.save(file, np.arange(2 * 27).reshape(2, 3, 3, 3) - 27)
    workspace.sample.rename(workspace.folder / "tests" / "sample_toy.npy")
    made = ai8x("synthesize", "--network", "test.yaml", "-o", "p", "-q")
    assert made.exit_code == 0, made.stderr
    project = workspace.folder / "p"
    assert settings_of(project)["weight_input"] == "../tests/weights_toy.npy"
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert ai8x("verify", project, "--no-firmware").exit_code == 0


def test_file_names_that_are_not_utf_8_are_found_again(workspace, ai8x):
    workspace.network.rename(os.fsdecode(b"n\xff.yaml"))
    words = ["--network", os.fsdecode(b"n\xff.yaml"), "--checkpoint", "net-q.pth.tar", "--sample-input", "sample.npy"]
    assert ai8x("synthesize", *words, "-o", "p", "-q").exit_code == 0
    assert ai8x("synthesize", "--settings", "p/ai8x.yaml", "--check", "p", "-q").exit_code == 0
