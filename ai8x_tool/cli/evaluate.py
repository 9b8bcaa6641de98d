"""``ai8x evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ai8x_tool.cli import task_options as task
from ai8x_tool.cli.common import Json, Quiet, Verbose, make_console, option, run, show_summary, warn_without_effect

_WHAT, _MODE, _SAMPLE, _WHERE, _OUT = "Model and data", "Mode", "Sample for known-answer tests", "Computer", "Output"
_COMPAT = "Accepted for old scripts, without effect"

# Help ends with commands that work as they stand.
EPILOG = (
    "Examples:  [bold]ai8x evaluate kws20_v3_tts --checkpoint kws20_q.pth.tar --8bit[/]   |   "
    "[bold]ai8x evaluate mnist --checkpoint logs/latest/qat_best.pth.tar --confusion[/]"
)


def evaluate(
    recipe: Annotated[str | None, typer.Argument(help="A recipe (see `ai8x list recipes`).")] = None,
    checkpoint: Annotated[
        Path | None, option("--checkpoint", "--exp-load-weights-from", panel=_WHAT, help="Checkpoint to evaluate.")
    ] = None,
    model: Annotated[
        str | None, option("--model", "--arch", "-a", panel=_WHAT, help="Model (that of the checkpoint).")
    ] = None,
    dataset: Annotated[
        str | None, option("--dataset", panel=_WHAT, help="Data set (see `ai8x list datasets`).")
    ] = None,
    data: Annotated[Path | None, option("--data", panel=_WHAT, help="Folder of all data sets (data).")] = None,
    device: Annotated[str | None, option("--device", panel=_WHAT, help="MAX78000 (default) or MAX78002.")] = None,
    use_bias: Annotated[bool | None, option("--use-bias", panel=_WHAT, help="Layers have biases.")] = None,
    truncate_testset: Annotated[
        bool | None, option("--truncate-testset", panel=_WHAT, help="Test with the first sample only.")
    ] = None,
    settings: Annotated[Path | None, option("--settings", panel=_WHAT, help="File of options.")] = None,
    simulate: Annotated[
        bool | None,
        option("--8bit", "--8-bit-mode", "-8", panel=_MODE, help="Compute with the accelerator's integers."),
    ] = None,
    network: Annotated[
        str | None, option("--network", panel=_MODE, help="Network description, for the integer engine.")
    ] = None,
    engine: Annotated[
        bool | None, option("--engine/--no-engine", panel=_MODE, help="Compare every 8-bit output with the engine.")
    ] = None,
    avg_pool_rounding: Annotated[
        bool | None, option("--avg-pool-rounding", panel=_MODE, help="Average pooling rounds.")
    ] = None,
    batch_size: Annotated[
        int | None, option("--batch-size", "-b", panel=_MODE, help="Samples in a mini-batch (256).")
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
    save_sample: Annotated[
        int | None, option("--save-sample", panel=_SAMPLE, help="Save this input of the first mini-batch.")
    ] = None,
    save_sample_file: Annotated[
        Path | None, option("--save-sample-file", panel=_SAMPLE, help="File for it (sample_<dataset>.npy).")
    ] = None,
    slice_sample: Annotated[
        bool | None, option("--slice-sample", panel=_SAMPLE, help="Keep only its first three channels.")
    ] = None,
    cpu: Annotated[bool | None, option("--cpu", panel=_WHERE, help="Do not use a GPU.")] = None,
    gpus: Annotated[str | None, option("--gpus", panel=_WHERE, help="Numbers of the GPUs to choose from.")] = None,
    confusion: Annotated[bool | None, option("--confusion", panel=_OUT, help="Show the confusion matrix.")] = None,
    clipping: Annotated[
        bool | None, option("--clipping", panel=_OUT, help="Show how much of each layer is clipped.")
    ] = None,
    name: Annotated[
        str | None, option("--name", "-n", panel=_OUT, help="Name of the run, in front of its folder.")
    ] = None,
    out_dir: Annotated[
        str | None, option("--out-dir", "-o", panel=_OUT, help="Folder above the run's folder (logs), or 'none'.")
    ] = None,
    summary: Annotated[
        str | None, option("--summary", panel=_OUT, help="Instead: show or export the model (onnx, compute, …).")
    ] = None,
    summary_filename: Annotated[
        str | None, option("--summary-filename", panel=_OUT, help="Its file, without extension (model).")
    ] = None,
    print_freq: Annotated[
        int | None, option("--print-freq", "-p", panel=_OUT, help="Mini-batches between progress lines (10).")
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
    evaluate: Annotated[bool | None, option("--evaluate", "-e", panel=_COMPAT, help="")] = None,
    deterministic: Annotated[bool | None, option("--deterministic", "--det", panel=_COMPAT, help="")] = None,
    seed: Annotated[int | None, option("--seed", panel=_COMPAT, help="")] = None,
    validation_split: Annotated[
        float | None, option("--validation-split", "--valid-size", "--vs", panel=_COMPAT, help="")
    ] = None,
    qat_policy: Annotated[str | None, option("--qat-policy", panel=_COMPAT, help="")] = None,
    compiler_mode: Annotated[str | None, option("--compiler-mode", panel=_COMPAT, help="")] = None,
    tensorboard: Annotated[
        bool | None, option("--tensorboard/--no-tensorboard", "--enable-tensorboard", panel=_COMPAT, help="")
    ] = None,
    param_hist: Annotated[bool | None, option("--param-hist", panel=_COMPAT, help="")] = None,
    pr_curves: Annotated[bool | None, option("--pr-curves", panel=_COMPAT, help="")] = None,
    embedding: Annotated[bool | None, option("--embedding", panel=_COMPAT, help="")] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run the test set through a trained or, with --8bit, a quantized checkpoint."""
    flags = dict(locals())
    console = make_console(json=json, quiet=quiet, verbose=verbose)

    def work() -> None:
        from ai8x_tool.settings.evaluation import EvaluateSettings
        from ai8x_tool.settings.resolve import resolve

        warn_without_effect(flags, _WITHOUT_EFFECT, console)
        chosen = {key: value for key, value in flags.items() if key not in _NOT_SETTINGS}
        options = resolve(EvaluateSettings, "evaluate", recipe, settings, chosen)
        if summary:
            show_summary(options, summary, summary_filename, console)
            return

        from ai8x_tool.report.model_tables import clipping_table
        from ai8x_tool.training.evaluation_run import evaluate_into_folder

        result = evaluate_into_folder(options, console)
        source = f"{result.dataset}, {result.note}" if result.note else result.dataset
        console.show(f"{result.headline} of {result.score.samples} samples of {source}")
        if options.clipping:
            console.show(clipping_table(result.clipping, f"{result.model}: clipping"))
        if result.agreement is not None:
            console.show(result.agreement.text())
        console.result(result.document())

    run(console, work)


_WITHOUT_EFFECT = (
    *("validation_split", "qat_policy", "compiler_mode"),
    *("tensorboard", "param_hist", "pr_curves", "embedding"),
)
_NOT_SETTINGS = (
    *("recipe", "settings", "json", "quiet", "verbose", "evaluate", "summary", "summary_filename"),
    *("deterministic", "seed"),  # evaluations are always repeatable
    *_WITHOUT_EFFECT,
)
