"""Every kind of learning problem from training to the evaluation in integers, on files in the real layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.cli.main import app
from tests.support import dataset_layouts as layouts
from tests.support.turns import in_turn

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
FLOAT = ["--qat-policy", "none"]
COMMON = ["--optimizer", "adam", "--det", "--cpu", "--qat-policy", "soon", "-j", "0", "--print-freq", "2"]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for folder in ("models", "datasets"):
        shutil.copytree(PLUGINS / folder, tmp_path / folder)
    (tmp_path / "configs" / "qat").mkdir(parents=True)
    for name, epoch in (("soon", 4), ("later", 14)):
        (tmp_path / "configs" / "qat" / f"{name}.yaml").write_text(f"start_epoch: {epoch}\nweight_bits: 8\n")
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def run(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@dataclass(frozen=True)
class Way:
    """What the commands said on the way, and the lines of the log."""

    trained: dict[str, Any]
    qat: dict[str, Any]
    integers: dict[str, Any]
    log: list[str]


def go(model: str, dataset: str, options: list[str], training: list[str], *, epochs: int = 6) -> Way:
    """Train with QAT, quantize, and evaluate both checkpoints."""
    what = ["--model", model, "--dataset", dataset, *options]
    trained = run("train", *what, *COMMON, "--epochs", str(epochs), *training)
    folder, checkpoint = Path(trained["folder"]), trained["checkpoint"]
    assert checkpoint.endswith("qat_checkpoint.pth.tar")
    run("quantize", checkpoint, "q.pth.tar")
    evaluate = ["evaluate", *what, "--cpu", "--checkpoint"]
    qat, integers = run(*evaluate, checkpoint), run(*evaluate, "q.pth.tar", "-8")
    assert integers["simulate_8bit"] and integers["samples"] == qat["samples"] and integers["task"] == trained["task"]
    lines = (folder / f"{folder.name}.log").read_text().splitlines()
    return Way(trained, qat, integers, [line.split(" - ", 1)[1] for line in lines])


def near(way: Way, key: str, tolerance: float) -> None:
    """The integers give what the trained network gives."""
    assert way.integers[key] == pytest.approx(way.qat[key], rel=tolerance, abs=1e-6)


def test_reconstruction() -> None:
    layouts.motor(Path("data"))
    name = "SampleMotorDataLimerick_ForTrain"
    way = go(
        "ai85autoencoder", name, ["--use-bias", "--regression"], ["--lr", "0.003", "-b", "8", "--vs", "0"], epochs=8
    )
    assert way.trained["task"] == "reconstruction"
    assert way.trained["epochs"][-1]["mse"] < way.trained["epochs"][0]["mse"] / 3
    assert way.trained["best"]["mse"] == min(epoch["mse"] for epoch in way.trained["epochs"][4:])
    near(way, "mse", 0.02)
    near(way, "loss", 0.02)
    assert any(line.startswith("==> Best [Top 1 (MSE): 0.") for line in way.log)
    words = ["--model", "ai85autoencoder", "--use-bias", "--cpu", "--checkpoint", "q.pth.tar", "-8", "--confusion"]
    faulty = run("evaluate", "--dataset", "SampleMotorDataLimerick_ForEvalWithAnomalyLabel", *words)
    (normal, wrongly), (missed, found) = faulty["confusion"]
    assert normal + wrongly == way.integers["samples"] and missed + found == 10
    assert faulty["tpr"] == found / 10 == 1 and faulty["fpr"] == wrongly / (normal + wrongly)
    assert faulty["balanced_accuracy"] == pytest.approx((faulty["tpr"] + 1 - faulty["fpr"]) / 2)


def test_regression() -> None:
    layouts.colors(Path("data"))
    way = go("bayer2rgbnet", "ImageNet_Bayer", ["--regression"], ["--lr", "0.02", "-b", "4", "--vs", "0.25"], epochs=8)
    assert way.trained["task"] == "regression" and way.trained["test"]["mse"] < way.trained["epochs"][0]["mse"]
    near(way, "mse", 1e-3)
    assert way.integers["confusion"] == []
    assert any("MSE 0." in line for line in way.log if line.startswith("Epoch: [0]"))
    tests = 1 if way.trained["best"]["epoch"] == 7 else 2
    assert sum(line.startswith("==> MSE: 0.") for line in way.log) == 8 + tests
    extras = read_checkpoint(way.trained["checkpoint"]).extras
    assert extras["best_top1"] == way.trained["best"]["mse"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "dataset", "size", "options", "ranges"),
    in_turn(
        [
            ("ai85unetsmall", "CamVid_s80_c3", (80, 200), [], "measured"),
            # After so few steps the large network's running statistics are not those of its batches yet.
            ("ai85unetlarge", "CamVid_s352_c3", (352, 420), ["--out-fold-ratio", "4"], "fixed"),
        ],
        2,
    ),
)
def test_segmentation(
    model: str, dataset: str, size: tuple[int, int], options: list[str], ranges: str, plots: None
) -> None:
    layouts.camvid(Path("data"), size=size)
    training = ["--lr", "0.01", "-b", "4", "--vs", "0", "--confusion"]
    training += ["--activation-ranges", ranges]
    way = go(model, dataset, ["--use-bias", *options], training, epochs=5)
    assert way.trained["task"] == "segmentation"
    pixels = (80 * 80 * 3 if size[0] == 80 else 352 * 352) * 2
    assert way.integers["samples"] == pixels == sum(map(sum, way.integers["confusion"]))
    assert way.trained["epochs"][-1]["loss"] < way.trained["epochs"][0]["loss"]
    assert way.integers["top1"] == pytest.approx(way.qat["top1"], abs=0.5)
    near(way, "loss", 0.02)
    qat = [epoch["mean_iou"] for epoch in way.trained["epochs"] if epoch["phase"] == "qat"]
    assert way.trained["best"]["mean_iou"] == max(qat)
    assert any(line.startswith("==> IoU: ") and "Sky: " in line for line in way.log)
    assert way.trained["test"]["top1"] > 60
    assert {path.name for path in Path(way.trained["folder"]).glob("*.png")} == {
        *("training.png", "confusion.png", "examples.png")
    }


def need_detection() -> None:
    """Skip a test where the extra `detection` is not installed."""
    for package in ("torchmetrics", "pycocotools", "torchvision"):
        pytest.importorskip(package)


@pytest.mark.slow
def test_detection() -> None:
    need_detection()
    layouts.svhn(Path("data"))
    options = ["--use-bias", "--obj-detection", "--obj-detection-params", "parameters/obj_detection_params_svhn.yaml"]
    training = ["--lr", "0.004", "--wd", "0", "-b", "4", "--vs", "0", "--qat-policy", "later"]
    way = go("tinyssdwide", "SVHN_74", options, training, epochs=18)
    epochs = way.trained["epochs"]
    assert way.trained["task"] == "detection" and way.trained["test"]["map"] > 0.4
    assert epochs[-1]["loss"] < epochs[0]["loss"] * 0.7
    best = max(epochs[14:], key=lambda epoch: (epoch["map"], -epoch["loss"]))
    assert way.trained["best"]["epoch"] == best["epoch"]
    near(way, "loss", 0.02)
    assert way.integers["map"] == pytest.approx(way.qat["map"], abs=0.1)
    assert any(line.startswith("==> Best [mAP: ") and "vloss: " in line and "Params: " in line for line in way.log)
    extras = read_checkpoint(way.trained["checkpoint"]).extras
    assert extras["best_mAP"] == way.trained["best"]["map"] and extras["current_top1"] == 0
    one = ["--dataset", "SVHN_74_simplified", "--model", "tinyssd", *options, *training, *FLOAT, "--epochs", "1"]
    assert run("train", *COMMON, *one)["task"] == "detection"


def test_embeddings_and_relation_based_distillation() -> None:
    layouts.faces(Path("data"))
    first = ["--model", "tinyteacher", "--dataset", "VGGFace2_FaceID_dr", "--dr", "8"]
    training = ["--lr", "0.01", "-b", "16", "--vs", "0", "--scaf-lr", "0.01", "--scaf-scale", "32"]
    teacher = run("train", *first, *COMMON, *training, *FLOAT, "--epochs", "3")
    assert teacher["task"] == "embeddings" and teacher["test"] is None and teacher["best"]["top1"] == 1
    assert teacher["epochs"][-1]["training_loss"] < teacher["epochs"][0]["training_loss"]
    assert run("evaluate", *first, "--checkpoint", teacher["checkpoint"])["top1"] == 1
    options = ["--kd-teacher", "tinyteacher", "--kd-resume", teacher["best_checkpoint"], "--kd-relationbased"]
    options += ["--kd-student-wt", "0", "--kd-distill-wt", "1", "--dr", "8"]
    rest = ["--lr", "0.01", "-b", "16", "--vs", "0", "--activation-ranges", "fixed"]
    way = go("tinystudent", "VGGFace2_FaceID", options, rest, epochs=8)
    losses = [epoch["overall_loss"] for epoch in way.trained["epochs"]]
    assert losses[-1] < losses[0] / 2 and way.trained["best"]["overall_loss"] == min(losses[4:])
    near(way, "overall_loss", 0.02)
    assert any(line.startswith("==> Overall Loss: 0.") for line in way.log)
    assert any("Overall Loss 0." in line and "Objective Loss 0.000000" in line for line in way.log)
    plain = run("evaluate", "--dataset", "VGGFace2_FaceID", "--dr", "8", "--cpu", "-8", "--checkpoint", "q.pth.tar")
    assert plain["task"] == "embeddings" and plain["top1"] > 0.9
    way = go("tinystudent", "VGGFace2_FaceID_dr", ["--dr", "8"], training)
    assert way.integers["top1"] == way.qat["top1"] > 0.9


def test_resuming_dimensionality_reduction_keeps_the_centres() -> None:
    layouts.faces(Path("data"))
    words = ["train", "--model", "tinystudent", "--dataset", "VGGFace2_FaceID_dr", "--dr", "8", *COMMON]
    words += ["--lr", "0.01", "-b", "16", "--vs", "0", "--qat-policy", "none"]
    whole = run(*words, "--epochs", "3")
    part = run(*words, "--epochs", "1")
    rest = run(*words, "--epochs", "3", "--resume-from", part["checkpoint"])
    one, two = (read_checkpoint(result["checkpoint"]) for result in (whole, rest))
    assert all((one.state[key] == two.state[key]).all() for key in one.state)
    assert (one.extras["loss_weights"] == two.extras["loss_weights"]).all()
    assert one.extras["loss_weights"].shape == (8, 12)


def test_soft_targets() -> None:
    layouts.faces(Path("data"))
    what = ["--dataset", "VGGFace2_FaceID_dr"]
    source = Path("datasets/faces.py")
    source.write_text(source.read_text().replace(', load, task="embeddings")', ", load)"))
    source = Path("models/tiny_embedder.py")
    source.write_text(source.read_text().replace("dimensionality=16", "dimensionality=4"))
    training = ["--lr", "0.01", "-b", "16", "--vs", "0"]
    teacher = run("train", "--model", "tinyteacher", *what, *COMMON, *training, *FLOAT, "--epochs", "2")
    options = ["--kd-teacher", "tinyteacher", "--kd-resume", teacher["best_checkpoint"], "--kd-temperature", "2"]
    way = go("tinystudent", "VGGFace2_FaceID_dr", options, [*training, "--kd-start-epoch", "2"])
    assert way.trained["task"] == "classification" and way.integers["top1"] > 90
    shown = [any("Distill Loss" in x for x in way.log if x.startswith(f"Epoch: [{epoch}]")) for epoch in range(6)]
    assert shown == [False, False, True, True, True, True]


DETECTION = ["--obj-detection-params", "svhn"]
Make = Callable[[Path], None]


@pytest.mark.parametrize(
    ("make", "words", "message"),
    [
        (
            layouts.faces,
            ["--model", "ai85net5", "--dataset", "VGGFace2_FaceID_dr", "--dr", "8"],
            "does not support --dr",
        ),
        (layouts.faces, ["--model", "tinystudent", "--dataset", "VGGFace2_FaceID_dr"], "pass --dr"),
        (layouts.svhn, ["--model", "ai85tinierssd", "--dataset", "SVHN_74"], "pass --obj-detection-params"),
        (
            layouts.svhn,
            ["--model", "ai85tinierssd", "--dataset", "SVHN_74", "--obj-detection-params", "svnh"],
            "did you mean 'svhn'",
        ),
        (
            layouts.svhn,
            ["--model", "tinystudent", "--dataset", "SVHN_74", "--obj-detection-params", "svhn", "--confusion"],
            "no confusion matrix",
        ),
        (
            layouts.svhn,
            ["--model", "tinystudent", "--dataset", "SVHN_74", "--obj-detection-params", "svhn"],
            "requires a model with priors_cxcy",
        ),
        (
            layouts.colors,
            ["--model", "ai85unetsmall", "--dataset", "ImageNet_Bayer", "--use-bias"],
            "must have the same shape",
        ),
        (
            layouts.faces,
            ["--model", "tinystudent", "--dataset", "VGGFace2_FaceID", "--kd-relationbased"],
            "--kd-teacher",
        ),
        (
            layouts.faces,
            ["--model", "tinystudent", "--dataset", "VGGFace2_FaceID", "--kd-relationbased", "--kd-teacher", "ir_50"],
            "--kd-resume",
        ),
        (layouts.faces, ["--model", "tinystudent", "--dataset", "MNIST", "--kd-teacher-wt", "1"], "kd_teacher_wt"),
        (layouts.faces, ["--model", "ai85unetsmall", "--dataset", "CamVid_s80_c3", "--use-bias"], "camvid"),
        (layouts.faces, ["--model", "ai85tinierssd", "--dataset", "SVHN_74", *DETECTION, "--use-bias"], "SVHN"),
    ],
)
def test_what_is_wrong_is_one_line(make: Make, words: list[str], message: str) -> None:
    if "SVHN_74" in words:
        need_detection()
    make(Path("data"))
    done = CliRunner().invoke(app, ["train", *words, *COMMON, *FLOAT, "--lr", "0.01", "--epochs", "1"])
    assert done.exit_code == 1 and message in " ".join(done.output.split()), done.output
    assert "Traceback" not in done.output
