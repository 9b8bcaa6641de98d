"""KWS_35_unquantized: all words of Google Speech Commands v0.02 as real numbers, without variants in speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.speech import COMMAND_WORDS, SAMPLES, SIDE, shift, shift_limits
from ai8x_tool.data.speech_commands import Recording
from ai8x_tool.data.speech_store import SpeechStore, chosen, signals

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 2
LABELS = (*COMMAND_WORDS, "unknown")
LOWEST, RANGE = -5, 25
"""Signal-to-noise ratios of the added noise, in dB."""


def load(data_dir: Path, console: Console) -> Dataset:
    """Return the set from `data_dir`/KWS. Raises Ai8xError where the recordings are neither found nor downloaded."""
    folder = Path(data_dir) / "KWS"
    arrays = STORE.arrays(folder, console)

    def split(name: str) -> Split:
        samples, targets, limits = chosen(arrays, name, LABELS, folder)
        return Split(samples, targets, prepare, Speech(limits).augment if name == "train" else None)

    return Dataset(split("train"), split("validation"), split("test"))


def unchanged(batch: list[Recording], _split: str, _generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield recordings as they are, cut at their end, and their shift limits."""
    limits = [shift_limits(len(item.samples)) for item in batch]
    yield signals(batch)[:, :SAMPLES], torch.tensor(limits, dtype=torch.int16)


STORE = SpeechStore("unquantized", {"version": VERSION}, np.float32, unchanged)


def prepare(raw: Tensor) -> Tensor:
    """Return inputs (B, 128, 128), −128 … 127, not rounded; 128 consecutive samples are one column."""
    return (raw.float().view(-1, SIDE, SIDE).transpose(1, 2) * 128).clamp(-128, 127).contiguous()


@dataclass(frozen=True)
class Speech:
    """Shifts recordings within their `limits` (N, 2), and adds white noise."""

    limits: Tensor

    def augment(self, raw: Tensor, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return recordings (B, 16384) with a random shift, and noise at a random ratio."""
        moved = shift(raw, self.limits[indices], generator)
        ratio = (torch.rand(len(raw), 1, generator=generator) * RANGE + LOWEST).trunc()
        deviation = moved.var(dim=1, keepdim=True).sqrt() / 10 ** (ratio / 20)
        return (moved + deviation * torch.randn(moved.shape, generator=generator)).clamp(-1, 1)


datasets = [
    DatasetEntry(
        name="KWS_35_unquantized",
        input=(SIDE, SIDE),
        labels=LABELS,
        load=load,
        class_weights=(1.0,) * len(COMMAND_WORDS) + (0.07,),
        description="35 spoken keywords and unknown words, not quantized, 128×128, Google Speech Commands v0.02",
    )
]
