from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError


def _idx(values: np.ndarray) -> bytes:
    header = np.array([0x0800 + values.ndim, *values.shape], dtype=">u4").tobytes()
    return header + values.astype(np.uint8).tobytes()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Four digits for training, unpacked, and two for the test, compressed."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = np.arange(6 * 28 * 28).reshape(6, 28, 28) % 256
    (raw / "train-images-idx3-ubyte").write_bytes(_idx(images[:4]))
    (raw / "train-labels-idx1-ubyte").write_bytes(_idx(np.array([3, 1, 4, 1])))
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(_idx(images[4:])))
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(np.array([5, 9]))))
    return tmp_path


def test_reads_packed_and_unpacked_files(mnist: ModuleType, small: Path, console: Console) -> None:
    entry = mnist.datasets[0]
    data = entry.load(small, console)
    assert (len(data.train), data.validation, len(data.test)) == (4, None, 2)
    assert data.test.targets.tolist() == [5, 9] and data.train.targets.dtype == torch.int64
    inputs, targets = data.train.batch(torch.tensor([2, 0]))
    assert inputs.shape == (2, *entry.input) and inputs.dtype == torch.float32 and targets.tolist() == [4, 3]
    pixels = torch.arange(784).reshape(1, 28, 28) + 2 * 784
    assert torch.equal(data.train.raw[2].long(), pixels % 256)
    assert entry.labels == tuple("0123456789") and entry.class_weights is None and entry.note is None


def test_test_part_is_never_augmented(mnist: ModuleType, small: Path, console: Console) -> None:
    part = mnist.datasets[0].load(small, console).test
    with_generator = part.batch(torch.arange(2), torch.Generator().manual_seed(1))[0]
    assert torch.equal(with_generator, part.batch(torch.arange(2))[0])


@pytest.mark.parametrize(
    ("byte", "expected"), [(0, -128), (64, -64), (127, -1), (128, 1), (191, 64), (254, 127), (255, 127)]
)
def test_normalization_table(mnist: ModuleType, byte: int, expected: int) -> None:
    assert mnist.normalize(torch.tensor([byte], dtype=torch.uint8)).item() == expected


def test_normalization_of_every_byte(mnist: ModuleType) -> None:
    byte = torch.arange(256)
    expected = torch.where((byte <= 127) | (byte == 255), byte - 128, byte - 127)
    assert torch.equal(mnist.normalize(byte.to(torch.uint8)).long(), expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", _idx(np.zeros((4, 28, 28)))[:-1], "truncated or damaged IDX file: 3151 bytes"),
        ("train-images-idx3-ubyte", _idx(np.zeros((4, 27, 28))), "not an IDX file of unsigned bytes N×28×28"),
        ("train-images-idx3-ubyte", b"", "not an IDX file"),
        ("train-labels-idx1-ubyte", _idx(np.zeros(5)), "5 labels for 4 images"),
        ("train-labels-idx1-ubyte", _idx(np.array([1, 2, 3, 10])), "label 10 is not 0 … 9"),
        ("train-labels-idx1-ubyte", b"<html>" * 9, "not an IDX file"),
        (
            "t10k-images-idx3-ubyte.gz",
            gzip.compress(_idx(np.zeros((2, 28, 28))), mtime=0)[:-9],
            "cannot read the IDX file",
        ),
        ("t10k-images-idx3-ubyte.gz", b"<html>", "cannot read the IDX file"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(bytes(1 << 27), 1), "more than 67,108,864 bytes unpacked"),
    ],
)
def test_damaged_files_are_named(
    mnist: ModuleType, small: Path, console: Console, name: str, content: bytes, message: str
) -> None:
    path = small / "MNIST" / "raw" / name
    path.write_bytes(content)
    with pytest.raises(Ai8xError, match=message) as caught:
        mnist.datasets[0].load(small, console)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_without_network(
    mnist: ModuleType, small: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    (small / "MNIST/raw/train-labels-idx1-ubyte").unlink()
    with pytest.raises(Ai8xError, match=r"put train-labels-idx1-ubyte\.gz into .*raw") as caught:
        mnist.datasets[0].load(small, console)
    assert "\n" not in str(caught.value)


def test_augmentation_is_driven_by_the_generator_alone(mnist: ModuleType) -> None:
    raw = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    before = raw.clone()
    results = [mnist.augment(raw, torch.arange(5), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert results[0].shape == raw.shape and results[0].dtype == torch.uint8
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert torch.equal(raw, before)


def _moments(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the centers x, y in pixels and the angle of the main axis in degrees of images (B, 1, 28, 28)."""
    mass = images[:, 0].double()
    mass = mass / mass.sum(dim=(1, 2), keepdim=True)
    grid = torch.arange(28, dtype=torch.float64)
    x, y = (mass.sum(1) * grid).sum(1), (mass.sum(2) * grid).sum(1)
    dx, dy = grid - x[:, None], grid - y[:, None]
    xx, yy = (mass.sum(1) * dx**2).sum(1), (mass.sum(2) * dy**2).sum(1)
    xy = (mass * dx[:, None, :] * dy[:, :, None]).sum((1, 2))
    return x, y, torch.rad2deg(0.5 * torch.atan2(2 * xy, xx - yy))


def test_augmentation_moves_by_crop_and_translation(mnist: ModuleType) -> None:
    raw = torch.zeros(6000, 1, 28, 28, dtype=torch.uint8)
    raw[:, :, 12:16, 12:16] = 255
    x, y, _ = _moments(mnist.augment(raw, torch.arange(6000), torch.Generator().manual_seed(3)))
    # Crop: -4…4, standard deviation 2.58. Translation: ±2.8, rounded to -3…3, 1.65. Together 3.06. The rotation turns
    # the result of the crop about the center: at most 4·(cos 20° + sin 25°) + 3.
    for center in (x - 13.5, y - 13.5):
        assert center.abs().max() < 9 and center.abs().max() > 6
        assert center.mean().abs() < 0.2
        assert abs(center.std() - 3.06) < 0.15


def test_augmentation_rotates_and_shears(mnist: ModuleType) -> None:
    bar = torch.zeros(4000, 1, 28, 28, dtype=torch.uint8)
    bar[:, :, 13:15, 8:20] = 255
    generator = torch.Generator().manual_seed(4)
    along_x = _moments(mnist.augment(bar, torch.arange(4000), generator))[2]
    along_y = _moments(mnist.augment(bar.transpose(2, 3), torch.arange(4000), generator))[2]
    along_y = (along_y % 180) - 90
    # Uniform ±20 has a standard deviation of 11.5; with a shear of ±5 it is 11.9, and 25 at most.
    assert 19 < along_x.abs().max() < 23 and abs(along_x.std() - 11.55) < 0.6
    assert 22 < along_y.abs().max() < 28 and abs(along_y.std() - 11.9) < 0.6


def test_the_real_set(mnist: ModuleType, shared_data: Path, console: Console) -> None:
    data = mnist.datasets[0].load(shared_data, console)
    assert (len(data.train), len(data.test), data.validation) == (60000, 10000, None)
    assert torch.bincount(data.train.targets).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    ]
    assert data.test.targets[:5].tolist() == [7, 2, 1, 0, 4]
    inputs, _ = data.train.batch(torch.arange(256))
    assert inputs.min() == -128 and inputs.max() == 127 and not (inputs == 0).any()
    assert torch.equal(inputs, inputs.round())


def test_read_only_folder_is_enough(
    mnist: ModuleType, small: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(f"read-only: {path}")

    for name in ("mkdir", "write_bytes", "write_text", "touch", "unlink", "rename", "replace"):
        monkeypatch.setattr(Path, name, refuse)
    before = sorted(path.name for path in (small / "MNIST/raw").iterdir())
    assert len(mnist.datasets[0].load(small, console).train) == 4
    assert sorted(path.name for path in (small / "MNIST/raw").iterdir()) == before
    monkeypatch.undo()
    shutil.rmtree(small / "MNIST")
