"""Names of users in generated projects: whatever they hold, the project is the same program and prints them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from ai8x_tool.codegen import ProjectOptions, render_project
from ai8x_tool.codegen.file_names import FileNames
from ai8x_tool.codegen.user_text import UserText, c_comment, c_string, file_word, printf_format
from ai8x_tool.errors import Ai8xError
from tests.support.compilers import write
from tests.support.networks import Weights, build, program
from tests.support.small_projects import conv, memory_after, rendered

HOSTILE = {
    "comment": "x */ int injected; /* y",
    "nested": "/*/ */* //*/ *",
    "lines": 'a\nint injected;\r\n#error "no"\n',
    "quotes": '"); system("touch injected"); printf(\'',
    "backslashes": "a\\",
    "conversions": "100 % %s %n %%",
    "trigraphs": "??/ ??( what?? ???",
    "letters": "größe 卷积 🙂",
    "marks": "\x1b[31m\x07 \u202e\u2066 \ufeff",
    "make": "$(shell touch injected) $(MAKE) # : = ; `touch injected`",
    "digits": "\x014 é1",
    "braces": "{{ 7 * 7 }} {% raw %} {#",
}
EVERY_NAME = pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())


def lowered(layer_name):
    layers = [
        conv(7, out_offset=0x2000, activate="ReLU", name=layer_name),
        {"op": "Linear", "flatten": True, "processors": 0xFF, "out_offset": 0x1000, "output_width": 32},
    ]
    return program(build(layers, [Weights((8, 3, 3, 3), shift=-1), Weights((10, 128, 1, 1), shift=-1)], (3, 4, 4)))


def render(result, name="demo", network="net.yaml", checkpoint="net.pth.tar", **options):
    return render_project(result.program, result.sample, ProjectOptions(name, network, checkpoint, **options))[0]


def without_comments(files, folder):
    """Return the C code of a project, file after file, as the compiler sees it after its comments are gone."""
    names = sorted(name for name in files if name.endswith((".c", ".h")))
    write({name: files[name] for name in names}, folder)
    command = ["gcc", "-fpreprocessed", "-E", "-P", "-w", *names]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=60).stdout


@EVERY_NAME
@pytest.mark.parametrize("riscv", [False, True], ids=["Arm", "RISC-V"])
def test_names_in_comments_change_no_code(toolchain, tmp_path, name, riscv):
    """Layer, network and checkpoint; the project's name is in one literal, too."""
    plain, hostile = lowered("plain"), lowered(name)
    expected = render(plain, riscv=riscv)
    actual = render(hostile, network=name, checkpoint=name, riscv=riscv)
    assert actual.keys() == expected.keys()
    assert without_comments(actual, tmp_path) == without_comments(expected, tmp_path)
    toolchain.check(render(hostile, name=name, network=name, checkpoint=name, riscv=riscv))
    assert not (toolchain.folder / "injected").exists()


@EVERY_NAME
def test_program_prints_its_name(toolchain, name):
    result = lowered(name)
    run = toolchain.build(render(result, name=name))
    printed = run("run", memory_after(result)).stdout
    assert f"\n*** CNN Inference Test {name} ***\n".encode() in printed
    assert b"*** PASS ***" in printed


def test_names_that_are_not_utf8(toolchain):
    """Bytes of file names that Python holds as surrogates are printed as they are."""
    result = lowered("plain")
    run = toolchain.build(render(result, name="a\udcffb", network="n\udcff.yaml"))
    assert b"Test a\xffb ***" in run("run", memory_after(result)).stdout


def test_layer_names_are_shown_as_they_are():
    for name in ("MixedCase", "größe 卷积"):
        code = render(lowered(name))["cnn.c"]
        assert f"0 ({name}): 3x4x4" in code
        assert f"/* Layer 0 ({name}), quadrant 0 */" in code


@EVERY_NAME
@pytest.mark.parametrize("riscv", [False, True], ids=["Arm", "RISC-V"])
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_makefiles(tmp_path, name, riscv):
    """The project's name is one word there, and nothing is executed when make reads the file."""
    plain, hostile = (render(lowered("plain"), name=text, riscv=riscv) for text in ("plain", name))
    for file in (file for file in hostile if file.startswith("Makefile")):
        assert len(hostile[file].split("\n")) == len(plain[file].split("\n"))
        (tmp_path / file).write_text(hostile[file] + "\nshow:\n\t@printf '<%s>' $(PROJECT)\n", encoding="utf-8")
    (tmp_path / "libs.mk").write_text("")
    command = ["make", "-s", "-I", str(tmp_path), "MAXIM_PATH=/nowhere", "show"]
    makefile = tmp_path / "Makefile"
    text = "\n".join(line for line in makefile.read_text(encoding="utf-8").splitlines() if "include $(" not in line)
    makefile.write_text(text + "\n", encoding="utf-8")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"<{file_word(UserText(name))}>"
    assert not (tmp_path / "injected").exists()


@EVERY_NAME
def test_json(name):
    files = render(lowered(name), name=name)
    parsed = {file: json.loads(text) for file, text in files.items() if file.endswith(".json")}
    settings = parsed[".vscode/settings.json"]
    assert settings["program_file"] == f"{settings['project_name']}.elf"
    assert len(parsed) == 5


@EVERY_NAME
def test_eclipse(name):
    files = render(lowered(name), name=name)
    found = {file for file in files if file.endswith(("project", ".launch")) and ElementTree.fromstring(files[file])}
    assert found == {".project", ".cproject", re.sub(r"[^\w.+-]", "_", name, flags=re.ASCII) + ".launch"}


def test_one_function_for_each_language():
    text = UserText('a*/b/*c"\\%\n??é')
    assert c_comment(text) == 'a* /b/ *c"\\%\\n??é'
    assert c_string(text) == r"a*/b/*c\"\\%\012?\?\303\251"
    assert printf_format(text) == r"a*/b/*c\"\\%%\012?\?\303\251"
    assert file_word(text) == "a__b__c______é"
    with pytest.raises(TypeError, match=r"c_comment, c_string, printf_format, file_word"):
        f"{text}"


# -- Templates of the user ------------------------------------------------------------------------------------------


def with_template(tmp_path, text, name="project.mk.j2"):
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return render(lowered("plain"), templates=folder)


def test_own_template(tmp_path):
    files = with_template(tmp_path, "# {{ project.name | c_comment }}, {{ project.device }}\n")
    assert files["project.mk"] == "# demo, MAX78000\n"
    assert files["cnn.c"] == render(lowered("plain"))["cnn.c"]


def test_templates_of_the_current_folder_are_not_used(tmp_path, monkeypatch):
    before = render(lowered("plain"))
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "cnn.c.j2").write_text("injected")
    monkeypatch.chdir(tmp_path)
    assert render(lowered("plain")) == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ project.name }}", "needs one of the filters"),
        ("{{ project.name ~ '.elf' }}", "needs one of the filters"),
        ("{{ '%s' | format(project.name) }}", "needs one of the filters"),
        ("{{ [project.name] | join }}", "needs one of the filters"),
        ("{{ project.name._raw }}", "unsafe|undefined"),
        ("{{ ''.__class__.__mro__ }}", "unsafe|undefined"),
        ("{{ project.__init__.__globals__ }}", "unsafe|undefined"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("\n{% if %}", r"project\.mk\.j2:2: template"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% include '../../secret' %}", "TemplateNotFound"),
    ],
)
def test_template_that_does_not_work(tmp_path, text, words):
    with pytest.raises(Ai8xError, match=words) as caught:
        with_template(tmp_path, text)
    assert "project.mk.j2" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_without_templates(tmp_path):
    for folder, words in (
        (tmp_path, r"contains none of the templates .*cnn\.c\.j2"),
        (tmp_path / "x", "folder not found"),
    ):
        with pytest.raises(Ai8xError, match=words):
            render(lowered("plain"), templates=folder)


# -- Names and numbers that are refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"weights": "Makefile"}, r"'Makefile' .*\.h"),
        ({"weights": "cnn.h"}, "two generated files"),
        ({"weights": "CNN.h"}, "two generated files"),
        ({"weights": "stdio.h"}, "the compiler or the SDK"),
        ({"sample": "mxc.h"}, "the compiler or the SDK"),
        ({"answers": "a b.h"}, "plain name"),
        ({"answers": "a\n.h"}, "plain name"),
        ({"answers": '".h'}, "plain name"),
        ({"answers": "../x.h"}, "plain name"),
        ({"answers": "-x.h"}, "plain name"),
        ({"answers": "None"}, "plain name"),
        ({"api": "int"}, r"ends in \.c"),
        ({"api": "softmax.c"}, "two generated files"),
        ({"api": "main.c"}, "two generated files"),
        ({"main": "cnn"}, "two generated files"),
        ({"main": "x_riscv"}, "the compiler or the SDK"),
        ({"main": "$(x)"}, "plain name"),
        ({"log": "Makefile"}, "two generated files"),
        ({"log": "ai8x.yaml"}, "two generated files"),
        ({"log": "log.c"}, "name of the log"),
        ({"log": ""}, "plain name"),
    ],
)
def test_file_names(names, words):
    with pytest.raises(Ai8xError, match=words):
        FileNames(**names)


def test_file_names_that_work(toolchain):
    names = FileNames("test-1", "größe.c", "w.1.h", "s_+.h", "1.h", "notes.md")
    toolchain.check(rendered(lowered("plain"), files=names))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"boost": (99, 5)}, r"--boost PORT.PIN: port 99: must be 0 … 3"),
        ({"boost": (2, 32)}, r"pin 32: must be 0 … 31"),
        ({"boost": (-1, 5)}, r"--boost"),
        ({"board": "A B"}, r"--board-name 'A B'"),
        ({"board": "../x"}, r"--board-name"),
        ({"board": ""}, r"--board-name"),
        ({"defines": ("A", "B;touch injected")}, r"--define 'B;touch injected'"),
        ({"defines": ("1A",)}, r"--define"),
        ({"defines": ("A=$(shell x)",)}, r"--define"),
        ({"defines": ("A=`x`",)}, r"--define"),
        ({"defines": ("A=\\",)}, r"--define"),
        ({"arm_defines": ('A="x"',)}, r"--define"),
        ({"riscv_defines": ("A\nB",)}, r"--define"),
    ],
)
def test_options(options, words):
    with pytest.raises(Ai8xError, match=words) as caught:
        ProjectOptions("demo", "net.yaml", "net.pth.tar", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a\0b", "é" * 101])
def test_names_that_no_project_can_have(name):
    with pytest.raises(Ai8xError, match=r"cannot be the name of a project"):
        ProjectOptions(name, "net.yaml", "net.pth.tar")


def test_largest_numbers_compile(toolchain):
    options = {"timer": 5, "debug_wait": 4294, "switch_delay": 2**32 // 1000, "boost": (2, 5)}
    toolchain.check(rendered(lowered("plain"), defines=("A", "B=1", 'C=\\"x\\"', "D=-0x1"), **options))
