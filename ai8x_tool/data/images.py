"""Image files of datasets."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ai8x_tool.errors import Ai8xError

_MOST_PIXELS = 1 << 25
AGAIN = "replace it with the original file"


def read_image(path: Path, content: BinaryIO | None = None) -> NDArray[np.uint8]:
    """Return the pixels (H, W, 3) of an image file, or of its `content`. Raises Ai8xError if it cannot be read."""
    image_module = require_pillow()
    try:
        with image_module.open(content or path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"{image.width}×{image.height} pixels exceed the limit for images of datasets")
            return np.array(image.convert("RGB"))
    except Exception as error:  # Pillow raises exceptions of a dozen kinds for damaged files
        raise Ai8xError(f"cannot be read as an image: {error}", where=str(path), fix=AGAIN) from None


def read_alpha(path: Path) -> NDArray[np.uint8]:
    """Return the alpha channel (H, W) of an image file. Raises Ai8xError if it cannot be read."""
    image_module = require_pillow()
    try:
        with image_module.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(f"{image.width}×{image.height} pixels exceed the limit for images of datasets")
            return np.array(image.convert("RGBA"))[..., 3]
    except Exception as error:  # Pillow raises exceptions of a dozen kinds for damaged files
        raise Ai8xError(f"cannot be read as an image: {error}", where=str(path), fix=AGAIN) from None


def image_size(path: Path) -> tuple[int, int]:
    """Return rows and columns of an image file; only the header is read. Raises Ai8xError if it cannot be read."""
    image_module = require_pillow()
    try:
        with image_module.open(path) as image:
            return image.height, image.width
    except Exception as error:  # Pillow raises exceptions of a dozen kinds for damaged files
        raise Ai8xError(f"cannot be read as an image: {error}", where=str(path), fix=AGAIN) from None


def resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return pixels (H, W, 3) scaled to `height` × `width`, bilinear and antialiased."""
    module = require_pillow()
    return np.array(module.fromarray(pixels).resize((width, height), module.Resampling.BILINEAR))


def require_pillow() -> Any:
    """Return Pillow's module ``Image``. Raises Ai8xError with the command to install it."""
    try:
        from PIL import Image  # noqa: PLC0415  (optional)
    except ImportError:
        raise Ai8xError("reading images requires Pillow", fix="pip install 'ai8x-tool[images]'") from None
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large images raise a separate error
    return Image
