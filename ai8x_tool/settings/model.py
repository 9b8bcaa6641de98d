"""Options about model, data and computer that several stages share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.option import AT_LEAST_0, AT_LEAST_1, Range, Settings, option, required
from ai8x_tool.settings.own_data import OwnDataSettings

MODEL_AND_DATA = "Model and data"
OUTPUT = "Output"


def device_option(**more: str) -> str:
    """Declare the device."""
    return option(
        "MAX78000",
        "Device: MAX78000 or MAX78002; short forms such as 78000 and 85 are understood.",
        "--device",
        metavar="DEVICE",
        **more,
    )


SYNTHETIC = Path("synthetic")
"""In place of the folder of the datasets: synthetic data of the same shape and labels."""


def data_option(**more: str) -> Path:
    """Declare the folder of the datasets."""
    text = (
        "Folder of all datasets or, without --dataset, a folder of your own data. `synthetic` replaces the dataset by "
    )
    text += "synthetic data of the same shape and labels, without any files."
    return option(Path("data"), text, "--data", metavar="FOLDER", **more)


def own_data_option() -> OwnDataSettings | None:
    """Declare a folder that is itself the dataset."""
    text = "Folder of images, sounds or tables to use as the dataset: the key `data` of a recipe (see docs/data.md)."
    return option(None, text)


def rounding_option(**more: str) -> bool:
    """Declare rounding in average pooling."""
    text = "Round the results of average pooling instead of truncating them."
    return option(False, text, "--avg-pool-rounding", **more)


def adapt_option(**more: str) -> bool:
    """Declare remedies that change what a model computes."""
    text = "Replace plain layers that the device cannot run by the closest ones that it can; some lose their weights."
    return option(False, text, **more)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """How the model is built."""

    panel: ClassVar[str] = MODEL_AND_DATA

    device: str = device_option()
    use_bias: bool = option(False, "Give the layers biases if the model leaves that open.")
    avg_pool_rounding: bool = rounding_option()


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """The dataset, and where it is."""

    panel: ClassVar[str] = MODEL_AND_DATA

    dataset: str = required("Name of the dataset; `ai8x list datasets` shows all.", "--dataset", metavar="DATASET")
    data: Path = data_option()
    own_data: OwnDataSettings | None = own_data_option()
    truncate_testset: bool = option(False, "Use only the first sample of the test split.")


@dataclass(frozen=True, kw_only=True)
class ComputerSettings(Settings):
    """Processors and processes that compute."""

    panel: ClassVar[str] = "Computer"

    cpu: bool = option(False, "Compute on the CPU even if there is a GPU.")
    gpus: tuple[int, ...] | None = option(
        None,
        "Numbers of the GPUs to use, separated by commas.",
        metavar="N,…",
        default="all",
        range=AT_LEAST_0,
    )
    workers: int = option(
        4,
        "Number of processes that prepare samples, for datasets that load single items.",
        "--workers",
        "-j",
        range=Range(0, 1024),
    )


@dataclass(frozen=True, kw_only=True)
class ReportSettings(Settings):
    """What is reported beyond loss and metrics."""

    panel: ClassVar[str] = OUTPUT

    confusion: bool = option(False, "Show the confusion matrix after each pass over a validation or test split.")
    clipping: bool = option(False, "Show the share of clipped weights and outputs in each layer.")
    html: Path | None = option(
        None,
        "Write a self-contained report to this file: curves, confusion matrix, clipping and wrong samples.",
        metavar="FILE",
        place=True,
    )


@dataclass(frozen=True, kw_only=True)
class RunSettings(Settings):
    """Name of a run, and how often it shows its progress."""

    panel: ClassVar[str] = OUTPUT

    name: str | None = option(
        None, "Name of the run, used as a prefix for its folder and files.", "--name", "-n", metavar="NAME"
    )
    print_freq: int = option(
        10, "Number of mini-batches between two progress lines.", "--print-freq", "-p", range=AT_LEAST_1
    )

    def check_values(self) -> None:
        """Raise Ai8xError for values that cannot be used."""
        if self.name and any(mark in self.name for mark in "/\\"):
            raise Ai8xError(f"name {self.name!r} must not contain slashes", fix="use out_dir for the folder")
