"""House numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins import find as plugins
from tests.support import dataset_layouts as layouts

svhn = plugins.load_plugin(Path(__file__).resolve().parents[2] / "datasets" / "svhn.py")


def test_objects_lie_where_the_digits_are(tmp_path, console):
    layouts.svhn(tmp_path)
    data = plugins.find_dataset("SVHN_74").load(tmp_path, console)
    assert (len(data.train), len(data.test)) == (24, 6) and data.train.targets.shape == (24, 6, 5)
    for pixels, objects in zip(data.train.raw.numpy(), data.train.targets.numpy(), strict=True):
        real = objects[objects[:, 4] > 0]
        assert 1 <= len(real) <= 2
        for x0, y0, x1, y1, label in real:
            left, top, right, bottom = (round(v * 74) for v in (x0, y0, x1, y1))
            inside = pixels[int(label) - 1, top + 2 : bottom - 2, left + 2 : right - 2]
            assert inside.mean() > 240 and bottom - top > 40
    simple = plugins.find_dataset("SVHN_74_simplified").load(tmp_path, console)
    assert set(np.unique(simple.train.targets[..., 4])) == {0, 1}


def test_crops():
    random = np.random.default_rng(1)
    pixels = np.arange(100 * 120 * 3).astype(np.uint8).reshape(100, 120, 3)
    window, objects = svhn.crop(pixels, np.array([[40.0, 30, 60, 70, 10]]), random)
    assert window.shape == (74, 74, 3)
    x0, y0, x1, y1, label = objects[0]
    assert (
        label == 10 and y0 * 74 == pytest.approx(round(6 * 74 / 52)) and y1 * 74 == pytest.approx(round(46 * 74 / 52))
    )
    assert (x1 - x0) * 52 == pytest.approx(20, abs=1)
    assert svhn.crop(pixels, np.array([[-1.0, 30, 60, 70, 1]]), random) is None
    whole = svhn.crop(pixels, np.array([[0.0, 0, 100, 100, 1]]), random)
    assert whole is not None and whole[1][0, :4].tolist() == [0, 0, 1, 1]  # no room for a margin


def test_what_is_wrong(tmp_path, console):
    load = plugins.find_dataset("SVHN_74").load
    with pytest.raises(Ai8xError, match=r"digitStruct\.mat: not found"):
        load(tmp_path, console)
    layouts.svhn(tmp_path)
    (tmp_path / "SVHN" / "train" / "digitStruct.mat").write_bytes(b"no HDF5")
    with pytest.raises(Ai8xError, match="cannot be read as the index of SVHN"):
        load(tmp_path, console)
