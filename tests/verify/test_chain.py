"""Verification of whole networks, and the messages of `ai8x verify` for broken links."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool import nn
from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import post_processing
from ai8x_tool.model.build import build_model
from ai8x_tool.nn import QatPolicy, build_context, start_qat
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.quantization import quantize
from ai8x_tool.report.verification import compared
from ai8x_tool.resources import find_config
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.verification import VerifySettings
from ai8x_tool.synthesis.project import build_project
from ai8x_tool.training.checkpoints import serialize
from ai8x_tool.training.layer_outputs import layer_outputs
from ai8x_tool.verification.models import compare_with_engine, distance
from ai8x_tool.verification.run import verify

QUIET = Console(verbosity=-1, muted=True)


def ai8x(*arguments):
    return CliRunner().invoke(app, ["verify", *arguments])


def settings(**given):
    return resolve(VerifySettings, "synthesize", "mnist", None, given)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A network with quantization-aware parameters that nobody trained, before and after quantization."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(1)
    model = build_model("ai85net5", find_dataset("MNIST"), device="MAX78000")
    start_qat(model, QatPolicy(start_epoch=0, weight_bits=8))
    trained, quantized = folder / "qat_best.pth.tar", folder / "q.pth.tar"
    content = {"epoch": 1, "state_dict": model.state_dict(), "arch": "ai85net5", "extras": {}}
    trained.write_bytes(serialize(content))
    quantize(trained, quantized, MAX78000, QUIET)
    return trained, quantized


def test_all_links(checkpoints):
    trained, quantized = checkpoints
    verification = verify(settings(checkpoint=str(quantized), trained=trained), QUIET)
    assert verification.passed
    assert verification.samples == 1
    assert [layer.index for layer in verification.layers] == [0, 1, 2, 3, 4]
    for layer in verification.layers:
        assert layer.equality.values == layer.check.values > 0
        # An untrained model rounds each layer's values to 1/128.
        assert layer.distance.sqnr > 10
        assert 0 <= layer.distance.clipped < 0.5


def test_shipped_network_as_json():
    result = ai8x("mnist", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["schema"] == "ai8x-verify/1"
    assert document["complete"]
    assert {layer["engine_vs_device"]["different"] for layer in document["layers"]} == {0}
    assert all(layer["quantized_vs_engine"]["different"] == 0 for layer in document["layers"])


def test_unknown_model_leaves_the_torch_links_out(checkpoints):
    known = settings(checkpoint=str(checkpoints[1]))
    verification = verify(replace(known, dataset="Nothing", model=None, evaluation_recipe=None), QUIET)
    assert verification.passed
    assert all(layer.equality is None for layer in verification.layers)


def test_a_description_of_something_else_is_named_by_structure(checkpoints, tmp_path):
    """Whether the values differ or not: what is missing in the description stands in front of them."""
    described = find_config("networks", settings().network_file()).read_text()
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(described.replace("activate: ReLU", "activate: none", 1))
    verification = verify(settings(checkpoint=str(checkpoints[1]), network=str(wrong), firmware=False), QUIET)
    assert not verification.passed
    assert verification.structure[0] == verification.text()
    assert "conv1 (" in verification.text()
    assert "activation: ReLU in the model, none in the description" in verification.text()


def test_wrong_register_is_named(monkeypatch):
    right = post_processing.post_processing

    def wrong(mapped, context, quadrant):
        fields = right(mapped, context, quadrant)
        if mapped.layer.index == 2:
            fields = {**fields, "shift": fields["shift"] + 1}
        return fields

    from ai8x_tool.lowering import configure

    registers = tuple((name, wrong if f is right else f) for name, f in configure.LAYER_REGISTERS)
    monkeypatch.setattr(configure, "LAYER_REGISTERS", registers)
    result = ai8x("mnist")
    assert result.exit_code == 1
    assert "error: layer 2 (conv3): " in result.stderr.replace("\n", " ")
    assert "POST" in result.stderr


@pytest.mark.parametrize("options", [["--samples", "0"], ["--sample-input", "absent.npy"], ["--trained", "absent"]])
def test_wrong_input_is_one_line(options):
    result = ai8x("mnist", *options)
    assert result.exit_code == 1
    assert result.stderr.count("error:") == 1
    assert "Traceback" not in result.output


def test_difference_between_torch_and_engine_is_located():
    made = build_project(settings(), QUIET)
    layer = made.network[0]
    output = torch.from_numpy(made.tensors.outputs[0].astype(np.float32))
    assert compare_with_engine(layer, output, made.tensors).different == 0
    output[0, 3, 5, 7] += 1
    result = compare_with_engine(layer, output, made.tensors)
    assert result.different == 1
    assert result.first.startswith("sample 0, channel 3, row 5, column 7: torch computes ")


def test_outputs_of_different_size():
    made = build_project(settings(), QUIET)
    result = compare_with_engine(made.network[0], torch.zeros(1, 60, 5, 5), made.tensors)
    assert result.different == result.values == 60 * 28 * 28
    assert result.first == "the model's output is 60×5×5, the engine's is 60×28×28"


def test_distance():
    layer = build_project(settings(), QUIET).network[0]
    real = torch.tensor([0.5, -0.25, 0.0])
    assert distance(layer, real, real * 128).sqnr == math.inf
    coarse = distance(layer, torch.tensor([1.0, 0.0]), torch.tensor([127.0, 0.0]))
    assert coarse.sqnr == pytest.approx(20 * math.log10(128), abs=1e-6)
    assert coarse.clipped == 0.5


def test_a_module_that_is_used_twice():
    """Layers that share weights are compared with the calls of their module, in order."""

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1, bias=False)

        def forward(self, x):
            return self.conv(self.conv(x))

    with build_context(MAX78000, simulate=True):
        model = Twice()
    model.conv.op.weight.data.fill_(64)
    from tests.support.networks import build

    layers = [
        {"name": "a", "op": "Conv2d", "kernel_size": "1x1", "pad": 0, "processors": 1, "out_offset": 0x2000},
        {"op": "Conv2d", "kernel_size": "1x1", "pad": 0, "processors": 1, "out_offset": 0, "weight_source": "a"},
    ]
    network = build(layers, [np.full((1, 1, 1, 1), 64)], (1, 2, 2))
    shared = replace(network[0].parameters, key="conv.op.weight")
    network = replace(network, layers=tuple(replace(layer, parameters=shared) for layer in network.layers))
    sample = np.array([[[[100, -100], [50, 7]]]])
    outputs = layer_outputs(model, network, torch.from_numpy(sample).float())
    tensors = run(network, sample)
    assert [compare_with_engine(network[i], outputs[i], tensors).different for i in (0, 1)] == [0, 0]
    assert not np.array_equal(tensors.outputs[0], tensors.outputs[1])


def test_what_was_compared_and_what_was_not(checkpoints):
    trained, quantized = checkpoints
    whole = verify(settings(checkpoint=str(quantized), trained=trained, firmware=False), QUIET)
    assert whole.skipped == ("firmware (--no-firmware)",)
    assert compared(whole).startswith("equal for 1 sample: quantized ≡ engine (5 layers, ")
    assert compared(whole).endswith("; not compared: firmware (--no-firmware)")
    without = verify(settings(checkpoint=str(quantized), firmware=False), QUIET)
    assert without.skipped == ("trained ≈ quantized (no --trained)", "firmware (--no-firmware)")


def test_a_missing_model_is_named(checkpoints, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    from ai8x_tool.verification import run as steps

    def missing(*_):
        raise Ai8xError("no model of this name")

    monkeypatch.setattr(steps, "find_model", missing)
    monkeypatch.setattr(steps, "find_toolchain", missing)
    sample = Path("sample.npy")
    np.save(sample, np.zeros((1, 28, 28), np.int64))
    given = {"network": "mnist", "checkpoint": str(checkpoints[1]), "sample_input": str(sample)}
    verification = verify(resolve(VerifySettings, "synthesize", None, None, given), QUIET)
    assert verification.skipped == (
        "trained ≈ quantized ≡ engine (no model of this name)",
        "firmware (no model of this name)",
    )
    assert "quantized ≡ engine (" not in compared(verification).split(";")[0]
