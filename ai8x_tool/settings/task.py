"""Options of the kinds of learning problems, for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.model import ModelSettings, ReportSettings
from ai8x_tool.settings.option import ABOVE_0, AT_LEAST_0, Range, Settings, option


@dataclass(frozen=True, kw_only=True)
class ProblemSettings(Settings):
    """Kind of learning problem, and parameters of its loss and metrics."""

    panel: ClassVar[str] = "Kind of problem"

    regression: bool = option(False, "Predict real numbers instead of classes, with the mean squared error as loss.")
    losses: str | None = option(
        None,
        "Losses of a model with several outputs, by name: classification or regression, with a weight unless it is 1, "
        "for example shape=classification,angle=regression*0.5.",
        metavar="NAME=KIND,…",
        default="as specified by the dataset",
    )
    out_fold_ratio: int = option(
        1,
        "Unfold the model's output by this ratio in both directions before computing loss and metrics.",
        "--out-fold-ratio",
        "-f",
        range=Range(1, 64),
    )
    anomaly_percentile: float = option(
        99.0,
        "Percentage of the normal training samples whose error lies below the threshold for anomalies.",
        range=Range(above=0, most=100),
    )
    obj_detection: bool = option(False, "Detect objects in images.", aliases=("--enable-obj-detection",))
    obj_detection_params: str | None = option(
        None,
        "Parameters of loss and non-maximum suppression in object detection: a file, or a name in configs/detection.",
        metavar="FILE|NAME",
        named_in="configs/detection",
    )
    dr: int | None = option(
        None, "Learn embeddings of this length with the sub-centre ArcFace loss.", range=Range(1, 1024)
    )
    scaf_margin: float = option(28.6, "Angular margin of the ArcFace loss in degrees.", range=Range(0, 180))
    scaf_scale: float = option(64.0, "Scale of the ArcFace loss.", range=ABOVE_0)
    scaf_lr: float = option(1e-4, "Learning rate of the class centres of the ArcFace loss.", range=ABOVE_0)
    backbone_checkpoint: Path | None = option(
        None, "Checkpoint with the weights of the model's frozen backbone.", metavar="FILE"
    )


@dataclass(frozen=True, kw_only=True)
class DistillationSettings(Settings):
    """Learning from a trained teacher."""

    panel: ClassVar[str] = "Knowledge distillation"

    kd_teacher: str | None = option(None, "Name of the teacher's model.", metavar="MODEL")
    kd_resume: Path | None = option(None, "Trained checkpoint of the teacher.", metavar="FILE")
    kd_relationbased: bool = option(False, "Learn the teacher's outputs directly, for example embeddings.")
    kd_temperature: float = option(
        1.0, "Temperature that softens the teacher's class probabilities.", aliases=("--kd-temp",), range=ABOVE_0
    )
    kd_distill_wt: float = option(0.5, "Weight of the distillation loss.", aliases=("--kd-dw",), range=AT_LEAST_0)
    kd_student_wt: float = option(0.5, "Weight of the task's own loss.", aliases=("--kd-sw",), range=AT_LEAST_0)
    kd_teacher_wt: float = option(
        0.0,
        "Weight of the teacher's own loss; must be 0, because teachers are not trained.",
        aliases=("--kd-tw",),
        range=Range(values=(0,)),
    )
    kd_start_epoch: int = option(0, "First epoch in which the model learns from the teacher.", range=AT_LEAST_0)

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.kd_relationbased and self.kd_teacher is None:
            raise Ai8xError("kd_relationbased needs a teacher", fix="pass --kd-teacher")


@dataclass(frozen=True, kw_only=True)
class TaskSettings(DistillationSettings, ProblemSettings, ReportSettings, ModelSettings):
    """Everything that determines the model, its loss and its metrics."""
