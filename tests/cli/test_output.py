"""Where results go: nothing but regular files and folders is replaced, and errors are one line."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest


@pytest.fixture
def quantizable(workspace, states):
    workspace.save(states[0])
    return workspace.checkpoint


def make_device(path):
    path.symlink_to("/dev/null")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (make_device, "no regular file"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (os.mkfifo, "no regular file"),
    ],
    ids=["device", "folder", "loop", "FIFO"],
)
def test_quantize(workspace, ai8x, quantizable, make, words):
    target = workspace.folder / "target"
    make(target)
    before = os.lstat(target)
    result = ai8x("quantize", quantizable, target, "-q")
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert os.lstat(target).st_ino == before.st_ino


def test_quantize_through_a_link(workspace, ai8x, quantizable):
    (workspace.folder / "link").symlink_to("real.pth.tar")
    assert ai8x("quantize", quantizable, workspace.folder / "link", "-q").exit_code == 0
    assert (workspace.folder / "link").is_symlink()
    assert (workspace.folder / "real.pth.tar").is_file()


def test_unknown_home_folders(workspace, ai8x):
    for option in ("--config-file", "--checkpoint-file", "--output", "--sample-input"):
        words = [str(word) for pair in workspace.arguments.items() for word in pair]
        words[words.index(option) + 1] = "~nobody-of-this-name/x"
        result = ai8x("synthesize", *words, "-q")
        assert result.exit_code == 1, option
        assert "~nobody-of-this-name/x" in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (workspace.folder / "~nobody-of-this-name").exists()


@pytest.mark.parametrize("option", ["--sample-numpy-filename", "--write-network"])
@pytest.mark.parametrize("place", ["null", "folder", "file/inside", "~nobody-of-this-name/x"])
def test_further_results_in_bad_places(workspace, option, place):
    """Whatever cannot be written, nothing is: no project without the files that were asked for with it."""
    (workspace.folder / "null").symlink_to("/dev/null")
    (workspace.folder / "folder").mkdir()
    (workspace.folder / "file").write_text("mine")
    before = sorted(path.name for path in workspace.folder.rglob("*"))
    result = workspace.synthesize("-q", option, place)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert sorted(path.name for path in workspace.folder.rglob("*")) == before


def test_further_results_on_a_full_disk(workspace, monkeypatch):
    """A project is not written either if what belongs to it cannot be, nor the other way round."""
    from ai8x_tool import files
    from ai8x_tool.synthesis import project

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(path.name for path in workspace.folder.rglob("*"))
    for module, name in ((files, "_restore"), (project, "write_project")):
        monkeypatch.setattr(module, name, full)
        (workspace.folder / "expected.npy").touch()
        result = workspace.synthesize("-q", "--sample-numpy-filename", "expected.npy")
        assert result.exit_code == 1 and "No space left" in result.stderr
        (workspace.folder / "expected.npy").unlink()
        assert sorted(path.name for path in workspace.folder.rglob("*")) == before
        monkeypatch.undo()
        monkeypatch.chdir(workspace.folder)


def test_further_results_inside_the_project(workspace):
    for more in ((), ("--overwrite",)):
        names = ("--sample-numpy-filename", "out/a/expected.npy", "--log-intermediate", "--write-network", "out/n.yaml")
        assert workspace.synthesize(*names, *more).exit_code == 0
        assert np.load("out/a/expected.npy").shape == (5, 1, 1)
        assert (workspace.output / "n.yaml").is_file()
        assert (workspace.output / "intermediate/layer01-output.npy").is_file()


def test_overwriting_in_the_current_folder(workspace, ai8x, monkeypatch):
    assert workspace.synthesize("-q").exit_code == 0
    monkeypatch.chdir(workspace.output)
    (workspace.output / "notes.txt").write_text("mine")
    result = workspace.synthesize("-q", "--overwrite", output=".")
    assert result.exit_code == 0, result.stderr
    assert (workspace.output / "notes.txt").read_text() == "mine"
    assert not [name for name in os.listdir(".") if name.startswith(".ai8x")]  # noqa: PTH208  (where the shell stands)
