"""Where results go: nothing but regular files and folders is replaced, and errors are one line."""

from __future__ import annotations

import os

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


def test_other_results(workspace, ai8x):
    (workspace.folder / "null").symlink_to("/dev/null")
    result = workspace.synthesize("-q", "--sample-numpy-filename", workspace.folder / "null")
    assert result.exit_code == 1
    assert "no regular file" in result.stderr


def test_overwriting_in_the_current_folder(workspace, ai8x, monkeypatch):
    assert workspace.synthesize("-q").exit_code == 0
    monkeypatch.chdir(workspace.output)
    (workspace.output / "notes.txt").write_text("mine")
    result = workspace.synthesize("-q", "--overwrite", output=".")
    assert result.exit_code == 0, result.stderr
    assert (workspace.output / "notes.txt").read_text() == "mine"
    assert not [name for name in os.listdir(".") if name.startswith(".ai8x")]  # noqa: PTH208  (where the shell stands)
