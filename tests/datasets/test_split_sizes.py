"""The splits of the published datasets have their known sizes; indexes of as many files stand for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ai8x_tool.plugins.find import load_plugin
from ai8x_tool.training.setup import _samples

ROOT = Path(__file__).resolve().parents[2]
aisegment, camvid, kinetics, motor, pascal, qrcode = (
    load_plugin(ROOT / "datasets" / f"{name}.py")
    for name in ("aisegment", "camvid", "kinetics", "samplemotordatalimerick", "pascal_voc", "qrcode")
)


@pytest.mark.parametrize(
    ("images", "overlap", "crops"), [(369, camvid.LARGE.train, 4428), (232, camvid.LARGE.test, 1392)]
)
def test_crops_of_street_scenes(images: int, overlap: tuple[int, int], crops: int) -> None:
    assert images * len(list(camvid.windows((720, 960), 352, overlap))) == crops


def test_windows_of_vibrations() -> None:
    """Ten recordings of two seconds, 20,000 samples each."""
    count = len(motor.spectra(np.zeros((40000, 3))))
    train = int(motor.TRAINING_SHARE * count)
    assert (count, 10 * train, 10 * (count - train)) == (29, 230, 60)


@pytest.mark.parametrize(
    ("kind", "train", "test"), [("plain", 10000, 2000), ("points", 10000, 2500), ("extended", 13000, 3250)]
)
def test_drawn_codes(
    kind: str, train: int, test: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: object
) -> None:
    monkeypatch.setattr(qrcode, "image_files", lambda folder: [folder / f"{number}.jpg" for number in range(5)])
    seen = []
    monkeypatch.setattr(qrcode, "_backgrounds", lambda _root, _name, files, _console: seen.append(files))
    data = qrcode.load(tmp_path, console, kind=kind)
    assert (len(data.train), len(data.test)) == (train, test)
    assert [len(files) for files in seen] == [5, 4]  # backgrounds of the test: the last four fifths


@pytest.mark.parametrize(("split", "count"), [("train", 5011 + 11540), ("test", 4952)])
def test_photographs_of_objects(
    split: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: object
) -> None:
    lists = {("VOC2007", "trainval"): 5011, ("VOC2012", "trainval"): 11540, ("VOC2007", "test"): 4952}
    for (year, part), size in lists.items():
        path = tmp_path / "VOCdevkit" / year / "ImageSets" / "Main" / f"{part}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{number:06}\n" for number in range(size)))

    def stored(_folder: Path, _name: str, key: dict[str, list[str]], _build: object) -> dict[str, torch.Tensor]:
        return dict.fromkeys(("images-pixels", "images-places", "objects"), torch.zeros(len(key["images"]), 1))

    monkeypatch.setattr(pascal, "cached_arrays", stored)
    assert len(pascal._split(tmp_path, split, console)) == count


def test_portraits_for_the_test_are_one_in_ten() -> None:
    names = [Path(f"1803{number:06}-0000000{number % 7}.jpg") for number in range(20000)]
    assert abs(sum(map(aisegment.in_test, names)) / len(names) - 0.1) < 0.01


def test_videos_of_a_class_are_limited(tmp_path: Path) -> None:
    assert kinetics.MOST == {"train": 2000, "test": 150}
    for name in ("pull ups", "push up", "situp", "squat", "juggling", "zumba"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.mp4").touch()
    numbers = [number for _, number in kinetics.listed(tmp_path, 2)]
    assert numbers == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize(("count", "train", "validation"), [(60000, 54000, 6000), (20000, 18000, 2000)])
def test_samples_that_are_held_back(count: int, train: int, validation: int) -> None:
    """MNIST, and cats and dogs: a tenth of the training."""
    split = [None] * count
    data = SimpleNamespace(train=split, held_back=split, test=[None], validation=None)
    epochs = SimpleNamespace(validation_split=0.1, sample_fraction=1.0)
    parts = _samples(SimpleNamespace(truncate_testset=False), epochs, data, 0)
    assert [len(part) for part in parts] == [train, validation, 1]
