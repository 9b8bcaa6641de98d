"""The text of generated projects: reproducible, free of places and dates, and complete."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import ai8x_tool
from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import LoweringOptions, Write
from ai8x_tool.mapping import MappingOptions
from tests.support.networks import Weights, build, program

ROOT = Path(__file__).parents[2]
MAPPING, LOWERING = MappingOptions(), LoweringOptions()
DEVICES = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


def lowered(device=MAX78000, mapping=MAPPING, lowering=LOWERING, width=8):
    layers = [
        {"op": "Conv2d", "name": "first", "pad": 1, "out_offset": 0x2000, "processors": 7, "activate": "ReLU"},
        {"op": "Conv2d", "pad": 0, "out_offset": 0x100, "processors": 0xFF, "output_width": width},
    ]
    weights = [Weights((8, 3, 3, 3), [1, 2, 3, 4, 5, 6, 7, 8]), (10, 8, 3, 3)]
    return program(build(layers, weights, (3, 5, 6), device), mapping, lowering)


def render(result, **options):
    return render_project(
        result.program, result.sample, ProjectOptions("demo", "net.yaml", "net-q.pth.tar", **options)
    )[0]


@DEVICES
def test_same_bytes_twice(device):
    """The description lies in another folder each time."""
    first, second = render(lowered(device)), render(lowered(device))
    assert first == second


def test_same_bytes_on_other_machines(tmp_path):
    """In another folder, for another user, in another language, with another order of sets."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys, zlib; sys.path[:0] = {[str(ROOT), str(Path(ai8x_tool.__file__).parents[1])]}\n"
        "from tests.codegen.test_project import lowered, render\n"
        "for name, text in render(lowered()).items(): print(name, zlib.crc32(text.encode()))\n"
    )
    places = {
        "HOME": "/nowhere",
        "LC_ALL": "C",
        "LANG": "tr_TR",
        "TZ": "Asia/Tokyo",
        "PYTHONHASHSEED": "1",
        "USER": "x",
    }
    path = {"PATH": os.environ["PATH"], "PYTHONUTF8": "0"}
    command = [sys.executable, str(script)]
    found = subprocess.run(command, cwd=tmp_path, env=places | path, capture_output=True, text=True, check=True).stdout
    here = render(lowered())
    assert dict(line.rsplit(" ", 1) for line in found.splitlines()) == {
        name: str(zlib.crc32(text.encode())) for name, text in here.items()
    }


@DEVICES
@pytest.mark.parametrize("options", [{}, {"riscv": True, "softmax": True}])
def test_no_places_and_dates(device, options):
    for name, text in render(lowered(device), **options).items():
        assert "/tmp" not in text, name
        assert "/home" not in text, name
        assert not re.search(r"\b20\d\d[-/.]\d\d|\b\d\d:\d\d:\d\d", text), name
        assert text.isascii(), name
        assert "\t\n" not in text, name
        assert " \n" not in text, name
        assert text.endswith("\n"), name


def test_files():
    files = set(render(lowered()))
    assert {"cnn.c", "cnn.h", "main.c", "weights.h", "sampledata.h", "sampleoutput.h", "softmax.c"} <= files
    assert {"Makefile", "project.mk"} <= files
    assert "main_riscv.c" not in files
    assert {"main.c", "main_riscv.c", "Makefile.ARM", "Makefile.RISCV"} <= set(render(lowered(), riscv=True))
    assert "sampleoutput.h" not in render(lowered(lowering=LoweringOptions(known_answers=False)))


def macro(text, name):
    """Return the numbers of one macro."""
    body = re.search(rf"#define {name} {{(.*?)\n}}", text, re.S)
    assert body, name
    for line in body.group(1).split("\n")[1:]:
        assert line.endswith(" \\") or line == body.group(1).split("\n")[-1]
    return [int(x, 16) for x in re.findall(r"0x([0-9a-f]+)", body.group(1))]


@pytest.mark.parametrize("express", [True, False])
def test_data_macros(express):
    result = lowered(lowering=LoweringOptions(express=express))
    files = render(result)
    words = macro(files["weights.h"], "KERNELS")
    expected = [w for b in result.kernels for w in (b.address, len(b.words), *b.words.tolist())]
    assert words == [*expected, 0]
    for quadrant, values in result.bias.items():
        assert macro(files["weights.h"], f"BIAS_{quadrant}") == values
    assert macro(files["sampledata.h"], "SAMPLE_INPUT_0") == result.inputs[0].words.tolist()
    table = [w for b in result.answers for w in (b.address, b.mask, len(b.values), *b.values.tolist())]
    assert macro(files["sampleoutput.h"], "SAMPLE_OUTPUT") == [*table, 0]


def stores(text, function):
    body = re.search(rf"int {function}\(void\)\n{{(.*?)\n}}", text, re.S).group(1)
    pattern = r"\*\(\(volatile uint32_t \*\) 0x([0-9a-f]{8})\) = 0x([0-9a-f]{8});"
    return [(int(a, 16), int(v, 16)) for a, v in re.findall(pattern, body)]


@DEVICES
def test_stores_are_those_of_the_program(device):
    result = lowered(device, MappingOptions(fifo=True), LoweringOptions(zero_memory=True))
    text = render(result)["cnn.c"]
    assert stores(text, "cnn_init") == [(s.address, s.value) for s in result.init if isinstance(s, Write)]
    assert stores(text, "cnn_configure") == [(w.address, w.value) for w in result.configure]
    assert stores(text, "cnn_start") == [(w.address, w.value) for w in [*result.start, *result.go]]


def test_statistics_in_the_header():
    text = render(lowered())["cnn.h"]
    macc = 3 * 9 * 8 * 30 + 8 * 9 * 10 * 12
    assert f"({macc:,} macc; {8 * 30:,} comp; 0 add; 0 mul; 0 bitwise)" in text
    assert re.search(r"Weight memory: 936 bytes out of 442,368 bytes total \(0\.2%\)", text)
    assert re.search(r"Bias memory: +8 bytes out of 2,048 bytes total \(0\.4%\)", text)
    assert "#define CNN_NUM_OUTPUTS 120" in text


def test_layers_are_named():
    text = render(lowered())["cnn.c"]
    assert re.search(r"[Ll]ayer 0 \(first\)", text)
    assert "net.yaml" in text
    assert "net-q.pth.tar" in text


def test_softmax_needs_unloading():
    with pytest.raises(Ai8xError, match=r"softmax needs the outputs unloaded"):
        render(lowered(), softmax=True, unload=False)


def test_makefile_knows_the_part_and_the_board():
    for device in (MAX78000, MAX78002):
        text = render(lowered(device), board="FTHR_RevA", defines=("MY_NAME",))["Makefile"]
        assert device.name in text
        assert "FTHR_RevA" in text
        assert "MY_NAME" in text


def classified(width):
    layers = [
        {"op": "Conv2d", "pad": 1, "out_offset": 0x2000, "processors": 7, "max_pool": 2, "pool_stride": 2},
        {"op": "Linear", "flatten": True, "processors": 0xFF, "out_offset": 0x100, "output_width": width},
    ]
    return program(build(layers, [(8, 3, 3, 3), (3, 32, 1, 1)], (3, 4, 4), MAX78000), MAPPING, LOWERING)


@pytest.mark.parametrize("width", [8, 32])
@pytest.mark.parametrize("softmax", [False, True])
def test_class_names(toolchain, width, softmax):
    """They are in the program only where every output has one, and as they are: no format, no end of a string."""
    names = ('50 % "off"', "große Äpfel", "c\\d")
    files = render(classified(width), softmax=softmax, class_names=names)
    assert "extern const char *const cnn_class_names[CNN_NUM_OUTPUTS];" in files["cnn.h"]
    assert '"gro\\303\\237e \\303\\204pfel",' in files["cnn.c"]
    assert '"classes": ["50 % \\"off\\""' in files["interface.json"]
    assert "2. c\\\\d" in files["README.md"]
    toolchain.check(files)
    for others in ((), names[:2]):
        plain = render(classified(width), softmax=softmax, class_names=others)
        assert not any("cnn_class_names" in text for text in plain.values())
    assert render(classified(width), softmax=softmax) == render(classified(width), softmax=softmax, class_names=())
    assert "is the class" not in render(classified(width))["README.md"]


def test_readme_says_how_files_become_inputs():
    reading = {"columns": ["a", "b|c"], "window": 4}
    known = {"kind": "series", "offset": [0.5, 1], "gain": [2, 2], "per_sample": False, "reading": reading}
    text = render(classified(8), preprocessing=known | {"input": [2, 4]})["README.md"]
    assert "4 rows of the columns a, b\\|c" in text and "| 1 | 1 | 2 |" in text
    assert "static const float offset[] = { 0.5, 1 };" in text
