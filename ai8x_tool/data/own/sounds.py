"""Sound files: reading WAV and FLAC, conversion to one channel and a common sample rate."""

from __future__ import annotations

import importlib
import importlib.util
import io
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.wav import PCM, parse_wav

_FLOAT = 3
_RATES, _MOST_SAMPLES, _LARGEST_RATIO = range(100, 1_000_001), 1 << 26, 1000


def read_sound(data: bytes, rate: int) -> Tensor:
    """Return the bytes of a WAV or FLAC file as samples −1 … 1, float32, `rate` per second, of one channel.

    Channels are averaged. Raises ValueError if the data are not such a file, or contain no sound.
    """
    samples, own_rate = _wav(data) if data[:4] == b"RIFF" else _flac(data)
    if not samples.size:
        raise ValueError("the file contains no samples")
    mono = torch.from_numpy(np.ascontiguousarray(samples.mean(axis=1), np.float32))
    if own_rate == rate:
        return mono
    if own_rate not in _RATES or len(mono) * rate > _MOST_SAMPLES * own_rate:
        raise ValueError(f"{len(mono):,} samples at {own_rate} per second are too many, or not a sound")
    import torchaudio  # noqa: PLC0415  (slow to load)

    # The size of filters grows with the numbers of the ratio, which are small for common rates.
    ratio = Fraction(own_rate, rate).limit_denominator(_LARGEST_RATIO)
    resampled: Tensor = torchaudio.functional.resample(mono, ratio.numerator, ratio.denominator)
    return resampled


def _wav(data: bytes) -> tuple[NDArray[Any], int]:
    """Return samples (N, channels) and the rate of a WAV file: 8 to 32 bits, or floating point."""
    file = parse_wav(data)
    return _samples(file.frames, file.kind, file.channels, file.rate, file.bits), file.rate


def _samples(content: bytes, kind: int, channels: int, rate: int, bits: int) -> NDArray[Any]:
    width = bits // 8
    if not 1 <= channels <= 64 or rate < 1 or bits not in (8, 16, 24, 32, 64) or kind not in (PCM, _FLOAT):
        raise ValueError(f"this WAV format is not supported (format {kind}, {bits} bits)")
    content = content[: len(content) // (width * channels) * width * channels]
    if kind == _FLOAT:
        values = np.frombuffer(content, f"<f{width}").astype(np.float32)
        return np.nan_to_num(values).clip(-1, 1).reshape(-1, channels)
    if bits == 8:
        return ((np.frombuffer(content, np.uint8).astype(np.float32) - 128) / 128).reshape(-1, channels)
    raw = np.zeros((len(content) // width, 4), np.uint8)
    raw[:, 4 - width :] = np.frombuffer(content, np.uint8).reshape(-1, width)
    return (raw.view("<i4").astype(np.float32) / 2.0**31).reshape(-1, channels)


def _flac(data: bytes) -> tuple[NDArray[Any], int]:
    if not data:
        raise ValueError("the file is empty")
    if data[:4] != b"fLaC":
        raise ValueError("neither a WAV nor a FLAC file")
    if importlib.util.find_spec("soundfile") is None:
        raise ValueError("FLAC files require soundfile: pip install 'ai8x-tool[sound]'")
    soundfile = importlib.import_module("soundfile")
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"it cannot be read as a FLAC file ({error})") from None
    return samples, int(rate)


def window_of(sound: Tensor, length: int) -> Tensor:
    """Return `length` samples of a sound as unsigned 8 bit: the loudest part of a long one, a short one centred."""
    if len(sound) > length:
        loudness = torch.cat([torch.zeros(1), sound.double().square().cumsum(0).float()])
        start = int((loudness[length:] - loudness[:-length]).argmax())
        sound = sound[start : start + length]
    before = (length - len(sound)) // 2
    padded = torch.nn.functional.pad(sound, (before, length - len(sound) - before))
    return ((padded + 1) * 128).round().clamp(0, 255).to(torch.uint8)
