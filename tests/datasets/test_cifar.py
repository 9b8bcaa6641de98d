"""CIFAR-10 and CIFAR-100 in their layout on disk."""

from __future__ import annotations

import io
import os
import pickle
import tarfile

import numpy as np
import pytest
import torch

from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.plugins.load import load_plugin


@pytest.fixture(scope="module")
def cifar(root):
    return load_plugin(root / "datasets" / "cifar.py")


def images(count, first=0):
    return (np.arange(count * 3072) + first).reshape(count, 3072).astype(np.uint8)


def batch(count, key, labels, first=0):
    return pickle.dumps({b"data": images(count, first), key: labels, b"filenames": [b"a.png"] * count}, protocol=2)


@pytest.fixture
def ten(tmp_path):
    """Two images in each of five batches, and three for the test, unpacked."""
    folder = tmp_path / "CIFAR10" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(batch(2, b"labels", [number, 9], number))
    (folder / "test_batch").write_bytes(batch(3, b"labels", [0, 1, 2]))
    return tmp_path


def test_unpacked_files(ten, console):
    entry = find_dataset("CIFAR10")
    data = entry.load(ten, console)
    assert (len(data.train), data.validation, len(data.test)) == (10, None, 3)
    assert data.train.targets.tolist() == [1, 9, 2, 9, 3, 9, 4, 9, 5, 9] and data.test.targets.tolist() == [0, 1, 2]
    assert torch.equal(data.train.raw[2].flatten(), torch.from_numpy(images(2, 2)[0]))
    inputs, targets = data.test.batch(torch.tensor([2, 0]), torch.Generator())
    assert inputs.shape == (2, *entry.input) and targets.tolist() == [2, 0]
    values = images(3)[0].reshape(3, 32, 32).astype(float)
    assert np.array_equal(inputs[1].numpy(), np.clip(np.round((values / 255 - 0.5) * 256), -128, 127))


def test_an_archive_is_read_where_it_is(tmp_path, console):
    folder = tmp_path / "CIFAR100"
    folder.mkdir()
    with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
        for name, content in (
            ("cifar-100-python/train", batch(4, b"fine_labels", [0, 99, 5, 5])),
            ("cifar-100-python/test", batch(1, b"fine_labels", [7])),
            ("../outside", b"x"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    entry = find_dataset("CIFAR100")
    data = entry.load(tmp_path, console)
    assert len(data.train) == 4 and data.train.targets.tolist() == [0, 99, 5, 5] and len(data.test) == 1
    assert len(entry.labels) == len(set(entry.labels)) == 100 and list(entry.labels) == sorted(entry.labels)
    assert not (tmp_path / "outside").exists() and [path.name for path in folder.iterdir()] == [archive_name(folder)]


def archive_name(folder):
    return f"{folder.name[:5].lower()}-{folder.name[5:]}-python.tar.gz"


def test_augmented_images_are_moved_and_mirrored(cifar):
    raw = torch.arange(1, 3 * 32 * 32 + 1).remainder(255).add(1).to(torch.uint8).view(1, 3, 32, 32).repeat(200, 1, 1, 1)
    moved = cifar.augment(raw, torch.arange(200), torch.Generator().manual_seed(3))
    padded = torch.nn.functional.pad(raw[0], (4, 4, 4, 4))
    ways = {
        (row, column, mirrored): padded[:, row : row + 32, column : column + 32].flip(2 if mirrored else ())
        for row in range(9)
        for column in range(9)
        for mirrored in (False, True)
    }
    found = [next(way for way, image in ways.items() if torch.equal(image, one)) for one in moved]
    assert len({row for row, _, _ in found}) == len({column for _, column, _ in found}) == 9
    assert 70 < sum(mirrored for _, _, mirrored in found) < 130


class Harmful:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (batch(2, b"labels", [1]), "1 class numbers for 2 images"),
        (batch(2, b"labels", [1, 10]), "class numbers 1 to 10"),
        (batch(2, b"other", [1, 2]), "not a batch of images"),
        (b"not a pickle", "not a batch of images"),
        (pickle.dumps({b"data": Harmful()}), "asks for posix.system, which no batch contains"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 2]}), "an array of type 'f4'"),
        (pickle.dumps({b"data": np.zeros((2, 100), np.uint8), b"labels": [1, 2]}), "not a batch of images"),
    ],
    ids=["count", "class", "key", "bytes", "harmful", "reals", "size"],
)
def test_damaged_files_are_one_line(ten, console, content, words):
    (ten / "CIFAR10" / "cifar-10-batches-py" / "data_batch_3").write_bytes(content)
    with pytest.raises(Ai8xError) as caught:
        find_dataset("CIFAR10").load(ten, console)
    assert words in str(caught.value) and "data_batch_3" in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(ten, console):
    (ten / "CIFAR10" / "cifar-10-batches-py" / "data_batch_5").unlink()
    with pytest.raises(Ai8xError, match="has no file 'data_batch_5'"):
        find_dataset("CIFAR10").load(ten, console)
