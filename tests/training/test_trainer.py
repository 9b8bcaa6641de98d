"""Whole training runs on a tiny dataset."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import ClassReference, read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import find_device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.quantization import quantize
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training import trainer
from ai8x_tool.training.evaluation import evaluate
from ai8x_tool.training.optimizers import new_optimizer
from ai8x_tool.training.results import TrainingInterruptedError, TrainResult
from ai8x_tool.training.tasks.classification import Classification
from ai8x_tool.training.trainer import train

OPTIONS: dict[str, Any] = {
    "model": "tiny",
    "dataset": "Stripes",
    "optimizer": "Adam",
    "learning_rate": 0.02,
    "weight_decay": 0,
    "compress": "halve",
    "qat_policy": "second",
    "epochs": 5,
    "batch_size": 32,
    "deterministic": True,
    "cpu": True,
}


def run(console: Console, **options: Any) -> TrainResult:
    """Train; runs that end before the policy's QAT would start are float only."""
    short = {"qat_policy": None} if options.get("epochs", 4) <= 2 else {}
    return train(TrainSettings(**{**OPTIONS, **short, **options}), console)


def same_state(first: Path, second: Path) -> bool:
    one, two = read_checkpoint(first), read_checkpoint(second)
    equal = all(np.array_equal(one.state[key], two.state[key]) for key in one.state)
    return equal and list(one.state) == list(two.state) and one.epoch == two.epoch


def test_a_run_learns_and_leaves_everything(workspace: Path, console: Console) -> None:
    result = run(console, name="demo", confusion=True)
    assert (
        result.best.metrics["top1"] > 90
        and result.test is not None
        and result.test.metrics["top1"] > 90
        and result.note == "made up"
    )
    assert [record.phase for record in result.history] == ["float", "float", "qat", "qat", "qat"]
    assert [record.learning_rate for record in result.history] == [0.02, 0.02, 0.01, 0.01, 0.005]
    folder = result.folder
    assert folder.name.startswith("demo___") and re.search(r"___\d{4}\.\d\d\.\d\d-\d{6}$", folder.name)
    names = {path.name for path in folder.iterdir()}
    files = {"demo_checkpoint.pth.tar", "demo_best.pth.tar", "demo_qat_checkpoint.pth.tar", "demo_qat_best.pth.tar"}
    assert files | {f"{folder.name}.log", "settings.yaml", "configs"} <= names
    assert not [name for name in names if name.startswith(".")]
    assert {path.name for path in (folder / "configs").iterdir()} == {"halve.yaml", "second.yaml"}
    assert Path("logs/latest_log_dir").resolve() == folder.resolve() == Path("logs/latest").resolve()
    assert Path("logs/latest_log_file").is_file()
    again = resolve(TrainSettings, "train", None, folder / "settings.yaml")
    own = {"compress": "configs/schedules/halve.yaml", "qat_policy": "configs/qat/second.yaml"}
    assert again == TrainSettings(**{**OPTIONS, **own, "name": "demo", "confusion": True})
    assert json.loads(json.dumps(result.document()))["schema"] == "ai8x-train/1"


def test_log_lines(workspace: Path, console: Console) -> None:
    result = run(console, print_freq=3)
    text = (result.folder / f"{result.folder.name}.log").read_text()
    lines = [line.split(" - ", 1)[1] for line in text.splitlines()]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - ", line) for line in text.splitlines())
    assert [line for line in lines if line.startswith("\t")] == ["\ttraining=180", "\tvalidation=20", "\ttest=60"]
    assert "Training epoch: 180 samples (32 per mini-batch, world size: 1)" in lines
    assert "--- validate (epoch=0)-----------" in lines and "20 samples (32 per mini-batch)" in lines
    assert lines.count("Initiating quantization aware training (QAT)...") == 1
    first = next(line for line in lines if line.startswith("Epoch: [0]"))
    number = r"\d+\.\d{6}"
    pattern = rf"Epoch: \[0\]\[    3/    6\]    Overall Loss {number}    Objective Loss {number}"
    assert re.fullmatch(rf"{pattern}    LR 0\.020000    Time {number}", first)
    last = [line for line in lines if line.startswith("Epoch: [4]")][-1]
    assert re.search(rf"\[    6/    6\].*Top1 {number}    Top5 {number}    LR", last)
    summary = r"==> Top1: \d+\.\d{3}    Top5: \d+\.\d{3}    Loss: \d+\.\d{3}"
    assert len([line for line in lines if re.fullmatch(summary, line)]) == 6
    best = r"==> Best \[Top1: \d+\.\d{3}   Top5: \d+\.\d{3}   Params: \d+ on epoch: \d\]"
    assert len([line for line in lines if re.fullmatch(best, line)]) == 5
    assert any(re.fullmatch(r"Test: \[    1/    1\]    Loss \d+\.\d{6}    Top1 .*", line) for line in lines)
    assert lines[-1] == f"Log file for this run: {result.folder / result.folder.name}.log"


def test_checkpoints_are_what_other_tools_expect(workspace: Path, console: Console) -> None:
    result = run(console)
    qat, floating = read_checkpoint(result.checkpoint), read_checkpoint(result.folder / "checkpoint.pth.tar")
    assert (qat.epoch, qat.arch, floating.epoch) == (4, "tiny", 1)
    assert qat.content["optimizer_type"] == ClassReference("torch.optim.adam", "Adam")
    assert set(qat.content["compression_sched"]["masks_dict"].values()) == {None}
    assert "conv1.op.weight" in qat.content["compression_sched"]["masks_dict"]
    wanted = {"current_top1", "best_top1", "current_mAP", "best_mAP", "best_epoch"}
    assert wanted <= qat.extras.keys() and qat.extras["best_epoch"] == result.best.epoch
    assert "conv1.bn.weight" in floating.state and "conv1.bn.weight" not in qat.state
    keys = ["output_shift", "activation_threshold", "final_scale", "weight_bits", "bias_bits", "quantize_activation"]
    keys += ["clamp_activation", "adjust_output_shift", "shift_quantile", "op.weight"]
    assert [key.removeprefix("conv1.") for key in list(qat.state)[:10]] == keys
    older = read_checkpoint(run(console, activation_ranges="fixed").checkpoint)
    del keys[6], keys[1:3]
    assert [key.removeprefix("conv1.") for key in list(older.state)[:7]] == keys
    assert (qat.measured_ranges, floating.measured_ranges, older.measured_ranges) == (True, True, False)
    assert qat.state["conv1.weight_bits"].dtype == np.int64 and qat.state["conv1.quantize_activation"].dtype == bool
    parameters = qat.content["optimizer_state_dict"]["param_groups"][0]["params"]
    assert len(parameters) == len(qat.state)  # bookkeeping included, as in the reference's files
    with torch.serialization.safe_globals([torch.optim.Adam]):
        content = torch.load(result.checkpoint, weights_only=True)
    assert content["optimizer_type"] is torch.optim.Adam
    best = read_checkpoint(result.best_checkpoint)
    assert best.epoch == result.best.epoch


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_a_resumed_run_ends_with_the_same_bits(workspace: Path, console: Console, optimizer: str) -> None:
    rate = 0.02 if optimizer == "Adam" else 0.05
    whole = run(console, out_dir=Path("whole"), optimizer=optimizer, learning_rate=rate)
    groups = read_checkpoint(whole.checkpoint).content["optimizer_state_dict"]["param_groups"]
    for at in (1, 2, 3):
        part = run(console, out_dir=Path("part"), epochs=at, optimizer=optimizer, learning_rate=rate)
        resumed = run(console, out_dir=Path("rest"), resume_from=part.checkpoint)
        assert same_state(whole.checkpoint, resumed.checkpoint)
        assert whole.test == resumed.test and whole.history[-1].loss == resumed.history[-1].loss
        assert read_checkpoint(resumed.checkpoint).content["optimizer_state_dict"]["param_groups"] == groups


PLATEAU = {"scheduler": "ReduceLROnPlateau", "scheduler_arguments": ("patience=0", "threshold=0.9", "factor=0.5")}


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "NAdam", "optimizer_arguments": ("betas=[0.8, 0.9]",), **PLATEAU},
        {"optimizer": "Adafactor", **PLATEAU, "scheduler_metric": "top1"},
        {"optimizer": None, "learning_rate": None, "patience": 1},
    ],
    ids=["loss", "metric", "patience"],
)
def test_schedulers_continue_where_they_were(workspace: Path, console: Console, options: dict[str, Any]) -> None:
    """A run that ends after each epoch and goes on from its checkpoint is the run that never ends."""
    wanted = {**OPTIONS, "compress": None, **options}
    whole = train(TrainSettings(**wanted), console)
    rates = [record.learning_rate for record in whole.history]
    assert len(set(rates)) > 1
    part = stopped_after(2, TrainSettings(**wanted), console)
    rest = train(TrainSettings(**{**wanted, "resume_from": part}), console)
    assert same_state(whole.checkpoint, rest.checkpoint)
    assert [record.learning_rate for record in rest.history] == rates[2:]
    states = [read_checkpoint(result.checkpoint).content["optimizer_state_dict"] for result in (whole, rest)]
    assert states[0]["param_groups"] == states[1]["param_groups"]


def stopped_after(epochs: int, settings: TrainSettings, console: Console) -> Path:
    """Return the checkpoint of a run that is interrupted after some epochs."""
    setup = trainer.prepare(settings, console)
    with trainer.open_run_log(settings, console, setup.world) as log:
        running = trainer.Trainer(setup, log)
        for epoch in range(epochs):
            running._run_epoch(epoch)
            running._follow_plan(epoch, 0.0)
        assert running.saved is not None
        return running.saved


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": "AdamV"}, "torch.optim has no optimizer 'AdamV'; did you mean 'Adam"),
        ({"optimizer": "LBFGS"}, "LBFGS cannot be used"),
        ({"optimizer_arguments": ("beta=1",)}, "optimizer Adam has no argument 'beta'; did you mean 'betas'?"),
        ({"optimizer_arguments": ("betas=0.9",)}, r"betas must be 2 numbers such as \[0.9, 0.999\], not 0.9"),
        ({"optimizer_arguments": ("amsgrad=1",)}, "amsgrad must be true or false, not 1"),
        ({"optimizer_arguments": ("betas=[0.9, 2]",)}, "optimizer Adam: Invalid beta parameter"),
        ({"optimizer_arguments": ("amsgrad",)}, "not of the form name=value"),
        ({"scheduler": "CosineLR"}, "no scheduler 'CosineLR'; did you mean"),
        ({"scheduler": "LambdaLR"}, "LambdaLR takes functions"),
        ({"scheduler": "StepLR"}, "scheduler StepLR: .*step_size"),
        ({"scheduler": "StepLR", "scheduler_arguments": ("step_sice=3",)}, "did you mean 'step_size'?"),
        ({"scheduler": "OneCycleLR", "scheduler_arguments": ("max_lr=1", "total_steps=3")}, "Tried to step"),
        ({**PLATEAU, "scheduler_metric": "top"}, "validation has no result 'top'; did you mean 'top"),
    ],
)
def test_wrong_optimizers_and_schedulers(
    workspace: Path, console: Console, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(Ai8xError, match=words) as caught:
        train(TrainSettings(**{**OPTIONS, "compress": None, **options}), console)
    assert "\n" not in str(caught.value) and not Path("logs").exists()


def test_arguments_in_a_recipe(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(
        "{model: tiny, dataset: Stripes, optimizer: Adam, optimizer_arguments: {betas: [0.8, 0.9], eps: 1e-3}}"
    )
    settings = resolve(TrainSettings, "train", None, path)
    optimizer = new_optimizer(settings, [torch.zeros(1, requires_grad=True)], "Adam", 0.1)
    assert optimizer.defaults["betas"] == (0.8, 0.9) and optimizer.defaults["eps"] == 1e-3


def test_the_best_epoch_survives_resuming(workspace: Path, console: Console) -> None:
    part = run(console, out_dir=Path("part"), epochs=4)
    resumed = run(console, out_dir=Path("rest"), resume_from=part.checkpoint)
    assert resumed.best_checkpoint.is_file()
    best = max(
        part.history[2:] + resumed.history,
        key=lambda record: (record.metrics["top1"], record.metrics["top5"], record.epoch),
    )
    assert resumed.best.epoch == read_checkpoint(resumed.best_checkpoint).epoch == best.epoch


@pytest.mark.parametrize("resumed", [False, True])
def test_the_last_weights_and_the_best_ones_are_tested(
    workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch, resumed: bool
) -> None:
    """With --resume-from logs/latest/…, too, although `latest` is another folder as soon as the run starts."""
    monkeypatch.setattr(Classification, "rank", lambda _, measured: (measured.loss,))  # the worst is best
    result = run(console, name="x", epochs=4 if resumed else 5)
    if resumed:
        result = run(console, resume_from=Path("logs/latest/x_qat_checkpoint.pth.tar"), name="x", learning_rate=1e-5)
    assert result.best.epoch == 2 and result.test is not None and result.test_of_best is not None
    assert read_checkpoint(result.best_checkpoint).epoch == 2 and result.test != result.test_of_best
    for checkpoint, score in ((result.checkpoint, result.test), (result.best_checkpoint, result.test_of_best)):
        settings = EvaluateSettings(dataset="Stripes", checkpoint=checkpoint, batch_size=32, cpu=True)
        assert evaluate(settings, console).score == score
    log = (result.folder / f"{result.folder.name}.log").read_text()
    assert log.index("--- test (ckpt) ---") < log.index("--- test (best) ---") < log.index("Log file")


def test_a_best_epoch_at_the_end_is_tested_once(workspace: Path, console: Console) -> None:
    result = run(console, epochs=1)
    log = (result.folder / f"{result.folder.name}.log").read_text()
    assert result.test == result.test_of_best and "--- test (best)" not in log and "no second test" in log


def test_the_log_keeps_warnings_and_how_a_run_ended(
    workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_of_failure(error: Exception) -> str:
        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(trainer.Trainer, "_validate", fail)
        with pytest.raises(type(error)):
            run(console, qat_policy="at_once", optimizer=None)
        return next(Path("logs/latest").glob("*.log")).read_text()

    text = log_of_failure(Ai8xError("the disk is full"))
    assert " - error: the disk is full\n" in text and "Traceback" not in text
    assert " - warning: --optimizer or --lr is missing" in text and " - warning: the QAT policy overrides" in text
    text = log_of_failure(RuntimeError("unexpected"))
    assert " - Traceback (most recent call last):\n" in text and text.endswith(" - RuntimeError: unexpected\n")
    assert console.log is None


def test_interrupting_leaves_the_last_complete_epoch(
    workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(console, out_dir=Path("whole"))
    step = trainer.Trainer._train_batch

    for stop_at in (0, 1, 13, 15):  # the batch at which Ctrl-C comes; an epoch has 6
        calls = iter(range(1000))

        def interrupted(self: Any, *arguments: Any, stop: int = stop_at, calls: Any = calls) -> Any:
            if next(calls) == stop:
                raise KeyboardInterrupt
            return step(self, *arguments)

        monkeypatch.setattr(trainer.Trainer, "_train_batch", interrupted)
        with pytest.raises(TrainingInterruptedError, match="--resume-from") as caught:
            run(console, out_dir=Path(f"part{stop_at}"))
        monkeypatch.setattr(trainer.Trainer, "_train_batch", step)
        path = Path(str(caught.value).split("--resume-from ")[1])
        assert read_checkpoint(path).epoch == stop_at // 6 - 1
        resumed = run(console, out_dir=Path(f"rest{stop_at}"), resume_from=path)
        assert same_state(whole.checkpoint, resumed.checkpoint)


def test_qat_from_the_first_epoch(workspace: Path, console: Console) -> None:
    result = run(console, qat_policy="at_once", epochs=1)
    state = read_checkpoint(result.checkpoint).state
    assert result.checkpoint.name == "qat_checkpoint.pth.tar" and state["conv1.weight_bits"].item() == 4
    assert "overrides 'nowhere'" in console.warnings[-1]


def test_loading_weights_and_resetting(workspace: Path, console: Console) -> None:
    first = run(console, epochs=2)
    loaded = run(console, epochs=1, exp_load_weights_from=first.checkpoint, qat_policy=None)
    assert loaded.history[0].epoch == 0 and loaded.history[0].training_loss < first.history[0].training_loss
    reset = run(console, epochs=1, resume_from=first.checkpoint, reset_optimizer=True, learning_rate=0.001)
    assert reset.history[0].epoch == 0 and reset.history[0].learning_rate == 0.001
    from_qat = run(console, epochs=1, exp_load_weights_from=run(console).checkpoint)
    assert from_qat.history[0].phase == "qat"
    late = run(console, epochs=4, resume_from=run(console, epochs=3, qat_policy=None).checkpoint)
    assert late.history[0].phase == "qat"  # the start epoch has passed, but QAT had not started


def test_options(workspace: Path, console: Console) -> None:
    result = run(console, epochs=1, copy_output_folder=Path("copy/here"), show_train_accuracy="full", seed=7)
    assert (Path("copy/here") / result.checkpoint.name).is_file() and result.seed == 7
    assert result.history[0].training_metrics["top1"] is not None
    other = run(console, epochs=1, validation_split=0.0, truncate_testset=True, show_train_accuracy="none")
    assert other.test.samples == 1 and other.history[0].training_metrics["top1"] is None
    assert run(console, epochs=1, deterministic=False).seed != run(console, epochs=1, deterministic=False).seed
    biased = run(console, epochs=1, use_bias=True)
    assert "conv2.op.bias" in read_checkpoint(biased.checkpoint).state


def test_what_is_wrong_is_one_line(workspace: Path, console: Console, tmp_path: Path) -> None:
    result = run(console, epochs=2)
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.yaml").write_text("lr_schedulers: {a: {class: MultiStepLR}}\npolicies: []\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"resume_from": result.checkpoint, "epochs": 2}, "nothing to do: 2 epochs completed"),
        ({"resume_from": Path("nowhere.pth.tar")}, "checkpoint not found"),
        (
            {"model": "ai85net5", "resume_from": result.checkpoint},
            "the checkpoint belongs to model 'tiny', not to 'ai85net5'",
        ),
        ({"exp_load_weights_from": result.checkpoint, "model": "ai85net5", "dataset": "MNIST"}, "tensors are missing"),
        ({"model": "ai85net5"}, r"ai85net5\.py:\d+: ValueError: ai85net5 requires images of 28×28"),
        ({"compress": "bad.yaml"}, "bad.yaml: 'a': .*milestones"),
        ({"compress": "hallve"}, "no file and no schedule named 'hallve'; did you mean 'halve'"),
        ({"qat_policy": "nope.yaml"}, "no file and no QAT policy named 'nope.yaml'"),
        ({"out_dir": tmp_path / "file"}, "cannot be written"),
        ({"device": "MAX78003"}, "MAX78003"),
    ]
    for options, words in cases:
        with pytest.raises(Ai8xError, match=words) as caught:
            run(console, **options)
        assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_and_leaves_no_debris(
    workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(Ai8xError, match="No space left on device"):
        run(console, epochs=1)
    assert not list(Path("logs").rglob("*.pth.tar*"))


def test_warnings_about_missing_choices(workspace: Path, console: Console) -> None:
    run(console, epochs=1, optimizer=None)
    assert any("--optimizer or --lr is missing" in text for text in console.warnings)


def test_plots_are_drawn(workspace: Path, console: Console, plots: None) -> None:
    pytest.importorskip("matplotlib")
    folder = run(console, epochs=3).folder
    for name in ("training.png", "confusion.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_a_notice(
    workspace: Path, console: Console, plots: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    result = run(console, epochs=1)
    assert not list(result.folder.glob("*.png"))
    assert "matplotlib is not installed" in (result.folder / f"{result.folder.name}.log").read_text()


def test_file_names_of_old_scripts_are_known(workspace: Path, console: Console) -> None:
    result = run(console, epochs=1, compress="policies/schedule-kws20.yaml")
    assert {path.name for path in (result.folder / "configs").iterdir()} == {"kws20.yaml"}
    for old, name in (("policies/qat_policy_cd.yaml", "cd"), ("policies/qat_policy.yaml", "default")):
        with pytest.raises(Ai8xError, match=rf"qat/{name}\.yaml: QAT starts at epoch 30, but the last"):
            run(console, epochs=1, qat_policy=old)


@pytest.mark.parametrize("option", ["resume_from", "exp_load_weights_from", "kd_resume"])
def test_quantized_weights_are_not_learned_from(workspace: Path, console: Console, option: str) -> None:
    trained = run(console, epochs=3).checkpoint
    quantize(trained, Path("q.pth.tar"), find_device("MAX78000"), console)
    more = {"kd_teacher": "tiny"} if option == "kd_resume" else {}
    with pytest.raises(Ai8xError, match=r"q\.pth\.tar: .*(use the checkpoint from which it was quantized)"):
        run(console, **{option: Path("q.pth.tar")}, **more)


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_loss_that_is_no_number_ends_the_run(
    workspace: Path, console: Console, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    """What was complete before stays: a checkpoint of the last epoch, if there was one."""
    good = Classification.loss
    left = iter(range(epoch * 7 + 3))  # six batches and one of validation in an epoch

    def loss(*given: Any) -> Any:
        return good(*given) * (1 if next(left, None) is not None else float("nan"))

    monkeypatch.setattr(Classification, "loss", loss)
    with pytest.raises(Ai8xError, match=rf"epoch {epoch}, batch 4 of \d+: the loss is nan, but inputs"):
        run(console, epochs=3, qat_policy=None)
    folder = next(path for path in (workspace / "logs").iterdir() if path.is_dir() and not path.is_symlink())
    assert (folder / "result.json").exists() is False
    assert len(list(folder.glob("*checkpoint.pth.tar"))) == epoch


def test_what_cannot_work_is_said_before_the_start(workspace: Path, console: Console) -> None:
    from ai8x_tool.training.setup import prepare

    prepare(TrainSettings(**{**OPTIONS, "batch_size": 500, "warmup_epochs": 5}), console)
    assert any("--batch-size 500: there are 180 training samples" in text for text in console.warnings)
    assert any("--warmup-epochs 5: 5 epochs of training never reach" in text for text in console.warnings)
    prepare(TrainSettings(**OPTIONS), quiet := Console(verbosity=-1))
    assert not quiet.warnings


def test_several_outputs_are_refused_before_data_are_loaded(workspace: Path, console: Console) -> None:
    (data,), file = workspace.glob("datasets/*.py"), workspace / "models" / "tiny.py"
    data.write_text(data.read_text().replace("def load(folder, console):", "def load(folder, console):\n    0 / 0"))
    text = file.read_text()
    file.write_text(text.replace("        return self.fc(", "        return x, self.fc("))
    with pytest.raises(Ai8xError, match=r"tiny\.py.*for classification, the model must return one tensor, not a tuple"):
        run(console)
