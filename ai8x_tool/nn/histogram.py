"""Activation range of a layer, from histograms of its outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

BINS = 2048
_CANDIDATES = 5
_CALLS_KEPT = 1024
"""Number of histograms merged at a time, which limits the memory for datasets of more batches."""
_EXACT_COUNTS = 2**24
"""Largest count per histogram: torch.histc counts in float32."""

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width from `low` to `high`; with low = high, all values are equal."""

    low: float
    high: float
    counts: Array

    @property
    def edges(self) -> Array:
        """The edges of the bins, one more than there are bins."""
        return np.linspace(self.low, self.high, BINS + 1)


@dataclass(frozen=True)
class MeasuredRange:
    """The best activation range, ±2^exponent. `problem` describes an unusual distribution, None otherwise."""

    exponent: int
    problem: str | None = None


class ActivationStatistics:
    """Collects the outputs of one module, call by call."""

    def __init__(self) -> None:
        self._calls: list[Histogram] = []

    def add(self, output: Tensor) -> None:
        """Count the values of `output`, of any shape. Raises ValueError for NaN and infinity."""
        values = output.detach().reshape(-1).float()
        values = values if values.device.type in ("cpu", "cuda") else values.cpu()
        low, high = (float(end) for end in torch.aminmax(values))
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("infinite or undefined values")
        counts = np.zeros(BINS)
        if low < high:
            for part in torch.split(values, _EXACT_COUNTS):
                counts += torch.histc(part, BINS, low, high).cpu().numpy()
        else:
            counts[0] = values.numel()
        self._calls.append(Histogram(low, high, counts))
        if len(self._calls) == _CALLS_KEPT:
            self._calls = [merge(self._calls)]

    def range(self, z_score: float) -> MeasuredRange:
        """Return the range of all outputs so far; that of the input if there are none."""
        return find_range(merge(self._calls), z_score) if self._calls else MeasuredRange(0)


def merge(calls: list[Histogram]) -> Histogram:
    """Return one histogram over the common range; values are assumed to be uniformly distributed within bins."""
    low, high = min(call.low for call in calls), max(call.high for call in calls)
    merged = Histogram(low, high, np.zeros(BINS))
    edges = merged.edges
    counts = np.zeros(BINS)
    for call in calls:
        if call.low < call.high:
            cumulative = np.concatenate([[0.0], np.cumsum(call.counts)])
            counts += np.diff(np.interp(edges, call.edges, cumulative))
        else:
            counts[min(max(int(np.searchsorted(edges, call.low)) - 1, 0), BINS - 1)] += call.counts.sum()
    return Histogram(low, high, counts)


def find_range(histogram: Histogram, z_score: float) -> MeasuredRange:
    """Return the power-of-two range with the smallest mean squared error of 8-bit quantization."""
    values, counts, problem = _kept_values(histogram, z_score)
    largest = float(np.abs(values).max())
    if largest == 0:
        return MeasuredRange(0, "is always 0: its range is taken as ±1")
    first = math.ceil(math.log2(largest))
    errors = [_error(values, counts, 2.0 ** (first - i)) for i in range(_CANDIDATES)]
    return MeasuredRange(first - int(np.argmin(errors)), problem)


def _kept_values(histogram: Histogram, z_score: float) -> tuple[Array, Array, str | None]:
    """Return the upper edges and counts of all bins that are neither empty nor outliers."""
    if histogram.low == histogram.high:
        return np.array([histogram.high]), np.array([histogram.counts.sum()]), None
    edges, counts = histogram.edges, histogram.counts
    centres, upper = (edges[:-1] + edges[1:]) / 2, edges[1:]
    mean = np.average(centres, weights=counts)
    deviation = math.sqrt(np.average((centres - mean) ** 2, weights=counts)) or 1e-9
    filled = counts != 0
    kept = filled & (np.abs(centres - mean) <= z_score * deviation)
    if kept.any() and upper[kept].any():
        return upper[kept], counts[kept], None
    return upper[filled], counts[filled], f"has no values within {z_score:g} standard deviations: all of them count"


def _error(values: Array, counts: Array, limit: float) -> float:
    """Return the mean squared error of quantizing `values` to 8 bits with the range ±limit."""
    quantized = np.clip(np.rint(values * (128 / limit)), -128, 127) * (limit / 128)
    return float(np.average((quantized - values) ** 2, weights=counts))
