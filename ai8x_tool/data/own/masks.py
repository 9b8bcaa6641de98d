"""Masks: images whose grey values or colours are the classes of pixels."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.images import require_pillow
from ai8x_tool.data.own.images import check_pixels, fitted, reason
from ai8x_tool.errors import Ai8xError

_COLOUR = 1 << 24
"""Offset of colour codes (24 bits), which distinguishes them from grey values."""
_MOST_CLASSES, _MOST_VALUES = 64, 4096
_COMMON = 0.001
"""Smallest share of pixels of a class if there are many values: rarer values occur at edges."""
_UNLABELLED = 255
Codes = NDArray[np.int32]


def read_mask(data: bytes) -> Codes:
    """Return the codes (rows, columns) of a mask: grey values and palette indices unchanged, colours as numbers.

    Raises ValueError if the data are not an image.
    """
    if not data:
        raise ValueError("its mask is empty")
    try:
        with require_pillow().open(io.BytesIO(data)) as image:
            check_pixels(image.height, image.width)
            if image.mode in ("1", "L", "P", "I", "I;16"):
                return np.array(image).astype(np.int32)
            if image.mode == "LA":
                return np.array(image)[..., 0].astype(np.int32)
            colours = np.array(image.convert("RGB"))
            codes = np.full(colours.shape[:2], 1, np.int32)
            for part in range(3):
                codes <<= 8
                codes |= colours[..., part]
            return codes
    except Exception as error:  # Pillow raises exceptions of a dozen kinds for damaged files
        raise ValueError(f"its mask cannot be read ({reason(error)})") from None


def value_text(code: int) -> str:
    """Return a code as written in recipes: ``3``, or ``#ff8000`` for a colour."""
    return str(code) if code < _COLOUR else f"#{code - _COLOUR:06x}"


def value_code(text: str) -> int:
    """Return the code of a value written by :func:`value_text`. Raises Ai8xError for other texts."""
    try:
        return _COLOUR + int(text[1:], 16) if text.startswith("#") else int(text)
    except ValueError:
        fix = "write a grey value such as 3, or a colour such as #ff8000"
        raise Ai8xError(f"mask_values: {text!r} is not a mask value", fix=fix) from None


@dataclass(frozen=True)
class MaskValues:
    """The values that are classes, in order; `shares` of all pixels have them, `rest` is the share of other values."""

    codes: tuple[int, ...]
    shares: tuple[float, ...] = ()
    rest: float = 0.0

    def names(self) -> tuple[str, ...]:
        """Return names for the classes: their values; black is the background."""
        texts = [value_text(code) for code in self.codes]
        named = ["background" if code in (0, _COLOUR) else text for code, text in zip(self.codes, texts, strict=True)]
        return (named[0], "object") if len(named) == 2 and named[0] == "background" else tuple(named)

    def classes(self, mask: Codes) -> NDArray[np.uint8]:
        """Return the class of each pixel: that of its value or, for other values, of the nearest value."""
        values = np.unique(mask)
        nearest = _nearest(values, self.codes)
        if values[-1] == _UNLABELLED and _UNLABELLED not in self.codes:
            nearest[-1] = 0
        rows = [nearest[np.searchsorted(values, row)] for row in mask]
        return np.stack(rows)


def _nearest(values: Codes, codes: Sequence[int]) -> NDArray[np.uint8]:
    """Return, for each value, the index of the nearest code; one by one, because noise can have millions of colours."""
    present, found = _places(values), np.zeros(len(values), np.uint8)
    least = np.full(len(values), np.inf, np.float32)
    for number, wanted in enumerate(zip(*_places(np.array(codes)), strict=True)):
        distance = sum(np.abs(part - place) for part, place in zip(present, wanted, strict=True))
        found[distance < least] = number
        np.minimum(least, distance, out=least)
    return found


def _places(codes: NDArray[Any]) -> list[NDArray[np.float32]]:
    """Return the positions of codes in colour space; grey values are far away where they must not mix with colours."""
    colour = codes >= _COLOUR
    parts = [np.where(colour, (codes - _COLOUR) >> shift & 255, codes) for shift in (16, 8, 0)]
    return [part.astype(np.float32) for part in parts]


def counts_of(mask: Codes) -> dict[int, int]:
    """Return the number of pixels by value; only frequent values if there are thousands, as in photographs."""
    values, numbers = np.unique(mask, return_counts=True)
    if len(values) > _MOST_VALUES:
        frequent = numbers >= _COMMON * mask.size
        values, numbers = values[frequent], numbers[frequent]
    return dict(zip(values.tolist(), numbers.tolist(), strict=True))


def found_values(masks: Iterable[Mapping[int, int]]) -> MaskValues:
    """Return the values that are classes, from the counts of all masks. Raises Ai8xError for too few or too many."""
    counts: Counter[int] = Counter()
    for mask in masks:
        counts.update(mask)
    total = sum(counts.values())
    kept = sorted(counts)
    if len(kept) > _MOST_CLASSES:
        kept = [code for code in kept if counts[code] >= _COMMON * total]
    if len(kept) > 2 and kept[-1] == _UNLABELLED:
        kept = kept[:-1]
    if not 2 <= len(kept) <= _MOST_CLASSES:
        message = f"the masks have {len(kept)} frequent values, which is not a valid number of classes"
        raise Ai8xError(message, fix=f"use 2 to {_MOST_CLASSES} grey values or colours")
    shares = tuple(counts[code] / total for code in kept)
    return MaskValues(tuple(kept), shares, max(0.0, 1 - sum(shares)))


def fitted_classes(classes: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the classes of pixels, scaled like images: to fit into `size`, centred, with edges repeated."""
    found: Tensor = fitted(torch.from_numpy(classes)[None], size, exact=True)
    return found[0].numpy()


def images_with(targets: NDArray[np.uint8], classes: int) -> Sequence[int]:
    """Return, for each class, the number of masks (N, rows, columns) in which it occurs."""
    return [int((targets == number).reshape(len(targets), -1).any(axis=1).sum()) for number in range(classes)]
