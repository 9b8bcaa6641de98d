"""AISegment: portraits with a class for every pixel. The files must be downloaded manually."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.folding import fold
from ai8x_tool.data.images import read_alpha, read_image, require_pillow
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
SIZE, CROP, OFFSETS = (800, 600), 600, (0, 100, 200)
SMALL, LARGE, RATIO = 80, 352, 4
TEST_SHARE = 10
MOST = 20000
"""Images of the set with one crop of each."""
_FIX = "put the folders clip_img and matting of the dataset 'AISegment.com - Matting Human' into AISegment"


def load(data_dir: Path, console: Console, *, side: int, few: bool = False) -> Dataset:
    """Return both splits from `data_dir`/AISegment. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "AISegment"
    files = sorted((root / "clip_img").rglob("*.jpg"))
    if not files:
        raise Ai8xError("no images", where=str(root / "clip_img"), fix=_FIX)
    test = [file for file in files if in_test(file)]
    train = [file for file in files if not in_test(file)]
    if not train or not test:
        raise Ai8xError(f"{len(files)} images are too few for training and test", where=str(root), fix=_FIX)
    splits = {"train": train[:MOST] if few else train, "test": test[:MOST] if few else test}
    return Dataset(
        _split(root, "train", splits["train"], side, console, few=few),
        None,
        _split(root, "test", splits["test"], side, console, few=few),
    )


def in_test(file: Path) -> bool:
    """Return whether an image belongs to the test: one in ten, by a hash of its name that is always the same."""
    return int.from_bytes(hashlib.sha256(file.name.encode()).digest()[:4], "big") % TEST_SHARE == 0


def _split(root: Path, name: str, files: list[Path], side: int, console: Console, *, few: bool) -> Split:
    def build(folder: Path) -> None:
        random = np.random.default_rng(0)
        with (
            ArrayWriter(folder / "raw.npy", (3, side, side), np.uint8) as raw,
            ArrayWriter(folder / "targets.npy", (side, side), np.uint8) as targets,
            console.progress(f"AISegment {name}", len(files)) as progress,
        ):
            for file in files:
                pixels, alpha = read_image(file), read_alpha(matting(file, root))
                if pixels.shape[:2] != alpha.shape or pixels.shape[:2] != SIZE:
                    what = "image and matting must have 600 columns and 800 rows"
                    raise Ai8xError(what, where=str(file), fix=_FIX)
                for top in [int(random.choice(OFFSETS))] if few else OFFSETS:
                    raw.append(_scaled(pixels[top : top + CROP], side).transpose(2, 0, 1)[None])
                    background = _scaled(alpha[top : top + CROP], side) == 0
                    targets.append(background.astype(np.uint8)[None])
                progress.advance()

    key = {"version": VERSION, "side": side, "few": few, "files": [(f.name, f.stat().st_size) for f in files]}
    arrays = cached_arrays(root / "prepared", f"{name}-{side}", key, build)
    return Split(arrays["raw"], arrays["targets"], partial(prepare, ratio=RATIO if side == LARGE else 1))


def matting(file: Path, root: Path) -> Path:
    """Return the file with the transparency of an image."""
    parts = [part.replace("clip_", "matting_") for part in file.relative_to(root / "clip_img").parts]
    return Path(root / "matting", *parts).with_suffix(".png")


def _scaled(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    module = require_pillow()
    return np.array(module.fromarray(pixels).resize((side, side), module.Resampling.BICUBIC))


def prepare(raw: Tensor, ratio: int) -> Tensor:
    """Return the network's input, −128…127, folded."""
    pixels = raw.float() - 128
    return pixels if ratio == 1 else fold(pixels, ratio)


def _entry(name: str, side: int, few: bool = False) -> DatasetEntry:
    ratio = RATIO if side == LARGE else 1
    return DatasetEntry(
        name=name,
        input=(3 * ratio**2, side // ratio, side // ratio),
        labels=("portrait", "background"),
        load=partial(load, side=side, few=few),
        description=f"portraits and their background, {side}×{side}",
        task="segmentation",
    )


datasets = [
    _entry("AISegment_80", SMALL),
    _entry("AISegment_352", LARGE),
    _entry("AISegment_352_memory", LARGE, few=True),
]
