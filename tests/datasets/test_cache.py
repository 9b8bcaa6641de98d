from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_tool.data.cache import ArrayWriter, cached_arrays, open_arrays
from ai8x_tool.errors import Ai8xError

KEY = {"version": 1, "speeds": (1.0, 0.9)}


def _build(folder: Path) -> None:
    with ArrayWriter(folder / "data.npy", (3,), np.uint8) as writer:
        for start in range(0, 300, 50):
            writer.append(np.arange(start, start + 50).repeat(3).reshape(50, 3).astype(np.uint8))
    np.save(folder / "words.npy", np.arange(300))


def test_builds_once_and_maps(tmp_path: Path) -> None:
    calls = []

    def build(folder: Path) -> None:
        calls.append(folder)
        _build(folder)

    for _ in range(2):
        arrays = cached_arrays(tmp_path / "new", "set", KEY, build)
        assert arrays["data"].shape == (300, 3) and arrays["data"].dtype == torch.uint8
        assert arrays["data"][7].tolist() == [7, 7, 7]
        assert arrays["words"][-1] == 299
    assert len(calls) == 1
    assert open_arrays(tmp_path / "new", "set", KEY) is not None
    assert open_arrays(tmp_path / "new", "set", {**KEY, "version": 2}) is None


def test_files_are_ordinary_numpy_arrays(tmp_path: Path) -> None:
    cached_arrays(tmp_path, "set", KEY, _build)
    (path,) = tmp_path.glob("set-*/data.npy")
    assert np.load(path, allow_pickle=False).shape == (300, 3)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, Ai8xError])
def test_interrupted_build_leaves_no_cache(tmp_path: Path, interruption: type[BaseException]) -> None:
    def build(folder: Path) -> None:
        _build(folder)
        raise interruption("stop")

    with pytest.raises(interruption):
        cached_arrays(tmp_path, "set", KEY, build)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert cached_arrays(tmp_path, "set", KEY, _build)["words"].shape == (300,)


def test_leftover_of_a_killed_build_is_not_used(tmp_path: Path) -> None:
    cached_arrays(tmp_path, "set", KEY, _build)
    (complete,) = tmp_path.glob("set-*")
    unfinished = tmp_path / f".{complete.name}.part"
    complete.rename(unfinished)
    (unfinished / "stray.npy").write_bytes(b"")
    assert open_arrays(tmp_path, "set", KEY) is None
    assert set(cached_arrays(tmp_path, "set", KEY, _build)) == {"data", "words"}
    assert not unfinished.exists()


@pytest.mark.parametrize("damage", ["truncate", "delete", "index"])
def test_damaged_cache_is_built_again(tmp_path: Path, damage: str) -> None:
    cached_arrays(tmp_path, "set", KEY, _build)
    (folder,) = tmp_path.glob("set-*")
    if damage == "truncate":
        (folder / "data.npy").write_bytes((folder / "data.npy").read_bytes()[:-1])
    elif damage == "delete":
        (folder / "words.npy").unlink()
    else:
        (folder / "index.json").write_text("{")
    assert open_arrays(tmp_path, "set", KEY) is None
    assert cached_arrays(tmp_path, "set", KEY, _build)["data"].shape == (300, 3)


def test_unwritable_place_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Ai8xError, match=r"cannot write the prepared dataset.*--data") as caught:
        cached_arrays(tmp_path / "file", "set", KEY, _build)
    assert "\n" not in str(caught.value)


def test_writer_refuses_rows_that_do_not_fit(tmp_path: Path) -> None:
    with ArrayWriter(tmp_path / "a.npy", (2,), np.int16) as writer, pytest.raises(ValueError, match="do not match"):
        writer.append(np.zeros((4, 3), dtype=np.int16))
