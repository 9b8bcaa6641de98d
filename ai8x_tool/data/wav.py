"""WAV files, of which every size must be right."""

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
_AGAIN = "get the file again"


@dataclass(frozen=True)
class Wav:
    """The sound in a WAV file: `kind` of samples is PCM or another, `frames` are they, all channels in turn."""

    kind: int
    channels: int
    bits: int
    rate: int
    frames: bytes


def read_wav(path: Path) -> Wav:
    """Return what a WAV file holds.

    Raises Ai8xError naming the file if it is none, is cut off, or if a size in it is not what is there.
    """
    require_regular(path, _MOST_BYTES)
    try:
        return parse_wav(path.read_bytes())
    except OSError as error:
        raise Ai8xError(f"cannot read the WAV file: {error.strerror or error}", where=str(path), fix=_AGAIN) from None
    except ValueError as error:
        raise Ai8xError(f"cannot read the WAV file: {error}", where=str(path), fix=_AGAIN) from None


def parse_wav(content: bytes) -> Wav:
    """Return what the bytes of a WAV file hold. Raises ValueError if it is none, or damaged."""
    if content[:4] != b"RIFF" or content[8:_HEADER] != b"WAVE":
        raise ValueError("it is none" if content else "it is empty")
    chunks = _chunks(content)
    size = int.from_bytes(content[4:8], "little") + 8
    if size != len(content):
        raise ValueError(f"it has {len(content):,} bytes, by its header {size:,}")
    if b"fmt " not in chunks or b"data" not in chunks:
        raise ValueError("it has no sound")
    layout = chunks[b"fmt "]
    if len(layout) < struct.calcsize("<HHIIHH"):
        raise ValueError("the description of its samples is cut off")
    kind, channels, rate, bytes_per_second, bytes_per_frame, bits = struct.unpack("<HHIIHH", layout[:16])
    if kind == _EXTENSIBLE and len(layout) >= 26:
        kind = int.from_bytes(layout[24:26], "little")
    if bytes_per_frame != channels * ((bits + 7) // 8) or bytes_per_second != rate * bytes_per_frame:
        raise ValueError("the description of its samples contradicts itself")
    frames = chunks[b"data"]
    if not bytes_per_frame or len(frames) % bytes_per_frame:
        raise ValueError(f"{len(frames):,} bytes are no whole number of samples")
    return Wav(kind, channels, bits, rate, frames)


def _chunks(content: bytes) -> dict[bytes, bytes]:
    """Return the parts of a WAV file by name. Raises ValueError unless they make up the whole file."""
    chunks: dict[bytes, bytes] = {}
    position = _HEADER
    while position < len(content):
        name, size = content[position : position + 4], content[position + 4 : position + _CHUNK]
        start = position + _CHUNK
        end = start + int.from_bytes(size, "little")
        if len(size) < 4 or end > len(content):
            shown = name.decode("latin-1").strip()
            raise ValueError(f"it is cut off: {len(content) - start:,} of {end - start:,} bytes of {shown!r} are there")
        if len(chunks) == _MOST_CHUNKS:
            raise ValueError(f"it has more than {_MOST_CHUNKS} parts")
        if name in chunks:
            raise ValueError(f"it has two parts {name.decode('latin-1').strip()!r}")
        chunks[name] = content[start:end]
        position = end + end % 2
    return chunks
