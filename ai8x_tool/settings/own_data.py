"""The key `data` of a recipe: a folder of images, sounds or tables that is the dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.option import AT_LEAST_1, Range, Settings, option, required

KEYS = {
    "images": ("size", "channels", "any_color", "flip", "mask_values"),
    "sound": ("rate", "window", "hop", "fold", "background"),
    "series": ("channels", "window", "hop", "columns", "target"),
}
"""Options that only some kinds of data have."""
TASK_BY_FILES = "segmentation with masks, detection with boxes, anomaly with a single class, otherwise classification"


@dataclass(frozen=True, kw_only=True)
class OwnDataSettings(Settings):
    """A folder of your own data, and how its files become inputs of a network.

    What is not given is chosen from the contents of the folder; `ai8x new` writes its choices to the recipe.
    """

    panel: ClassVar[str] = "Own data"

    path: Path = required(
        "Folder of the data: one folder for each class, or images with masks or boxes.",
        "--data",
        metavar="FOLDER",
    )
    kind: Literal["images", "sound", "series"] | None = option(None, "Kind of the files.", default="that of most files")
    task: Literal["classification", "segmentation", "detection", "regression", "anomaly"] | None = option(
        None, "Kind of problem.", default=TASK_BY_FILES
    )
    classes: tuple[str, ...] = option(
        (), "Names of the classes in the order of the outputs.", default="the folders in alphabetical order"
    )
    split: tuple[float, ...] = option(
        (0.15, 0.15),
        "Shares of the samples for validation and test, unless there are folders for them.",
        range=Range(least=0, below=1),
    )
    group: str | None = option(
        None, "Regular expression; files whose paths share the same match, or the same first group, stay in one split."
    )
    class_weights: Literal["none", "balanced"] = option(
        "none", "Weights of the classes in the loss: all the same, or larger for those with fewer samples."
    )
    augment: Literal["none", "light", "strong"] = option("light", "Strength of the augmentation of training samples.")
    normalize: Literal["fixed", "measured", "sample"] | None = option(
        None,
        "Range of values that is mapped to −128 … 127: the whole range of the file format, that of each channel over "
        "the training samples, or that of each sample.",
        default="fixed; for series, measured",
    )
    channels: int | None = option(
        None,
        "Channels of the input: 1 or 3 for images, the number of columns for series.",
        default="as in the files",
        range=Range(1, 1024),
    )
    size: tuple[int, ...] = option((), "Rows and columns of images.", default="64, 64", range=Range(1, 4096))
    any_color: bool | None = option(
        None,
        "Also augment training images by swapping and inverting colors.",
        default="if colors and brightness do not distinguish the classes",
    )
    mask_values: tuple[str, ...] = option(
        (),
        "Gray values, or colors such as #ff8000, of the masks, in the order of the classes.",
        default="all that occur",
    )
    flip: bool = option(False, "Also augment training images by mirroring left and right.")
    rate: int = option(
        16000, "Sample rate to which sounds are converted, in samples per second.", range=Range(1, 1_000_000)
    )
    window: int | None = option(
        None,
        "Number of samples in one input, for sounds and series.",
        default="16384 for sounds; for series, chosen by their length",
        range=Range(1, 1 << 24),
    )
    hop: int | None = option(
        None,
        "Number of samples from the start of one window of a series to the next.",
        default="half a window; a quarter for regression, a sixteenth for anomalies",
        range=AT_LEAST_1,
    )
    fold: int = option(
        128, "Consecutive samples of a sound that become the channels of one column.", range=Range(1, 1024)
    )
    background: Path | None = option(
        None, "Folder of noise that is mixed into training sounds.", default="a folder of that name in the data"
    )
    columns: tuple[str, ...] = option(
        (), "Columns of tables that become channels, by name or by number from 0.", default="all that contain numbers"
    )
    target: tuple[str, ...] = option(
        (), "Columns of tables with the class, or the numbers to predict.", default="none: folders are classes"
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        shares = self.split
        fits = len(shares) == 2 and sum(shares) < 1
        if not fits:
            raise Ai8xError(f"split {list(shares)} must be two shares, for validation and test, whose sum is below 1")
        if len(self.size) > 2:
            raise Ai8xError(f"size {list(self.size)} must be the number of rows and of columns")
        if len(set(self.classes)) != len(self.classes):
            raise Ai8xError(f"classes {list(self.classes)} must be distinct")
        try:
            re.compile(self.group or "")
        except re.error as error:
            raise Ai8xError(f"group {self.group!r} is not a valid regular expression: {error}") from None

    @property
    def rows_and_columns(self) -> tuple[int, int]:
        """The size of images."""
        size = self.size or (64,)
        return size[0], size[-1]
