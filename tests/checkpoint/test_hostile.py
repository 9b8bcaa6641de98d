"""A checkpoint that asks for more than a checkpoint needs is refused by name, and nothing in it runs."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
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
