"""Options of ``ai8x train``, by concern."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings import reference_options
from ai8x_tool.settings.model import (
    MODEL_AND_DATA,
    OUTPUT,
    ComputerSettings,
    DataSettings,
    RunSettings,
    adapt_option,
)
from ai8x_tool.settings.option import ABOVE_0, AT_LEAST_0, AT_LEAST_1, Legacy, Range, Settings, option, required
from ai8x_tool.settings.task import TaskSettings

TRAINING = "Training"
AUTOMATIC = "auto"
"""The QAT policy that follows from the number of epochs."""


@dataclass(frozen=True, kw_only=True)
class NewModelSettings(Settings):
    """The model that is trained."""

    panel: ClassVar[str] = MODEL_AND_DATA

    model: str = required(
        "Name of the model; `ai8x list models` shows all.", "--model", "-a", aliases=("--arch",), metavar="MODEL"
    )
    check: bool = option(True, "Train the model without checking whether it fits the device.")
    adapt: bool = adapt_option()


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Settings):
    """The optimizer. If neither optimizer, learning rate nor schedule is given, all three are chosen."""

    panel: ClassVar[str] = TRAINING

    optimizer: str | None = option(
        None,
        "Optimizer: the name of a class of torch.optim, such as SGD, Adam or NAdam.",
        default="AdamW, or SGD if a learning rate or a schedule is given",
        metavar="NAME",
        suggested=("SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop"),
    )
    optimizer_arguments: tuple[str, ...] = option(
        (),
        "Argument of the optimizer, such as betas=[0.9,0.99]; can be repeated. In a recipe, a mapping.",
        "--optimizer-argument",
        metavar="NAME=VALUE",
        repeatable=True,
        assignments=True,
    )
    learning_rate: float | None = option(
        None,
        "Initial learning rate.",
        "--lr",
        aliases=("--learning-rate",),
        default="chosen with the optimizer, otherwise 0.1",
        range=ABOVE_0,
    )
    momentum: float = option(0.9, "Momentum of SGD.", range=Range(0, 1))
    weight_decay: float = option(
        1e-4, "Weight decay of the optimizer, including Adam.", "--wd", aliases=("--weight-decay",), range=AT_LEAST_0
    )


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings(Settings):
    """How the learning rate changes."""

    panel: ClassVar[str] = TRAINING

    compress: str | None = option(
        None,
        "Schedule of the learning rate: a file, or a name in configs/schedules. Without it the rate is constant or, if "
        "optimizer, rate and scheduler are not given either, rises and falls once.",
        metavar="FILE|NAME",
        named_in="configs/schedules",
    )
    scheduler: str | None = option(
        None,
        "Learning rate scheduler, stepped after every epoch: the name of a class of torch.optim.lr_scheduler, such as "
        "CosineAnnealingLR or ReduceLROnPlateau.",
        metavar="NAME",
        suggested=("CosineAnnealingLR", "ExponentialLR", "MultiStepLR", "OneCycleLR", "ReduceLROnPlateau", "StepLR"),
    )
    scheduler_arguments: tuple[str, ...] = option(
        (),
        "Argument of the scheduler, such as gamma=0.5; can be repeated. In a recipe, a mapping.",
        "--scheduler-argument",
        default="numbers of epochs of this run",
        metavar="NAME=VALUE",
        repeatable=True,
        assignments=True,
    )
    scheduler_metric: str = option(
        "loss",
        "Validation result that ReduceLROnPlateau monitors: loss, or a metric of the task such as top1, map or mse.",
        metavar="NAME",
    )
    warmup_epochs: int = option(
        0, "Epochs over which the learning rate rises from 0 to its initial value.", range=AT_LEAST_0
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.compress is not None and self.scheduler is not None:
            raise Ai8xError("compress and scheduler exclude each other", fix="use only one of them")
        if self.scheduler is None and self.scheduler_arguments:
            raise Ai8xError("scheduler_arguments need a scheduler", fix="add --scheduler NAME")


@dataclass(frozen=True, kw_only=True)
class EpochSettings(Settings):
    """Number of epochs, how their samples are split and batched, and what is measured on them."""

    panel: ClassVar[str] = TRAINING

    epochs: int = option(90, "Maximum number of epochs.", range=AT_LEAST_1)
    minutes: float | None = option(
        None,
        "Time limit for the training in minutes; the number of epochs is reduced to meet it.",
        default="no limit",
        range=ABOVE_0,
    )
    patience: int | None = option(
        None,
        "Number of epochs without progress in validation after which the training, or its floating-point phase, ends.",
        default="no limit; 40 % of the epochs if optimizer and learning rate are not given",
        range=AT_LEAST_1,
    )
    batch_size: int | None = option(
        None,
        "Samples in a mini-batch, over all processes together.",
        "--batch-size",
        "-b",
        default="16 to 256, depending on the number of samples",
        range=AT_LEAST_1,
    )
    sample_fraction: float = option(
        1.0, "Share of the training samples to use, for quick trials.", range=Range(above=0, most=1)
    )
    validation_split: float = option(
        0.1,
        "Share of the training samples held back for validation; with 0, the test split is used for validation.",
        "--validation-split",
        aliases=("--valid-size", "--vs"),
        range=Range(least=0, below=1),
    )
    show_train_accuracy: Literal["none", "last_batch", "full"] = option(
        "last_batch", "Mini-batches of an epoch for which training accuracy is reported."
    )


@dataclass(frozen=True, kw_only=True)
class QatSettings(Settings):
    """Quantization-aware training.

    `qat_policy` None switches it off; `activation_ranges` None keeps those of the checkpoint to start from, if any.
    """

    panel: ClassVar[str] = "Quantization"

    qat_policy: str | None = option(
        AUTOMATIC,
        "Policy of quantization-aware training (QAT): a file, a name in configs/qat, auto or none.",
        metavar="FILE|NAME",
        default="auto: 8 bits, starting after 60 % of the epochs",
        named_in="configs/qat",
    )
    activation_ranges: Literal["measured", "fixed"] | None = option(
        None,
        "Output ranges of the layers in QAT: as measured when it starts, or fixed at ±1.",
        default="as in the checkpoint to start from, otherwise measured",
    )


@dataclass(frozen=True, kw_only=True)
class StartSettings(Settings):
    """Where training starts."""

    panel: ClassVar[str] = "Starting point"

    resume_from: Path | None = option(None, "Continue the run that wrote this checkpoint.", metavar="FILE")
    exp_load_weights_from: Path | None = option(None, "Start with the weights of this checkpoint.", metavar="FILE")
    reset_optimizer: bool = option(False, "With --resume-from, discard the optimizer's state and start at epoch 0.")

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.resume_from and self.exp_load_weights_from:
            raise Ai8xError("resume_from and exp_load_weights_from exclude each other", fix="use only one of them")


@dataclass(frozen=True, kw_only=True)
class SeedSettings(Settings):
    """Repeatability."""

    panel: ClassVar[str] = "Repeatability"

    deterministic: bool = option(False, "Make every run give the same result.", aliases=("--det",))
    seed: int | None = option(
        None,
        "Seed of all random numbers.",
        default="0 with --deterministic, otherwise random and logged",
        range=Range(0, 0xFFFF_FFFF),
    )


@dataclass(frozen=True, kw_only=True)
class DistributionSettings(ComputerSettings):
    """Training in several processes."""

    panel: ClassVar[str] = "Computer"

    distributed: bool = option(False, "Train in several processes; torchrun can start them instead.")
    processes: int | None = option(
        None, "Number of processes for --distributed.", default="one per GPU", range=Range(1, 1024)
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.processes is not None and not self.distributed:
            message = f"processes is {self.processes}, but training is not distributed"
            raise Ai8xError(message, fix="add --distributed")


@dataclass(frozen=True, kw_only=True)
class CompilerSettings(Settings):
    """How the epochs are computed."""

    panel: ClassVar[str] = "Computer"

    precision: Literal["fp32", "bf16"] = option("fp32", "Arithmetic of the floating-point epochs.")
    compile: bool = option(False, "Train with torch.compile.")
    compiler_mode: Literal["none", "default", "reduce-overhead", "max-autotune"] = option(
        "default", "Mode of torch.compile.", default="the mode default"
    )
    compiler_backend: str = option("inductor", "Backend of torch.compile.", metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class TensorBoardSettings(Settings):
    """Event files for TensorBoard."""

    panel: ClassVar[str] = "TensorBoard"

    tensorboard: bool = option(False, "Write event files for TensorBoard.", aliases=("--enable-tensorboard",))
    param_hist: bool = option(False, "Add histograms of all weights.")
    pr_curves: bool = option(False, "Add a precision-recall curve for each class.")
    embedding: bool = option(False, "Add outputs of the validation samples for the projector.")


@dataclass(frozen=True, kw_only=True)
class OutputSettings(RunSettings):
    """Where a training run is stored."""

    panel: ClassVar[str] = OUTPUT

    out_dir: Path = option(
        Path("logs"), "Folder in which the run's folder is created.", "--out-dir", "-o", metavar="FOLDER"
    )
    copy_output_folder: Path | None = option(
        None, "Copy the run's folder into this folder at the end.", metavar="FOLDER"
    )


@dataclass(frozen=True, kw_only=True)
class TrainSettings(
    TensorBoardSettings,
    OutputSettings,
    CompilerSettings,
    DistributionSettings,
    SeedSettings,
    StartSettings,
    QatSettings,
    ScheduleSettings,
    OptimizerSettings,
    EpochSettings,
    TaskSettings,
    DataSettings,
    NewModelSettings,
):
    """All options of ``ai8x train``. Functions take only the part that they read."""

    panels: ClassVar[tuple[str, ...]] = (
        *(MODEL_AND_DATA, TRAINING, "Quantization", "Starting point", OUTPUT, "Computer", "Repeatability"),
        *("Kind of problem", "Knowledge distillation", "TensorBoard"),
    )
    legacy: ClassVar[tuple[Legacy, ...]] = (
        Legacy(
            ("--evaluate", "-e"),
            reason="train does not evaluate",
            fix="use ai8x evaluate --model … --dataset … --checkpoint FILE",
        ),
        Legacy(("--pretrained",)),
        Legacy(("--num-best-scores",), int),
        Legacy(("--activation-stats", "--act-stats"), str),
        Legacy(("--kd-pretrained",)),
        *reference_options.TRAIN,
    )
