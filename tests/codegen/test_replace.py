"""Replacing a project: all files or none, the user's own stay, those of former options go."""

from pathlib import Path

import pytest

from ai8x_tool.codegen import write_project
from ai8x_tool.errors import Ai8xError


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_failure_leaves_the_old_project(tmp_path, monkeypatch):
    folder, files = tmp_path / "project", {"cnn.c": "old", "main.c": "old"}
    write_project(files, folder, overwrite=False)
    rename, calls = Path.rename, []

    def failing(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(Ai8xError, match="No space left"):
        write_project(dict.fromkeys(files, "new"), folder, overwrite=True)
    assert content(folder) == files
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_own_files_stay_and_former_ones_go(tmp_path):
    folder = tmp_path / "project"
    write_project({"cnn.c": "old", "main_riscv.c": "old", "project.mk": "default"}, folder, overwrite=False)
    (folder / "src").mkdir()
    (folder / "src" / "mine.c").write_text("mine")
    (folder / "project.mk").write_text("mine")
    write_project({"cnn.c": "new", "project.mk": "default"}, folder, overwrite=True)
    assert content(folder) == {"cnn.c": "new", "project.mk": "mine", "src/mine.c": "mine"}
