"""Files from outside are read within bounds, or refused in one line that names the file."""

from __future__ import annotations

import os
import resource
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.json_file import read_json
from ai8x_tool.readers.numpy_file import read_array, read_arrays
from ai8x_tool.readers.text_file import read_text
from ai8x_tool.readers.yaml_file import read_plain, read_yaml

MOST_SECONDS, MOST_BYTES = 20, 1 << 30


@pytest.fixture
def refused(tmp_path):
    """Return a function that reads `content` and returns the error; time and memory are bounded."""

    def function(read, content):
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        with pytest.raises(Ai8xError) as caught:
            read(path)
        assert time.monotonic() - started < MOST_SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MOST_BYTES
        message = str(caught.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        assert len(message) < 1000
        return message

    return function


# -- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [lambda path: read_text(path, 100), read_plain, read_json, read_array])
def test_places(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    for name, words in {
        "missing": "file not found",
        "": "it is a folder",
        "fifo": "no regular file",
        "loop": "symbolic links",
        "a\0b": "null",
    }.items():
        with pytest.raises(Ai8xError, match=words):
            read(tmp_path / name)
    with pytest.raises(Ai8xError, match="no regular file"):
        read(Path("/dev/zero"))


def test_text(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbfgr\xc3\xb6\xc3\x9fe")
    assert read_text(path, 100) == "größe"
    with pytest.raises(Ai8xError, match="has 10 bytes; the limit is 9"):
        read_text(path, 9)
    path.write_bytes(b"abc\xff")
    with pytest.raises(Ai8xError, match=r"byte 3 \(0xff\) is not UTF-8"):
        read_text(path, 100)


# -- YAML ------------------------------------------------------------------------------------------------------------

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 1_000_000, "nest"),
        ("{a: " * 100_000, "nested more than 50 levels deep"),
        ("- " * 100_000, "nested more than 50 levels deep"),
        ("".join(f"{' ' * i}a:\n" for i in range(1500)), "nested more than 50 levels deep"),
        ("[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        ("a: &a [*a]", "nested more than 50 levels deep"),
        (LAUGHS, "more than 200,000 values"),
        ("[" + "1," * 500_000 + "]", "too many values"),
        ("- a\n" * 2_500_000, "bytes; the limit"),
        ("a: " + "9" * 5000, ":1: a number of 5,000 digits"),
        ("a: 0x" + "f" * 1_000_000, ":1: a number of 1,000,002 digits"),
        ("a: 1" + ":59" * 300_000, ":1: a number of 900,001 digits"),
        ("a: !!int x", ":1: 'x' is not a value of type int"),
        ("a: !!int ''", "not a value of type int"),
        ("a: !!bool x", "not a value of type bool"),
        ("a: !!float ''", "not a value of type float"),
        ("a: !!timestamp x", "not a value of type timestamp"),
        ("a: !!timestamp 2001-99-99", "not a value of type timestamp"),
        ("a: !!python/object/apply:os.system [x]", None),
        ("a: !!python/name:os.system x", "could not determine a constructor"),
        ("a: !unknown x", "could not determine a constructor"),
        ("a: 1\nb: 2\na: 3", ":3: duplicate key 'a' (first at line 1)"),
        ("a: 1\n<<: 5", ":2: only mappings can be merged"),
        ("[a, b]: 1", ":1: a key must be a word"),
        ("a: [1,\nb: ]]", "YAML syntax error"),
        ("a: *b", "YAML syntax error: found undefined alias"),
        ("a: \x00", "YAML error"),
        ("a: 1\n---\nb: 1", "YAML syntax error"),
        (b"a: \xff", "is not UTF-8"),
        (b"\xff\xfea\x00", "is not UTF-8"),
    ],
)
def test_yaml(refused, tmp_path, content, words):
    if words is None:  # a mapping or a list is one, whatever it claims to be; nothing is executed
        (tmp_path / "file").write_text(content)
        assert read_plain(tmp_path / "file") == {"a": ["x"]}
    else:
        assert words in refused(read_yaml, content)


def test_yaml_values(tmp_path):
    path = tmp_path / "file"
    path.write_text(
        "date: 2024-01-01\nbad: 2024-99-99\nhex: 0x1F\nyes: no\n1: one\nbase: &base {x: 1, y: 2}\n"
        "more:\n  <<: *base\n  y: 3\nboth:\n  <<: [{x: 7}, *base]\nnothing:\n"
    )
    assert read_plain(path) == {
        "date": "2024-01-01",
        "bad": "2024-99-99",
        "hex": 31,
        "yes": False,
        "1": "one",
        "base": {"x": 1, "y": 2},
        "more": {"x": 1, "y": 3},
        "both": {"x": 7, "y": 2},
        "nothing": None,
    }
    assert read_yaml(path).value["more"].value["y"].line == 9
    path.write_text("")
    assert read_plain(path) == {}


def test_large_yaml_is_read(tmp_path):
    """More layers than any network has, in a moment."""
    path = tmp_path / "file"
    path.write_text("layers:\n" + "- {name: layer, processors: 0xffff, in_dim: [1, 2], op: conv2d}\n" * 10_000)
    started = time.monotonic()
    assert len(read_plain(path)["layers"]) == 10_000
    assert time.monotonic() - started < MOST_SECONDS


# -- JSON ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 1_000_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 100_000, "too many digits"),
        ('{"a": 1,\n}', ":2: JSON syntax error"),
        ("", ":1: JSON syntax error"),
        ("[" + "1," * 9_000_000 + "1]", "bytes; the limit"),
        (b'"\xff"', "is not UTF-8"),
    ],
)
def test_json(refused, content, words):
    assert words in refused(read_json, content)


def test_json_values(tmp_path):
    (tmp_path / "file").write_text('{"a": [1, null, "é"]}')
    assert read_json(tmp_path / "file") == {"a": [1, None, "é"]}


# -- NumPy -----------------------------------------------------------------------------------------------------------


def header(text, version=(1, 0), size=None):
    """Return the beginning of an array file."""
    data = text.encode("latin1")
    length = len(data) if size is None else size
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", length) + data


def described(shape, kind="'<i8'", order=False):
    return header(f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}}}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x04." + bytes(10),
        header("", (3, 0)),
        header("", (9, 9)),
        header("{}"),
        header("{'descr': 1}", size=60_000),
        header("(" * 9000),
        header("[" * 3000 + "]" * 3000),
        header("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), 'more': 1}\n") + bytes(8),
        header("__import__('os').system('x')"),
        header("{'descr': '<i8'," + " " * 20_000 + "}", (2, 0)),
        header("x", (2, 0), size=0xFFFF_FFFF),
        described("(1000000000000,)"),
        described("(1 << 40,)"),
        described("(" + "1000000000," * 30 + ")"),
        described("(-1,)") + bytes(80),
        described("(3,)") + bytes(23),
        described("(3.0,)") + bytes(24),
        described("3") + bytes(24),
        described("(2,)", "'|O'") + bytes(16),
        described("(2,)", "[('a', '|O')]") + bytes(16),
        described("(2,)", "'<x8'") + bytes(16),
        described("(2,)", "None") + bytes(16),
        described("(1,)", "('<i8', (1000000000,))") + bytes(16),
        described("()", "'<i8'") + bytes(8) + described("()", "'<i8'") + bytes(8),
    ],
)
def test_arrays(refused, content):
    message = refused(read_array, content)
    assert "not a NumPy array file" in message or "arrays, not one" in message


@pytest.mark.parametrize(
    "array", [np.arange(12).reshape(3, 4), np.zeros((0, 3)), np.float32(1), np.ones((2, 3), order="F")]
)
def test_array_values(tmp_path, array):
    path = tmp_path / "file.npy"
    np.save(path, array)
    assert np.array_equal(read_array(path), array)
    with path.open("ab") as file:
        np.save(file, array + 1)
    first, second = read_arrays(path)
    assert np.array_equal(first, array)
    assert np.array_equal(second, array + 1)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(Ai8xError, match="not a NumPy array file"):
        read_arrays(path)
