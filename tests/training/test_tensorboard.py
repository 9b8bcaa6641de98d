"""What a run writes for TensorBoard."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.clipping import ClippingMeter
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.results import TrainResult
from ai8x_tool.training.trainer import train

OPTIONS: dict[str, Any] = {
    "model": "tiny",
    "dataset": "Stripes",
    "optimizer": "Adam",
    "learning_rate": 0.02,
    "qat_policy": "second",
    "epochs": 3,
    "batch_size": 32,
    "deterministic": True,
    "cpu": True,
    "print_freq": 2,
}
ALL: dict[str, Any] = {"tensorboard": True, "param_hist": True, "pr_curves": True, "embedding": True, "confusion": True}

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="needs the extra 'tensorboard'"
)


def run(console: Console, **options: Any) -> TrainResult:
    """Train; runs that end before the policy's QAT would start are float only."""
    short = {"qat_policy": None} if options.get("epochs", 4) <= 2 else {}
    return train(TrainSettings(**{**OPTIONS, **short, **options}), console)


def events(result: TrainResult) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(result.folder), {"tensors": 0, "scalars": 0, "images": 0, "histograms": 0})
    return accumulator.Reload()


@needs_tensorboard
def test_everything_is_written(workspace: Path, console: Console) -> None:
    pytest.importorskip("matplotlib")
    result = run(console, **ALL)
    found = events(result)
    tags = found.Tags()
    assert console.warnings == [] and tags["graph"]
    top1 = found.Scalars("Performance/Validation/Top1")
    assert [(e.step, round(e.value, 3)) for e in top1] == [
        (r.epoch, round(r.metrics["top1"], 3)) for r in result.history
    ]
    training = found.Scalars("Performance/Training/Overall_Loss")
    assert [event.step for event in training] == [2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert {"Performance/Training/LR", "Performance/Validation/Top5", "Clipping/outputs_at_limits/fc"} <= set(
        tags["scalars"]
    )
    assert [e.step for e in found.Images("Validation/ConfusionMatrix")] == [0, 1, 2]
    assert {"conv1/op/weight", "fc/op/weight"} <= set(tags["histograms"])
    assert not any("bits" in tag for tag in tags["histograms"])
    last = found.Histograms("fc/op/weight")[-1]
    weight = torch.as_tensor(np.array(read_checkpoint(result.checkpoint).state["fc.op.weight"]))
    assert last.step == 2 and last.histogram_value.max == pytest.approx(float(weight.max()))
    assert "    epochs: 3" in found.Tensors("Command_line/text_summary")[0].tensor_proto.string_val[0].decode()


@needs_tensorboard
def test_curves_use_the_true_classes_of_all_samples(workspace: Path, console: Console) -> None:
    result = run(console, **{**ALL, "confusion": False, "validation_split": 0.0})
    curve = events(result).Tensors("a")[-1].tensor_proto
    from tensorboard.util.tensor_util import make_ndarray

    positives, negatives = make_ndarray(curve)[:2, 0]  # at threshold 0 all samples count as found
    assert result.test is not None and positives + negatives == result.test.samples
    assert positives == sum(result.test.confusion[0])


@needs_tensorboard
def test_the_projector_gets_outputs_labels_and_images(workspace: Path, console: Console) -> None:
    pytest.importorskip("PIL")
    folder = run(console, **{**ALL, "confusion": False}).folder
    (last,) = folder.glob("*/verification/00002*") if not list(folder.glob("00002")) else folder.glob("00002/*")
    assert len((last / "tensors.tsv").read_text().splitlines()) == 20
    assert set((last / "metadata.tsv").read_text().split()) <= set("abcdef")
    assert (last / "sprite.png").stat().st_size > 100


@needs_tensorboard
def test_watching_changes_nothing(workspace: Path, console: Console) -> None:
    watched, alone = run(console, **{**ALL, "confusion": False}), run(console)
    assert [record.loss for record in watched.history] == [record.loss for record in alone.history]


def test_without_the_package_a_line_says_so(workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    result = run(console, epochs=1, tensorboard=True)
    assert ["no TensorBoard files" in text for text in console.warnings] == [True]
    assert not list(result.folder.glob("events*"))


@pytest.mark.parametrize("option", ["pr_curves", "embedding"])
def test_regression_has_no_classes(workspace: Path, console: Console, option: str) -> None:
    with pytest.raises(Ai8xError, match=f"--{option.replace('_', '-')}: regression"):
        run(console, regression=True, **{option: True})


@needs_tensorboard
def test_maps_are_not_projected(workspace: Path, console: Console) -> None:
    model, data = workspace / "models" / "tiny.py", workspace / "datasets" / "stripes.py"
    model.write_text(
        model.read_text().replace("self.fc(self.conv2(self.drop(self.conv1(x))).flatten(1))", "self.conv1(x)[:, :6]")
    )
    data.write_text(data.read_text().replace("return Split(raw, targets", "return Split(raw, raw[:, 0] // 64"))
    folder = run(console, **{**ALL, "confusion": False, "epochs": 1, "validation_split": 0.0}).folder
    assert [text for text in console.warnings if "--embedding has no effect: the outputs are maps" in text]
    assert not list(folder.rglob("metadata.tsv"))


def test_result_file_with_clipping(workspace: Path, console: Console) -> None:
    result = run(console)
    document = json.loads((result.folder / "result.json").read_text())
    assert document == json.loads(json.dumps(result.document()))
    layers = {layer["name"]: layer for layer in document["clipping"]}
    assert list(layers) == ["conv1", "conv2", "fc"] and layers["conv1"]["weight_bits"] == 8
    assert all(layer["outputs_at_limits"] is not None for layer in layers.values())
    evaluated = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=result.checkpoint, clipping=True), console)
    assert evaluated.document()["clipping"] == document["clipping"]


@pytest.mark.parametrize("simulate", [False, True])
def test_what_counts_as_clipped(simulate: bool) -> None:
    context = nn.BuildContext(MAX78000, simulate=simulate)
    layer = nn.Conv1d(1, 1, 1, bias=False, context=context)
    model = torch.nn.Sequential(layer)
    with torch.no_grad():
        layer.op.weight.fill_(127.0 if simulate else 2.0)
    if not simulate:
        layer.start_qat(8, 1.0)
    meter = ClippingMeter(model)
    values = torch.tensor([[[-128.0, -3, 0, 5, 20, 60, 100, 127]]]) / (1 if simulate else 128)
    layer.output_shift.data.fill_(1)
    layer.update()
    with meter.watching():
        model(values)
    (found,) = meter.result()
    assert found.outputs_at_limits == 3 / 8  # of the doubled values −256, 200 and 254
    assert found.weights_at_limits == 1.0 and found.weights_clipped == (None if simulate else 1.0)
    model(values)
    assert meter.result() == [found]
