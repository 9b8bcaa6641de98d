"""Argument `args` of loaders written for the reference trainer: its options by name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ai8x_tool.device import find_device
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.option import options_of
from ai8x_tool.settings.training import TrainSettings

_OTHER_OPTIONS: dict[str, Any] = {
    "act_mode_8bit": False,  # inputs remain real numbers; the 8-bit mode multiplies them by 128
    "backbone_checkpoint": None,
    "compiler_mode": "none",
    "dr": None,
    "kd_distill_wt": 0.5,
    "kd_relationbased": False,
    "kd_resume": "",
    "kd_start_epoch": 0,
    "kd_student_wt": 0.5,
    "kd_teacher": None,
    "kd_teacher_wt": 0.0,
    "kd_temp": 1.0,
    "nas": False,
    "nas_policy": "",
    "obj_detection": False,
    "obj_detection_params": None,
    "out_fold_ratio": 1,
    "regression": False,
    "summary": None,
    "yaml_template": None,
}
_OTHER_NAMES = {
    "learning_rate": ("lr",),
    "model": ("arch", "cnn"),
    "out_dir": ("output_dir",),
    "seed": (),
}


def loader_args(settings: TrainSettings | EvaluateSettings | None) -> SimpleNamespace:
    """Return the options under the reference trainer's names; `device` is the number of the die, paths are strings."""
    evaluate = isinstance(settings, EvaluateSettings)
    chosen = settings or TrainSettings(model="none", dataset="none")
    values = dict(_OTHER_OPTIONS)
    values |= {name: option.default for name, option in options_of(TrainSettings).items() if not option.required}
    values |= vars(chosen)
    for name, others in _OTHER_NAMES.items():
        values |= dict.fromkeys(others, values[name])
    values["batch_size"] = values["batch_size"] or 256
    values |= {"data": str(chosen.data), "device": find_device(chosen.device).die, "evaluate": evaluate}
    return SimpleNamespace(**values)
