"""A checkpoint that asks for more than a checkpoint needs is refused by name, and nothing in it runs."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.errors import Ai8xError


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def hostile_calls(marker):
    """(global as named in the message, content) for each way to run code that would write `marker`."""
    command = f"touch {marker}"
    python = f"open({str(marker)!r}, 'w').close()"
    return {
        "posix.system": Call(os.system, command),
        "builtins.eval": Call(builtins.eval, python),
        "builtins.exec": Call(builtins.exec, python),
        "builtins.__import__": Call(builtins.__import__, "os"),
        "builtins.getattr": Call(getattr, "text", "upper"),
        "subprocess.Popen": Call(subprocess.Popen, ["touch", str(marker)]),
        "torch.serialization.load": Call(torch.load, str(marker)),
    }


def zip_around(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    return path


def refuse(path, marker, name):
    with pytest.raises(Ai8xError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert repr(name) in message
    assert "nothing in it was executed" in message
    assert "\n" not in message
    assert not marker.exists()


@pytest.mark.parametrize("place", ["top", "extras", "state", "nested"])
@pytest.mark.parametrize("name", sorted(hostile_calls("x")))
def test_refused_in_zip(tmp_path, name, place):
    marker = tmp_path / "marker"
    call = hostile_calls(marker)[name]
    contents = {
        "top": call,
        "extras": {"state_dict": OrderedDict(), "extras": call},
        "state": {"state_dict": OrderedDict(w=call), "epoch": 0},
        "nested": {"state_dict": OrderedDict(), "extras": [({"a": (1, [call])},)]},
    }
    data = pickle.dumps(contents[place], protocol=2, fix_imports=False)
    refuse(zip_around(tmp_path / "evil.pth.tar", data), marker, name)


def test_refused_in_newer_protocols(tmp_path):
    marker = tmp_path / "marker"
    for protocol in (0, 1, 2, 3, 4, 5):
        data = pickle.dumps({"state_dict": Call(os.system, f"touch {marker}")}, protocol=protocol)
        refuse(zip_around(tmp_path / f"evil{protocol}.pth.tar", data), marker, "posix.system")


@pytest.mark.parametrize("position", range(5))
def test_refused_in_every_part_of_an_old_file(tmp_path, position):
    """The old format is a sequence of five pickles."""
    marker = tmp_path / "marker"
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"state_dict": {}, "epoch": 0}, []]
    parts[position] = Call(os.system, f"touch {marker}")
    path = tmp_path / "evil.pth.tar"
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    refuse(path, marker, "posix.system")


def test_text_protocol_with_invented_global(tmp_path):
    marker = tmp_path / "marker"
    data = f"cos\nsystem\n(S'touch {marker}'\ntR.".encode()
    refuse(zip_around(tmp_path / "evil.pth.tar", data), marker, "os.system")


@pytest.mark.parametrize("name", ["torch.optim.adam.Adam", "torch.optim.sgd.SGD"])
def test_optimizer_classes_can_be_mentioned_but_not_called(tmp_path, name):
    marker = tmp_path / "marker"
    module, _, cls = name.rpartition(".")
    mentioned = f"(dS'state_dict'\n(dsS'optimizer_type'\nc{module}\n{cls}\ns.".encode()
    assert str(read_checkpoint(zip_around(tmp_path / "good.pth.tar", mentioned)).content["optimizer_type"].name) == cls
    called = f"c{module}\n{cls}\n(S'touch {marker}'\ntR.".encode()
    with pytest.raises(Ai8xError):
        read_checkpoint(zip_around(tmp_path / "evil.pth.tar", called))
    assert not marker.exists()


def test_optimizer_submodule_cannot_be_a_way_out(tmp_path):
    """Names below torch.optim that lead elsewhere stay names."""
    data = b"ctorch.optim.optimizer\nos.system\n(S'touch /nowhere'\ntR."
    with pytest.raises(Ai8xError):
        read_checkpoint(zip_around(tmp_path / "evil.pth.tar", data))


def test_deeply_nested_content(tmp_path):
    data = b"(d" + b"S'a'\n(d" * 5000 + b"s" * 5000 + b"."
    with pytest.raises(Ai8xError, match="not a checkpoint, or damaged"):
        read_checkpoint(zip_around(tmp_path / "deep.pth.tar", data))


def test_tensor_that_reaches_beyond_its_storage(tmp_path):
    """Shapes and strides come from outside, too: they never read foreign memory."""
    path = tmp_path / "good.pth.tar"
    torch.save({"epoch": 0, "state_dict": {"w": torch.arange(4.0)}}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = [name for name in members if name.endswith("data.pkl")]
    sizes = members[name].replace(b"K\x04\x85", b"K\xff\x85")
    assert sizes != members[name]
    with zipfile.ZipFile(tmp_path / "evil.pth.tar", "w") as archive:
        for member, data in members.items():
            archive.writestr(member, sizes if member == name else data)
    with pytest.raises(Ai8xError, match="tensor reaches beyond its storage"):
        read_checkpoint(tmp_path / "evil.pth.tar")


def test_object_arrays_are_refused(tmp_path):
    import numpy as np

    stream = io.BytesIO()
    pickle.Pickler(stream, protocol=2).dump({"state_dict": {}, "extras": np.dtype("O")})
    with pytest.raises(Ai8xError):
        read_checkpoint(zip_around(tmp_path / "o.pth.tar", stream.getvalue()))


def tensor(numel, shape, stride):
    """Opcodes of a float32 tensor of the storage '0'."""

    def number(value):
        return b"\x8a\x08" + struct.pack("<q", value)

    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, stride)]
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpu" + number(numel) + b"tQ"
    arguments = storage + number(0) + sizes[0] + sizes[1] + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


STATE = b"X\x0a\0\0\0state_dict"
LAUGHS = b"]q\0" + b"".join(b"0]q%c(h%ch%ce" % (i + 1, i, i) for i in range(40))
MANY = b"".join(b"X\4\0\0\x00%04d" % i + tensor(1 << 20, (1 << 20,), (1,)) for i in range(1000))
BOMBS = {
    "memory for remembered objects": b"}r\xff\xff\xff\x7f.",
    "lists in lists, each twice": LAUGHS + b"0}(" + STATE + b"}X\6\0\0\0extrash\x28u.",
    "key of nested tuples": b"})" + 300_000 * b"\x85" + b"K\1s.",
    "key of nested tuples in a call": b"}ctorch\nSize\n" + b")" + 300_000 * b"\x85" + b"RK\1s.",
    "value of nested tuples": b"}" + STATE + b")" + 300_000 * b"\x85" + b"s.",
    "one element, repeated": b"}" + STATE + b"}X\1\0\0\0w" + tensor(1, (100_000, 20_000), (0, 0)) + b"ss.",
    "one storage, many tensors": b"}" + STATE + b"}(" + MANY + b"us.",
    "storage larger than the file": b"}" + STATE + b"}X\1\0\0\0w" + tensor(1 << 60, (1 << 60,), (1,)) + b"ss.",
    "text longer than the file": b"\x8d" + struct.pack("<Q", 1 << 40) + b"abc.",
    "tuples in tuples behind marks that are taken away": b"})" + 100_000 * b"(0\x85" + b"K\1s.",
    "tuples of what lies below a mark": b"})(\x85tK\1s.",
    "many marks": b"}" + 200_000 * b"(" + 200_000 * b"t" + b"K\1s.",
    "marks and nothing else": b"((((t\x85\x86.",
    "nothing where something is taken": b"0.",
    "an object that was never remembered": b"h\7.",
}
WITHIN = 1 << 30
"""Bytes of address space that reading one of them may take beside what Python and NumPy have."""


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by means of Linux")


@LINUX
@pytest.mark.parametrize("name", BOMBS)
def test_bombs(tmp_path, name):
    """They end in one line, quickly and without much memory; a crash would end this test's process only."""
    path = tmp_path / "bomb.pth.tar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\2" + BOMBS[name])
        archive.writestr("archive/data/0", bytes(4 << 20))
    refused_in_new_process(path)


@LINUX
def test_compressed_members_are_not_unpacked(tmp_path):
    one = b"}X\1\0\0\0w" + tensor(1 << 22, (4,), (1,)) + b"s"
    for large, state in (("byteorder", b"}"), ("data/0", one)):
        path = tmp_path / f"{large.replace('/', '_')}.pth.tar"
        pickled = b"\x80\2}" + STATE + state + b"s."
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", pickled, zipfile.ZIP_STORED)
            archive.writestr(f"archive/{large}", bytes(1 << 24))
        refused_in_new_process(path)


@LINUX
def test_old_file_with_a_storage_larger_than_itself(tmp_path):
    path = tmp_path / "old.pth.tar"
    header = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    content = b"\x80\2}" + STATE + b"}X\1\0\0\0w" + tensor(1 << 36, (4,), (1,)) + b"ss."
    path.write_bytes(b"".join(header) + content + pickle.dumps(["0"], 2) + struct.pack("<q", 1 << 36) + bytes(16))
    refused_in_new_process(path)


def refused_in_new_process(path):
    script = """
import resource, sys
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.errors import Ai8xError
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), -1))
try:
    read_checkpoint(sys.argv[1])
except Ai8xError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(path), str(WITHIN)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{path}: not a checkpoint, or damaged")
    assert result.stdout.count("\n") == 1
    assert "MemoryError" not in result.stdout and "Unable to allocate" not in result.stdout


def test_what_a_pickle_alters_does_not_outlive_it(tmp_path):
    """The stand-ins of globals get no attributes that a later file would meet."""
    from ai8x_tool.checkpoint import unpickler

    before = {name: (vars(known).copy(), known.__defaults__) for name, known in functions(unpickler)}
    for name in unpickler._GLOBALS:
        module, _, last = name.rpartition(".")
        build = f"c{module}\n{last}\n(N(dS'__defaults__'\n(tsS'seen'\nI1\nstb".encode()
        with pytest.raises(Ai8xError):
            read_checkpoint(zip_around(tmp_path / "evil.pth.tar", build + b"."))
    assert {name: (vars(known), known.__defaults__) for name, known in functions(unpickler)} == before


def functions(module):
    return [(name, known) for name, known in module._GLOBALS.items() if hasattr(known, "__defaults__")]


@pytest.mark.parametrize(
    "epoch", [10**400, -1, float("inf"), float("nan"), "7", "²", "9" * 5000, None, True, [1]], ids=lambda e: str(e)[:5]
)
def test_any_epoch(tmp_path, epoch):
    path = zip_around(tmp_path / "a.pth.tar", pickle.dumps({"state_dict": {}, "epoch": epoch}, 2))
    whole = 7 if epoch == "7" else epoch if isinstance(epoch, int) else None
    assert read_checkpoint(path).epoch == whole
