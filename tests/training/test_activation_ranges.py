"""Checkpoints with fixed and with measured activation ranges, in every combination with the options."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import Checkpoint, read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.load import load_network
from ai8x_tool.model.build import build_model, load_weights
from ai8x_tool.nn import named_fused_modules
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.quantization import quantize
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.activation_ranges import with_measured_ranges
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.logs import RunLog
from ai8x_tool.training.setup import prepare
from ai8x_tool.training.trainer import Trainer, TrainResult, train

OPTIONS: dict[str, Any] = {
    **{"model": "tiny", "dataset": "Stripes", "optimizer": "Adam", "learning_rate": 0.02, "weight_decay": 0},
    **{"compress": "halve", "qat_policy": "second", "epochs": 4, "batch_size": 32, "deterministic": True, "cpu": True},
}
NETWORK = """
arch: tiny
dataset: Stripes
layers:
  - {op: Conv2d, processors: 1, data_format: HWC, out_offset: 0x2000, pad: 1, activate: ReLU}
  - {op: Conv2d, processors: 0xff, out_offset: 0, avg_pool: 2, pool_stride: 2, pad: 1, activate: ReLU}
  - {op: Linear, processors: 0xff, out_offset: 0x1000, flatten: true, output_width: 32}
"""
RANGES = pytest.mark.parametrize("ranges", ["measured", "fixed"])


def run(console: Console, **options: Any) -> TrainResult:
    """Train; runs that end before the policy's QAT would start are float only."""
    short = {"qat_policy": None} if options.get("epochs", 4) <= 2 else {}
    return train(TrainSettings(**{**OPTIONS, **short, **options}), console)


def outputs(checkpoint: Path, console: Console, **options: Any) -> torch.Tensor:
    settings = EvaluateSettings(dataset="Stripes", checkpoint=checkpoint, cpu=True, **options)
    result = evaluate(settings, console, keep_outputs=True)
    assert result.outputs is not None
    return result.outputs


def model_of(checkpoint: Checkpoint, console: Console, *, measured: bool) -> torch.nn.Module:
    model = build_model("tiny", find_dataset("Stripes"), device="MAX78000", measured_ranges=measured)
    load_weights(model, checkpoint, console)
    return model.eval()


def completed(source: Path, target: Path) -> Path:
    """Write what the newer reference trainer makes of an old file: it adds the keys it misses at the end."""
    content = read_checkpoint(source)
    state = OrderedDict((key, torch.from_numpy(np.array(value))) for key, value in content.state.items())
    for layer in [key.removesuffix(".output_shift") for key in content.state if key.endswith(".output_shift")]:
        state[f"{layer}.activation_threshold"], state[f"{layer}.final_scale"] = torch.tensor(0.0), torch.tensor(0.0)
        state[f"{layer}.clamp_activation"] = torch.tensor([False])
    torch.save({"state_dict": state, "epoch": content.epoch, "arch": content.arch, "extras": content.extras}, target)
    return target


# -- Checkpoints that are not quantized ----------------------------------------------------------------


@RANGES
@pytest.mark.parametrize("phase", ["float", "qat"])
def test_every_checkpoint_keeps_its_semantics(workspace: Path, console: Console, ranges: str, phase: str) -> None:
    """Evaluated as trained, and trained on as it was, without being told."""
    first = run(console, activation_ranges=ranges, epochs=2 if phase == "float" else 3)
    assert first.history[-1].phase == phase
    stored = read_checkpoint(first.checkpoint)
    assert stored.measured_ranges == (ranges == "measured")
    score = evaluate(EvaluateSettings(dataset="Stripes", checkpoint=first.checkpoint, cpu=True), console).score
    assert score.metrics["top1"] == first.test.metrics["top1"]
    resumed = run(console, resume_from=first.checkpoint)
    loaded = run(console, exp_load_weights_from=first.checkpoint, epochs=1, qat_policy=None)
    for result in (resumed, loaded):
        assert read_checkpoint(result.checkpoint).measured_ranges == stored.measured_ranges
    assert resumed.history[-1].phase == "qat"


def test_the_two_semantics_differ_before_qat(workspace: Path, console: Console) -> None:
    """Without telling files apart, an old one would be computed without the division by 4 and without clamps."""
    old = read_checkpoint(run(console, activation_ranges="fixed", epochs=2).checkpoint)
    part = find_dataset("Stripes").load(Path("data"), console).test
    x = part.batch(torch.arange(20))[0] / 128
    with torch.no_grad():
        right, wrong = (model_of(old, console, measured=measured)(x) for measured in (False, True))
    assert (right - wrong).abs().max() > 1


def test_qat_checkpoints_of_fixed_ranges_are_the_same_either_way(workspace: Path, console: Console) -> None:
    old = read_checkpoint(run(console, activation_ranges="fixed").checkpoint)
    part = find_dataset("Stripes").load(Path("data"), console).test
    x = part.batch(torch.arange(20))[0] / 128
    with torch.no_grad():
        one, two = (model_of(old, console, measured=measured)(x) for measured in (False, True))
    assert torch.equal(one, two)


@pytest.mark.parametrize("epochs", [2, 4], ids=["float", "qat"])
def test_an_old_file_that_a_newer_trainer_completed_stays_old(workspace: Path, console: Console, epochs: int) -> None:
    old = run(console, activation_ranges="fixed", epochs=epochs).checkpoint
    new = completed(old, Path("completed.pth.tar"))
    before = new.read_bytes()
    assert torch.equal(outputs(old, console), outputs(new, console))
    assert console.warnings == []
    assert not read_checkpoint(run(console, exp_load_weights_from=new).checkpoint).measured_ranges
    assert new.read_bytes() == before
    assert sorted(path.name for path in Path().glob("*.pth.tar")) == ["completed.pth.tar"]


def test_conversion(workspace: Path, console: Console) -> None:
    """The division by 4 goes into the batch normalization."""
    first = run(console, activation_ranges="fixed", epochs=2)
    old = read_checkpoint(first.checkpoint)
    small = {key: value / 64 if key.startswith("conv1.bn.") else value for key, value in old.state.items()}
    small |= {key: value * 64 for key, value in small.items() if "running" in key}
    tame = replace(old, state=small)
    new = with_measured_ranges(tame, console)
    assert with_measured_ranges(replace(new, state={**new.state, "x.activation_threshold": np.ones(())}), console)
    x = torch.rand(5, 1, 8, 8) / 4
    with torch.no_grad():
        fixed, measured = model_of(tame, console, measured=False), model_of(new, console, measured=True)
        assert fixed(x).abs().max() > 0 and torch.equal(fixed(x), measured(x))
    converted = run(console, exp_load_weights_from=first.checkpoint, activation_ranges="measured")
    assert read_checkpoint(converted.checkpoint).measured_ranges and converted.test.metrics["top1"] > 90
    (state,) = [{k: v for k, v in old.state.items() if k != "conv1.bn.weight"}]
    with pytest.raises(Ai8xError, match=r"'conv1\.bn' has no weights into which the division by 4 can be folded"):
        with_measured_ranges(replace(old, state=state), console)


def test_ranges_that_contradict_the_checkpoint_are_refused(workspace: Path, console: Console) -> None:
    old = run(console, activation_ranges="fixed", epochs=1).checkpoint
    new = run(console, activation_ranges="measured", epochs=1).checkpoint
    for path, wanted, options in (
        (old, "measured", {"resume_from": old}),
        (new, "fixed", {"resume_from": new}),
        (new, "fixed", {"exp_load_weights_from": new}),
    ):
        with pytest.raises(Ai8xError, match="was trained with") as caught:
            run(console, activation_ranges=wanted, **options)
        assert str(path) in str(caught.value)
        assert ("converts it" in str(caught.value)) == (path == old)


# -- the start of QAT -----------------------------------------------------------------------------------------------


@RANGES
def test_the_optimizer_starts_anew(workspace: Path, console: Console, ranges: str) -> None:
    """Measured ranges change all scales, so no momentum survives; the options of the groups do."""
    setup = prepare(TrainSettings(**OPTIONS, activation_ranges=ranges), console)  # type: ignore[arg-type]
    log = RunLog(Path("logs"), None, console)
    trainer = Trainer(setup, log)
    trainer._run_epoch(0)
    assert setup.optimizer.state
    options = {k: v for k, v in setup.optimizer.param_groups[0].items() if k != "params"}
    trainer._switch_to_qat(1)
    log.close()
    assert bool(setup.optimizer.state) == (ranges == "fixed")
    assert {k: v for k, v in setup.optimizer.param_groups[0].items() if k != "params"} == options
    known = {id(parameter) for parameter in setup.model.parameters()}
    assert {id(parameter) for parameter in setup.optimizer.param_groups[0]["params"]} == known


def test_messages(workspace: Path, console: Console) -> None:
    result = run(console, activation_ranges="measured")
    text = (result.folder / f"{result.folder.name}.log").read_text()
    assert "Measuring activation ranges: 180 samples" in text
    assert "outlier_removal_z_score is not in the QAT policy: 8 is used" in text
    state = read_checkpoint(result.checkpoint).state
    exponents = {"conv1": state["conv1.activation_threshold"].item()}
    exponents["conv2"] = exponents["conv1"] + state["conv2.activation_threshold"].item()
    assert state["fc.final_scale"].item() == exponents["conv2"] != 0
    shown = ", ".join(f"{name} ±{2.0**exponent:g}" for name, exponent in exponents.items())
    assert f"Activation ranges: {shown}, fc ±" in text
    assert [state[f"{name}.final_scale"].item() for name in ("conv1", "conv2")] == [0, 0]


def test_what_cannot_be_measured_is_known_before_the_first_epoch(workspace: Path, console: Console) -> None:
    """Not after hours of floating-point training; that alone, and fixed ranges, are possible."""
    text = Path("models/tiny.py").read_text()
    assert "return self.fc(" in text
    Path("models/tiny.py").write_text(text.replace("return self.fc(", "return float(x.max()) * self.fc("))
    with pytest.raises(Ai8xError, match=r"uses values of activations in Python code.*--activation-ranges fixed"):
        run(console, activation_ranges="measured")
    assert not Path("logs").exists()
    run(console, activation_ranges="measured", qat_policy=None, epochs=1)
    run(console, activation_ranges="fixed", epochs=1)


# -- Tools and checkpoints -----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 4])
@RANGES
def test_the_way_to_the_accelerator(workspace: Path, console: Console, ranges: str, bits: int) -> None:
    """Quantize, 8-bit evaluation and synthesis of both kinds of file."""
    Path("policy.yaml").write_text(f"start_epoch: 2\nweight_bits: {bits}\noutlier_removal_z_score: 4\n")
    Path("net.yaml").write_text(NETWORK)
    trained = run(console, activation_ranges=ranges, qat_policy="policy.yaml", epochs=5)
    file = Path("q.pth.tar")
    quantize(trained.checkpoint, file, MAX78000, console)
    state, before = read_checkpoint(file).state, read_checkpoint(trained.checkpoint).state
    assert list(state) == list(before)
    settings = EvaluateSettings(dataset="Stripes", checkpoint=file, simulate=True, network="net.yaml", cpu=True)
    result = evaluate(settings, console, keep_outputs=True)
    assert result.agreement is not None and result.agreement.complete, result.agreement
    qat = evaluate(
        EvaluateSettings(dataset="Stripes", checkpoint=trained.checkpoint, cpu=True), console, keep_outputs=True
    )
    assert result.outputs is not None and qat.outputs is not None
    assert torch.equal(result.outputs, qat.outputs * 128 * 2 ** (bits - 1))
    assert result.score.metrics["top1"] == qat.score.metrics["top1"] and result.score.loss == pytest.approx(
        qat.score.loss, abs=0.01
    )
    network = load_network(Path("net.yaml"), file, (1, 8, 8), MAX78000, console).network
    scale = int(state["fc.final_scale"]) if ranges == "measured" else 0
    assert [layer.final_scale for layer in network.layers] == [0, 0, scale]
    stored = [layer.parameters and layer.parameters.final_scale for layer in network.layers]
    assert stored == ([0, 0, scale] if ranges == "measured" else [None] * 3)
    shifts = [int(state[f"{name}.output_shift"].item()) for name in ("conv1", "conv2", "fc")]
    assert [layer.parameters and layer.parameters.shift for layer in network.layers] == shifts


def test_bits_come_from_the_checkpoint_and_not_from_the_policy(workspace: Path, console: Console) -> None:
    """Neither training on nor evaluating replaces what a layer was trained with."""
    Path("mixed.yaml").write_text(
        "start_epoch: 1\nweight_bits: 8\noverrides: {conv2: {weight_bits: 2, shift_quantile: 0.9}}\n"
    )
    mixed = run(console, qat_policy="mixed.yaml", epochs=2).checkpoint
    loaded = run(console, exp_load_weights_from=mixed, qat_policy=None, epochs=1).checkpoint
    for path in (mixed, loaded):
        state = read_checkpoint(path).state
        assert [state[f"{name}.weight_bits"].item() for name in ("conv1", "conv2", "fc")] == [8, 2, 8]
        assert state["conv2.shift_quantile"].item() == pytest.approx(0.9)


def test_a_scale_inside_the_network_is_reported(workspace: Path, console: Console) -> None:
    """The reference's own trainer leaves such scales where layers are defined behind their consumer."""
    result = run(console, activation_ranges="measured")
    content = read_checkpoint(result.checkpoint)
    state = OrderedDict((key, torch.from_numpy(np.array(value))) for key, value in content.state.items())
    evaluate(EvaluateSettings(dataset="Stripes", checkpoint=result.checkpoint, cpu=True), console)
    assert not [text for text in console.warnings if "final scale" in text]
    state["conv2.final_scale"].fill_(2)
    torch.save({"state_dict": state, "epoch": 4, "arch": "tiny"}, "odd.pth.tar")
    evaluate(EvaluateSettings(dataset="Stripes", checkpoint=Path("odd.pth.tar"), cpu=True), console)
    assert [text for text in console.warnings if "'conv2' has a final scale, but is not an output" in text]


def test_every_module_of_the_tiny_model_is_covered(workspace: Path, console: Console) -> None:
    model = build_model("tiny", find_dataset("Stripes"), device="MAX78000", measured_ranges=True)
    assert [name for name, _ in named_fused_modules(model)] == ["conv1", "conv2", "fc"]
