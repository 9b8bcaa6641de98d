"""What torch.save writes is what the reader returns, for both formats and all element types."""

from __future__ import annotations

import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.checkpoint import ClassReference, read_checkpoint
from ai8x_tool.errors import Ai8xError

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
]
FORMATS = pytest.mark.parametrize("zip_format", [True, False], ids=["zip", "legacy"])


def save(path, content, zip_format):
    torch.save(content, path, _use_new_zipfile_serialization=zip_format)
    assert zipfile.is_zipfile(path) == zip_format
    return path


def as_numpy(tensor):
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_same(read, tensor):
    expected = as_numpy(tensor)
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)


@FORMATS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_element_types(tmp_path, dtype, zip_format):
    values = torch.tensor([[0, 1, 2], [100, 5, 127]]).to(dtype)
    path = save(tmp_path / "a.pth.tar", {"epoch": 3, "state_dict": OrderedDict(x=values)}, zip_format)
    assert_same(read_checkpoint(path).state["x"], values)


@FORMATS
def test_bfloat16_keeps_sign_exponent_and_infinities(tmp_path, zip_format):
    values = torch.tensor([-0.0, 1.5, -3.25e30, 1e-38, float("inf"), float("nan")], dtype=torch.bfloat16)
    path = save(tmp_path / "a.pth.tar", {"epoch": 0, "state_dict": {"x": values}}, zip_format)
    assert_same(read_checkpoint(path).state["x"], values)


@FORMATS
def test_views_into_one_storage(tmp_path, zip_format):
    base = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    views = {
        "whole": base,
        "transposed": base.permute(2, 0, 1),
        "middle": base[1:, 1:3, ::2],
        "last": base[2, 3],
        "scalar": base[0, 0, 3],
        "expanded": base[:, :1, :1].expand(3, 4, 5),
        "empty": base[:0],
    }
    content = read_checkpoint(save(tmp_path / "v.pth.tar", {"epoch": 1, "state_dict": views}, zip_format))
    for key, tensor in views.items():
        assert_same(content.state[key], tensor)
        assert content.state[key].flags.c_contiguous


@FORMATS
def test_content_beside_the_state(tmp_path, zip_format):
    content = {
        "epoch": 7,
        "arch": "ai85net5",
        "extras": {"best_top1": 99.5, "best": torch.tensor(3.5), "list": [1, (2, torch.ones(2))]},
        "state_dict": OrderedDict([("b.op.weight", torch.ones(1, 2)), ("a.op.weight", torch.zeros(3, 1))]),
        "optimizer_type": torch.optim.Adam,
    }
    read = read_checkpoint(save(tmp_path / "c.pth.tar", content, zip_format))
    assert (read.epoch, read.arch) == (7, "ai85net5")
    assert list(read.state) == ["b.op.weight", "a.op.weight"]
    assert read.extras["best_top1"] == 99.5
    assert read.extras["best"] == np.float32(3.5)
    np.testing.assert_array_equal(read.extras["list"][1][1], np.ones(2))
    assert read.content["optimizer_type"] == ClassReference("torch.optim.adam", "Adam")
    assert not callable(read.content["optimizer_type"])


@FORMATS
def test_parameters_and_numpy_scalars(tmp_path, zip_format):
    content = {
        "epoch": np.int64(4),
        "extras": {"top1": np.float64(12.5)},
        "state_dict": {"p": torch.nn.Parameter(torch.tensor([1.0, 2.0]))},
        "shape": torch.Size([1, 2]),
    }
    read = read_checkpoint(save(tmp_path / "p.pth.tar", content, zip_format))
    np.testing.assert_array_equal(read.state["p"], [1.0, 2.0])
    assert read.epoch == 4
    assert read.extras["top1"] == 12.5
    assert read.content["shape"] == (1, 2)


def test_missing_arch_and_extras(tmp_path):
    path = save(tmp_path / "m.pth.tar", {"state_dict": {"w": torch.ones(1)}}, True)
    read = read_checkpoint(path)
    assert (read.epoch, read.arch, read.extras) == (None, None, {})


def test_big_endian_archive(tmp_path):
    """The archive says in which byte order its storages are."""
    little = save(tmp_path / "l.pth.tar", {"epoch": 0, "state_dict": {"w": torch.tensor([1.0, -2.5])}}, True)
    big = tmp_path / "b.pth.tar"
    with zipfile.ZipFile(little) as source, zipfile.ZipFile(big, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            if info.filename.endswith("byteorder"):
                data = b"big"
            if "/data/" in info.filename:
                data = struct.pack(">2f", *struct.unpack("<2f", data))
            target.writestr(info.filename, data)
    np.testing.assert_array_equal(read_checkpoint(big).state["w"], [1.0, -2.5])


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
names = st.text("abcweight.", min_size=1, max_size=12)
dtypes = st.sampled_from([dtype for dtype in DTYPES if dtype != torch.bfloat16])


@given(st.dictionaries(names, st.tuples(shapes, dtypes, st.booleans()), max_size=6), st.booleans())
def test_equals_torch_load(tmp_path_factory, entries, zip_format):
    generator = torch.Generator().manual_seed(len(entries))
    state = OrderedDict()
    for name, (shape, dtype, transpose) in entries.items():
        tensor = torch.randint(0, 2 if dtype == torch.bool else 100, shape, generator=generator).to(dtype)
        state[name] = tensor.permute(tuple(reversed(range(tensor.ndim)))) if transpose else tensor
    path = save(tmp_path_factory.getbasetemp() / "random.pth.tar", {"epoch": 0, "state_dict": state}, zip_format)
    expected = torch.load(path, weights_only=True)["state_dict"]
    read = read_checkpoint(path).state
    assert list(read) == list(expected)
    for key, tensor in expected.items():
        assert_same(read[key], tensor)


@FORMATS
def test_truncated_anywhere(tmp_path, zip_format):
    state = {f"layer{i}.op.weight": torch.randn(8, 4, 3, 3) for i in range(3)}
    whole = save(tmp_path / "t.pth.tar", {"epoch": 0, "arch": "x", "state_dict": state}, zip_format).read_bytes()
    short = tmp_path / "short.pth.tar"
    for length in [0, 1, 10, *range(50, len(whole) - 1, len(whole) // 25), len(whole) - 1]:
        short.write_bytes(whole[:length])
        with pytest.raises(Ai8xError) as caught:
            read_checkpoint(short)
        assert str(short) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"not a checkpoint", b"PK\x03\x04 broken", bytes(range(256)), b"\x80\x02}q\x00."], ids=repr
)
def test_other_files(tmp_path, content):
    path = tmp_path / "other.bin"
    path.write_bytes(content)
    with pytest.raises(Ai8xError, match=r"other\.bin: not a checkpoint, or damaged"):
        read_checkpoint(path)


def test_ordinary_zip(tmp_path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(Ai8xError, match=r"archive\.zip: not a checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [{"epoch": 1}, {"state_dict": [1, 2]}, [1, 2], {"model": {}}], ids=str)
def test_no_state_dict(tmp_path, content):
    with pytest.raises(Ai8xError, match="no state_dict in this checkpoint"):
        read_checkpoint(save(tmp_path / "n.pth.tar", content, True))


def test_state_entry_that_is_no_tensor(tmp_path):
    path = save(tmp_path / "n.pth.tar", {"epoch": 0, "state_dict": {"a.op.weight": "text"}}, True)
    with pytest.raises(Ai8xError, match=r"'a\.op\.weight' is not a tensor"):
        read_checkpoint(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(Ai8xError, match=r"nowhere.*checkpoint not found"):
        read_checkpoint(tmp_path / "nowhere.pth.tar")
    with pytest.raises(Ai8xError, match="checkpoint not found"):
        read_checkpoint(tmp_path)


@pytest.mark.golden
def test_golden_checkpoints(golden):
    """Old and new files of trained networks: the same arrays as torch reads."""
    files = sorted((golden / "checkpoints").glob("*.pth.tar"))
    assert files
    torch.serialization.add_safe_globals([torch.optim.Adam, torch.optim.SGD])
    for path in files:
        expected = torch.load(path, weights_only=True, map_location="cpu")
        read = read_checkpoint(path)
        assert (read.epoch, read.arch) == (expected["epoch"], expected.get("arch"))
        assert list(read.state) == list(expected["state_dict"])
        for key, tensor in expected["state_dict"].items():
            assert_same(read.state[key], tensor)


@pytest.mark.parametrize(("stored", "epoch"), [("12", 12), ("last", None), (12, 12), (12.0, 12), (None, None)])
def test_epochs_as_text(tmp_path, stored, epoch):
    path = tmp_path / "c.pth.tar"
    torch.save({"epoch": stored, "state_dict": {"a": torch.zeros(1)}}, path)
    assert read_checkpoint(path).epoch == epoch
