"""Images of samples as PNG data in pages."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def image_data(sample: npt.NDArray[np.float64]) -> str:
    """Return a sample (1 or 3 channels, rows, columns) of −128 … 127 as a data URL of an image."""
    pixels = np.clip(np.round(sample) + 128, 0, 255).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels)).decode()


def map_data(classes: npt.NDArray[Any], colors: Image) -> str:
    """Return class numbers (rows, columns) as a data URL of an image; `colors` is (classes, 3)."""
    pixels = np.moveaxis(colors[np.clip(classes, 0, len(colors) - 1).astype(np.int64)], 2, 0)
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels)).decode()


def png_bytes(pixels: Image) -> bytes:
    """Return (1 or 3 channels, rows, columns) as a PNG file."""
    channels, rows, columns = pixels.shape
    kind = {1: 0, 3: 2}[channels]
    lines = np.moveaxis(pixels, 0, 2).reshape(rows, columns * channels)
    raw = np.hstack([np.zeros((rows, 1), np.uint8), lines]).tobytes()  # lines begin with their filter type
    header = struct.pack(">IIBBBBB", columns, rows, 8, kind, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
