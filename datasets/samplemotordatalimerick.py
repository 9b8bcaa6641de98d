"""Vibration spectra of a motor, healthy and faulty, for autoencoders. The files must be downloaded manually."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

NAME = "SampleMotorDataLimerick"
RECORDINGS = Path("SpectraQuest_Rig_Data_Voyager_3") / "Data_ADXL356C"
HEALTHY = tuple(f"{rpm}_GoB_GS_BaLo_WA_" for rpm in ("0600", "1200", "1800", "2400", "3000"))
VERSION = 1

GRAVITIES_PER_VOLT = 50
DECIMATION = 10
WINDOW, STEP = 500, 125
BINS = 256
FIRST, LAST = 3, 10
"""Bins at both ends that are left out."""
TRAINING_SHARE = 0.8

Array = NDArray[np.float64]


def load(data_dir: Path, _console: Console, *, faulty: bool) -> Dataset:
    """Return healthy windows for training, other healthy ones for the test and, with `faulty`, all faulty ones.

    Raises Ai8xError if the recordings are missing or damaged.
    """
    root = Path(data_dir) / NAME
    files = sorted((root / RECORDINGS).glob("*.csv"))
    healthy = [file for file in files if file.name.startswith(HEALTHY)]
    if not healthy:
        fix = f"put the recordings, {HEALTHY[0]}….csv and others, into this folder"
        raise Ai8xError("no recordings of a healthy motor", where=str(root / RECORDINGS), fix=fix)
    others = [file for file in files if file not in healthy] if faulty else []
    sizes = [(file.name, file.stat().st_size) for file in (*healthy, *others)]

    def build(folder: Path) -> None:
        with (
            ArrayWriter(folder / "train.npy", (BINS, 3), np.int8) as train,
            ArrayWriter(folder / "test.npy", (BINS, 3), np.int8) as test,
            ArrayWriter(folder / "targets.npy", (), np.int64) as targets,
        ):
            for file in (*healthy, *others):
                samples = spectra(read_recording(file))
                held = int(TRAINING_SHARE * len(samples)) if file in healthy else 0
                train.append(samples[:held])
                test.append(samples[held:])
                targets.append(np.full(len(samples) - held, int(file in others)))

    arrays = cached_arrays(root / "prepared", "spectra", {"version": VERSION, "files": sizes}, build)
    normal = torch.zeros(len(arrays["train"]), dtype=torch.int64)
    return Dataset(
        train=Split(arrays["train"], normal, Tensor.float),
        validation=None,
        test=Split(arrays["test"], arrays["targets"], Tensor.float),
    )


def read_recording(path: Path) -> Array:
    """Return the acceleration (samples, 3) in units of gravity. Raises Ai8xError naming the file."""
    try:
        table = np.loadtxt(path, delimiter=";", dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise Ai8xError(f"cannot be read as a recording: {error}", where=str(path)) from None
    if not np.isfinite(table).all():
        raise Ai8xError("cannot be read as a recording: a number is infinite or undefined", where=str(path))
    if table.shape[1] != 7 or len(table) < WINDOW * DECIMATION:
        size = "×".join(map(str, table.shape))
        raise Ai8xError(f"{size} numbers are no recording: 7 columns, {WINDOW * DECIMATION} rows", where=str(path))
    return GRAVITIES_PER_VOLT * (table[:, 1:4] - table[0, 4:7])


def spectra(acceleration: Array) -> NDArray[np.int8]:
    """Return the samples (windows, 256, 3) of one recording."""
    slow = decimate(acceleration)
    windows = np.lib.stride_tricks.sliding_window_view(slow, WINDOW, axis=0)[::STEP]
    magnitude = np.abs(np.fft.fft(windows, axis=2))[..., :BINS]
    magnitude[..., :FIRST] = magnitude[..., -LAST:] = 0
    # That the reference divides by the length of all three spectra does not outlast the scaling of each.
    low, high = magnitude.min(axis=2, keepdims=True), magnitude.max(axis=2, keepdims=True)
    scaled = (magnitude - low) / (high - low).clip(1e-12)
    scaled[..., :FIRST] = scaled[..., -LAST:] = 0.5
    samples = np.clip(np.rint((scaled - 0.5) * 256), -128, 127).astype(np.int8)
    return np.ascontiguousarray(samples.transpose(0, 2, 1))


def decimate(signal: Array) -> Array:
    """Return every tenth value (n/10, channels) of a signal (n, channels) after a low-pass filter without delay.

    The filter is a Chebyshev one of order 8 with a ripple of 0.05 dB and its corner at 0.8 of the new band, run forth
    and back.
    """
    sections, gain = low_pass(order=8, ripple=0.05, corner=0.8 / DECIMATION)
    edge = 27  # what SciPy's filter for the same purpose adds at both ends
    start, end = 2 * signal[:1] - signal[edge:0:-1], 2 * signal[-1:] - signal[-2 : -edge - 2 : -1]
    filtered = np.concatenate([start, signal, end])
    for _ in range(2):
        filtered = _filtered(filtered, sections, gain)[::-1]
    return filtered[edge:-edge:DECIMATION]


def low_pass(order: int, ripple: float, corner: float) -> tuple[list[tuple[float, float]], float]:
    """Return a digital Chebyshev filter of even `order` as denominators (1, a1, a2) of sections, and its gain at 0.

    Numerators are (1, 2, 1), scaled so that each section leaves constants as they are. `corner` 1 is half the rate.
    """
    width = math.asinh(1 / math.sqrt(10 ** (ripple / 10) - 1)) / order
    angles = math.pi * (2 * np.arange(order // 2) + 1) / (2 * order)
    poles = -math.sinh(width) * np.sin(angles) + 1j * math.cosh(width) * np.cos(angles)
    poles *= 4 * math.tan(math.pi * corner / 2)
    digital = (4 + poles) / (4 - poles)
    return [(float(-2 * pole.real), float(abs(pole) ** 2)) for pole in digital], 10 ** (-ripple / 20)


def _filtered(signal: Array, sections: list[tuple[float, float]], gain: float) -> Array:
    """Filter along the first axis, from the state in which the first value had lasted forever."""
    from torchaudio.functional import lfilter  # noqa: PLC0415  (slow to import)

    first = signal[:1]
    wave = torch.from_numpy(np.ascontiguousarray((signal - first).T))
    for a1, a2 in sections:
        denominator = torch.tensor([1, a1, a2], dtype=torch.float64)
        numerator = torch.tensor([1, 2, 1], dtype=torch.float64) * (1 + a1 + a2) / 4
        wave = lfilter(wave, denominator, numerator, clamp=False)
    return gain * (wave.numpy().T + first)


datasets = [
    DatasetEntry(
        name="SampleMotorDataLimerick_ForTrain",
        input=(BINS, 3),
        labels=("normal",),
        load=partial(load, faulty=False),
        description="vibration spectra of a healthy motor",
        task="reconstruction",
    ),
    DatasetEntry(
        name="SampleMotorDataLimerick_ForEvalWithSignal",
        input=(BINS, 3),
        labels=("normal", "anomaly"),
        load=partial(load, faulty=True),
        description="vibration spectra of a healthy and a faulty motor",
        task="reconstruction",
    ),
    DatasetEntry(
        name="SampleMotorDataLimerick_ForEvalWithAnomalyLabel",
        input=(BINS, 3),
        labels=("normal", "anomaly"),
        load=partial(load, faulty=True),
        description="vibration spectra of a healthy and a faulty motor",
        task="reconstruction",
    ),
]
