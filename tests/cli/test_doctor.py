"""`ai8x doctor`: what is there, what is missing, what is wrong, each with what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ai8x_tool import doctor

if sys.version_info >= (3, 11):
    import tomllib


def found(diagnosis, subject):
    return [finding for finding in diagnosis.findings if finding.subject == subject]


@pytest.fixture
def computer(tmp_path, monkeypatch):
    """A working folder with a broken model file, and a computer with an SDK and a board."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "odd.py").write_text("models = [\n")
    sdk, devices = tmp_path / "msdk", tmp_path / "dev"
    (sdk / "Libraries").mkdir(parents=True)
    (sdk / "Tools" / "OpenOCD").mkdir(parents=True)
    openocd = sdk / "Tools" / "OpenOCD" / "openocd"
    openocd.write_text("#!/bin/sh\n")
    openocd.chmod(0o755)
    (devices / "serial" / "by-id").mkdir(parents=True)
    for name in ("ttyACM0", "ttyUSB3"):
        (devices / name).touch()
    (devices / "serial" / "by-id" / "usb-ARM_DAPLink_CMSIS-DAP_0444-if01").symlink_to("../../ttyACM0")
    monkeypatch.chdir(tmp_path)
    return doctor.examine({"MAXIM_PATH": str(sdk), "PATH": ""}, devices)


def test_what_is_there(computer):
    (sdk,), (openocd,) = found(computer, "MSDK"), found(computer, "openocd")
    assert sdk.state == openocd.state == "ok" and openocd.text.endswith("Tools/OpenOCD/openocd")
    ports = [finding for finding in computer.findings if "/dev/tty" in finding.subject]
    assert [port.text for port in ports] == ["board: usb-ARM_DAPLink_CMSIS-DAP_0444-if01", "unknown device"]
    assert all(found(computer, subject)[0].state == "ok" for subject in ("Python", "torch", "ai8x", "datasets"))
    assert "GiB free" in found(computer, "current folder")[0].text


def test_files_with_problems_are_named(computer):
    _, problem = found(computer, "models")
    assert problem.state == "problem" and "models/odd.py" in problem.text and "move it out of models/" in problem.fix
    assert not computer.healthy and computer.problems == [problem]


def test_what_is_missing_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(doctor.EXTRAS, "plots", ("no_such_module",))
    diagnosis = doctor.examine({"PATH": ""}, tmp_path / "nothing")
    for subject in ("MSDK", "openocd", "make", "serial ports", "extra plots"):
        (finding,) = found(diagnosis, subject)
        assert finding.state == "missing" and finding.fix, subject
    assert diagnosis.healthy
    assert found(doctor.examine({"MAXIM_PATH": str(tmp_path)}, tmp_path), "MSDK")[0].state == "problem"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.version_info < (3, 11), reason="no reader of TOML")
def test_the_extras_are_those_of_the_package():
    declared = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extras = set(declared["project"]["optional-dependencies"])
    assert set(doctor.EXTRAS) == extras - {"test", "docs"}


def test_the_command(ai8x, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = ai8x("doctor", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "ai8x-doctor/1" and document["healthy"] is (result.exit_code == 0)
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "odd.py").write_text("datasets = [\n")
    result = ai8x("doctor")
    assert result.exit_code == 1
    assert "datasets/odd.py" in result.stdout and result.stderr == "error: 1 problem: datasets\n"
