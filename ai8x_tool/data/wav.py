"""Strict reader of WAV files, which verifies all sizes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import require_regular

_MOST_BYTES = 1 << 28
_HEADER, _CHUNK = 12, 8
_MOST_CHUNKS = 1000
PCM, _EXTENSIBLE = 1, 0xFFFE
_AGAIN = "download or export the file again"


@dataclass(frozen=True)
class Wav:
    """Content of a WAV file: `kind` is the sample format (PCM or another); `frames` are the interleaved samples."""

    kind: int
    channels: int
    bits: int
    rate: int
    frames: bytes


def read_wav(path: Path) -> Wav:
    """Return the content of a WAV file.

    Raises Ai8xError naming the file if it is not a WAV file, is truncated, or contains a wrong size.
    """
    require_regular(path, _MOST_BYTES)
    try:
        return parse_wav(path.read_bytes())
    except OSError as error:
        raise Ai8xError(f"cannot read the WAV file: {error.strerror or error}", where=str(path), fix=_AGAIN) from None
    except ValueError as error:
        raise Ai8xError(f"cannot read the WAV file: {error}", where=str(path), fix=_AGAIN) from None


def parse_wav(content: bytes) -> Wav:
    """Return the content of the bytes of a WAV file. Raises ValueError if they are no WAV file, or damaged."""
    if content[:4] != b"RIFF" or content[8:_HEADER] != b"WAVE":
        raise ValueError("it is not a WAV file" if content else "it is empty")
    chunks = _chunks(content)
    size = int.from_bytes(content[4:8], "little") + 8
    if size != len(content):
        raise ValueError(f"it has {len(content):,} bytes, but its header specifies {size:,}")
    if b"fmt " not in chunks or b"data" not in chunks:
        raise ValueError("it contains no sound")
    layout = chunks[b"fmt "]
    if len(layout) < struct.calcsize("<HHIIHH"):
        raise ValueError("the description of its samples is truncated")
    kind, channels, rate, bytes_per_second, bytes_per_frame, bits = struct.unpack("<HHIIHH", layout[:16])
    if kind == _EXTENSIBLE and len(layout) >= 26:
        kind = int.from_bytes(layout[24:26], "little")
    if bytes_per_frame != channels * ((bits + 7) // 8) or bytes_per_second != rate * bytes_per_frame:
        raise ValueError("the description of its samples contradicts itself")
    frames = chunks[b"data"]
    if not bytes_per_frame or len(frames) % bytes_per_frame:
        raise ValueError(f"{len(frames):,} bytes are not a whole number of samples")
    return Wav(kind, channels, bits, rate, frames)


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """Return the chunks of a WAV file by name. Raises ValueError unless they constitute the whole file."""
    chunks: dict[bytes, bytes] = {}
    position = _HEADER
    while position < len(content):
        name, size = content[position : position + 4], content[position + 4 : position + _CHUNK]
        start = position + _CHUNK
        end = start + int.from_bytes(size, "little")
        if len(size) < 4 or end > len(content):
            shown = name.decode("latin-1").strip()
            raise ValueError(f"it is truncated: {len(content) - start:,} of {end - start:,} bytes of {shown!r} remain")
        if len(chunks) == _MOST_CHUNKS:
            raise ValueError(f"it has more than {_MOST_CHUNKS} chunks")
        if name in chunks:
            raise ValueError(f"it has two chunks {name.decode('latin-1').strip()!r}")
        chunks[name] = content[start:end]
        position = end + end % 2
    return chunks
