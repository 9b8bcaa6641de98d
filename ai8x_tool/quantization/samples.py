"""Prerequisites of calibration in addition to the checkpoint: the float and the simulated model, and input samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool.checkpoint import Checkpoint
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset, DatasetEntry
from ai8x_tool.data.seeding import generator_for
from ai8x_tool.data.synthetic import synthetic_entry
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.build import build_for_checkpoint, check_architecture, load_weights
from ai8x_tool.nn import fuse_batchnorm
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.quantization.calibration import calibrate, limit_ranges
from ai8x_tool.quantization.quantize import Calibrated, Chooser
from ai8x_tool.readers.numpy_file import read_array
from ai8x_tool.settings.model import SYNTHETIC
from ai8x_tool.settings.quantization import CalibrationSettings

DEFAULT_SAMPLES = 128


def calibration(settings: CalibrationSettings, console: Console) -> Chooser:
    """Return a function that chooses integers for :func:`quantize`; raises Ai8xError if there are no usable samples."""
    entry, samples = _samples(settings, console)

    def choose(checkpoint: Checkpoint, bits: Mapping[str, int]) -> Calibrated:
        fitting = entry or _entry_of(samples, checkpoint)
        reference, simulated = _models(settings, fitting, checkpoint, console)
        console.info(f"calibrating {len(bits)} layers with {len(samples)} samples")
        ranges = limit_ranges(reference, samples, console.warn) if checkpoint.measured_ranges else {}
        chosen = calibrate(reference, simulated, samples, bits)
        left = [layer for layer in bits if layer not in chosen]
        if left:
            names = ", ".join(left[:3]) + (", …" if len(left) > 3 else "")
            console.warn(f"{checkpoint.path}: the model does not use {names}; quantized without calibration")
        return Calibrated(chosen, ranges)

    return choose


def _models(
    settings: CalibrationSettings, entry: DatasetEntry, checkpoint: Checkpoint, console: Console
) -> tuple[nn.Module, nn.Module]:
    """Return the model as trained, with batch normalization folded, and the same in simulate mode."""
    name = settings.model or checkpoint.arch
    if name is None:
        raise Ai8xError("the checkpoint does not name its model", where=str(checkpoint.path), fix="pass --model")
    check_architecture(name, checkpoint)

    def build(*, simulate: bool) -> nn.Module:
        options: dict[str, Any] = {"device": settings.device, "simulate": simulate}
        options |= {"round_avg": settings.avg_pool_rounding, "measured_ranges": checkpoint.measured_ranges}
        return build_for_checkpoint(name, entry, checkpoint, console, **options)

    reference = build(simulate=False)
    load_weights(reference, checkpoint, console)
    fuse_batchnorm(reference)
    return reference, build(simulate=True)


def _samples(settings: CalibrationSettings, console: Console) -> tuple[DatasetEntry | None, Tensor]:
    entry = None if settings.dataset is None else find_dataset(settings.dataset)
    if entry is not None and settings.data == SYNTHETIC:
        entry = synthetic_entry(entry)
    if settings.calibration_input is not None:
        samples = read_inputs(settings.calibration_input)[: settings.calibrate]
        if entry is not None and tuple(samples.shape[1:]) != tuple(entry.input):
            shapes = f"{_by(samples.shape[1:])}, those of {entry.name} {_by(entry.input)}"
            raise Ai8xError(f"the samples are {shapes}", where=str(settings.calibration_input))
        return entry, samples
    assert entry is not None
    return entry, training_samples(entry.load(settings.data, console), settings.calibrate or DEFAULT_SAMPLES)


def training_samples(data: Dataset, count: int) -> Tensor:
    """Return `count` training samples (or all), always the same ones, as integers −128…127 in float32."""
    order = torch.randperm(len(data.train), generator=generator_for(0, 0, "calibration"))
    return data.train.batch(order[:count])[0]


def read_inputs(path: Path) -> Tensor:
    """Read samples for calibration, (N, C, H, W) or (N, C, L) integers −128…127 of any type, as float32."""
    where = str(path)
    if not path.is_file():
        raise Ai8xError("file with calibration samples not found", where=where)
    values = read_array(path)
    if values.dtype.kind not in "iuf":
        raise Ai8xError(f"samples must be integers, but the file holds {values.dtype}", where=where)
    if values.ndim not in (3, 4) or values.size == 0:
        fix = "the shape must be (N, C, H, W) or (N, C, L)"
        raise Ai8xError(f"samples of shape {_by(values.shape)} cannot be used", where=where, fix=fix)
    if not np.array_equal(values, np.rint(values)) or values.min() < -128 or values.max() > 127:
        fix = "use files such as `ai8x evaluate -8 --save-sample` writes"
        raise Ai8xError("sample values must be integers −128 … 127", where=where, fix=fix)
    return torch.from_numpy(values.astype(np.float32))


def _entry_of(samples: Tensor, checkpoint: Checkpoint) -> DatasetEntry:
    """Return a substitute for a dataset entry: the input shape of the samples, the classes of the last layer."""
    weights = [value for key, value in checkpoint.state.items() if key.endswith(".weight") and value.ndim > 1]
    if not weights:
        raise Ai8xError("the checkpoint contains no weights", where=str(checkpoint.path))
    classes = tuple(str(number) for number in range(len(weights[-1])))

    def load(_folder: Path, _console: Console) -> Dataset:
        raise Ai8xError("these samples have no dataset")

    return DatasetEntry("calibration samples", tuple(samples.shape[1:]), classes, load)


def _by(shape: tuple[int, ...] | torch.Size) -> str:
    return "×".join(map(str, shape))
