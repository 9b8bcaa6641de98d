"""Preprocessing of images and sounds for the shipped datasets, for checkpoints that do not store it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

# fmt: off
KEYWORDS_20 = (
    "up", "down", "left", "right", "stop", "go", "yes", "no", "on", "off", "one", "two", "three", "four",
    "five", "six", "seven", "eight", "nine", "zero",
)
# fmt: on
LABELS_20 = (*KEYWORDS_20, "unknown")


@dataclass(frozen=True)
class StockInput:
    """Inputs of `shape` from files of a `kind`: −128 … 127 = round((value − offset) · gain).

    Images are (channels, rows, columns). Sounds are (fold, columns) at `rate` samples per second. `classes` are the
    names of the outputs for checkpoints of other tools, which do not contain names.
    """

    kind: Literal["images", "sound"]
    shape: tuple[int, ...]
    offset: float
    gain: float
    rate: int = 0
    classes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return plain values as stored in checkpoints and projects."""
        images = {"size": list(self.shape[1:]), "channels": self.shape[0]}
        sound = {"rate": self.rate, "window": self.shape[0] * self.shape[1]} if self.kind == "sound" else {}
        channels = self.shape[0] if self.kind == "images" else 1
        values = {"offset": [self.offset] * channels, "gain": [self.gain] * channels, "per_sample": False}
        return {"kind": self.kind, "input": list(self.shape), "reading": sound or images, **values}


def _pixels(shape: tuple[int, ...], classes: tuple[str, ...] = ()) -> StockInput:
    """Return the inputs for images whose pixels 0 … 255 are mapped to −128 … 127."""
    return StockInput("images", shape, 127.5, 256 / 255, classes=classes)


_SPEECH = StockInput("sound", (128, 128), 128.0, 1.0, 16000)
"""16,384 samples of 8 bits, folded: 128 consecutive samples are the channels of a column."""
STOCK_INPUTS: Mapping[str, StockInput] = {
    "MNIST": _pixels((1, 28, 28), tuple("0123456789")),
    "FashionMNIST": _pixels((1, 28, 28)),
    "CIFAR10": _pixels((3, 32, 32)),
    "CIFAR100": _pixels((3, 32, 32)),
    "cats_vs_dogs": _pixels((3, 128, 128), ("cat", "dog")),
    **dict.fromkeys(("KWS", "KWS_35", "KWS_12_benchmark"), _SPEECH),
    **dict.fromkeys(("KWS_20", "KWS_20_TTS"), replace(_SPEECH, classes=LABELS_20)),
}
"""Shipped classification datasets of images and sounds, by name."""


def stock_input(dataset: str, shape: Sequence[int]) -> StockInput | None:
    """Return the inputs of a shipped dataset; None for other datasets, or inputs of another `shape`.

    `shape` may have additional axes of length 1.
    """
    known = STOCK_INPUTS.get(dataset)
    wanted = () if known is None else known.shape
    same = tuple(shape[: len(wanted)]) == wanted and set(shape[len(wanted) :]) <= {1}
    return known if same else None
