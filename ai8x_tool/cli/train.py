"""``ai8x train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ai8x_tool.cli import task_options as task
from ai8x_tool.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    Json,
    Quiet,
    Verbose,
    make_console,
    option,
    run,
    show_summary,
    warn_without_effect,
)

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.training.results import TrainResult

_WHAT, _HOW, _QUANT, _FROM = "Model and data", "Training", "Quantization", "Starting point"
_REPEAT, _WHERE, _OUT, _BOARD = "Repeatability", "Computer", "Output", "TensorBoard"
_COMPAT = "Accepted for old scripts, without effect"

# Help ends with commands that work as they stand.
EPILOG = (
    "Examples:  [bold]ai8x train kws20_v3_tts[/]   |   [bold]ai8x train mnist --epochs 3 --name short[/]   |   "
    "[bold]ai8x train --model ai85net5 --dataset MNIST --optimizer Adam --lr 0.001 --wd 0 --epochs 20 "
    "--qat-policy mnist_short --deterministic[/]"
)


def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe (see `ai8x list recipes`).")] = None,
    model: Annotated[
        str | None, option("--model", "--arch", "-a", panel=_WHAT, help="Model (see `ai8x list models`).")
    ] = None,
    dataset: Annotated[
        str | None, option("--dataset", panel=_WHAT, help="Data set (see `ai8x list datasets`).")
    ] = None,
    data: Annotated[Path | None, option("--data", panel=_WHAT, help="Folder of all data sets (data).")] = None,
    device: Annotated[str | None, option("--device", panel=_WHAT, help="MAX78000 (default) or MAX78002.")] = None,
    use_bias: Annotated[bool | None, option("--use-bias", panel=_WHAT, help="Layers have biases.")] = None,
    avg_pool_rounding: Annotated[
        bool | None, option("--avg-pool-rounding", panel=_WHAT, help="Average pooling rounds.")
    ] = None,
    truncate_testset: Annotated[
        bool | None, option("--truncate-testset", panel=_WHAT, help="Test with the first sample only.")
    ] = None,
    settings: Annotated[
        Path | None, option("--settings", panel=_WHAT, help="Settings saved by an earlier run.")
    ] = None,
    epochs: Annotated[int | None, option("--epochs", panel=_HOW, help="Number of epochs (90).")] = None,
    batch_size: Annotated[
        int | None, option("--batch-size", "-b", panel=_HOW, help="Samples in a mini-batch (256).")
    ] = None,
    optimizer: Annotated[str | None, option("--optimizer", panel=_HOW, help="SGD (default) or Adam.")] = None,
    learning_rate: Annotated[
        float | None, option("--lr", "--learning-rate", panel=_HOW, help="Initial learning rate (0.1).")
    ] = None,
    momentum: Annotated[float | None, option("--momentum", panel=_HOW, help="Of SGD (0.9).")] = None,
    weight_decay: Annotated[
        float | None, option("--weight-decay", "--wd", panel=_HOW, help="Weight decay (0.0001).")
    ] = None,
    compress: Annotated[
        str | None, option("--compress", panel=_HOW, help="Learning-rate schedule: a file or a known name.")
    ] = None,
    warmup_epochs: Annotated[
        int | None, option("--warmup-epochs", panel=_HOW, help="Epochs in which the learning rate rises from 0 (0).")
    ] = None,
    validation_split: Annotated[
        float | None,
        option(
            "--validation-split", "--valid-size", "--vs", panel=_HOW, help="Training samples held back (0.1); 0: none."
        ),
    ] = None,
    show_train_accuracy: Annotated[
        str | None, option("--show-train-accuracy", panel=_HOW, help="none, last_batch (default) or full.")
    ] = None,
    regression: task.Regression = None,
    out_fold_ratio: task.OutFoldRatio = None,
    anomaly_percentile: task.AnomalyPercentile = None,
    obj_detection: task.ObjDetection = None,
    obj_detection_params: task.ObjDetectionParams = None,
    dr: task.Dr = None,
    scaf_margin: task.ScafMargin = None,
    scaf_scale: task.ScafScale = None,
    scaf_lr: task.ScafLr = None,
    backbone_checkpoint: task.BackboneCheckpoint = None,
    kd_teacher: task.KdTeacher = None,
    kd_resume: task.KdResume = None,
    kd_relationbased: task.KdRelationbased = None,
    kd_temperature: task.KdTemperature = None,
    kd_distill_wt: task.KdDistillWt = None,
    kd_student_wt: task.KdStudentWt = None,
    kd_teacher_wt: task.KdTeacherWt = None,
    kd_start_epoch: task.KdStartEpoch = None,
    qat_policy: Annotated[
        str | None, option("--qat-policy", panel=_QUANT, help="QAT policy: a file, a known name, or 'none'.")
    ] = None,
    activation_ranges: Annotated[
        str | None,
        option(
            "--activation-ranges", panel=_QUANT, help="measured (when QAT starts; default) or fixed (±1 throughout)."
        ),
    ] = None,
    resume_from: Annotated[
        Path | None, option("--resume-from", panel=_FROM, help="Continue the run of this checkpoint.")
    ] = None,
    exp_load_weights_from: Annotated[
        Path | None, option("--exp-load-weights-from", panel=_FROM, help="Start with the weights of this checkpoint.")
    ] = None,
    reset_optimizer: Annotated[
        bool | None, option("--reset-optimizer", panel=_FROM, help="After resuming, start at epoch 0 again.")
    ] = None,
    deterministic: Annotated[
        bool | None, option("--deterministic", "--det", panel=_REPEAT, help="Give the same result every time.")
    ] = None,
    seed: Annotated[int | None, option("--seed", panel=_REPEAT, help="Seed of all random numbers.")] = None,
    cpu: Annotated[bool | None, option("--cpu", panel=_WHERE, help="Do not use a GPU.")] = None,
    gpus: Annotated[str | None, option("--gpus", panel=_WHERE, help="Numbers of the GPUs to choose from.")] = None,
    distributed: Annotated[
        bool | None, option("--distributed", panel=_WHERE, help="One process per GPU; torchrun works too.")
    ] = None,
    processes: Annotated[
        int | None, option("--processes", panel=_WHERE, help="Processes of --distributed (one per GPU).")
    ] = None,
    precision: Annotated[
        str | None, option("--precision", panel=_WHERE, help="Of the float epochs: fp32 (default) or bf16.")
    ] = None,
    compile: Annotated[  # noqa: A002  (the option's name)
        bool | None, option("--compile", panel=_WHERE, help="Train with torch.compile.")
    ] = None,
    compiler_mode: Annotated[
        str | None,
        option("--compiler-mode", panel=_WHERE, help="none, default, reduce-overhead or max-autotune."),
    ] = None,
    compiler_backend: Annotated[
        str | None, option("--compiler-backend", panel=_WHERE, help="Of torch.compile (inductor).")
    ] = None,
    workers: Annotated[
        int | None,
        option(
            "--workers",
            "-j",
            panel=_WHERE,
            help="Processes that prepare samples of data sets made of single items (4).",
        ),
    ] = None,
    name: Annotated[
        str | None, option("--name", "-n", panel=_OUT, help="Name of the run, in front of its files.")
    ] = None,
    out_dir: Annotated[
        Path | None, option("--out-dir", "-o", panel=_OUT, help="Folder above the run's folder (logs).")
    ] = None,
    copy_output_folder: Annotated[
        Path | None, option("--copy-output-folder", panel=_OUT, help="Copy the run's folder there in the end.")
    ] = None,
    confusion: Annotated[bool | None, option("--confusion", panel=_OUT, help="Show the confusion matrix.")] = None,
    clipping: Annotated[
        bool | None, option("--clipping", panel=_OUT, help="Show how much of each layer is clipped.")
    ] = None,
    tensorboard: Annotated[
        bool | None,
        option("--tensorboard/--no-tensorboard", "--enable-tensorboard", panel=_BOARD, help="Write its event files."),
    ] = None,
    param_hist: Annotated[bool | None, option("--param-hist", panel=_BOARD, help="Histograms of weights.")] = None,
    pr_curves: Annotated[bool | None, option("--pr-curves", panel=_BOARD, help="Precision-recall curves.")] = None,
    embedding: Annotated[bool | None, option("--embedding", panel=_BOARD, help="Outputs for the projector.")] = None,
    summary: Annotated[
        str | None, option("--summary", panel=_OUT, help="Instead: show or export the model (onnx, compute, …).")
    ] = None,
    summary_filename: Annotated[
        str | None, option("--summary-filename", panel=_OUT, help="Its file, without extension (model).")
    ] = None,
    print_freq: Annotated[
        int | None, option("--print-freq", "-p", panel=_OUT, help="Mini-batches between progress lines (10).")
    ] = None,
    evaluate: Annotated[
        bool | None, option("--evaluate", "-e", panel=_COMPAT, help="Says how to evaluate instead.")
    ] = None,
    pretrained: Annotated[bool | None, option("--pretrained", panel=_COMPAT, help="")] = None,
    num_best_scores: Annotated[int | None, option("--num-best-scores", panel=_COMPAT, help="")] = None,
    act_stats: Annotated[str | None, option("--activation-stats", "--act-stats", panel=_COMPAT, help="")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train a model, first in floating point, then quantization-aware."""
    flags = dict(locals())
    console = make_console(json=json, quiet=quiet, verbose=verbose)
    run(console, lambda: _train(recipe, settings, flags, console))


_WITHOUT_EFFECT = ("pretrained", "num_best_scores", "act_stats")
_NOT_SETTINGS = (
    *("recipe", "settings", "json", "quiet", "verbose", "evaluate", "summary", "summary_filename"),
    *_WITHOUT_EFFECT,
)


def _train(recipe: str | None, settings_file: Path | None, flags: dict[str, Any], console: Console) -> None:
    from ai8x_tool.errors import Ai8xError
    from ai8x_tool.settings.resolve import resolve
    from ai8x_tool.settings.training import TrainSettings

    if flags["evaluate"]:
        raise Ai8xError("train does not evaluate", fix="use ai8x evaluate --model … --dataset … --checkpoint FILE")
    warn_without_effect(flags, _WITHOUT_EFFECT, console)
    chosen = {key: value for key, value in flags.items() if key not in _NOT_SETTINGS}
    settings = resolve(TrainSettings, "train", recipe, settings_file, chosen)
    if flags["summary"]:
        show_summary(settings, flags["summary"], flags["summary_filename"], console)
        return

    from ai8x_tool.report.model_tables import clipping_table
    from ai8x_tool.training.processes import is_reporting_process, launched
    from ai8x_tool.training.results import TrainingInterruptedError
    from ai8x_tool.training.trainer import train as train_model
    from ai8x_tool.training.world import OtherFailedError

    try:
        result = train_model(settings, console)
    except TrainingInterruptedError as stop:
        if is_reporting_process():
            console.error(str(stop))
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except OtherFailedError:
        if not launched():
            raise
        raise typer.Exit(EXIT_FAILED) from None
    if not is_reporting_process():
        return
    if settings.clipping:
        console.show(clipping_table(result.clipping, f"{result.model}: clipping in the last pass"))
    _show(result, console)


def _show(result: TrainResult, console: Console) -> None:
    best = f"best epoch {result.best.epoch}: validation {result.best_headline}"
    test = f", test {result.test_of_best_headline}; last epoch: test {result.test_headline}" if result.test else ""
    source = f"{result.dataset}, {result.note}" if result.note else result.dataset
    console.show(f"{source}: {best}{test}")
    console.show(f"checkpoint: {result.best_checkpoint}")
    console.result(result.document())
