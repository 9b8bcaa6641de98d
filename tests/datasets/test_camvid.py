"""Street scenes with a class for every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins import find as plugins
from tests.support import dataset_layouts as layouts

camvid = plugins.load_plugin(Path(__file__).resolve().parents[2] / "datasets" / "camvid.py")


@pytest.mark.parametrize(
    ("crops", "train", "test"), [(camvid.SMALL, (11, 15), (11, 15)), (camvid.LARGE, (3, 4), (2, 3))]
)
def test_windows(crops, train, test):
    for overlap, (rows, columns) in ((crops.train, train), (crops.test, test)):
        windows = list(camvid.windows((720, 960), crops.side, overlap))
        assert len(windows) == rows * columns
        assert all(down.stop <= 720 and right.stop <= 960 for down, right in windows)


def test_colors_become_classes():
    colors = np.array([(9 << 16) + (8 << 8) + 7, 5])
    pixels = np.array([[[9, 8, 7], [0, 0, 5]], [[0, 0, 6], [255, 255, 255]]], np.uint8)
    assert camvid.classes(pixels, colors).tolist() == [[1, 2], [0, 0]]


def test_both_sets_of_classes(tmp_path, console):
    layouts.camvid(tmp_path)
    few, all_ = (plugins.find_dataset(f"CamVid_s80_{name}") for name in ("c3", "c33"))
    assert len(few.labels) == 4 and len(all_.labels) == 33 and few.task == "segmentation"
    one, two = few.load(tmp_path, console).test, all_.load(tmp_path, console).test
    names = np.array(all_.labels)[two.targets.numpy()]
    expected = np.select([names == name for name in ("Building", "Sky", "Tree")], [0, 1, 2], 3)
    assert np.array_equal(one.targets.numpy(), expected) and set(np.unique(names)) == {"Building", "Sky", "Car"}


def test_large_crops_are_folded(tmp_path, console):
    layouts.camvid(tmp_path, size=(352, 352))
    entry = plugins.find_dataset("CamVid_s352_c3")
    part = entry.load(tmp_path, console).test
    inputs, targets = part.batch(torch.tensor([0]))
    assert inputs.shape == (1, *entry.input) == (1, 48, 88, 88) and targets.shape == (1, 352, 352)
    assert torch.equal(inputs[0, 3 * (4 * 1 + 2) + 1], part.raw[0, 1, 1::4, 2::4].float() - 128)


def test_what_is_wrong(tmp_path, console):
    load = plugins.find_dataset("CamVid_s80_c3").load
    with pytest.raises(Ai8xError, match="no images"):
        load(tmp_path, console)
    layouts.camvid(tmp_path)
    (tmp_path / "CamVid" / "train" / "scene_0.png").write_bytes(b"nothing")
    with pytest.raises(Ai8xError, match=r"scene_0.png: cannot be read as an image"):
        load(tmp_path, console)
    (tmp_path / "CamVid" / "class_dict.csv").write_text("name,r,g,b\nSky,1,2,3\n")
    with pytest.raises(Ai8xError, match="must list the classes"):
        load(tmp_path, console)
    (tmp_path / "CamVid" / "class_dict.csv").write_text("name;r\n")
    with pytest.raises(Ai8xError, match="must list the classes"):
        load(tmp_path, console)
