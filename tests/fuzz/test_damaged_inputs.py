"""Damaged inputs of every kind: done, or refused in one line; nothing half written, nothing executed.

AI8X_FUZZ sets how many of each kind are tried (default 12), AI8X_RANDOM_SEED the seed.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import os
import shutil
import struct
import tarfile
import wave

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.errors import Ai8xError
from tests.support.damaged_files import damaged_bytes, damaged_text
from tests.support.fuzz_figures import FIGURES

COUNT, SEED = int(os.environ.get("AI8X_FUZZ", "12")), int(os.environ.get("AI8X_RANDOM_SEED", "0"))


def generators(kind):
    """Yield (number, generator): the same ones for the same kind and seed."""
    for number in range(COUNT):
        yield number, np.random.default_rng([SEED, number, *kind.encode()])


def check_reader(kind, read, path, number):
    """Read damaged files: that works, or raises an Ai8xError of one line."""
    what = f"{kind} {number} of seed {SEED}"
    with FIGURES.measured(kind, what) as refused:
        try:
            read(path)
        except Ai8xError as error:
            assert "\n" not in str(error)
            refused.append(error)
        except Exception as error:
            raise AssertionError(f"{what}: {error!r} for {path.read_bytes()[:300]!r}") from error


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- The command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["network", "checkpoint", "sample"])
def test_synthesis(workspace, kind):
    """A damaged input of `ai8x synthesize`."""
    path = getattr(workspace, kind)
    good = path.read_bytes()
    for number, generator in generators(kind):
        path.write_bytes((damaged_text if kind == "network" else damaged_bytes)(good, generator))
        what = f"{kind} {number} of seed {SEED}: {path.read_bytes()[:600]!r}"
        check_command(workspace, workspace.synthesize, kind, what)


def check_command(workspace, command, kind, what, project=lambda _: None):
    """The command does its work, or says in one line why not, and then leaves nothing."""
    before = files_of(workspace.folder)
    with FIGURES.measured(kind, what) as refused:
        try:
            result = command()
        except Exception as error:
            raise AssertionError(f"{what}: {error!r}") from error
        refused.extend([result] if result.exit_code else [])
    after = files_of(workspace.folder)
    assert result.exit_code in (0, 1), what
    assert "Traceback" not in result.output, what
    assert not [name for name in after if ".ai8x-" in name], what
    if result.exit_code:
        assert after == before, what
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, what
    else:
        assert {name: after[name] for name in before} == before, what
        project(workspace.output)
        shutil.rmtree(workspace.output)  # whole, else the next one is refused because it exists
        assert files_of(workspace.folder) == before, what


# -- Readers ---------------------------------------------------------------------------------------------------------

POLICY = b"start_epoch: 10\nweight_bits: 8\nshift_quantile: 0.985\noverrides:\n  conv1:\n    weight_bits: 4\n"
SCHEDULE = b"""lr_schedulers:
  steps:
    class: MultiStepLR
    milestones: [20, 40]
    gamma: 0.25
policies:
  - lr_scheduler:
      instance_name: steps
    starting_epoch: 0
    ending_epoch: 100
    frequency: 1
"""
RECIPE = (
    b"description: Words\nmodel: ai85net5\ndataset: MNIST\ntrain:\n  epochs: 3\n  lr: 0.001\nsynthesize:\n  timer: 0\n"
)
INTERFACE = b"""{"schema": "ai8x-interface/1", "device": "MAX78000", "input_shape": [3, 4, 4], "input_fifo": false,
 "outputs": [{"shape": [5, 1, 1], "bits": 32, "start": 0}], "continue": 0, "estimated_us": 7.5}
"""


def read_policy(path):
    from ai8x_tool.nn.policy import read_policy

    read_policy(path)


def read_schedule(path):
    from ai8x_tool.training.schedule import read_schedule

    read_schedule(path)


def read_recipe(path):
    from ai8x_tool.settings.files import read_recipe

    read_recipe(str(path))


def read_interface(path):
    from ai8x_tool.firmware.interface import read_interface

    interface = read_interface(path.parent)
    if interface is not None:
        interface.sample_bytes(np.zeros((3, 4, 4), np.int64), "sample")
        interface.split_output(bytes(20))


TEXTS = {
    "policy.yaml": (POLICY, read_policy),
    "schedule.yaml": (SCHEDULE, read_schedule),
    "recipe.yaml": (RECIPE, read_recipe),
    "interface.json": (INTERFACE, read_interface),
}


def recording():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.arange(800, dtype="<i2").tobytes())
    return buffer.getvalue()


def read_wav(path):
    from ai8x_tool.data.speech_commands import read_wav

    assert read_wav(path).size


def digits():
    return gzip.compress(struct.pack(">4I", 0x803, 5, 4, 4) + bytes(range(80)))


def read_digits(path):
    from ai8x_tool.plugins.load import load_plugin
    from ai8x_tool.resources import shipped

    load_plugin(shipped("datasets") / "mnist.py").read_idx(path, (4, 4))


def archive():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("folder/a", "folder/b"):
            member = tarfile.TarInfo(name)
            member.size = 100
            tar.addfile(member, io.BytesIO(bytes(100)))
    return buffer.getvalue()


def unpack(path):
    from ai8x_tool.console import Console
    from ai8x_tool.data.download import extract

    target = path.parent / "unpacked"
    try:
        extract(path, target, Console(verbosity=-1))
    finally:
        assert not [p for p in path.parent.iterdir() if p not in (path, target)]
        if target.exists():
            for inner in sorted(target.rglob("*"), reverse=True):
                inner.rmdir() if inner.is_dir() else inner.unlink()
            target.rmdir()


def image(kind):
    """Return a function that makes an image file."""

    def make():
        buffer = io.BytesIO()
        pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
        pytest.importorskip("PIL.Image").fromarray(pixels).save(buffer, kind)
        return buffer.getvalue()

    return make


def arrays():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros((20, 3)), b=np.ones((20, 3)))
    return buffer.getvalue()


def table():
    return b"time;ax;ay\n0;1,5;2\n1;2,0;3\n" * 5


YOLO = b"0 0.5 0.5 0.2 0.3\n1 0.1 0.2 0.1 0.1\n0 0.1 0.1 0.2 0.1 0.2 0.3 0.1 0.2\n"
VOC = b"""<annotation><filename>a.png</filename><size><width>30</width><height>20</height></size>
<object><name>cup &amp; plate</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>12</xmax><ymax>15</ymax></bndbox></object>
</annotation>"""
COCO = b"""{"images": [{"id": 1, "file_name": "a.png", "width": 30, "height": 20}],
"categories": [{"id": 3, "name": "cup"}],
 "annotations": [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 10.5, 12]}]}"""
OUTPUTS = b"""{"kind": "detection", "classes": ["cup"], "location_scale": 0.01, "score_scale": 0.1, "max_overlap": 0.5,
 "top_k": 3, "priors": [[0.5, 0.5, 0.2, 0.2]]}"""


def read_boxes(path):
    from ai8x_tool.data.own import box_files

    try:
        data = box_files.read_small(path)
        if path.suffix == ".txt":
            box_files.read_yolo(data.decode(errors="replace"), ("cup", "plate"))
        else:
            box_files.read_voc(data)
    except ValueError as error:
        raise Ai8xError(str(error)) from None


def read_coco(path):
    from ai8x_tool.data.own.box_files import read_coco
    from ai8x_tool.readers.json_file import read_json

    try:
        read_coco(read_json(path))
    except ValueError as error:
        raise Ai8xError(str(error)) from None


def read_outputs(path):
    from ai8x_tool.readers.json_file import read_json
    from ai8x_tool.training.interpretation import read_interpretation

    read_interpretation(read_json(path), str(path))


TEXTS |= {
    "yolo.txt": (YOLO, read_boxes),
    "voc.xml": (VOC, read_boxes),
    "coco.json": (COCO, read_coco),
    "outputs.json": (OUTPUTS, read_outputs),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(tmp_path, name):
    good, read = TEXTS[name]
    path = tmp_path / name
    path.write_bytes(good)
    read(path)
    for number, generator in generators(name):
        path.write_bytes(damaged_text(good, generator))
        check_reader(name, read, path, number)


def own(read, *more):
    """Return a reader of the user's own data for a path: errors say what is wrong with the file's bytes."""

    def from_file(path):
        try:
            function(path.read_bytes(), *more)
        except ValueError as error:
            raise Ai8xError(str(error)) from None

    module, name = read
    function = getattr(importlib.import_module(f"ai8x_tool.data.own.{module}"), name)
    return from_file


def read_mask(path):
    """The classes of a mask, as they are found."""
    from ai8x_tool.data.own import masks

    try:
        codes = masks.read_mask(path.read_bytes())
    except ValueError as error:
        raise Ai8xError(str(error)) from None
    masks.found_values([masks.counts_of(codes)]).classes(codes)


def mask(mode):
    """Return a function that makes a mask."""

    def make():
        buffer = io.BytesIO()
        image = pytest.importorskip("PIL.Image")
        image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30) // 100).convert(mode).save(buffer, "PNG")
        return buffer.getvalue()

    return make


IMAGE = own(("images", "read_image"), 3, (16, 16))
BINARIES = {
    "words.wav": (recording, read_wav),
    "digits.gz": (digits, read_digits),
    "words.tar.gz": (archive, unpack),
    "own.wav": (recording, own(("sounds", "read_sound"), 16000)),
    "own.csv": (table, own(("tables", "read_tables"), ".csv")),
    "own.npz": (arrays, own(("tables", "read_tables"), ".npz")),
    **{f"mask.{mode}": (mask(mode), read_mask) for mode in ("L", "RGB", "P", "LA")},
    **{f"own.{kind}": (image(kind), IMAGE) for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP")},
}


@pytest.mark.parametrize("name", BINARIES)
def test_binaries(tmp_path, name):
    if name in ("own.PNG", "own.JPEG", "own.BMP", "own.GIF", "own.WEBP"):
        pytest.importorskip("torchvision")
    make, read = BINARIES[name]
    good, path = make(), tmp_path / name
    path.write_bytes(good)
    read(path)
    for number, generator in generators(name):
        path.write_bytes(damaged_bytes(good, generator))
        check_reader(name, read, path, number)


def test_checkpoints(workspace):
    good = workspace.checkpoint.read_bytes()
    for number, generator in generators("checkpoint"):
        workspace.checkpoint.write_bytes(damaged_bytes(good, generator))
        check_reader("checkpoint", read_checkpoint, workspace.checkpoint, number)


EXTRAS = {
    "class_names": ["a", "b*/", 'c"%s', "d\n", "e"],
    "preprocessing": {
        **{"kind": "images", "input": [3, 4, 4], "offset": [1.0], "gain": [0.5], "per_sample": False},
        **{"reading": {"size": [4, 4], "channels": 3}, "target": {"offset": [0.5], "scale": [2.0]}},
    },
}
STRANGE = (
    None,
    True,
    -1,
    0,
    1 << 40,
    1 << 80,
    1e-40,
    float("nan"),
    "",
    "x\n# y",
    "*/",
    [],
    [[]],
    {},
    {1: 2},
    ("a",),
    np.ones(2),
)


def replaced(value, generator):
    """A copy of nested mappings and lists with one thing changed, added or left out."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or generator.random() < 0.15:
        return STRANGE[generator.integers(len(STRANGE))]
    key, result = keys[generator.integers(len(keys))], value.copy()
    if generator.random() < 0.2:
        del result[key]
    else:
        result[key] = replaced(value[key], generator)
    return result


def test_what_checkpoints_say_of_the_data(workspace, states):
    """Names of classes, and how files become inputs: they enter programs, README.md and interface.json."""
    for number, generator in generators("extras"):
        extras = replaced(EXTRAS, generator) if number else EXTRAS
        torch.save({"epoch": 3, "arch": "tiny", "state_dict": states[1], "extras": extras}, workspace.checkpoint)
        what = f"extras {number} of seed {SEED}: {extras}"
        check_command(workspace, lambda: workspace.synthesize("-q"), "extras", what, project=check_project)


def check_project(folder):
    json.loads((folder / "interface.json").read_text())
    readme = folder / "README.md"
    assert not readme.exists() or "\n# y" not in readme.read_text()
