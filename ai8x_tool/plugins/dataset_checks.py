"""Checks of datasets from plugin files: every fault is reported in one line with the file."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.load import call_plugin, plugin_faults

if TYPE_CHECKING:
    from ai8x_tool.console import Console

_MOST_VALUES = 1 << 26
"""Largest number of values of one input, far beyond the capacity of the accelerator."""
_LOW, _HIGH = -128, 127
_FIX = "correct the file"


def require_type(value: Any, good: bool, key: str, rule: str, where: str) -> None:
    """Raise Ai8xError unless `good`: the value of `key` in a plugin's entry must be as described by `rule`."""
    if not good:
        raise Ai8xError(f"{key!r} must be {rule}, not {_named(value)}", where=where, fix=_FIX)


def _named(value: Any) -> str:
    """Return a short description of a value, of which even the representation may fail."""
    if value is None or isinstance(value, bool | int | float | str):
        return f"{value!r:.60}"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__


def input_shape(value: Any, where: str) -> tuple[int, ...]:
    """Return the shape of one input, (C, L) or (C, H, W). Raises Ai8xError for anything else."""
    sizes = isinstance(value, tuple | list) and len(value) in (2, 3)
    whole = sizes and all(type(size) is int or isinstance(size, np.integer) for size in value)
    good = whole and min(value) > 0 and math.prod(map(int, value)) <= _MOST_VALUES
    if not good:
        rule = "(channels, length) or (channels, height, width)"
        raise Ai8xError(f"'input' must be {rule}, not {value!r:.60}", where=where, fix=_FIX)
    return tuple(map(int, value))


def label_names(value: Any, key: str, where: str) -> tuple[str, ...]:
    """Return the names of the classes. Raises Ai8xError if `value` is not a list of names."""
    listed = isinstance(value, Collection) and not isinstance(value, str | bytes) and len(value) > 0
    good = listed and all(isinstance(name, str | int | float) for name in value)
    require_type(value, good, key, "a list of names", where)
    return tuple(map(str, value))


def class_weights(value: Any, labels: Sequence[str], key: str, where: str) -> tuple[float, ...] | None:
    """Return the weights of the classes in the loss. Raises Ai8xError if they are invalid."""
    if value is None:
        return None
    try:
        weights = tuple(float(weight) for weight in value)
    except (TypeError, ValueError):
        raise Ai8xError(f"{key!r} must be a list of numbers, not {_named(value)}", where=where, fix=_FIX) from None
    if len(weights) != len(labels):
        raise Ai8xError(
            f"there must be one weight for each of the {len(labels)} labels, not {len(weights)}", where=where, fix=_FIX
        )
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        wrong = next((weight for weight in weights if not 0 <= weight < math.inf), 0.0)
        raise Ai8xError(
            f"{key!r} contains {wrong}: weights must be finite, at least 0, and not all 0", where=where, fix=_FIX
        )
    return weights


def output_kinds(value: Any, where: str) -> dict[str, str] | None:
    """Return the losses of a model's outputs by name. Raises Ai8xError if `value` is not a dictionary of strings."""
    if value is None:
        return None
    texts = isinstance(value, Mapping) and all(isinstance(text, str) for pair in value.items() for text in pair)
    require_type(value, texts and len(value) > 0, "outputs", "a dictionary of losses by output", where)
    return dict(value)


def checked_entry(entry: DatasetEntry, file: Path) -> DatasetEntry:
    """Return a plugin's entry after checking its fields; its samples are checked when they are loaded and used.

    Raises Ai8xError naming file and key for values of a wrong type.
    """
    where = f"{file}: dataset {entry.name!r}"
    shape = input_shape(entry.input, where)
    labels = label_names(entry.labels, "labels", where)
    require_type(entry.load, callable(entry.load), "load", "a function", where)
    for key in ("note", "task"):
        value = getattr(entry, key)
        require_type(value, value is None or isinstance(value, str), key, "a text", where)
    output_kinds(entry.outputs, where)
    weights = class_weights(entry.class_weights, labels, "class_weights", where)
    load = _checked_loader(entry.load, file, replace(entry, input=shape).sample)
    return replace(entry, input=shape, labels=labels, load=load, class_weights=weights, file=file)


def _checked_loader(
    load: Callable[[Path, Console], Dataset], file: Path, shape: tuple[int, ...]
) -> Callable[[Path, Console], Dataset]:
    def checked(folder: Path, console: Console) -> Dataset:
        data = call_plugin(file, load, folder, console)
        if not isinstance(data, Dataset):
            raise Ai8xError(f"the loader must return a Dataset, not {_named(data)}", where=str(file), fix=_FIX)
        if type(data) is not Dataset:
            return data  # its splits are created on request, by a class that checks them itself
        origin = _Origin(file, shape, console.warn)
        validation = None if data.validation is None else _checked_split(data.validation, "validation", origin)
        training, test = _checked_split(data.train, "training", origin), _checked_split(data.test, "test", origin)
        return Dataset(training, validation, test)

    return checked


@dataclass(frozen=True)
class _Origin:
    """Origin of samples: the plugin file and the shape of one input."""

    file: Path
    shape: tuple[int, ...]
    warn: Callable[[str], None]


def _checked_split(split: Any, name: str, origin: _Origin) -> Split:
    where = f"{origin.file}: the {name} split"
    if not isinstance(split, Split):
        raise Ai8xError(f"must be a Split, not {_named(split)}", where=where, fix=_FIX)
    for key, what in (("raw", "the samples"), ("targets", "the targets")):
        _check_tensor(getattr(split, key), f"{what} ({key})", where)
    if len(split.raw) != len(split.targets):
        raise Ai8xError(f"{len(split.raw)} samples, but {len(split.targets)} targets", where=where, fix=_FIX)
    if not len(split.raw):
        raise Ai8xError("has no samples", where=where, fix="add samples, or leave out the validation split")
    require_type(split.prepare, callable(split.prepare), "prepare", "a function", where)
    require_type(split.augment, split.augment is None or callable(split.augment), "augment", "a function", where)
    wrong = first_infinite(split.targets)
    if wrong is not None:
        raise Ai8xError(f"the target of sample {wrong} is not finite", where=where, fix="correct the data")
    known = {entry.name: getattr(split, entry.name) for entry in fields(Split)}
    return _CheckedSplit(**known, name=name, origin=origin)


def _check_tensor(value: Any, what: str, where: str) -> None:
    if not isinstance(value, Tensor):
        fix = "convert NumPy arrays with torch.from_numpy()"
        raise Ai8xError(f"{what} must be a tensor, not {_named(value)}", where=where, fix=fix)
    kind = "on the device meta, without values" if value.is_meta else None
    kind = kind or ("sparse" if value.layout != torch.strided else None) or ("complex" if value.is_complex() else None)
    kind = kind or ("a single number" if value.dim() == 0 else None)
    if kind is not None:
        raise Ai8xError(
            f"{what} must be an ordinary tensor of numbers, but are {kind}", where=where, fix="convert them"
        )


def first_infinite(values: Tensor) -> int | None:
    """Return the index of the first sample with an infinite or undefined value, None if there is none."""
    if not values.is_floating_point():
        return None
    finite = torch.isfinite(values.flatten(1) if values.dim() > 1 else values[:, None]).all(dim=1)
    return None if bool(finite.all()) else int((~finite).nonzero()[0])


@dataclass(frozen=True)
class _CheckedSplit(Split):
    """A split of a plugin: errors of its functions are located, and their results are checked."""

    name: str = field(kw_only=True)
    origin: _Origin = field(kw_only=True)

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return inputs (integers −128…127 as float32) and targets at `indices`."""
        with plugin_faults(self.origin.file):
            inputs, targets = super().batch(indices, generator)
        for text in self._faults(inputs, indices):
            raise Ai8xError(text, where=f"{self.origin.file}: the {self.name} split", fix=_FIX)
        return inputs.detach(), targets

    def _faults(self, inputs: Any, indices: Tensor) -> Iterator[str]:
        """Yield the faults of the inputs of a batch; warn about values out of range."""
        if not isinstance(inputs, Tensor):
            yield f"prepare() must return a tensor, not {_named(inputs)}"
        if inputs.dtype != torch.float32 or inputs.is_meta or inputs.layout != torch.strided:
            yield f"prepare() must return float32 tensors, not {inputs.dtype} on {inputs.device}"
        wanted = (len(indices), *self.origin.shape)
        if inputs.shape != wanted:
            found = "×".join(map(str, inputs.shape)) or "one number"
            yield f"prepare() returned {found} for a batch of {'×'.join(map(str, wanted))}"
        low, high = (float(extreme) for extreme in torch.aminmax(inputs))
        if not math.isfinite(low + high):
            wrong = int(indices[first_infinite(inputs) or 0])
            yield f"the input of sample {wrong} is infinite or undefined"
        if low < _LOW or high > _HIGH:
            self.origin.warn(
                f"{self.origin.file}: inputs of the {self.name} split are outside {_LOW} … {_HIGH}, which the "
                "accelerator does not have (let prepare() return integers in that range)"
            )
