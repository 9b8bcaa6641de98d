"""Options of ``ai8x evaluate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.settings import reference_options
from ai8x_tool.settings.model import MODEL_AND_DATA, OUTPUT, ComputerSettings, DataSettings, RunSettings
from ai8x_tool.settings.option import AT_LEAST_0, AT_LEAST_1, Legacy, Settings, option, required
from ai8x_tool.settings.task import TaskSettings
from ai8x_tool.settings.weights import FOLDER


@dataclass(frozen=True, kw_only=True)
class TrainedModelSettings(Settings):
    """The checkpoint, and the model that it belongs to."""

    panel: ClassVar[str] = MODEL_AND_DATA

    checkpoint: Path = required(
        "Checkpoint to evaluate: a file, or a name in models/checkpoints (see `ai8x list weights`).",
        "--checkpoint",
        aliases=("--exp-load-weights-from", "--resume-from"),
        metavar="FILE|NAME",
        named_in=FOLDER,
    )
    model: str | None = option(
        None,
        "Name of the model; `ai8x list models` shows all.",
        "--model",
        "-a",
        aliases=("--arch",),
        metavar="MODEL",
        default="that of the checkpoint",
    )


@dataclass(frozen=True, kw_only=True)
class SampleSettings(Settings):
    """Saving a sample for known-answer tests; in 8-bit mode only."""

    panel: ClassVar[str] = "Sample for known-answer tests"

    save_sample: int | None = option(
        None, "With --8bit, save input number N of the first mini-batch.", metavar="N", range=AT_LEAST_0
    )
    save_sample_file: Path | None = option(
        None, "File to save the sample to.", metavar="FILE", default="sample_DATASET.npy"
    )
    slice_sample: bool = option(False, "Save only the first three channels of the sample.")


@dataclass(frozen=True, kw_only=True)
class ModeSettings(Settings):
    """How the model is computed, and what the results are compared with.

    With a `network` description, the 8-bit mode compares every output with the integer engine, unless `engine` is off.
    """

    panel: ClassVar[str] = "Mode"

    simulate: bool = option(
        False, "Compute with integers, as the accelerator does.", "--8bit", "-8", aliases=("--8-bit-mode",)
    )
    network: str | None = option(
        None,
        "With --8bit, compare the outputs with this network description, computed by the integer engine: a file, or a "
        "name in configs/networks.",
        aliases=("--config-file",),
        metavar="FILE|NAME",
        named_in="configs/networks",
    )
    engine: bool = option(True, "With --8bit, do not compare the outputs with the integer engine.")
    batch_size: int = option(256, "Samples in a mini-batch.", "--batch-size", "-b", range=AT_LEAST_1)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(
    RunSettings, ComputerSettings, SampleSettings, ModeSettings, TaskSettings, DataSettings, TrainedModelSettings
):
    """All options of ``ai8x evaluate``. Without `model` the checkpoint's own is built; `out_dir` None: no files."""

    panels: ClassVar[tuple[str, ...]] = (
        *(MODEL_AND_DATA, "Mode", OUTPUT, "Sample for known-answer tests", "Computer", "Kind of problem"),
        "Knowledge distillation",
    )
    legacy: ClassVar[tuple[Legacy, ...]] = (
        Legacy(("--evaluate", "-e"), implied=True),
        Legacy(("--deterministic", "--det"), implied=True),
        Legacy(("--seed",), int, implied=True),
        Legacy(("--validation-split", "--valid-size", "--vs"), float),
        Legacy(("--qat-policy",), str),
        Legacy(("--compiler-mode",), str),
        Legacy(("--tensorboard", "--no-tensorboard", "--enable-tensorboard")),
        Legacy(("--param-hist",)),
        Legacy(("--pr-curves",)),
        Legacy(("--embedding",)),
        *reference_options.EVALUATE,
    )

    out_dir: Path | None = option(
        Path("logs"),
        "Folder in which the run's folder is created, or `none` to write no files.",
        "--out-dir",
        "-o",
        metavar="FOLDER",
        panel=OUTPUT,
    )
