"""Projects appear complete or not at all; files of the user's own survive."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ai8x_tool.codegen import write_project
from ai8x_tool.errors import Ai8xError

FILES = {"cnn.c": "int a;\n", "main.c": "int b;\n", "project.mk": "# settings\n", "weights.h": "#define W\n"}


def content(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def no_space(monkeypatch, after):
    """Let writing fail as on a full disk after some files."""
    original, written = Path.write_text, []

    def write_text(self, *arguments, **options):
        if len(written) == after:
            original(self, "half of")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(self)
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write_text)


def test_new_folder(tmp_path):
    folder = tmp_path / "a" / "b" / "project"
    write_project(FILES, folder, overwrite=False)
    assert content(folder) == FILES
    assert list(folder.parent.iterdir()) == [folder]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_existing_folder(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Ai8xError, match=r"project: the output folder exists \(add --overwrite"):
        write_project(FILES, folder, overwrite=False)
    assert content(folder) == {"notes.txt": "mine"}


def test_empty_folder_can_be_filled(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    write_project(FILES, folder, overwrite=False)
    assert content(folder) == FILES


def test_overwriting_keeps_what_is_the_users(tmp_path):
    folder = tmp_path / "project"
    write_project(FILES, folder, overwrite=False)
    (folder / "project.mk").write_text("BOARD = FTHR_RevA\n")
    (folder / "cnn.c").write_text("edited")
    (folder / "notes.txt").write_text("mine")
    write_project({**FILES, "weights.h": "#define V\n"}, folder, overwrite=True)
    expected = {**FILES, "weights.h": "#define V\n", "project.mk": "BOARD = FTHR_RevA\n", "notes.txt": "mine"}
    assert content(folder) == expected
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("after", range(4))
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, after):
    no_space(monkeypatch, after)
    with pytest.raises(Ai8xError, match=r"project: cannot be written: No space left on device"):
        write_project(FILES, tmp_path / "project", overwrite=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("after", range(4))
def test_full_disk_changes_nothing(tmp_path, monkeypatch, after):
    folder = tmp_path / "project"
    write_project(FILES, folder, overwrite=False)
    no_space(monkeypatch, after)
    with pytest.raises(Ai8xError, match=r"cannot be written"):
        write_project(dict.fromkeys(FILES, "new"), folder, overwrite=True)
    assert content(folder) == FILES
    assert list(tmp_path.iterdir()) == [folder]


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_project(FILES, tmp_path / "project", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_output_that_is_a_file(tmp_path):
    (tmp_path / "project").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(Ai8xError, match=r"the output is a file"):
            write_project(FILES, tmp_path / "project", overwrite=overwrite)
    assert (tmp_path / "project").read_text() == "x"


def test_parent_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Ai8xError, match=r"cannot be written"):
        write_project(FILES, tmp_path / "file" / "project", overwrite=False)
