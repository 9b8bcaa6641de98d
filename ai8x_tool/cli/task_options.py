"""Options of the kinds of learning problems, which train and evaluate share. spec: training, section 2.5."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ai8x_tool.cli.common import option

_TASK, _TEACHER = "Task", "Knowledge distillation"

Regression = Annotated[
    bool | None, option("--regression", panel=_TASK, help="The targets are numbers, not classes (mean squared error).")
]
OutFoldRatio = Annotated[
    int | None, option("--out-fold-ratio", "-f", panel=_TASK, help="Unfold the output by this ratio (1).")
]
AnomalyPercentile = Annotated[
    float | None,
    option("--anomaly-percentile", panel=_TASK, help="Training errors below the threshold of anomalies, in % (99)."),
]
ObjDetection = Annotated[
    bool | None, option("--obj-detection", "--enable-obj-detection", panel=_TASK, help="Detect objects.")
]
ObjDetectionParams = Annotated[
    str | None,
    option("--obj-detection-params", panel=_TASK, help="Parameters of loss and suppression: a file or a known name."),
]
Dr = Annotated[
    int | None, option("--dr", panel=_TASK, help="Reduce dimensions: learn an embedding of this length (ArcFace).")
]
ScafMargin = Annotated[float | None, option("--scaf-margin", panel=_TASK, help="ArcFace margin in degrees (28.6).")]
ScafScale = Annotated[float | None, option("--scaf-scale", panel=_TASK, help="ArcFace scale (64).")]
ScafLr = Annotated[float | None, option("--scaf-lr", panel=_TASK, help="Learning rate of ArcFace centers (0.0001).")]
BackboneCheckpoint = Annotated[
    Path | None, option("--backbone-checkpoint", panel=_TASK, help="Weights of the model's frozen backbone.")
]
KdTeacher = Annotated[str | None, option("--kd-teacher", panel=_TEACHER, help="Model to learn from.")]
KdResume = Annotated[Path | None, option("--kd-resume", panel=_TEACHER, help="Checkpoint of the teacher.")]
KdRelationbased = Annotated[
    bool | None, option("--kd-relationbased", panel=_TEACHER, help="Learn the teacher's outputs themselves.")
]
KdTemperature = Annotated[
    float | None, option("--kd-temperature", "--kd-temp", panel=_TEACHER, help="Softness of the teacher's answers (1).")
]
KdDistillWt = Annotated[
    float | None, option("--kd-distill-wt", "--kd-dw", panel=_TEACHER, help="Weight of the teacher's answers (0.5).")
]
KdStudentWt = Annotated[
    float | None, option("--kd-student-wt", "--kd-sw", panel=_TEACHER, help="Weight of the task's own loss (0.5).")
]
KdTeacherWt = Annotated[float | None, option("--kd-teacher-wt", "--kd-tw", panel=_TEACHER, help="Must be 0.")]
KdStartEpoch = Annotated[int | None, option("--kd-start-epoch", panel=_TEACHER, help="First epoch with teacher (0).")]
