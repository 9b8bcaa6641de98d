"""The QAT policy: when quantization-aware training starts, and with how many bits. spec: quantization, section 4.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ai8x_tool.errors import Ai8xError

WEIGHT_BITS = (1, 2, 4, 8)


@dataclass(frozen=True)
class QatPolicy:
    """Start epoch, weight bits and shift quantile; `overrides` gives single modules other bits (by dotted name)."""

    start_epoch: int
    weight_bits: int
    shift_quantile: float = 1.0
    overrides: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, bits in {"weight_bits": self.weight_bits, **self.overrides}.items():
            if bits not in WEIGHT_BITS or isinstance(bits, bool):
                raise Ai8xError(f"{name}: {bits!r} weight bits; they must be 1, 2, 4 or 8")
        if not 0 < self.shift_quantile <= 1:
            raise Ai8xError(f"shift_quantile {self.shift_quantile!r} must be above 0 and at most 1")
        if self.start_epoch < 0:
            raise Ai8xError(f"start_epoch {self.start_epoch!r} must not be negative")


def read_policy(path: Path) -> QatPolicy:
    """Read a policy file; unreadable, incomplete or mistyped content raises Ai8xError naming the file and the key."""
    import yaml  # noqa: PLC0415  (models are built without it)

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Ai8xError(f"cannot be read: {' '.join(str(error).split())}", where=str(path)) from None
    if not isinstance(content, dict):
        raise Ai8xError("a QAT policy is a mapping with start_epoch and weight_bits", where=str(path))
    for key in ("start_epoch", "weight_bits"):
        if key not in content:
            raise Ai8xError(f"the QAT policy has no {key!r}", where=str(path), fix=f"add the line '{key}: …'")
    try:
        return QatPolicy(
            _number(content["start_epoch"], "start_epoch", int),
            _number(content["weight_bits"], "weight_bits", int),
            _number(content.get("shift_quantile", 1.0), "shift_quantile", float),
            _overrides(content.get("overrides") or {}),
        )
    except Ai8xError as error:
        raise Ai8xError(str(error), where=str(path)) from None


def _number(value: Any, key: str, kind: type) -> Any:
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise Ai8xError(f"{key}: {value!r} is not {'a whole number' if kind is int else 'a number'}")
    return kind(value)


def _overrides(content: Any) -> dict[str, int]:
    if not isinstance(content, dict):
        raise Ai8xError("overrides must map module names to {weight_bits: n}")
    for name, values in content.items():
        if not isinstance(values, dict) or "weight_bits" not in values:
            raise Ai8xError(f"the override of {name!r} has no 'weight_bits'", fix="write {weight_bits: n}")
    return {str(name): _number(values["weight_bits"], str(name), int) for name, values in content.items()}
