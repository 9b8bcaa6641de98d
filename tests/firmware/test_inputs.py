"""Files of the user's own as inputs: arrays of every type, and images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ai8x_tool.data.own.preprocessing import Preprocessing
from ai8x_tool.errors import Ai8xError
from ai8x_tool.inputs import inputs_of_file

SHAPE = (3, 4, 5)
IMAGES = Preprocessing("images", SHAPE, (100.0, 110.0, 120.0), (1.5, 1.0, 0.5), False, {"size": [4, 5], "channels": 3})
SOUND = Preprocessing("sound", (4, 8), (128.0,), (1.0,), False, {"rate": 16000, "window": 32})
SERIES = Preprocessing("series", (2, 3), (1.0, 0.0), (10.0, 10.0), False, {"columns": ["0", "1"], "window": 3})


@pytest.fixture
def frames():
    """The frames of the first input of each file."""
    return []


@pytest.fixture
def inputs(tmp_path, frames):
    """A function: array or image, shape, preprocessing -> the inputs."""

    def of(content, shape=SHAPE, known=None, name="x.npy"):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, content)
        else:
            from torchvision.io import write_png

            write_png(torch.from_numpy(content.transpose(2, 0, 1).copy()), str(path))
        found = inputs_of_file(path, shape, None if known is None else known.document(), "interface.json")
        frames.append(found[0].frame)
        return [each.values for each in found]

    return of


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 256, (4, 5, 3), np.uint8)


@pytest.mark.parametrize("known", [None, IMAGES])
def test_integers_are_inputs(inputs, pixels, known):
    expected = pixels.transpose(2, 0, 1).astype(np.int64) - 128
    for kind in (np.int8, np.int16, np.int32, np.int64):
        (found,) = inputs(expected.astype(kind), known=known)
        assert (found == expected).all()
    (found,) = inputs(np.moveaxis(expected, 0, -1).astype(np.int16), known=known)
    assert (found == expected).all()


def test_bytes(inputs, pixels):
    """Pixels, in either order; by the preprocessing where there is one."""
    planar = pixels.transpose(2, 0, 1)
    for array in (pixels, planar):
        (found,) = inputs(array)
        assert (found == planar.astype(int) - 128).all()
        (found,) = inputs(array, known=IMAGES)
        expected = IMAGES.integers(torch.from_numpy(planar.copy())[None])[0].numpy()
        assert (found == expected).all()


def test_numbers(inputs, pixels):
    """−1 … 1, as the trained model takes them."""
    planar = pixels.transpose(2, 0, 1).astype(np.int64) - 128
    for known in (None, IMAGES):
        (found,) = inputs((planar / 128).astype(np.float32), known=known)
        assert (found == planar).all()
    (found,) = inputs(np.ones(SHAPE))
    assert (found == 127).all()


def test_images(inputs, pixels, frames):
    (found,) = inputs(pixels, name="x.png")
    assert (found == pixels.transpose(2, 0, 1).astype(int) - 128).all()
    assert (inputs(pixels, known=IMAGES, name="x.png")[0] == inputs(pixels, known=IMAGES)[0]).all()
    assert frames == [pixels.tobytes()] * 3


def test_sounds_and_tables(inputs):
    sound = np.arange(32, dtype=np.uint8) + 100
    (found,) = inputs(sound, (4, 8, 1), SOUND)
    assert found.shape == (4, 8)
    assert found.T.reshape(-1).tolist() == (sound.astype(int) - 128).tolist()
    table = np.array([[1, 0], [2, 1], [3, 2], [1, 0], [1, 0], [1, 0], [9, 9]], np.float64)
    first, second = inputs(table, (2, 3, 1), SERIES)
    assert first.reshape(2, 3).tolist() == [[0, 10, 20], [0, 10, 20]]
    assert not second.any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 5, 4), np.uint8), "the sample is 3×5×4, this project takes 3×4×5"),
        (np.full(SHAPE, 2.0), "numbers must be −1 … 1"),
        (np.full(SHAPE, np.nan), "numbers must be −1 … 1"),
        (np.full(SHAPE, 200, np.int16), "values must be −128 … 127, these are 200 … 200"),
        (np.zeros(SHAPE, bool), "this file has bool"),
    ],
)
def test_what_is_no_input(inputs, content, message):
    with pytest.raises(Ai8xError, match=message):
        inputs(content)


def test_unknown_files(inputs, pixels):
    with pytest.raises(Ai8xError, match="has no preprocessing for files of this kind"):
        inputs(pixels, (3, 20, 1), name="x.png")
    with pytest.raises(Ai8xError, match="has no preprocessing for files of this kind"):
        inputs(pixels, (2, 4, 5), name="x.png")
