"""Bits of an audio modem (frequency shift keying), to be classified. The files must be downloaded manually."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import require_regular

if TYPE_CHECKING:
    from ai8x_tool.console import Console

SAMPLES = 22
"""Samples of one bit, one byte each."""
TRAINING_SHARE = 0.75
FILES = ("zeros.bit", "ones.bit")
_MOST_BYTES = 1 << 28


def load(data_dir: Path, _console: Console) -> Dataset:
    """Return the bits in `data_dir`/AFSK/bits. Raises Ai8xError if they are missing or too few."""
    folder = Path(data_dir) / "AFSK" / "bits"
    raw = [_read(folder / name) for name in FILES]
    count = min(map(len, raw))
    first = math.ceil(TRAINING_SHARE * count)
    if first == count:
        raise Ai8xError(f"{count} bits are too few for training and test", where=str(folder))
    return Dataset(_split([bits[:first] for bits in raw]), None, _split([bits[first:count] for bits in raw]))


def _read(path: Path) -> Tensor:
    if not path.is_file():
        raise Ai8xError("not found", where=str(path), fix=f"put recordings of bits there, {SAMPLES} bytes each")
    require_regular(path, _MOST_BYTES)
    content = np.frombuffer(bytearray(path.read_bytes()), np.uint8)
    return torch.from_numpy(content[: len(content) // SAMPLES * SAMPLES].reshape(-1, 1, SAMPLES))


def _split(bits: list[Tensor]) -> Split:
    return Split(torch.cat(bits), torch.arange(len(bits)).repeat_interleave(len(bits[0])), prepare)


def prepare(raw: Tensor) -> Tensor:
    """Return inputs (B, 1, 22), each scaled to the whole range; constant ones are 0 before that, −128 here."""
    values = raw.float()
    low, high = values.amin(dim=2, keepdim=True), values.amax(dim=2, keepdim=True)
    scaled = (values - low) / (high - low).clamp(min=1)
    return ((scaled - 0.5) * 256).round().clamp(-128, 127)


datasets = [
    DatasetEntry(
        name="AFSK",
        input=(1, SAMPLES),
        labels=("zerobit", "onebit"),
        load=load,
        description="bits of an audio modem, 22 samples each",
    )
]
