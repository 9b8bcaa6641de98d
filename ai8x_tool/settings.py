"""Options of the commands as frozen values, and where they come from: default < recipe < settings file < flag."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import expand, write_file

Settings = TypeVar("Settings")

COMMON_KEYS = ("model", "dataset", "device", "network")
SECTIONS = ("train", "quantize", "evaluate", "synthesize")


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """Options of the model and of the kind of learning problem, for training and evaluation. spec: training, section 2.

    `dr` is the length of the embedding in dimensionality reduction, `scaf_…` belong to its sub-centre ArcFace loss (the
    margin in degrees). `obj_detection_params` is a file or a name in ``configs/detection``.
    """

    device: str = "MAX78000"
    use_bias: bool = False
    avg_pool_rounding: bool = False
    confusion: bool = False
    clipping: bool = False
    out_fold_ratio: int = 1
    regression: bool = False
    anomaly_percentile: float = 99.0
    obj_detection: bool = False
    obj_detection_params: str | None = None
    dr: int | None = None
    scaf_margin: float = 28.6
    scaf_scale: float = 64.0
    scaf_lr: float = 1e-4
    backbone_checkpoint: Path | None = None
    kd_teacher: str | None = None
    kd_resume: Path | None = None
    kd_relationbased: bool = False
    kd_temperature: float = 1.0
    kd_distill_wt: float = 0.5
    kd_student_wt: float = 0.5
    kd_teacher_wt: float = 0.0
    kd_start_epoch: int = 0

    def __post_init__(self) -> None:
        _require(self.out_fold_ratio >= 1, "out_fold_ratio", self.out_fold_ratio, "at least 1")
        _require(0 < self.anomaly_percentile <= 100, "anomaly_percentile", self.anomaly_percentile, "in 0 … 100")
        _require(self.dr is None or self.dr >= 1, "dr", self.dr, "at least 1")
        for key in ("scaf_scale", "scaf_lr", "kd_temperature"):
            _require(getattr(self, key) > 0, key, getattr(self, key), "above 0")
        for key in ("kd_distill_wt", "kd_student_wt", "kd_start_epoch"):
            _require(getattr(self, key) >= 0, key, getattr(self, key), "at least 0")
        _require(self.kd_teacher_wt == 0, "kd_teacher_wt", self.kd_teacher_wt, "0: teachers are not trained")
        if self.kd_relationbased and self.kd_teacher is None:
            raise Ai8xError("kd_relationbased needs a teacher", fix="pass --kd-teacher")


@dataclass(frozen=True)
class TrainSettings(TaskSettings):
    """Options of ``ai8x train``. spec: training, section 2.

    `compress` and `qat_policy` are files, or names in ``configs/schedules`` and ``configs/qat``; None means constant
    learning rate and no QAT. `activation_ranges` None means those of the checkpoint to start from, or else "measured"
    (spec: qatv2, section 8.2). Without `optimizer` and `learning_rate` a warning says that SGD and 0.1 are used. `seed`
    None is drawn and logged, or 0 with `deterministic`. `distributed` starts one process per GPU, or `processes`; the
    batch size is that of all together. `precision` is that of the float epochs.
    """

    model: str
    dataset: str
    data: Path = Path("data")
    epochs: int = 90
    batch_size: int = 256
    optimizer: Literal["SGD", "Adam"] | None = None
    learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 1e-4
    compress: str | None = None
    warmup_epochs: int = 0
    qat_policy: str | None = "default"
    activation_ranges: Literal["measured", "fixed"] | None = None
    validation_split: float = 0.1
    show_train_accuracy: Literal["none", "last_batch", "full"] = "last_batch"
    truncate_testset: bool = False
    deterministic: bool = False
    seed: int | None = None
    cpu: bool = False
    gpus: tuple[int, ...] | None = None
    workers: int = 4
    distributed: bool = False
    processes: int | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    compiler_mode: Literal["none", "default", "reduce-overhead", "max-autotune"] = "default"
    compiler_backend: str = "inductor"
    resume_from: Path | None = None
    exp_load_weights_from: Path | None = None
    reset_optimizer: bool = False
    name: str | None = None
    out_dir: Path = Path("logs")
    copy_output_folder: Path | None = None
    print_freq: int = 10
    tensorboard: bool = False
    param_hist: bool = False
    pr_curves: bool = False
    embedding: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("epochs", "batch_size", "print_freq"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")
        _require(self.warmup_epochs >= 0, "warmup_epochs", self.warmup_epochs, "at least 0")
        _require(self.processes is None or self.processes >= 1, "processes", self.processes, "at least 1")
        _require(0 <= self.validation_split < 1, "validation_split", self.validation_split, "at least 0 and below 1")
        _require(self.learning_rate is None or self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        for key in ("momentum", "weight_decay"):
            _require(getattr(self, key) >= 0, key, getattr(self, key), "at least 0")
        if self.processes is not None and not self.distributed:
            raise Ai8xError(f"processes is {self.processes}, but training is not distributed", fix="add --distributed")
        if self.resume_from and self.exp_load_weights_from:
            raise Ai8xError("resume_from and exp_load_weights_from exclude each other", fix="give one of them")
        _check_name(self.name)


@dataclass(frozen=True)
class EvaluateSettings(TaskSettings):
    """Options of ``ai8x evaluate``. `simulate` is the 8-bit mode; without `model` the checkpoint's own is built.

    With a `network` description, the 8-bit mode compares every output with the integer engine, unless `engine` is off.
    Below `out_dir` the run gets a folder for its files, with `name` in front; None: no files.
    """

    dataset: str
    checkpoint: Path
    model: str | None = None
    data: Path = Path("data")
    simulate: bool = False
    network: str | None = None
    engine: bool = True
    batch_size: int = 256
    truncate_testset: bool = False
    save_sample: int | None = None
    save_sample_file: Path | None = None
    slice_sample: bool = False
    cpu: bool = False
    gpus: tuple[int, ...] | None = None
    workers: int = 4
    print_freq: int = 10
    name: str | None = None
    out_dir: Path | None = Path("logs")

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_name(self.name)
        for key in ("batch_size", "print_freq"):
            _require(getattr(self, key) >= 1, key, getattr(self, key), "at least 1")
        _require((self.save_sample or 0) >= 0, "save_sample", self.save_sample, "at least 0")


def resolve(
    cls: type[Settings],
    command: str,
    recipe: str | None = None,
    settings_file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings of `command`: built-in default < recipe < settings file < flag.

    `recipe` is a file or a name in ``configs/recipes``; flags that are None were not given. Raises Ai8xError for
    unknown keys (with the closest known one and the file) and values of another type.
    """
    known = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    if recipe is not None:
        values |= _recipe_values(recipe, command, known)
    if settings_file is not None:
        values |= _typed(_read_mapping(settings_file), known, str(settings_file))
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    values |= _typed(given, known, None)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # all settings are dataclasses
        if field.default is MISSING and field.default_factory is MISSING and field.name not in values:
            option = "--" + field.name.replace("_", "-")
            raise Ai8xError(f"{command} needs {_article(field.name)}", fix=f"name a recipe or pass {option}")
    return cls(**values)


def save(settings: Any, path: Path) -> None:
    """Write settings as YAML that ``--settings`` takes back."""
    content = {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    write_file(yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode(), path)


@dataclass(frozen=True)
class Recipe:
    """A recipe file: what it is for, its common keys, and its sections by command."""

    name: str
    path: Path
    description: str
    common: Mapping[str, Any]
    sections: Mapping[str, Mapping[str, Any]]


def read_recipe(name: str) -> Recipe:
    """Read the recipe `name`, a file or a name in ``configs/recipes``; unknown keys are refused."""
    path = resources.find_config("recipes", name)
    content = _read_mapping(path)
    allowed = ["description", *COMMON_KEYS, *SECTIONS]
    for key in content:
        if key not in allowed:
            raise Ai8xError(f"unknown key {key!r}{nearest(str(key), allowed)}", where=str(path))
    sections = {key: content.get(key) or {} for key in SECTIONS}
    for key, section in sections.items():
        if not isinstance(section, dict):
            raise Ai8xError(f"{key!r} must be a mapping of options", where=str(path))
    common = {key: content[key] for key in COMMON_KEYS if key in content}
    return Recipe(path.stem, path, str(content.get("description", "")), common, sections)


def list_recipes() -> list[Recipe]:
    """Return all recipes; the user's own hide shipped ones."""
    return [read_recipe(str(path)) for path in resources.list_configs("recipes").values()]


def _recipe_values(name: str, command: str, known: Mapping[str, Any]) -> dict[str, Any]:
    recipe = read_recipe(name)
    common = {key: value for key, value in recipe.common.items() if key in known}
    return _typed({**common, **recipe.sections.get(command, {})}, known, f"{recipe.path} ({command})")


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Ai8xError(f"cannot be read: {' '.join(str(error).split())}", where=str(path)) from None
    if not isinstance(content, dict):
        raise Ai8xError("must be a mapping of options to values", where=str(path))
    return content


def _typed(values: Mapping[str, Any], known: Mapping[str, Any], where: str | None) -> dict[str, Any]:
    result = {}
    for key, value in values.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise Ai8xError(f"unknown option {key!r}{nearest(name, list(known))}", where=where)
        result[name] = _convert(value, known[name], name, where)
    return result


def _convert(value: Any, kind: Any, name: str, where: str | None) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        return _convert(value, next(o for o in options if o is not type(None)), name, where)
    if origin is Literal:
        match = next((o for o in options if str(o).lower() == str(value).lower()), None)
        if match is None:
            raise Ai8xError(f"{name}: {value!r} is not one of {', '.join(map(str, options))}", where=where)
        return match
    if origin is tuple:
        entries = value if isinstance(value, list | tuple) else str(value).replace(",", " ").split()
        return tuple(_convert(entry, options[0], name, where) for entry in entries)
    return _convert_scalar(value, kind, name, where)


def _convert_scalar(value: Any, kind: type, name: str, where: str | None) -> Any:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}[kind]
    try:
        if kind is bool and isinstance(value, bool):
            return value
        if kind in (int, float) and isinstance(value, int | float | str) and not isinstance(value, bool):
            number = float(value) if kind is float else int(value)  # YAML reads 1e-3 as text
            if kind is float or not isinstance(value, float) or value == number:
                return number
        if kind in (str, Path) and isinstance(value, str | Path | int | float) and not isinstance(value, bool):
            return expand(value) if kind is Path and isinstance(value, str | Path) else kind(str(value))
    except ValueError:
        pass
    raise Ai8xError(f"{name}: {value!r} is not {words}", where=where)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _article(name: str) -> str:
    return f"a {'data set' if name == 'dataset' else name.replace('_', ' ')}"


def _check_name(name: str | None) -> None:
    if name and any(mark in name for mark in "/\\"):
        raise Ai8xError(f"name {name!r} must not contain slashes", fix="use out_dir for the folder")


def _require(condition: bool, key: str, value: Any, rule: str) -> None:
    if not condition:
        raise Ai8xError(f"{key} {value!r} must be {rule}")
