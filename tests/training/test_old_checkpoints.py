"""Every reader takes checkpoints of every age, computes the same with them, and says what it repaired."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.build import load_weights
from ai8x_tool.quantization import quantize
from ai8x_tool.quantization.samples import CalibrationSettings, calibration
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.trainer import train

State = dict[str, torch.Tensor]
CONTEXT = nn.BuildContext(MAX78000)


def fresh() -> Console:
    """A console whose `said` holds every message."""
    return Console(verbosity=-1)


def tensors(path: Path) -> State:
    return {key: torch.from_numpy(np.array(value)) for key, value in read_checkpoint(path).state.items()}


def save(path: Path, state: State, **content: Any) -> Path:
    torch.save({"epoch": 1, "arch": "tiny", "extras": {}, "state_dict": OrderedDict(state), **content}, path)
    return path


def settings(**options: Any) -> TrainSettings:
    base = {"optimizer": "Adam", "learning_rate": 0.02, "batch_size": 32, "deterministic": True, "cpu": True}
    return TrainSettings(model="tiny", dataset="Stripes", **{**base, **options})


@pytest.fixture(scope="module")
def kept() -> dict[str, bytes]:
    """What has been trained for an earlier test."""
    return {}


@pytest.fixture
def unfolded(workspace: Path, kept: dict[str, bytes]) -> Path:
    if not kept:
        options = settings(epochs=3, qat_policy=None, activation_ranges="fixed")
        kept["unfolded"] = train(options, fresh()).checkpoint.read_bytes()
    path = workspace / "unfolded" / "checkpoint.pth.tar"
    path.parent.mkdir()
    path.write_bytes(kept["unfolded"])
    return path


def without_quantile(state: State) -> State:
    return {key: value for key, value in state.items() if not key.endswith("shift_quantile")}


def floats(state: State) -> State:
    return {key: value.float() for key, value in without_quantile(state).items()}


AGES: dict[str, tuple[Callable[[State], State], list[str]]] = {
    "present": (lambda state: state, []),
    "data-parallel": (
        lambda state: {f"module.{key}": value for key, value in state.items()},
        ["prefix 'module' removed from 28 names"],
    ),
    "compiled": (
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        ["prefix '_orig_mod' removed from 28 names"],
    ),
    "compiled inside": (
        lambda state: {f"module.{k}".replace("conv1.", "conv1._orig_mod."): v for k, v in state.items()},
        ["prefix 'module' removed from 28 names", "prefix '_orig_mod' removed from 13 names"],
    ),
    "before quantiles": (without_quantile, ["3 layers without shift_quantile: 1 is used"]),
    "all floats": (floats, ["3 layers without shift_quantile: 1 is used"]),
    "before counters": (
        lambda state: {key: value for key, value in state.items() if "batches" not in key},
        ["1 counter of batch normalization added"],
    ),
    "conv2d": (
        lambda state: {key.replace("conv1.op.", "conv1.conv2d."): value for key, value in state.items()},
        ["2 operator tensors of old files renamed to 'op'"],
    ),
}


@pytest.mark.parametrize("age", AGES)
def test_every_age_evaluates(unfolded: Path, tmp_path: Path, age: str) -> None:
    change, lines = AGES[age]
    old = save(tmp_path / "old.pth.tar", change(tensors(unfolded)))
    expected = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=unfolded, cpu=True), fresh(), keep_outputs=True)
    console = fresh()
    result = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=old, cpu=True), console, keep_outputs=True)
    assert result.outputs is not None and expected.outputs is not None
    assert torch.equal(result.outputs, expected.outputs)
    assert {text for text in console.shown if str(old) in text} == {f"{old}: {line}" for line in lines}
    assert not console.warnings


@pytest.mark.parametrize("age", AGES)
def test_every_age_resumes_and_quantizes(unfolded: Path, tmp_path: Path, age: str) -> None:
    change, lines = AGES[age]
    old = save(tmp_path / "old.pth.tar", change(tensors(unfolded)))
    console = fresh()
    resumed = train(settings(epochs=3, qat_policy=None, resume_from=old, out_dir=tmp_path / "more"), console)
    assert resumed.history[0].epoch == 2
    assert {f"{old}: {line}" for line in lines} <= console.shown
    console = fresh()
    quantize(old, tmp_path / "old-q.pth.tar", MAX78000, console)
    quantize(unfolded, tmp_path / "new-q.pth.tar", MAX78000, fresh())
    new, state = (read_checkpoint(tmp_path / f"{name}-q.pth.tar").state for name in ("new", "old"))
    for key, value in state.items():
        np.testing.assert_array_equal(value, new[key.removeprefix("module.")], err_msg=key)
    folded = f"{old}: batch normalization of 1 layer folded into weights and biases"
    assert folded in console.shown
    own = {f"{old}: {line}" for line in lines if "'module'" not in line and "counter" not in line}
    assert own <= console.shown
    assert not any("_orig_mod" in key for key in state)


def test_pruned_weights_stay_pruned(unfolded: Path, tmp_path: Path) -> None:
    state = tensors(unfolded)
    mask = torch.ones_like(state["conv1.op.weight"])
    mask[0] = 0
    schedule = {"masks_dict": {"module.conv1.op.weight": mask, "conv2.op.weight": None}}
    old, by_hand = tmp_path / "old.pth.tar", tmp_path / "hand.pth.tar"
    save(old, state, compression_sched=schedule)
    save(by_hand, {**state, "conv1.op.weight": state["conv1.op.weight"] * mask})
    console = fresh()
    one, two = (
        evaluate(EvaluateSettings(dataset="Stripes", checkpoint=path, cpu=True), console, keep_outputs=True).outputs
        for path in (old, by_hand)
    )
    assert one is not None and two is not None and torch.equal(one, two)
    assert f"{old}: 1 pruning mask of the compression schedule applied" in console.shown


def two_layers(batchnorm: tuple[str | None, str | None]) -> torch.nn.Module:
    sizes = ((2, 3), (3, 2))
    layers = [nn.Conv2d(*size, 3, batchnorm=kind, context=CONTEXT) for size, kind in zip(sizes, batchnorm, strict=True)]
    return torch.nn.Sequential(*layers).eval()


def statistics(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for key, value in model.state_dict().items():
        if ".bn." in key and value.dim():
            value.copy_(torch.rand(value.shape) + 0.2)
    return model


@pytest.mark.parametrize("folded", [(), ("0",), ("1",), ("0", "1")], ids=str)
@pytest.mark.parametrize("kinds", [("Affine", "Affine"), (None, "Affine"), (None, None)], ids=str)
def test_folded_and_unfolded_layers_in_any_combination(
    tmp_path: Path, folded: tuple[str, ...], kinds: tuple[str | None, str | None]
) -> None:
    """Neither the file nor the model decides for the other: the function is the same."""
    original = statistics(two_layers(("Affine", "Affine")))
    x = torch.rand(2, 2, 8, 8)
    with torch.no_grad():
        expected = original(x)
    for name in folded:
        nn.fuse_batchnorm(original[int(name)])  # type: ignore[index]
    path = save(tmp_path / "a.pth.tar", original.state_dict())
    model, console = two_layers(kinds), fresh()
    load_weights(model, read_checkpoint(path), console)
    with torch.no_grad():
        torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-6)
    in_file = [name for name, kind in zip("01", kinds, strict=True) if kind is None and name not in folded]
    said = (
        f"{path}: batch normalization of {len(in_file)} layer{'s' * (len(in_file) > 1)} folded into weights and biases"
    )
    assert (said in console.shown) == bool(in_file)
    assert not console.warnings


def test_batch_normalization_needs_a_bias_to_go_to(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth.tar", statistics(two_layers(("Affine", "Affine"))).state_dict())
    model = torch.nn.Sequential(nn.Conv2d(2, 3, 3, bias=False, context=CONTEXT))
    with pytest.raises(Ai8xError, match=r"a\.pth\.tar: batch normalization of '0' cannot be folded.*--use-bias"):
        load_weights(model, read_checkpoint(path), fresh())


# -- calibration, from the dataset to the integer checkpoint --------------------------------------------------------


def test_calibrated_checkpoint(unfolded: Path, tmp_path: Path) -> None:
    """It evaluates like the float model, from the dataset's samples or from a file of samples."""
    target, console = tmp_path / "q.pth.tar", fresh()
    chooser = calibration(CalibrationSettings(calibrate=64, dataset="Stripes"), console)
    result = quantize(unfolded, target, MAX78000, console, calibration=chooser, default_bits=4)
    extras = read_checkpoint(target).extras
    assert extras["clipping_method"] == "CALIBRATED" and {layer.bits for layer in result.layers} == {4}
    assert f"{unfolded}: batch normalization of 1 layer folded into weights and biases" in console.shown
    floating = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=unfolded, cpu=True), fresh())
    integers = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=target, cpu=True, simulate=True), console)
    assert floating.score.metrics["top1"] > 80 and integers.score.metrics["top1"] > floating.score.metrics["top1"] - 5
    assert not console.warnings
    samples = np.random.default_rng(0).integers(-128, 128, (20, 1, 8, 8))
    np.save(tmp_path / "samples.npy", samples)
    chooser = calibration(CalibrationSettings(calibration_input=tmp_path / "samples.npy"), console)
    quantize(unfolded, tmp_path / "q2.pth.tar", MAX78000, console, calibration=chooser)
    assert "calibrating 3 layers with 20 samples" in console.shown


def test_a_float_checkpoint_of_measured_ranges_calibrates(workspace: Path, tmp_path: Path) -> None:
    """Its ranges are measured with the samples; without any, a warning says what is missing."""
    path = train(settings(epochs=3, qat_policy=None, activation_ranges="measured"), fresh()).checkpoint
    target, console = tmp_path / "q.pth.tar", fresh()
    quantize(
        path,
        target,
        MAX78000,
        console,
        calibration=calibration(CalibrationSettings(calibrate=64, dataset="Stripes"), console),
    )
    floating = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=path, cpu=True), fresh())
    integers = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=target, cpu=True, simulate=True), console)
    assert floating.score.metrics["top1"] > 80 and integers.score.metrics["top1"] > floating.score.metrics["top1"] - 5
    assert not console.warnings
    state = read_checkpoint(target).state
    assert state["conv1.clamp_activation"].all() and any(v.any() for k, v in state.items() if "threshold" in k)
    quantize(path, target, MAX78000, console)
    assert "activation ranges have not been measured" in console.warnings[0] and "--calibrate" in console.warnings[0]


def test_biased_and_wrapped_models_calibrate(workspace: Path, tmp_path: Path) -> None:
    biased = train(settings(epochs=1, qat_policy=None, use_bias=True), fresh()).checkpoint
    wrapped = save(tmp_path / "w.pth.tar", {f"module.{key}": value for key, value in tensors(biased).items()})
    states = []
    for source in (biased, wrapped):
        console = fresh()
        chooser = calibration(CalibrationSettings(calibrate=16, dataset="Stripes"), console)
        quantize(source, tmp_path / "q.pth.tar", MAX78000, console, calibration=chooser)
        states.append(read_checkpoint(tmp_path / "q.pth.tar").state)
    assert "conv2.op.bias" in states[0] and list(states[0]) == list(states[1])
    for key, value in states[0].items():
        np.testing.assert_array_equal(states[1][key], value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"calibrate": 0, "dataset": "Stripes"}, "calibrate must be at least 1, not 0"),
        ({"calibrate": 4}, "--calibrate needs samples .*--calibration-input"),
        ({"calibrate": 4, "dataset": "Strips"}, "did you mean 'Stripes'"),
        ({"calibration_input": Path("nowhere.npy")}, r"nowhere\.npy: file with calibration samples not found"),
        ({"calibration_input": Path("text.npy")}, r"text\.npy: not a NumPy array file"),
        ({"calibration_input": Path("objects.npy")}, r"objects\.npy: not a NumPy array file"),
        ({"calibration_input": Path("flat.npy")}, r"flat\.npy: samples of shape 4×8 cannot be used"),
        ({"calibration_input": Path("big.npy")}, r"big\.npy: sample values must be integers −128 … 127"),
        ({"calibration_input": Path("half.npy")}, r"half\.npy: sample values must be integers"),
        (
            {"calibration_input": Path("other.npy"), "dataset": "Stripes"},
            r"other\.npy: the samples are 2×8×8, those of Stripes 1×8×8",
        ),
    ],
)
def test_samples_that_cannot_be_used(workspace: Path, options: dict[str, Any], words: str) -> None:
    Path("text.npy").write_text("hello")
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save("flat.npy", np.zeros((4, 8), np.int8))
    np.save("big.npy", np.full((2, 1, 8, 8), 128))
    np.save("half.npy", np.full((2, 1, 8, 8), 0.5))
    np.save("other.npy", np.zeros((2, 2, 8, 8)))
    with pytest.raises(Ai8xError, match=words) as caught:
        calibration(CalibrationSettings(**options), fresh())
    assert "\n" not in str(caught.value)


def test_samples_of_another_model(unfolded: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.zeros((2, 2, 8, 8)))
    chooser = calibration(CalibrationSettings(calibration_input=tmp_path / "other.npy"), fresh())
    with pytest.raises(Ai8xError, match=r"conv1\.op\.weight: shape"):
        quantize(unfolded, tmp_path / "q.pth.tar", find_device("MAX78000"), fresh(), calibration=chooser)
    assert not (tmp_path / "q.pth.tar").exists()


# -- mixed widths ----------------------------------------------------------------------------------------------------


def test_mixed_widths_from_policy_to_integers(workspace: Path, tmp_path: Path) -> None:
    """Overrides by layer and a quantile below 1 reach the integer checkpoint, whose network is the trained one."""
    text = "start_epoch: 1\nweight_bits: 8\nshift_quantile: 0.95\noverrides: {conv1: {weight_bits: 4}"
    Path("configs/qat/mixed.yaml").write_text(text + ", conv2: {weight_bits: 2}}\n")
    trained = train(settings(epochs=4, qat_policy="mixed"), fresh()).checkpoint
    target = tmp_path / "q.pth.tar"
    result = quantize(trained, target, MAX78000, fresh())
    assert [layer.bits for layer in result.layers] == [4, 2, 8]
    state = read_checkpoint(target).state
    for name, low in (("conv1", -8), ("conv2", -2), ("fc", -128)):
        values = np.unique(state[f"{name}.op.weight"])
        assert len(values) > 2 and low <= values[0] and values[-1] < -low
    assert all(state[f"{name}.shift_quantile"] == np.float32(0.95) for name in ("conv1", "conv2", "fc"))
    qat = evaluate(
        EvaluateSettings(dataset="Stripes", checkpoint=trained, cpu=True), fresh(), keep_outputs=True
    ).outputs
    integers = evaluate(
        EvaluateSettings(dataset="Stripes", checkpoint=target, cpu=True, simulate=True), fresh(), keep_outputs=True
    ).outputs
    assert qat is not None and integers is not None
    torch.testing.assert_close(integers / 128**2, qat, atol=2e-4, rtol=0)
