"""Summaries of models; above all: ONNX Runtime finds the same classes as the model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool import nn
from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.facts import measure_work
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.quantization import quantize
from ai8x_tool.report.onnx_file import export_onnx, run_onnx
from ai8x_tool.report.summaries import KINDS, summarize
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.trainer import train
from tests.support.turns import in_turn

PACKAGES = ("onnx", "onnxscript", "onnxruntime", "onnxslim")
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES), reason="needs the extra 'onnx'"
)
pytestmark = pytest.mark.usefixtures("onnx_operators")

MODEL = ["--model", "tiny", "--dataset", "Stripes"]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def trained(console: Console, policy: str | None) -> Path:
    """A checkpoint whose model is not yet sure of all classes."""
    common: dict[str, Any] = {
        "model": "tiny",
        "dataset": "Stripes",
        "optimizer": "Adam",
        "weight_decay": 0,
        "cpu": True,
    }
    settings = TrainSettings(
        **common, learning_rate=0.01, epochs=3, batch_size=32, qat_policy=policy, deterministic=True
    )
    return train(settings, console).checkpoint


def classes(checkpoint: Path, console: Console, *, simulate: bool) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """Outputs and classes of the model for the test set, and its inputs."""
    settings = EvaluateSettings(dataset="Stripes", checkpoint=checkpoint, simulate=simulate, cpu=True)
    outputs = evaluate(settings, console, keep_outputs=True).outputs
    assert isinstance(outputs, torch.Tensor)
    test = find_dataset("Stripes").load(Path("data"), console).test
    inputs, _ = test.batch(torch.arange(len(test)))
    return outputs.numpy(), outputs.argmax(1).numpy(), inputs if simulate else inputs / 128


@pytest.mark.slow
@needs_onnx
@pytest.mark.parametrize("phase", in_turn(["never", "second", "8bit"], 3))
def test_onnx_runtime_finds_the_same_classes(workspace: Path, console: Console, phase: str) -> None:
    checkpoint = trained(console, None if phase == "never" else "second")
    if phase == "8bit":
        quantize(checkpoint, Path("q.pth.tar"), MAX78000, console)
        checkpoint = Path("q.pth.tar")
    expected, truth, inputs = classes(checkpoint, console, simulate=phase == "8bit")
    assert len(set(truth)) > 3
    settings = EvaluateSettings(dataset="Stripes", checkpoint=checkpoint, simulate=phase == "8bit")
    for kind in ("onnx", "onnx_simplified"):
        file = summarize(settings, kind, f"tiny_{kind}", console).file
        assert file == Path(f"tiny_{kind}.onnx")
        (found,) = run_onnx(file, inputs)
        exact = kind == "onnx" and phase != "never"
        same = found.argmax(1) == truth
        assert same.all() if kind == "onnx" or phase == "never" else same.mean() > 0.9
        assert not exact or np.array_equal(found, expected)
        assert len(run_onnx(file, inputs[:1])[0]) == 1
    if phase == "second":
        check_operators()


def check_operators() -> None:
    """The simplified file has the usual operators only."""
    import onnx

    full, simplified = (onnx.load(f"tiny_{kind}.onnx") for kind in ("onnx", "onnx_simplified"))
    operators = {node.op_type for node in simplified.graph.node}
    assert operators <= {"Conv", "Clip", "AveragePool", "Reshape", "Flatten", "Gemm", "MatMul", "Add", "Mul"}
    assert [node.op_type for node in simplified.graph.node].count("Mul") == 1  # the final scale
    assert "Floor" in {node.op_type for node in full.graph.node}
    notes = {entry.key: entry.value for entry in full.metadata_props}
    assert notes["labels"] == "a, b, c, d, e, f" and notes["input_unit"] == "integers -128 to 127, divided by 128"


class Everything(torch.nn.Module):
    """Two branches, transposed convolution, depthwise layers, averages, bitwise operators and two outputs."""

    def __init__(self, context: nn.BuildContext) -> None:
        super().__init__()
        common: dict[str, Any] = {"padding": 1, "bias": True, "context": context}
        self.enter = nn.FusedConv2dAbs(3, 8, 3, **common)
        self.left = nn.FusedAvgPoolConv2dReLU(8, 8, 3, pool_size=3, pool_stride=2, **common)
        self.right = nn.FusedMaxPoolDepthwiseConv2d(8, 8, 3, pool_size=3, pool_stride=2, **common)
        self.add, self.sub = nn.Add(context=context), nn.Sub(context=context)
        self.xor, self.either = nn.BitwiseXor(context=context), nn.BitwiseOr(context=context)
        self.up = nn.FusedConvTranspose2dReLU(8, 4, 3, stride=2, **common)
        self.line = nn.FusedAvgPoolConv1dReLU(4, 6, 3, pool_size=2, **common)
        self.wide = nn.Conv1d(6, 6, 1, wide=True, bias=True, context=context)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.enter(x)
        left, right = self.left(x), self.right(x)
        both = self.either(self.add(left, right), self.xor(left, self.sub(left, right)))
        y = self.up(both)
        return self.wide(self.line(y.flatten(2))), y


@pytest.mark.slow
@needs_onnx
@pytest.mark.parametrize("mode", ["float", "qat", "simulate"])
def test_all_operators(mode: str) -> None:
    torch.manual_seed(5)
    model = Everything(nn.BuildContext(MAX78002, simulate=mode == "simulate")).eval()
    for _, module in nn.named_fused_modules(model):
        assert module.op is not None
        with torch.no_grad():
            for parameter in module.op.parameters():
                parameter.copy_(torch.randint(-128, 128, parameter.shape) / (1 if mode == "simulate" else 128))
        if mode == "qat":
            module.start_qat(4, 1.0)
        module.output_shift.data.fill_(-3)
        module.update()
    inputs = torch.randint(-128, 128, (4, 3, 13, 13)).float() / (1 if mode == "simulate" else 128)
    with torch.no_grad():
        expected = model(inputs)
    found = run_onnx(export_onnx(model, inputs[:2]), inputs)
    for wanted, value in zip(expected, found, strict=True):
        assert len(wanted.unique()) > 10
        np.testing.assert_allclose(value, wanted.numpy(), rtol=0, atol=2e-5 if mode == "float" else 0)


@needs_onnx
def test_a_model_for_single_samples(console: Console) -> None:
    class Single(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.FusedLinearReLU(8, 4, context=nn.BuildContext(MAX78002))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([self.layer(row) for row in x.unbind()]) if len(x) > 1 else self.layer(x)

    model, inputs = Single().eval(), torch.rand(3, 8)
    with torch.no_grad():
        expected = model(inputs)
    (found,) = run_onnx(export_onnx(model, inputs), inputs)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@needs_onnx
@pytest.mark.parametrize("kind", ["png", "png_w_params"])
def test_plots(workspace: Path, console: Console, kind: str) -> None:
    pytest.importorskip("matplotlib")
    settings = TrainSettings(model="tiny", dataset="Stripes")
    summary = summarize(settings, kind, "graph", console)
    assert summary.file is not None and summary.file.read_bytes()[:4] == b"\x89PNG"
    assert summary.document["operators"] > 8


def test_compute(workspace: Path) -> None:
    done = invoke("train", *MODEL, "--summary", "compute", "--json")
    document = json.loads(done.stdout)
    rows = {row["name"]: row for row in document["layers"]}
    assert document["schema"] == "ai8x-summary/1" and document["summary"] == "compute"
    assert rows["conv1"]["macs"] == 8 * 8 * 8 * 9 and rows["conv1"]["output"] == [8, 8, 8]
    assert rows["conv2"]["macs"] == 4 * 4 * 8 * 8 * 9 and rows["conv2"]["biases"] == 0
    assert rows["fc"] == {
        "name": "fc", "kind": "Linear", "input": [128], "output": [6], "weights": 768, "biases": 6, "macs": 768,
    }  # fmt: skip
    assert document["total"] == {"weights": 72 + 576 + 768, "biases": 8 + 6, "macs": 4608 + 9216 + 768}
    table = invoke("train", *MODEL, "--summary", "compute").stdout
    assert "FusedConv2dBNReLU" in table and "14,592" in table and "8×8×8" in table
    assert not Path("logs").exists()


def test_work_of_a_pooled_transposed_convolution() -> None:
    layer = nn.FusedMaxPoolConvTranspose2dReLU(4, 6, 3, stride=2, padding=1, context=nn.BuildContext(MAX78002))
    (row,) = measure_work(torch.nn.Sequential(layer), torch.zeros(1, 4, 8, 8))
    assert row.output == (6, 8, 8) and row.macs == 4 * 4 * 4 * 6 * 9


def test_sparsity(workspace: Path, console: Console) -> None:
    checkpoint = trained(console, "second")
    done = invoke(
        "evaluate", "--dataset", "Stripes", "--checkpoint", str(checkpoint), "--summary", "sparsity", "--json"
    )
    document = json.loads(done.stdout)
    assert [row["name"] for row in document["weights"]] == ["conv1.op.weight", "conv2.op.weight", "fc.op.weight"]
    lines = Path(document["file"]).read_text().splitlines()
    assert (
        document["file"] == "weights_sparsity.csv"
        and len(lines) == 4
        and lines[1].startswith("conv1.op.weight,8x1x3x3")
    )


def test_model_and_modules(workspace: Path) -> None:
    text = invoke("train", *MODEL, "--summary", "model").stdout
    assert "(conv1): FusedConv2dBNReLU(" in text and "Conv2d(1, 8, kernel_size=(3, 3)" in text
    modules = json.loads(invoke("train", *MODEL, "--summary", "modules", "--json").stdout)["modules"]
    assert [module["type"] for module in modules] == [
        "FusedConv2dBNReLU",
        "Dropout",
        "FusedAvgPoolConv2dReLU",
        "Linear",
    ]


def test_errors(workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = invoke("train", *MODEL, "--summary", "onx")
    assert wrong.exit_code == 1 and "did you mean 'onnx'?" in wrong.output.replace("\n", " ")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    for kind in (kind for kind in KINDS if "onnx" in kind or "png" in kind):
        with pytest.raises(Ai8xError, match=r"ONNX needs .*onnxruntime.*ai8x-tool\[onnx\]"):
            summarize(TrainSettings(model="tiny", dataset="Stripes"), kind, "x", console)
    assert not list(workspace.glob("x*"))
