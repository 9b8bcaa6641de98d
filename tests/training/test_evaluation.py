"""Evaluation: the published numbers, the 8-bit mode, and what does not fit together."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.build import build_for_checkpoint
from ai8x_tool.plugins.find import find_model
from ai8x_tool.quantization import quantize
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.subjects.model import made_entry
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.trainer import train
from tests.support.turns import in_turn

SHARED = Path(os.environ.get("AI8X_SHARED", Path(__file__).resolve().parents[3] / "shared"))
GOLDEN = SHARED / "golden" / "evaluate"


def quantized_copy(path: Path, target: Path) -> Path:
    quantize(path, target, MAX78000, Console(verbosity=-1))
    return target


@pytest.fixture(scope="module")
def kept() -> dict[str, bytes]:
    """What has been trained for earlier tests."""
    return {}


@pytest.fixture(params=["measured", "fixed"])
def trained(workspace: Path, console: Console, request: pytest.FixtureRequest, kept: dict[str, bytes]) -> Path:
    path = workspace / "trained" / "qat_checkpoint.pth.tar"
    path.parent.mkdir()
    path.write_bytes(kept.get(request.param) or kept.setdefault(request.param, trained_bytes(request.param, console)))
    return path


def trained_bytes(ranges: str, console: Console) -> bytes:
    options = {"optimizer": "Adam", "learning_rate": 0.02, "epochs": 4, "batch_size": 32, "qat_policy": "second"}
    settings = TrainSettings(
        model="tiny", dataset="Stripes", deterministic=True, cpu=True, activation_ranges=ranges, **options
    )  # type: ignore[arg-type]
    return train(settings, console).checkpoint.read_bytes()


def settings(checkpoint: Path, **options: Any) -> EvaluateSettings:
    return EvaluateSettings(dataset="Stripes", checkpoint=checkpoint, **{"cpu": True, **options})


def test_8_bit_mode_is_the_trained_network(trained: Path, console: Console, tmp_path: Path) -> None:
    quantized = quantized_copy(trained, tmp_path / "q.pth.tar")
    qat = evaluate(settings(trained), console, keep_outputs=True)
    integers = evaluate(settings(quantized, simulate=True), console, keep_outputs=True)
    assert qat.score.metrics["top1"] > 90 and qat.outputs is not None and integers.outputs is not None
    assert torch.equal(integers.outputs, integers.outputs.round())
    # The wide output leaves out the last shift; nothing else differs, hence not even the ranking.
    scale = qat.outputs.abs().max() / integers.outputs.abs().max()
    torch.testing.assert_close(integers.outputs * scale, qat.outputs, atol=1e-3, rtol=1e-3)
    assert integers.score.confusion == qat.score.confusion and integers.score.loss < 2
    document = json.loads(json.dumps(integers.document()))
    assert document["schema"] == "ai8x-evaluate/1" and document["note"] == "made up" and document["samples"] == 60


def test_a_sample_is_saved(trained: Path, console: Console, tmp_path: Path) -> None:
    quantized = quantized_copy(trained, tmp_path / "q.pth.tar")
    result = evaluate(settings(quantized, simulate=True, save_sample=3), console)
    assert result.sample_file == Path("sample_stripes.npy")
    sample = np.load("sample_stripes.npy", allow_pickle=False)
    assert sample.dtype == np.int64 and sample.shape == (1, 8, 8) and sample.min() >= -128
    evaluate(settings(quantized, simulate=True, save_sample=3, save_sample_file=Path("x.npy")), console)
    assert np.array_equal(np.load("x.npy"), sample)
    with pytest.raises(Ai8xError, match="--save-sample 40: the first batch has 32 samples"):
        evaluate(settings(quantized, simulate=True, save_sample=40, batch_size=32), console)
    with pytest.raises(Ai8xError, match=r"--save-sample 60: the test split of Stripes has 60 samples .*0 to 59"):
        evaluate(settings(quantized, simulate=True, save_sample=60, batch_size=32), console)
    evaluate(settings(trained, save_sample=1), console)
    assert any("--save-sample" in text for text in console.warnings)


def test_what_does_not_fit_together(trained: Path, console: Console, tmp_path: Path) -> None:
    quantized = quantized_copy(trained, tmp_path / "q.pth.tar")
    state = torch.load(quantized, weights_only=True)
    torch.save({**state, "arch": None}, tmp_path / "anonymous.pth.tar")
    cases: list[tuple[EvaluateSettings, str]] = [
        (settings(quantized), "a quantized checkpoint runs in 8-bit mode only .add --8bit"),
        (settings(trained, simulate=True), "not quantized"),
        (settings(trained, model="ai85net5"), "the checkpoint belongs to model 'tiny', not to 'ai85net5'"),
        (settings(trained, use_bias=True), "1 of the model's .* tensors are missing: conv2.op.bias"),
        (settings(tmp_path / "anonymous.pth.tar", simulate=True), "pass --model"),
        (EvaluateSettings(dataset="MNIST", checkpoint=trained), "fc.op.weight: shape|fc.op.bias: shape"),
    ]
    for given, words in cases:
        with pytest.raises(Ai8xError, match=words) as caught:
            evaluate(given, console)
        assert "\n" not in str(caught.value)


def test_batch_normalization_takes_the_biases_of_the_checkpoint(console: Console) -> None:
    model = find_model("ai85autoencoder")
    entry = made_entry(model, (256, 3))
    state = {"en_conv1.op.bias": np.zeros(128, np.float32)}
    stored, empty = (Checkpoint(Path("q"), content, 0, None, {}, {}) for content in (state, {}))
    found = build_for_checkpoint(model.name, entry, stored, console, device="MAX78000")
    assert "en_conv1.op.bias" in found.state_dict()
    with pytest.raises(Ai8xError, match="pass bias=True"):
        build_for_checkpoint(model.name, entry, empty, console, device="MAX78000")


@pytest.mark.slow
@pytest.mark.golden
@pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"no reference data at {GOLDEN}")
@pytest.mark.parametrize("number", in_turn([0, 1], 2))
def test_published_accuracy(console: Console, number: int) -> None:
    golden = json.loads((GOLDEN / "mnist.json").read_text())
    case = golden["cases"][number]
    given = EvaluateSettings(
        dataset=golden["dataset"],
        checkpoint=GOLDEN / case["checkpoint"],
        model=golden["model"],
        data=GOLDEN / golden["data"],
        simulate=case["simulate_8bit"],
    )
    score = evaluate(given, console).score
    assert (score.samples, score.metrics["top1"], score.metrics["top5"]) == (
        case["samples"],
        case["top1"],
        case["top5"],
    )
    if "confusion" in case:
        assert [list(row) for row in score.confusion] == case["confusion"]
