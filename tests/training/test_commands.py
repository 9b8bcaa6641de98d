"""The commands train and evaluate, as they are typed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.cli.main import app
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.training import trainer

TRAIN = [
    "train",
    "--arch",
    "TINY",
    "--dataset",
    "Stripes",
    "--optimizer",
    "adam",
    "--lr",
    "0.02",
    "--wd",
    "0",
    "-b",
    "32",
]
FLOAT = ["--qat-policy", "none"]
TRAIN += ["--epochs", "3", "--det", "--cpu", "--compress", "halve", "--qat-policy", "second", "-j", "2", "--vs", "0.2"]


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_train_and_evaluate(workspace: Path) -> None:
    done = invoke(*TRAIN, "--json", "--param-hist", "--pretrained", "-n", "x")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["schema"] == "ai8x-train/1" and len(document["epochs"]) == 3
    assert "without effect: --pretrained" in done.stderr
    assert "without effect: --param-hist (they require --tensorboard)" in done.stderr
    assert json.loads((Path(document["folder"]) / "result.json").read_text()) == document
    assert document["best_checkpoint"].endswith("x_qat_best.pth.tar")
    again = invoke(
        "evaluate", "--dataset", "Stripes", "--exp-load-weights-from", document["checkpoint"], "--cpu", "--json"
    )
    result = json.loads(again.stdout)
    assert again.exit_code == 0 and result["top1"] == document["test"]["top1"] and result["model"] == "tiny"
    assert json.loads((Path(result["folder"]) / "result.json").read_text()) == result


def test_synthetic_data_are_named_wherever_a_result_is_shown(workspace: Path) -> None:
    done = invoke(*TRAIN, "--data", "synthetic", "--sample-fraction", "0.05")
    assert done.exit_code == 0, done.output
    assert "Stripes, synthetic data: best epoch" in done.stdout and "note: synthetic data" in done.output
    folder = next(Path("logs").glob("[0-9]*"))
    assert json.loads((folder / "result.json").read_text())["note"] == "synthetic data"
    best = folder / "qat_best.pth.tar"
    assert read_checkpoint(best).data_note == "synthetic data"
    assert "note: synthetic data" in next(folder.glob("*.log")).read_text()
    assert invoke("quantize", str(best), "q.pth.tar").exit_code == 0
    shown = ["--dataset", "Stripes", "--data", "synthetic", "--checkpoint", "q.pth.tar", "-8", "--cpu"]
    assert "of Stripes, synthetic data" in invoke("evaluate", *shown).stdout
    model = ["--model", "tiny", "--dataset", "Stripes"]
    made = invoke("synthesize", "--checkpoint", "q.pth.tar", *model, "--output", "out")
    assert made.exit_code == 0, made.output
    assert "trained with synthetic data" in Path("out/README.md").read_text()
    assert json.loads(Path("out/interface.json").read_text())["data_note"] == "synthetic data"


def test_an_evaluation_leaves_a_folder(workspace: Path, plots: None) -> None:
    done = json.loads(invoke(*TRAIN, *FLOAT, "--json", "--epochs", "1").stdout)
    words = ["evaluate", "--dataset", "Stripes", "--cpu", "--checkpoint"]
    shown = invoke(*words, "logs/latest/checkpoint.pth.tar", "-n", "again", "-o", "other", "--confusion")
    assert shown.exit_code == 0, shown.output
    assert "warning" not in shown.stderr
    (folder,) = Path("other").iterdir()
    assert folder.name.startswith("again___")
    assert {path.name for path in folder.iterdir()} >= {"result.json", "settings.yaml", f"{folder.name}.log"}
    if importlib.util.find_spec("matplotlib"):
        assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / f"{folder.name}.log").read_text()
    assert text.count("--- test ---------------------") == 1 and "==> Top1: " in text and "==> Confusion:" in text
    assert "Test: [" in text  # progress lines are in the log even where they are not shown
    assert resolve(EvaluateSettings, "evaluate", None, folder / "settings.yaml").name == "again"
    assert Path("logs/latest").resolve() == Path(done["folder"]).resolve()  # still the latest training
    before = sorted(Path().rglob("*"))
    old = ["--det", "--seed", "1", "--vs", "0", "--qat-policy", "none", "--compiler-mode", "none", "--pr-curves", "-e"]
    shown = invoke(*words, done["checkpoint"], "--out-dir", "none", *old)
    assert shown.exit_code == 0
    assert "without effect: --validation-split, --qat-policy, --compiler-mode, --pr-curves" in shown.stderr
    assert invoke(*words, "nothing.pth.tar").exit_code == 1
    assert invoke(*words, done["checkpoint"], "--out-dir", "none").exit_code == 0
    assert sorted(Path().rglob("*")) == before


def test_train_in_float_calibrate_and_evaluate(workspace: Path) -> None:
    Path("configs/recipes").mkdir()
    Path("configs/recipes/stripes.yaml").write_text("model: tiny\ndataset: Stripes\ndevice: MAX78002\n")
    done = json.loads(invoke(*TRAIN, "--qat-policy", "none", "--json").stdout)
    quantized = invoke(
        "quantize", done["checkpoint"], "q.pth.tar", "--calibrate", "50", "--recipe", "stripes", "--json"
    )
    assert quantized.exit_code == 0, quantized.output
    assert json.loads(quantized.stdout)["output"] == "q.pth.tar"
    assert "for the MAX78002" in quantized.stderr and "calibrating 3 layers with 50 samples" in quantized.stderr
    assert "batch normalization of 1 layer folded into weights and biases" in quantized.stderr
    result = invoke("evaluate", "--dataset", "Stripes", "--checkpoint", "q.pth.tar", "-8", "--cpu", "--json")
    assert json.loads(result.stdout)["top1"] >= done["test"]["top1"] - 5
    both = invoke(
        "quantize", done["checkpoint"], "r.pth.tar", "--calibrate", "5", "--recipe", "stripes", "--clip-method", "MAX"
    )
    assert both.exit_code == 1 and "--clip-method and --calibrate exclude each other" in both.stderr
    assert not Path("r.pth.tar").exists()


def test_saved_settings_and_flags(workspace: Path) -> None:
    first = json.loads(invoke(*TRAIN, "--json").stdout)
    saved = str(Path(first["folder"]) / "settings.yaml")
    repeated = invoke("train", "--settings", saved, "--epochs", "2", *FLOAT, "--json")
    second = json.loads(repeated.stdout)
    assert [e["loss"] for e in second["epochs"]] == [e["loss"] for e in first["epochs"][:2]]


def test_quiet_and_plain_output(workspace: Path) -> None:
    quiet = invoke(*TRAIN, "-q")
    assert quiet.exit_code == 0 and quiet.output == ""
    plain = invoke(*TRAIN)
    assert "Epoch: [0][" in plain.stderr and "checkpoint: logs/" in plain.stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["train"], 1, "train needs a model"),
        (["train", "--evaluate"], 1, "use ai8x evaluate"),
        (["train", "--epocs", "3"], 2, "No such option"),
        (["train", "nothing"], 1, "no file and no recipe named 'nothing'"),
        (["train", "mnist", "--epochs", "x"], 2, "--epochs"),
        (["train", "mnist", "--model", "ai85net"], 1, "did you mean 'ai85net"),
        (["evaluate", "mnist"], 1, "evaluate needs a checkpoint"),
        (["evaluate", "mnist", "--checkpoint", "nowhere"], 1, "checkpoint not found"),
    ],
)
def test_wrong_usage(workspace: Path, words: list[str], status: int, message: str) -> None:
    done = invoke(*words)
    assert done.exit_code == status and message in done.output and "Traceback" not in done.output


def test_ctrl_c_says_how_to_continue(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(invoke(*TRAIN, "--json").stdout)

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_train_batch", interrupted)
        stopped = invoke(*TRAIN, "-q")
    assert stopped.exit_code == 130
    (line,) = stopped.output.replace("\n", " ").strip().splitlines()
    path = line.split("--resume-from ")[1].strip()
    resumed = json.loads(invoke(*TRAIN, "--resume-from", path, "--json").stdout)
    one, two = (read_checkpoint(run["checkpoint"]).state for run in (whole, resumed))
    assert all(torch.equal(torch.tensor(one[key]), torch.tensor(two[key])) for key in one)


def test_activation_ranges(workspace: Path) -> None:
    """Measured is the default; the choice is written down."""
    for words, key in (
        (["--activation-ranges", "fixed"], False),
        (["--activation-ranges", "Measured"], True),
        ([], True),
    ):
        done = invoke(*TRAIN, *words, *FLOAT, "--epochs", "1", "--json")
        document = json.loads(done.stdout)
        assert read_checkpoint(Path(document["checkpoint"])).measured_ranges == key
    done = invoke(*TRAIN, "--activation-ranges", "sometimes")
    assert done.exit_code == 1 and "'sometimes' is not one of measured, fixed" in done.stderr


def test_an_error_in_a_model_is_one_line(workspace: Path) -> None:
    """File and line of the model, no traceback."""
    file = workspace / "models" / "tiny.py"
    text = file.read_text().replace("        return self.fc(", "        x = {}['odd']\n        return self.fc(")
    file.write_text(text)
    line = text.splitlines().index("        x = {}['odd']") + 1
    done = invoke(*TRAIN)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert f"error: {file.relative_to(Path.cwd())}:{line}: KeyError: 'odd'" in done.stderr.replace("\n", "")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:114] . DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
        ),
        MemoryError(),
    ],
)
def test_memory_that_ends_is_one_line(workspace: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(trainer.Trainer, "_train_batch", fail)
    done = invoke(*TRAIN, "--json")
    assert done.exit_code == 1 and "error: there is not enough memory (reduce --batch-size" in done.stderr
    assert json.loads(done.stdout)["schema"] == "ai8x-error/1"
    assert "Traceback" not in done.output
