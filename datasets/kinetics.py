"""Kinetics-400: five kinds of actions in videos. The files must be downloaded manually."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.colors import normalized
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.folding import fold
from ai8x_tool.data.image_store import random_parts
from ai8x_tool.data.images import require_pillow
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
CLASSES = ("pull ups", "push up", "situp", "squat")
LABELS = (*CLASSES, "other")
WEIGHTS = (0.17, 0.325, 0.215, 0.17, 0.12)
SIDE, RATIO = 240, 4
TAKEN, KEPT, SEEN = 50, 48, 16
"""Frames taken from a video, frames that remain without the first and the last, frames of a sample."""
SHORTEST, LONGEST = 100, 600
MOST = {"train": 2000, "test": 150}
"""Videos of a class at most."""
STARTS = (0, (KEPT - SEEN) // 2, KEPT - SEEN)
AREA, ASPECT = (0.5, 1.0), 4 / 3
_FIX = "put the cut videos there: Kinetics/raw/{train,test}/<class>/*.mp4"


def load(data_dir: Path, console: Console) -> Dataset:
    """Return both splits from `data_dir`/Kinetics. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "Kinetics"
    frames = {name: _frames(root, name, console) for name in MOST}
    train, test = (Clips(frames[name]["frames"]) for name in ("train", "test"))
    count = len(frames["test"]["targets"])
    places = torch.cartesian_prod(torch.arange(count), torch.tensor(STARTS))
    first = torch.stack([torch.arange(len(frames["train"]["targets"])), torch.zeros(len(train.frames)).long()], dim=1)
    return Dataset(
        Split(first, frames["train"]["targets"], train, train.augment),
        None,
        Split(places, frames["test"]["targets"].repeat_interleave(len(STARTS)), test),
    )


def listed(folder: Path, most: int) -> list[tuple[Path, int]]:
    """Return the videos of a split with class numbers; all other classes are "other". Raises Ai8xError."""
    found: list[list[Path]] = [[] for _ in LABELS]
    for file in sorted(folder.glob("*/*.mp4")):
        name = file.parent.name.replace("_", " ")
        found[LABELS.index(name) if name in CLASSES else len(CLASSES)].append(file)
    missing = [label for label, files in zip(LABELS, found, strict=True) if not files]
    if missing:
        raise Ai8xError(f"no videos of {', '.join(missing)}", where=str(folder), fix=_FIX)
    return [(file, number) for number, files in enumerate(found) for file in files[:most]]


def _frames(root: Path, name: str, console: Console) -> dict[str, Tensor]:
    videos = listed(root / "raw" / name, MOST[name])

    def build(folder: Path) -> None:
        with (
            ArrayWriter(folder / "frames.npy", (KEPT, 3, SIDE, SIDE), np.uint8) as frames,
            ArrayWriter(folder / "targets.npy", (), np.int64) as targets,
            console.progress(f"Kinetics {name}", len(videos)) as progress,
        ):
            for file, number in videos:
                taken = chosen_frames(read_video(file))
                if taken is not None:
                    frames.append(taken[None])
                    targets.append(np.array([number]))
                progress.advance()

    key = {"version": VERSION, "videos": [(file.name, file.stat().st_size) for file, _ in videos]}
    return cached_arrays(root / "processed", name, key, build)


def read_video(path: Path) -> list[NDArray[np.uint8]]:
    """Return all frames (H, W, 3) of a video. Raises Ai8xError if it cannot be read."""
    try:
        decoder = importlib.import_module("cv2")
    except ImportError:
        raise Ai8xError("reading videos needs OpenCV", fix="pip install opencv-python-headless") from None
    capture, frames = decoder.VideoCapture(str(path)), []
    while len(frames) <= LONGEST:
        good, frame = capture.read()
        if not good:
            break
        frames.append(np.ascontiguousarray(frame[..., ::-1]))
    capture.release()
    if not frames:
        raise Ai8xError("cannot be read as a video", where=str(path), fix="delete it, or get the file again")
    return frames


def chosen_frames(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
    """Return 48 frames (48, 3, 240, 240), evenly spaced; None for videos that are too short or too long."""
    if not SHORTEST <= len(frames) <= LONGEST:
        return None
    places = np.linspace(0, len(frames) - 1, TAKEN).round().astype(int)[1:-1]
    return np.stack([squared(frames[place]).transpose(2, 0, 1) for place in places])


def squared(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the middle (240, 240, 3) of a frame, whose shorter side is scaled to fit."""
    height, width = frame.shape[:2]
    scale = SIDE / min(height, width)
    size = (max(SIDE, math.ceil(width * scale)), max(SIDE, math.ceil(height * scale)))
    module = require_pillow()
    image = np.array(module.fromarray(frame).resize(size, module.Resampling.BICUBIC))
    top, left = (image.shape[0] - SIDE) // 2, (image.shape[1] - SIDE) // 2
    return image[top : top + SIDE, left : left + SIDE]


@dataclass(frozen=True)
class Clips:
    """Conversion of clips (video, first frame), or of augmented frames, into inputs."""

    frames: Tensor

    def __call__(self, raw: Tensor) -> Tensor:
        """Return pairs of consecutive folded frames (B, 15, 96, 60, 60)."""
        if raw.dim() == 2:
            raw = torch.stack([self.frames[video, start : start + SEEN] for video, start in raw.tolist()])
        folded = fold(normalized(raw), RATIO)
        return torch.cat([folded[:, :-1], folded[:, 1:]], dim=2)

    def augment(self, places: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return 16 consecutive frames (B, 16, 3, 240, 240), all cut to the same random part, half of them mirrored."""
        starts = torch.randint(KEPT - SEEN + 1, (len(places),), generator=generator).tolist()
        whole = torch.tensor([[0, SIDE, SIDE]]).expand(len(places), 3)
        parts = random_parts(whole, generator, area=AREA, aspect=ASPECT).tolist()
        mirror = (torch.rand(len(places), generator=generator) < 0.5).tolist()
        made = []
        for video, start, (top, left, height, width), turn in zip(
            places[:, 0].tolist(), starts, parts, mirror, strict=True
        ):
            part = self.frames[video, start : start + SEEN, :, top : top + height, left : left + width].float()
            clip = functional.interpolate(part, size=(SIDE, SIDE), mode="bilinear", antialias=True)
            made.append(clip.flip(3) if turn else clip)
        return torch.stack(made).round()


datasets = [
    DatasetEntry(
        name="Kinetics400",
        input=(6 * RATIO**2, SIDE // RATIO, SIDE // RATIO),
        labels=LABELS,
        load=load,
        class_weights=WEIGHTS,
        description="videos of exercises, 15 pairs of frames",
        frames=SEEN - 1,
    )
]
