"""QAT policy: start of quantization-aware training and weight bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai8x_tool.device.limits import WEIGHT_BITS
from ai8x_tool.errors import Ai8xError, nearest

DEFAULT_Z_SCORE = 8.0


@dataclass(frozen=True)
class Override:
    """Values of one module that override those of the policy; None for values of the policy."""

    weight_bits: int | None = None
    shift_quantile: float | None = None


@dataclass(frozen=True)
class QatPolicy:
    """Start epoch, weight bits and shift quantile; `overrides` contains those of individual modules by dotted name.

    Measurement of activation ranges ignores values more than `outlier_removal_z_score` standard deviations from the
    mean; None means :data:`DEFAULT_Z_SCORE`.
    """

    start_epoch: int
    weight_bits: int
    shift_quantile: float = 1.0
    overrides: Mapping[str, Override] = field(default_factory=dict)
    outlier_removal_z_score: float | None = None

    def __post_init__(self) -> None:
        for name, override in {"": Override(self.weight_bits, self.shift_quantile), **self.overrides}.items():
            where, bits, level = f"{name}: " if name else "", override.weight_bits, override.shift_quantile
            if bits is not None and (bits not in WEIGHT_BITS or isinstance(bits, bool)):
                raise Ai8xError(f"{where}weight_bits must be 1, 2, 4 or 8, not {bits!r}")
            if level is not None and not 0 < level <= 1:
                raise Ai8xError(f"{where}shift_quantile must be above 0 and at most 1, not {level!r}")
        if self.start_epoch < 0:
            raise Ai8xError(f"start_epoch must not be negative, but is {self.start_epoch!r}")
        if not (math.isfinite(self.z_score) and self.z_score > 0):
            raise Ai8xError(f"outlier_removal_z_score must be above 0, not {self.z_score!r}")

    @property
    def z_score(self) -> float:
        """The outlier limit, in standard deviations."""
        return DEFAULT_Z_SCORE if self.outlier_removal_z_score is None else self.outlier_removal_z_score

    def choose(self, module: str) -> tuple[int, float]:
        """Return weight bits and shift quantile of the module called `module`."""
        own = self.overrides.get(module, Override())
        bits = self.weight_bits if own.weight_bits is None else own.weight_bits
        return bits, self.shift_quantile if own.shift_quantile is None else own.shift_quantile


_KEYS = ["start_epoch", "weight_bits", "shift_quantile", "overrides", "outlier_removal_z_score"]


def read_policy(path: Path) -> QatPolicy:
    """Read a policy file. Raises Ai8xError naming file and key for unreadable, incomplete or invalid content."""
    from ai8x_tool.readers.yaml_file import read_plain  # noqa: PLC0415  (models are built without it)

    content = read_plain(path)
    if not isinstance(content, dict):
        raise Ai8xError("a QAT policy must be a mapping with start_epoch and weight_bits", where=str(path))
    for key in ("start_epoch", "weight_bits"):
        if key not in content:
            raise Ai8xError(f"the QAT policy must contain {key!r}", where=str(path), fix=f"add the line '{key}: …'")
    for key in content:  # keys of other tools are accepted, but not misspelled ones
        meant = nearest(str(key), _KEYS)
        if key not in _KEYS and meant:
            raise Ai8xError(f"unknown key {key!r}{meant}", where=str(path))
    z_score = content.get("outlier_removal_z_score")
    try:
        return QatPolicy(
            _number(content["start_epoch"], "start_epoch", int),
            _number(content["weight_bits"], "weight_bits", int),
            _number(content.get("shift_quantile", 1.0), "shift_quantile", float),
            _overrides(content.get("overrides") or {}),
            None if z_score is None else _number(z_score, "outlier_removal_z_score", float),
        )
    except Ai8xError as error:
        raise Ai8xError(str(error), where=str(path)) from None


def _number(value: Any, key: str, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise Ai8xError(f"{key} must be {'a whole number' if kind is int else 'a number'}, not {value!r}")
    return kind(value)


def _overrides(content: Any) -> dict[str, Override]:
    if not isinstance(content, dict):
        raise Ai8xError("overrides must map module names to {weight_bits: n}")
    return {str(name): _override(str(name), values) for name, values in content.items()}


def _override(name: str, values: Any) -> Override:
    kinds = {"weight_bits": int, "shift_quantile": float}
    if not isinstance(values, dict | None):
        raise Ai8xError(f"the override of {name!r} must be a mapping, not {values!r}", fix="write {weight_bits: n}")
    given = values or {}
    for key in given:
        if key not in kinds:
            raise Ai8xError(f"the override of {name!r}: unknown key {key!r}{nearest(str(key), list(kinds))}")
    return Override(**{key: _number(value, f"{name}.{key}", kinds[key]) for key, value in given.items()})
