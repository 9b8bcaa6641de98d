"""The key `data` of a recipe: a folder of images, sounds or tables that is the dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.option import AT_LEAST_1, Range, Settings, option, required

KEYS = {
    "images": ("size", "channels", "any_colour", "flip", "mask_values"),
    "sound": ("rate", "window", "hop", "fold", "background"),
    "series": ("channels", "window", "hop", "columns", "target"),
}
"""Options that only some kinds of data have."""
TASK_BY_FILES = "classification; segmentation with masks, detection with boxes; with one class only, anomalies"


@dataclass(frozen=True, kw_only=True)
class OwnDataSettings(Settings):
    """A folder of the user's own data, and how its files become inputs of a network.

    What is not given is chosen by what the folder contains; `ai8x new` writes down what it has chosen.
    """

    panel: ClassVar[str] = "Own data"

    path: Path = required(
        "Folder of the data, with a folder for each class, or of images with masks or boxes.",
        "--data",
        metavar="FOLDER",
    )
    kind: Literal["images", "sound", "series"] | None = option(
        None, "What the files are.", default="what most of the files are"
    )
    task: Literal["classification", "segmentation", "detection", "regression", "anomaly"] | None = option(
        None, "What is learned.", default=TASK_BY_FILES
    )
    classes: tuple[str, ...] = option(
        (), "Names of the classes in the order of the outputs.", default="the folders in alphabetical order"
    )
    split: tuple[float, ...] = option(
        (0.15, 0.15),
        "Shares of the samples for validation and for the test, unless there are folders for them.",
        range=Range(least=0, below=1),
    )
    group: str | None = option(
        None, "Regular expression; files whose paths have the same match, or first group, stay in one split."
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "Weights of the classes in the loss: all the same, or larger for those with fewer samples."
    )
    augment: Literal["none", "light", "strong"] = option("light", "How much the training samples are varied.")
    normalize: Literal["fixed", "measured", "sample"] | None = option(
        None,
        "What becomes the range −128 … 127: the whole range of the files' values, that of the training samples (for "
        "each channel), or that of each sample.",
        default="fixed, for series measured",
    )
    channels: int | None = option(
        None,
        "Channels of the input: 1 or 3 for images, the number of columns for series.",
        default="as in the files",
        range=Range(1, 1024),
    )
    size: tuple[int, ...] = option((), "Rows and columns of images.", default="64, 64", range=Range(1, 4096))
    any_colour: bool | None = option(
        None,
        "Vary training images by exchanging and inverting colours, too.",
        default="if colours and brightness do not tell the classes apart",
    )
    mask_values: tuple[str, ...] = option(
        (),
        "Gray values, or colours such as #ff8000, of masks in the order of the classes.",
        default="all that occur",
    )
    flip: bool = option(False, "Vary training images by mirroring left and right, too.")
    rate: int = option(16000, "Samples per second to which sounds are converted.", range=Range(1, 1_000_000))
    window: int | None = option(
        None,
        "Samples in one input of sounds and series.",
        default="16384 for sound, chosen by length for series",
        range=Range(1, 1 << 24),
    )
    hop: int | None = option(
        None,
        "Samples from one window of a series to the next.",
        default="half a window; for numbers a quarter, for anomalies a sixteenth",
        range=AT_LEAST_1,
    )
    fold: int = option(
        128, "Consecutive samples of a sound that become the channels of one column.", range=Range(1, 1024)
    )
    background: Path | None = option(
        None, "Folder of noise that is mixed into training sounds.", default="a folder of that name in the data"
    )
    columns: tuple[str, ...] = option(
        (), "Columns of tables that are channels, by name or by number from 0.", default="all that hold numbers"
    )
    target: tuple[str, ...] = option(
        (), "Columns of tables that hold the class, or the numbers to predict.", default="none: the class is the folder"
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        shares = self.split
        fits = len(shares) == 2 and sum(shares) < 1
        if not fits:
            raise Ai8xError(f"split {list(shares)} must be two shares, for validation and test, below 1 together")
        if len(self.size) > 2:
            raise Ai8xError(f"size {list(self.size)} must be rows and columns")
        if len(set(self.classes)) != len(self.classes):
            raise Ai8xError(f"classes {list(self.classes)} must have different names")
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise Ai8xError(f"group {self.group!r} is no regular expression: {error}") from None

    @property
    def rows_and_columns(self) -> tuple[int, int]:
        """The size of images."""
        size = self.size or (64,)
        return size[0], size[-1]
