"""Projects appear complete or not at all; files of the user's own survive, whatever happens."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from ai8x_tool import folders
from ai8x_tool.codegen import write_project
from ai8x_tool.codegen.ide_files import kept_digests
from ai8x_tool.codegen.writer import check_folder
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import temporary_folder
from tests.support.killed_processes import killed_at_each_step

FILES = {
    "cnn.c": "int a;\n",
    "main.c": "int b;\n",
    "project.mk": "# settings\n",
    "weights.h": "#define W\n",
    ".vscode/settings.json": "{}\n",
}
NEW = {name: f"new {text}" for name, text in FILES.items()}
KEPT = ("project.mk", ".vscode/settings.json")


@pytest.fixture(params=["one step", "file by file"])
def way(request, monkeypatch):
    """How an existing folder is replaced: as this system does it, and as one without exchange does."""
    if request.param == "file by file":
        monkeypatch.setattr(folders, "exchange", lambda first, second: False)
    return request.param


def content(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def no_space(monkeypatch, after):
    """Let writing fail as on a full disk after some files."""
    original, written = Path.write_bytes, []

    def write_bytes(self, data):
        if len(written) == after:
            original(self, b"half of")
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(self)
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


# -- New folders -----------------------------------------------------------------------------------------------------


def test_new_folder(tmp_path):
    folder = tmp_path / "a" / "b" / "project"
    write_project(FILES, folder, overwrite=False)
    assert content(folder) == FILES
    assert list(folder.parent.iterdir()) == [folder]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_project(FILES, tmp_path / "project", overwrite=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "project").stat().st_mode) == 0o777 & ~mask
    assert stat.S_IMODE((tmp_path / "project" / "cnn.c").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("after", range(4))
def test_full_disk_leaves_nothing(tmp_path, monkeypatch, after):
    no_space(monkeypatch, after)
    with pytest.raises(Ai8xError, match=r"project: cannot be written: No space left on device"):
        write_project(FILES, tmp_path / "project", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_interruption_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_project(FILES, tmp_path / "project", overwrite=False)
    assert not list(tmp_path.iterdir())


def test_existing_folder(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Ai8xError, match=r"project: the output folder exists \(add --overwrite"):
        write_project(FILES, folder, overwrite=False)
    assert content(folder) == {"notes.txt": "mine"}


def test_empty_folder_can_be_filled(tmp_path, way):
    folder = tmp_path / "project"
    folder.mkdir()
    write_project(FILES, folder, overwrite=False)
    assert content(folder) == FILES


def test_places_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in {
        "file": "is a file",
        "fifo": "is a file",
        "loop": "symbolic links",
        "file/project": "Not a directory",
        "n" * 256: "too long",
        "a\0b": "null",
    }.items():
        for overwrite in (False, True):
            with pytest.raises(Ai8xError, match=words) as caught:
                write_project(FILES, tmp_path / name, overwrite=overwrite)
            assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "x"
    assert len(list(tmp_path.iterdir())) == 3


# -- Existing ones ---------------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path):
    """A project with files of the user's own in it."""
    folder = tmp_path / "project"
    write_project({**FILES, "main_riscv.c": "old", "Makefile.ARM": "old"}, folder, overwrite=False)
    (folder / "project.mk").write_text("BOARD = FTHR_RevA\n")
    (folder / "cnn.c").write_text("edited")
    (folder / "src").mkdir()
    (folder / "src" / "mine.c").write_text("mine")
    (folder / "src" / "mine.c").chmod(0o600)
    (folder / "empty").mkdir(mode=0o700)
    (folder / "link").symlink_to("nowhere")
    os.mkfifo(folder / "fifo")
    folder.chmod(0o750)
    return folder


def check_project(folder):
    """The generated files are the new ones, the user's are as they were."""
    expected = {**NEW, **{name: FILES[name] for name in KEPT}, "project.mk": "BOARD = FTHR_RevA\n"}
    assert content(folder) == {**expected, "src/mine.c": "mine"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE((folder / "src" / "mine.c").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "empty").stat().st_mode) == 0o700
    assert (folder / "link").readlink() == Path("nowhere")
    assert (folder / "fifo").is_fifo()
    assert not list(folder.rglob(".ai8x*"))


def test_overwriting_keeps_what_is_the_users(project, way):
    own = (project / "src" / "mine.c").stat()
    write_project(NEW, project, overwrite=True)
    check_project(project)
    assert (project / "src" / "mine.c").stat().st_ino == own.st_ino
    assert list(project.parent.iterdir()) == [project]


def test_one_step_changes_the_folder_itself(project):
    first, second = project.parent / "first", project.parent / "second"
    first.mkdir()
    second.mkdir()
    if not folders.exchange(first, second):
        pytest.skip("this system cannot exchange folders")
    before = project.stat().st_ino
    write_project(NEW, project, overwrite=True)
    assert project.stat().st_ino != before


@pytest.mark.parametrize("after", range(4))
def test_full_disk_changes_nothing(project, monkeypatch, way, after):
    before = content(project)
    no_space(monkeypatch, after)
    with pytest.raises(Ai8xError, match=r"cannot be written: No space left"):
        write_project(NEW, project, overwrite=True)
    assert content(project) == before
    assert list(project.parent.iterdir()) == [project]


def test_current_folder(project, monkeypatch):
    """The folder stays the same: shells stand in it."""
    before = project.stat().st_ino
    monkeypatch.chdir(project / "src")
    write_project(NEW, Path(".."), overwrite=True)
    monkeypatch.chdir(project)
    write_project(NEW, Path(), overwrite=True)
    check_project(project)
    assert project.stat().st_ino == before


def test_symbolic_links_are_followed(project):
    link = project.parent / "link"
    link.symlink_to(project)
    write_project(NEW, link, overwrite=True)
    assert link.is_symlink()
    check_project(project)
    (project.parent / "dangling").symlink_to("other")
    write_project(FILES, project.parent / "dangling", overwrite=False)
    assert content(project.parent / "other") == FILES


def test_mount_point(project, monkeypatch):
    monkeypatch.setattr(Path, "is_mount", lambda self: self == project)
    before = project.stat().st_ino
    write_project(NEW, project, overwrite=True)
    check_project(project)
    assert project.stat().st_ino == before


@pytest.mark.parametrize("call", ["link", "mkdir"])
def test_where_files_cannot_be_linked_or_the_parent_is_not_writable(project, monkeypatch, call):
    original = getattr(os, call)

    def refused(path, *arguments, **options):
        if call == "mkdir" and Path(path).parent != project.parent:
            return original(path, *arguments, **options)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, call, refused)
    write_project(NEW, project, overwrite=True)
    check_project(project)


def test_own_files_in_the_place_of_generated_ones(project, way):
    (project / "weights.h").unlink()
    (project / "weights.h").mkdir()
    (project / "weights.h" / "mine").write_text("mine")
    before = content(project)
    with pytest.raises(Ai8xError, match=r"weights\.h is a folder, but a generated file has the same name"):
        write_project(NEW, project, overwrite=True)
    assert content(project) == before


@pytest.mark.parametrize("link", [True, False])
def test_settings_kept_elsewhere(project, way, link):
    """The folder of the editor's settings is a link, or something else: it stays."""
    shutil.rmtree(project / ".vscode")
    if link:
        (project.parent / "settings").mkdir()
        (project / ".vscode").symlink_to("../settings")
    else:
        (project / ".vscode").write_text("mine")
    write_project(NEW, project, overwrite=True)
    assert (project / ".vscode").is_symlink() == link
    assert link or (project / ".vscode").read_text() == "mine"
    assert (project / "cnn.c").read_text() == NEW["cnn.c"]


@pytest.mark.parametrize("listed", [True, False, "damaged"])
def test_editor_files_are_refreshed_unless_they_were_changed(tmp_path, way, listed):
    """Those that are as they were generated are replaced; what was changed, or may have been, stays."""

    def files(version):
        texts = {name: f"{version} {text}" for name, text in FILES.items()} | {".vscode/tasks.json": version}
        known = {"damaged": "[", True: json.dumps({"generated": kept_digests(texts)}), False: "{}"}[listed]
        return {**texts, "interface.json": known}

    folder = tmp_path / "project"
    write_project(files("old"), folder, overwrite=False)
    (folder / "project.mk").write_text("BOARD = mine")
    (folder / ".vscode" / "tasks.json").unlink()
    for version in ("new", "newer"):
        write_project(files(version), folder, overwrite=True)
        shown = version if listed is True else "old"
        assert (folder / ".vscode" / "settings.json").read_text() == f"{shown} {{}}\n"
        assert (folder / "project.mk").read_text() == "BOARD = mine"
    assert (folder / ".vscode" / "tasks.json").read_text() == ("newer" if listed is True else "new")


def test_another_process_at_work(project, way):
    with folders.locked(project):
        if way == "file by file":
            with pytest.raises(Ai8xError, match="another process is writing there"):
                write_project(NEW, project, overwrite=True)
        else:
            write_project(NEW, project, overwrite=True)


@pytest.mark.parametrize("changed", [False, True], ids=["as generated", "changed"])
def test_files_of_the_former_name(tmp_path, way, changed):
    """A file named after the project goes with its name, unless the user has changed it; others outside never do."""
    folder, outside = tmp_path / "project", tmp_path / "other.launch"
    outside.write_text("x")
    launch = {"old.launch": "x"}
    known = kept_digests({**launch, "../other.launch": "x", ".vscode/gone.json": "x"})
    write_project({**FILES, **launch, "interface.json": json.dumps({"generated": known})}, folder, overwrite=False)
    (folder / ".vscode").mkdir(exist_ok=True)
    (folder / ".vscode" / "gone.json").write_text("x")
    if changed:
        (folder / "old.launch").write_text("mine")
    write_project({**FILES, "new.launch": "y"}, folder, overwrite=True)
    assert (folder / "old.launch").exists() == changed
    assert (folder / "new.launch").read_text() == "y"
    assert outside.read_text() == "x" and (folder / ".vscode" / "gone.json").exists()


# -- Killed processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_each_step(tmp_path, way):
    """Old or new project is there, whole, at once or after the next run; nothing is lost, and nothing is left."""
    folder = tmp_path / "project"

    def prepare():
        shutil.rmtree(folder, ignore_errors=True)
        write_project({**FILES, "sampleoutput.h": "old"}, folder, overwrite=False)
        (folder / "mine").mkdir()
        (folder / "mine" / "notes.txt").write_text("mine")

    own = {"mine/notes.txt": "mine"}
    old = {**FILES, "sampleoutput.h": "old", **own}
    new = {**NEW, **{name: FILES[name] for name in KEPT}, **own}
    seen = []
    for step in killed_at_each_step(prepare, lambda: write_project(NEW, folder, overwrite=True)):
        if way == "one step":
            assert content(folder) in (old, new)
        with pytest.raises(Ai8xError, match="the output folder exists"):
            check_folder(folder, overwrite=False)
        assert content(folder) in (old, new)
        seen.append(content(folder) == new)
        if step % 2:
            write_project(NEW, folder, overwrite=True)
            assert content(folder) == new
        with temporary_folder(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["project"]
    assert any(seen)
    assert not all(seen)
    assert seen == sorted(seen)


def test_killed_while_the_first_is_written(tmp_path):
    folder = tmp_path / "project"
    for _ in killed_at_each_step(
        lambda: shutil.rmtree(folder, ignore_errors=True), lambda: write_project(FILES, folder, overwrite=False)
    ):
        assert not folder.exists() or content(folder) == FILES
        shutil.rmtree(folder, ignore_errors=True)
        write_project(FILES, folder, overwrite=False)
        assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_what_others_left_reaches_nothing_outside(tmp_path):
    """A folder from elsewhere may claim that something was begun in it."""
    outside, folder = tmp_path / "outside", tmp_path / "project"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / ".ai8x-commit" / "former").mkdir(parents=True)
    (folder / ".ai8x-commit" / "files").symlink_to(outside)
    write_project(FILES, folder, overwrite=True)
    assert content(folder) == FILES
    assert content(outside) == {"secret": "secret"}
    (folder / ".ai8x-commit").symlink_to(outside)
    write_project(FILES, folder, overwrite=True)
    assert content(outside) == {"secret": "secret"}
