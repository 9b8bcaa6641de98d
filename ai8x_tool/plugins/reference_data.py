"""Datasets written for the reference trainer: dictionaries with a loader that returns PyTorch datasets.

Their items are (input, target, …), with inputs normalized to [−1, 127/128].
"""

from __future__ import annotations

import hashlib
import math
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import data as torch_data
from torch.utils.data import DataLoader, default_collate, get_worker_info

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import expand
from ai8x_tool.plugins.dataset_checks import (
    class_weights,
    first_infinite,
    input_shape,
    label_names,
    output_kinds,
    require_type,
)
from ai8x_tool.plugins.load import call_plugin
from ai8x_tool.plugins.loader_args import loader_args

if TYPE_CHECKING:
    from ai8x_tool.console import Console
    from ai8x_tool.settings.evaluation import EvaluateSettings
    from ai8x_tool.settings.training import TrainSettings

_TOLERATED = 1.01
_MOST_SAMPLES = 100_000_000


@dataclass(frozen=True)
class Source:
    """A PyTorch dataset, its collate function, and its plugin file.

    A batch is (inputs, targets, clipped): integers −128…127 as float32, the targets as collated, and whether inputs had
    to be clipped.
    """

    dataset: Any
    file: Path
    collate: Callable[[list[Any]], Any]
    workers: int
    warn: Callable[[str], None]

    def fetch(self, positions: Sequence[int], seed: int) -> tuple[Tensor, Any, bool]:
        """Return the batch of the items at `positions`. Random numbers depend only on `seed` and position."""
        batch = call_plugin(self.file, self._collated, positions, seed)
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise Ai8xError("an item of the dataset must be a tuple (input, target)", where=str(self.file))
        try:
            inputs = _real(torch.as_tensor(batch[0]))
        except (TypeError, ValueError, RuntimeError):
            message = f"the inputs of a batch must be a tensor of real numbers, not {type(batch[0]).__name__}"
            raise Ai8xError(
                message, where=str(self.file), fix="transform each input to a tensor of the same shape"
            ) from None
        largest = float(inputs.abs().max()) if inputs.numel() else 0.0
        if not math.isfinite(largest):
            wrong = positions[first_infinite(inputs) or 0] if len(inputs) == len(positions) else positions[0]
            raise Ai8xError(f"the input of sample {wrong} is infinite or undefined", where=str(self.file))
        clipped = largest > _TOLERATED
        targets = _target(batch[1]) if len(batch) == 2 else tuple(batch[1:])
        return inputs.mul(128).round_().clamp_(-128, 127), targets, clipped

    def _collated(self, positions: Sequence[int], seed: int) -> Any:
        items = []
        with _kept_random_state():
            for position in positions:
                _seed(seed, position)
                items.append(self.dataset[position])
        return self.collate(items)

    def complain(self, clipped: bool) -> None:
        """Warn once about inputs outside the range of the accelerator."""
        if clipped:
            fix = "normalize them with ai8x.normalize"
            self.warn(f"{self.file}: inputs outside −1 … 127/128 are clipped ({fix})")


@dataclass(frozen=True)
class TorchSplit(Split):
    """A split whose samples are created one by one; `raw` and `targets` contain positions in the PyTorch dataset."""

    source: Source = field(kw_only=True)

    def batch(self, indices: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Any]:
        """Return inputs (integers −128…127 as float32) and targets at `indices`."""
        inputs, targets, clipped = self.source.fetch(self.raw[indices].tolist(), _draw(generator))
        self.source.complain(clipped)
        return inputs, targets

    def stream(self, chunks: Sequence[Tensor], generator: torch.Generator | None) -> Iterator[tuple[Tensor, Any]]:
        """Yield the batches at `chunks`, prepared by worker processes, whose number does not affect the samples."""
        stream = _Stream(self.source, [self.raw[chunk].tolist() for chunk in chunks], _draw(generator))
        workers = min(self.source.workers, _processors(), len(chunks))
        loader = DataLoader(
            stream,
            batch_size=None,
            num_workers=workers,
            collate_fn=_unchanged,
            generator=torch.Generator(),
            multiprocessing_context="fork" if workers else None,
        )
        try:
            for result in loader:
                if isinstance(result, Ai8xError):
                    raise result
                inputs, targets, clipped = result
                self.source.complain(clipped)
                yield inputs, targets
        except RuntimeError as error:  # a worker process was killed, or the system lacks resources for it
            message = f"a worker process that prepares samples failed: {' '.join(str(error).split())}"
            raise Ai8xError(message, where=str(self.source.file), fix="use --workers 0") from None


def _processors() -> int:
    """Return the number of processors for worker processes; 0 if a process with threads cannot fork safely."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 0


class _Stream(torch_data.Dataset[Any]):
    """Dataset of batches; errors are returned, because exceptions would reach other processes as tracebacks."""

    def __init__(self, source: Source, chunks: list[list[int]], seed: int) -> None:
        self.source, self.chunks, self.seed = source, chunks, seed

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, number: int) -> Any:
        try:
            return self.source.fetch(self.chunks[number], self.seed)
        except Ai8xError as error:
            return error


def _real(values: Tensor) -> Tensor:
    """Return values as detached float32. Raises TypeError if they are not real numbers."""
    if values.is_complex() or values.is_meta:
        raise TypeError("not real numbers")
    return values.detach().to(torch.float32)


def _unchanged(batch: Any) -> Any:
    return batch


def _target(target: Any) -> Any:
    """Return numbers in the form used by the losses; other targets are unchanged."""
    if not isinstance(target, Tensor):
        return target
    return target.to(torch.float32) if target.is_floating_point() else target.long()


def _draw(generator: torch.Generator | None) -> int:
    return 0 if generator is None else int(torch.randint(2**62, (1,), generator=generator))


def _seed(seed: int, position: int) -> None:
    value = int.from_bytes(hashlib.blake2b(f"{seed}/{position}".encode(), digest_size=8).digest(), "little") >> 1
    random.seed(value)
    np.random.seed(value % 2**32)
    torch.default_generator.manual_seed(value)


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """Restore the global random generators afterwards; in a worker process nothing else uses them."""
    if get_worker_info() is not None:
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.default_generator.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.default_generator.set_state(states[2])


# -- the registry entry ------------------------------------------------------------------------------------------


def adapt_entry(
    entry: Mapping[str, Any], file: Path, settings: TrainSettings | EvaluateSettings | None
) -> DatasetEntry:
    """Return the entry of a dataset written for the reference trainer.

    Raises Ai8xError naming file and key for values that are missing or of a wrong type.
    """
    name, where = str(entry["name"]), f"{file}: dataset {entry['name']!r}"
    for key in ("input", "output", "loader"):
        if key not in entry:
            raise Ai8xError(f"the entry must contain {key!r}", where=where)
    shape, labels = input_shape(entry["input"], where), label_names(entry["output"], "output", where)
    loader, collate, task = entry["loader"], entry.get("collate"), entry.get("task")
    require_type(loader, callable(loader), "loader", "a function", where)
    require_type(collate, not collate or callable(collate), "collate", "a function", where)
    require_type(task, task is None or isinstance(task, str), "task", "a text", where)
    weights = class_weights(entry.get("weight"), labels, "weight", where)
    args = loader_args(settings)

    def load(data_dir: Path, console: Console) -> TorchDataset:
        folder = str(expand(data_dir))
        return TorchDataset(_Loader(loader, folder, args, file, collate), console)

    description = str(entry.get("description", ""))
    kind = _task(entry, labels)
    outputs = output_kinds(entry.get("outputs"), where)
    found = DatasetEntry(name, shape, labels, load, weights, description=description, file=file)
    return replace(found, task=kind, outputs=outputs)


def _task(entry: Mapping[str, Any], labels: Sequence[str]) -> str | None:
    if entry.get("task") is not None:  # a key of this tool, for kinds that the reference trainer does not distinguish
        return str(entry["task"])
    if entry.get("regression"):
        return "regression"
    if entry.get("collate"):
        return "detection"
    return "regression" if len(labels) == 1 else None


@dataclass(frozen=True)
class _Loader:
    """The loader function of a plugin, with its arguments."""

    function: Callable[..., Any]
    data_dir: str
    args: Any
    file: Path
    collate: Callable[[list[Any]], Any] | None

    def __call__(self, *, train: bool, test: bool) -> tuple[Any, Any]:
        parts = call_plugin(self.file, self.function, (self.data_dir, self.args), load_train=train, load_test=test)
        if not isinstance(parts, tuple | list) or len(parts) != 2:
            raise Ai8xError("the loader must return two datasets (train, test)", where=str(self.file))
        for part, name, wanted in zip(parts, ("training", "test"), (train, test), strict=True):
            if wanted and not (hasattr(part, "__getitem__") and hasattr(part, "__len__") and self._length(part)):
                raise Ai8xError(f"the loader returned no {name} samples", where=str(self.file))
        return parts[0], parts[1]

    def _length(self, part: Any) -> int:
        length = call_plugin(self.file, len, part)
        if length > _MOST_SAMPLES:
            raise Ai8xError(
                f"the dataset has {length:.3g} samples, which is too many",
                where=str(self.file),
                fix="correct its __len__()",
            )
        return length


class TorchDataset(Dataset):
    """Splits that are loaded on first use; an evaluation only loads the test split."""

    def __init__(self, loader: _Loader, console: Console) -> None:
        self.__dict__.update(_loader=loader, _warn=console.warn)

    @cached_property
    def _both(self) -> tuple[Any, Any]:
        loader: _Loader = self.__dict__["_loader"]
        return loader(train=True, test=True)

    @cached_property
    def _test(self) -> Any:
        loader: _Loader = self.__dict__["_loader"]
        return loader(train=False, test=True)[1] if loader.args.evaluate else self._both[1]

    def _split(self, dataset: Any, positions: Tensor | None = None) -> TorchSplit:
        loader: _Loader = self.__dict__["_loader"]
        source = Source(
            dataset, loader.file, loader.collate or default_collate, loader.args.workers, self.__dict__["_warn"]
        )
        positions = torch.arange(len(dataset)) if positions is None else positions
        return TorchSplit(positions, positions, _unchanged, source=source)

    @property
    def train(self) -> Split:
        """Training samples, without those listed for validation."""
        dataset, listed = self._both[0], self._validation_positions()
        if listed is None:
            return self._split(dataset)
        kept = torch.ones(len(dataset), dtype=torch.bool)
        kept[listed] = False
        return self._split(dataset, kept.nonzero()[:, 0])

    @property
    def validation(self) -> Split | None:
        """Validation samples if the training set lists them, else None; not augmented."""
        listed = self._validation_positions()
        return None if listed is None else self._split(self._plain_training_set(), listed)

    @property
    def test(self) -> Split:
        """Test samples."""
        return self._split(self._test)

    @property
    def held_back(self) -> Split:
        """Training samples without augmentation."""
        return self._split(self._plain_training_set())

    def _validation_positions(self) -> Tensor | None:
        """Return the list ``valid_indices`` of the training set, None without one. It must not contain all samples."""
        dataset, file = self._both[0], self.__dict__["_loader"].file
        listed = getattr(dataset, "valid_indices", None)
        if listed is None:
            return None
        try:
            positions = torch.as_tensor(listed).flatten()
        except (TypeError, ValueError, RuntimeError):
            positions = torch.zeros(1)
        count = len(dataset)
        numbers = not len(positions) or positions.dtype in (torch.int64, torch.int32)
        inside = numbers and bool(((positions >= 0) & (positions < count)).all())
        if not inside or len(set(positions.tolist())) == count:
            rule = f"must be a list of positions 0 … {count - 1} of the training set, and not of all of it"
            raise Ai8xError(f"'valid_indices' {rule}", where=str(file))
        return positions.long() if len(positions) else None

    def _plain_training_set(self) -> Any:
        """Return the training set with the transform of the test set, if both have one."""
        train, test = self._both
        names = [name for name in ("transform", "transforms") if hasattr(train, name) and hasattr(test, name)]
        if type(train) is not type(test) or not names:
            return train
        plain = copy(train)
        for name in names:
            setattr(plain, name, getattr(test, name))
        return plain
