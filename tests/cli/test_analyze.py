"""``ai8x analyze``: everything that ships, what is printed, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys

import pytest

import ai8x_tool
from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError
from ai8x_tool.mapper import Shortage
from ai8x_tool.report.analysis_text import analysis_lines
from ai8x_tool.settings.files import list_recipes
from ai8x_tool.text import from_here
from tests.support.turns import in_turn

FITS = {
    "ai87_kws20_v3": ["MAX78000", "MAX78002"],
    "catsdogs": ["MAX78000", "MAX78002"],
    "kws20_v3": ["MAX78000"],  # 1D layers with padding and more than 64 channels
    "mnist": ["MAX78000", "MAX78002"],
}
DOCUMENT = {"schema", "name", "kind", "file", "input_shape", "fits", "devices"}
DEVICE = {
    *("device", "fits", "problem", "remedies", "placement", "input_path", "copies", "clock_mhz", "pipeline", "cycles"),
    *("estimate", "overlaps", "shortage", "tightest", "resources", "layers"),
}
LAYER = {
    *("index", "name", "operator", "source", "inputs", "input_shape", "output_shape", "passes", "processors", "cycles"),
    *("cycle_parts", "limit", "utilization", "macs", "weight_bits", "weight_bytes", "input_bytes", "output_bytes"),
    "microjoules",
}
PHASES = ("load_weights", "load_input", "inference")


SLOW = {
    *("pascalvoc_fpndetector", "imagenet_effnet2", "mobilefacenet_112"),
    *("qr_tinierssd", "facedet_tinierssd", "faceid_112", "cifar10_squeezenet", "kws20_nas_msnoise_mixed"),
    *("kws12_nas_benchmark", "kws20_v3_msnoise_mixed", "cifar100", "bayer2rgb"),
}
TIGHT = {("kinetics", "MAX78000"), ("qr_tinierssd", "MAX78002")}
"""Where a layer overwrites its own input."""
NOWHERE = {"cifar10_1x1": "486,948 bytes, the MAX78000 has 442,368"}
"""Recipes whose models no device can run, and what is said about them on the MAX78000."""


@pytest.mark.parametrize("recipe", NOWHERE)
def test_recipes_that_no_device_can_run(recipe):
    try:
        found = ai8x_tool.analyze(recipe, device="MAX78000").devices[0].problem
    except Ai8xError as error:
        found = str(error)
    assert NOWHERE[recipe] in found


def test_descriptions_that_ship():
    known = resources.list_configs("networks")
    for name, fitting in FITS.items():
        result = ai8x_tool.analyze(known[name], device="both")
        assert [device.device for device in result.devices if device.fits] == fitting
        for device in result.devices:
            assert device.placement == ("as described" if device.fits else "none")


RECIPES = sorted({recipe.name for recipe in list_recipes()} - set(NOWHERE) - {name for name, _ in TIGHT})
OVERLAPPING = sorted({name for name, _ in TIGHT})


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in (*in_turn(OVERLAPPING, 3), *in_turn(RECIPES, 3))
    ],
)
def test_every_recipe_that_ships(recipe):
    result = ai8x_tool.analyze(recipe, device="both")
    assert result.fits and result.kind == "recipe"
    own = next(entry for entry in list_recipes() if entry.name == recipe).common["device"]
    for device in result.devices:
        assert device.fits or device.device != own, device.problem
        least = 3 if recipe == "bayer2rgb" else 4
        assert len(device.layers) >= least or device.device != own  # some models are for one device only
        assert bool(device.overlaps) == ((recipe, device.device) in TIGHT)
        check_text(result)


def check_text(result):
    for width in (80, 120):
        lines = list(analysis_lines(result, width))
        tables = [line for line in lines if not line.startswith(tuple(d.device + ":" for d in result.devices))]
        assert max(map(len, tables)) <= width, max(tables, key=len)
        text = "\n".join(lines)
        for device in result.devices:
            for layer in device.layers if device.fits else ():
                assert f"{layer.cycles:,}" in text and f"{layer.index} {layer.name}" in text


def test_document(ai8x):
    result = ai8x("analyze", "mnist", "--device", "both", "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert set(document) == DOCUMENT and document["schema"] == "ai8x-analyze/1"
    assert document["input_shape"] == [1, 28, 28] and document["kind"] == "recipe"
    for device in document["devices"]:
        assert set(device) == DEVICE
        assert all(set(layer) == LAYER for layer in device["layers"])
        assert all(sum(layer["cycle_parts"].values()) == layer["cycles"] for layer in device["layers"])
        assert all(device["estimate"][phase]["microseconds"] > 0 for phase in PHASES)
    assert [device["cycles"] for device in document["devices"]] == [70157, 82653]
    assert document["devices"][0]["estimate"]["inference"]["microseconds"] == pytest.approx(1410, rel=0.01)


def test_text_at_80_columns(ai8x, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = ai8x("analyze", "kws20_v3")
    assert result.exit_code == 0, result.stderr
    assert "71,782" in result.stdout and "8 fc" in result.stdout
    assert "MAX78002" not in result.stdout  # the recipe names its device


def test_a_network_that_does_not_fit(ai8x):
    result = ai8x("analyze", "kws20_v3", "--device", "78002", "--map-seconds", 1, "--json")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: MAX78002:") and "voice_conv3" in line
    (device,) = json.loads(result.stdout)["devices"]
    assert device["fits"] is False and from_here(device["problem"]) in line and device["estimate"] is None
    assert ai8x("analyze", "kws20_v3", "--device", "both").exit_code == 0


def test_descriptions_without_places(tmp_path):
    text = (resources.shipped("configs/networks") / "mnist.yaml").read_text()
    stripped = [line for line in text.splitlines() if "processors" not in line and "offset" not in line]
    (tmp_path / "free.yaml").write_text("\n".join(stripped))
    given, found = ai8x_tool.analyze("mnist"), ai8x_tool.analyze(tmp_path / "free.yaml", device="MAX78000")
    assert found.devices[0].placement == "found automatically"
    assert found.devices[0].cycles <= given.devices[0].cycles


def test_sizes_from_the_model_or_a_checkpoint(tmp_path):
    text = (resources.shipped("configs/networks") / "kws20_v3.yaml").read_text()
    file = tmp_path / "net.yaml"
    file.write_text("\n".join(line for line in text.splitlines() if "out_channels" not in line))
    for more in ({}, {"checkpoint": "ai85kws20netv3-q.pth.tar"}, {"input": "128x128"}):
        assert ai8x_tool.analyze(file, device="MAX78000", **more).devices[0].cycles == 71782
    file.write_text(file.read_text().replace("arch: ai85kws20netv3", "arch: unheard_of"))
    with pytest.raises(Ai8xError, match=r"voice_conv1.*the number of outputs is not known.*out_channels"):
        ai8x_tool.analyze(file, device="MAX78000")


def test_models():
    result = ai8x_tool.analyze("AI85NET5", dataset="MNIST", device="MAX78000")
    assert (result.kind, result.name, result.devices[0].cycles) == ("model", "ai85net5", 70157)
    file = resources.shipped("models") / "ai85net5.py"
    small = ai8x_tool.analyze(file, input="1x28x28", device="78000", qat_policy="mnist").devices[0]
    assert {layer.weight_bits for layer in small.layers} != {8}
    with pytest.raises(Ai8xError, match=r"ai85unetsmall.*--model"):
        ai8x_tool.analyze(resources.shipped("models") / "ai85unet.py", input="3x80x80")
    unet = ai8x_tool.analyze(
        resources.shipped("models") / "ai85unet.py", input="3x80x80", model="ai85unetsmall", use_bias=True, classes=3
    )
    assert unet.name == "ai85unetsmall" and unet.fits
    assert unet.devices[0].layers[-1].output_shape[0] == 3


def test_streaming(tmp_path):
    layer = "\n  - {{name: {}, op: Conv2d, out_channels: {}, processors: {:#x}, out_offset: {:#x}{}}}"
    layers = layer.format("a", 8, 0x7, 0x2000, ", streaming: true") + layer.format("b", 4, 0xFF, 0x4000, "")
    (tmp_path / "net.yaml").write_text(f"arch: net\ndataset: Toy\nlayers:{layers}\n")
    (device,) = ai8x_tool.analyze(tmp_path / "net.yaml", input="3x32x32", device="MAX78002").devices
    assert device.fits, device.problem
    assert device.path == "HWC input through a FIFO, 1 streaming layer" and device.estimate.input_rate > 0
    assert any(
        "words/s" in line
        for line in analysis_lines(ai8x_tool.analyze(tmp_path / "net.yaml", input="3x32x32", device="MAX78002"), 80)
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kws20_v4"], "did you mean 'kws20_v3'"),
        (["ai85net5"], "the shape of the input is not known"),
        (["ai85net5", "--input", "3y4"], "must be a shape such as 3x64x64"),
        (["ai85net5", "--input", "1x28x28", "--device", "MAX32"], "unknown device 'MAX32'"),
        (["ai85net5", "--dataset", "MNIS"], "did you mean 'MNIST'"),
        (["mnist", "--clock-divider", "3"], "clock_divider must be"),
    ],
)
def test_errors(ai8x, words, said):
    result = ai8x("analyze", *words)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert said in line


def test_descriptions_need_no_torch(root):
    script = "import sys, ai8x_tool; ai8x_tool.analyze(sys.argv[1]); print('torch' in sys.modules)"
    for name in ("mnist", "kws20_v3"):
        path = root / "configs" / "networks" / f"{name}.yaml"
        command = [sys.executable, "-c", script, str(path)]
        assert subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout == "False\n"


def test_the_example_of_the_documentation(root):
    text = (root / "docs" / "analyze.md").read_text(encoding="utf-8")
    example = text.split("```text\n")[1].split("```")[0].splitlines()
    assert example[0] == "$ ai8x analyze mnist --device both"
    assert example[1:] == list(analysis_lines(ai8x_tool.analyze("mnist", device="both"), 80))


def test_the_keys_of_the_documentation(root):
    """Every key of the document is named, and no other one."""
    text = (root / "docs" / "analyze.md").read_text(encoding="utf-8").split("\n## For programs\n")[1]
    rows = {
        line.split("|")[1].strip(): set(re.findall(r"`(\w+)`", line)) for line in text.splitlines() if line[:1] == "|"
    }
    wrong = ai8x_tool.analyze("kws20_v3", device="78002", map_seconds=10).document()
    right = ai8x_tool.analyze("mnist").document()
    assert rows["document"] == set(right)
    (device,) = right["devices"]
    assert rows["device"] == set(device) and rows["layer"] == set(device["layers"][0])
    assert rows["resource"] == set(device["resources"][0])
    assert rows["estimate"] == set(device["estimate"]) | set(device["estimate"]["inference"])
    assert rows["shortage"] == {field.name for field in dataclasses.fields(Shortage)}
    assert rows["remedy"] == set(wrong["devices"][0]["remedies"][0])


LARGE_KERNEL = """
from torch import nn

class Large(nn.Module):
    def __init__(self, num_classes=2, num_channels=1, **keywords):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(num_channels, 8, 5, padding=2), nn.SiLU(), nn.Flatten(), nn.Linear(512, 2))

    def forward(self, x):
        return self.net(x)

def large(pretrained=False, **keywords):
    return Large(**keywords)

models = [{"name": "large", "min_input": 1, "dim": 2}]
"""


def test_what_no_device_has_is_replaced_on_demand(tmp_path):
    file = tmp_path / "large.py"
    file.write_text(LARGE_KERNEL)
    with pytest.raises(Ai8xError, match="accept ReLU instead with --adapt"):
        ai8x_tool.analyze(file, input="1x8x8")
    adapted = ai8x_tool.analyze(file, input="1x8x8", adapt=True)
    assert all(device.fits for device in adapted.devices)
    assert len(adapted.devices[0].layers) == 3
