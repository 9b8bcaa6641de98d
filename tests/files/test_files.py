"""Files appear whole or not at all; nothing but regular files is replaced."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from ai8x_tool import files
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import expand, remove_leftovers, remove_tree, temporary_folder, write_file
from tests.support.killed_processes import killed_at_each_step


@pytest.fixture
def umask():
    """Set the umask for one test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_new_and_existing_files(tmp_path):
    path = tmp_path / "a" / "b"
    for data in (b"one", b"two", memoryview(b"three")):
        write_file(data, path)
        assert path.read_bytes() == bytes(data)
        assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002, 0o000])
def test_umask(tmp_path, umask, mask):
    umask(mask)
    write_file(b"x", tmp_path / "file")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    with temporary_folder(tmp_path) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~mask


def test_permissions_stay(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    write_file(b"new", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_symbolic_links_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/file")
    for data in (b"new", b"newer"):
        write_file(data, tmp_path / "link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "elsewhere" / "file").read_bytes() == data
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def device(path):
    path.symlink_to("/dev/null")


def fifo(path):
    os.mkfifo(path)


def loop(path):
    path.symlink_to(path.name)


def inside_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("mine")


PLACES = {
    "device": (device, "no regular file"),
    "FIFO": (fifo, "no regular file"),
    "folder": (Path.mkdir, "a folder"),
    "loop": (loop, "symbolic links"),
    "inside a file": (inside_a_file, "Not a directory"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_other_places_are_refused(tmp_path, kind):
    make, words = PLACES[kind]
    path = tmp_path / "folder" / "target"
    path.parent.mkdir()
    make(path)
    before = os.lstat(path) if kind != "inside a file" else None
    with pytest.raises(Ai8xError, match=f"target: cannot be written: .*{words}") as caught:
        write_file(b"new", path)
    assert "\n" not in str(caught.value)
    assert before is None or os.lstat(path).st_ino == before.st_ino
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("name", ["n" * 256, "a\0b"])
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(Ai8xError, match="cannot be written"):
        write_file(b"new", tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_longest_name(tmp_path):
    write_file(b"new", tmp_path / ("n" * 255))
    assert (tmp_path / ("n" * 255)).read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_read_only_files_are_not_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(Ai8xError, match="Permission denied"):
        write_file(b"new", path)
    assert path.read_bytes() == b"old"


def test_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Ai8xError, match="file: cannot be written: No space left on device"):
        write_file(b"new", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_is_a_mount_point(tmp_path, monkeypatch):
    def busy(self, target):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    write_file(b"new", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_killed_writers(tmp_path):
    """The old file or the new one is there, and the next writer leaves nothing beside it."""
    path = tmp_path / "file"
    steps = list(killed_at_each_step(lambda: write_file(b"old", path), lambda: write_file(b"new", path)))
    assert len(steps) >= 3
    for _ in killed_at_each_step(lambda: write_file(b"old", path), lambda: write_file(b"new", path)):
        assert path.read_bytes() in (b"old", b"new")
        write_file(b"next", path)
        assert path.read_bytes() == b"next"
        assert list(tmp_path.iterdir()) == [path]


def test_writers_at_work_are_left_alone(tmp_path):
    with temporary_folder(tmp_path) as folder:
        (folder / "half").write_text("done")
        write_file(b"x", tmp_path / "other")
        remove_leftovers(tmp_path)
        assert (folder / "half").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_leftovers_of_others_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / ".ai8x-0.tmp").write_text("x")
    (tmp_path / ".ai8x-1.tmp").symlink_to(tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / ".ai8x-2.tmpx").write_text("x")
    monkeypatch.setattr(files.os, "geteuid", lambda: os.getuid() + 1)
    remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
    monkeypatch.undo()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ai8x-1.tmp", ".ai8x-2.tmpx", "mine"]


def test_trees_are_removed_without_following_links(tmp_path):
    mine, tree = tmp_path / "mine", tmp_path / "tree"
    mine.mkdir()
    (mine / "file").write_text("x")
    (tree / "deep" / "locked").mkdir(parents=True)
    (tree / "deep" / "locked" / "file").write_text("x")
    (tree / "deep" / "link").symlink_to(mine)
    (tree / "deep" / "locked").chmod(0o000)
    (tree / "deep").chmod(0o500)
    remove_tree(tree)
    assert not tree.exists()
    assert (mine / "file").exists()


def test_home_folders(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expand("~/x") == Path("/home/me/x")
    assert expand("x~") == Path("x~")
    with pytest.raises(Ai8xError, match=r"^~nobody-of-this-name/x: the home directory of this user is not known"):
        expand("~nobody-of-this-name/x")
