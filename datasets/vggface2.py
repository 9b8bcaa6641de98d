"""VGGFace2: faces of 8,631 people. The files must be downloaded manually: images and the boxes and landmarks.

Boxes and landmarks are those that the authors published with the images (`bb_landmark`), not those of a detector.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ai8x_tool.data.cache import ArrayWriter, cached_arrays
from ai8x_tool.data.colors import Jitter, chance, jittered, mirrored, normalized, uniform
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split
from ai8x_tool.data.image_store import scaled, warped
from ai8x_tool.data.images import image_size, read_image
from ai8x_tool.errors import Ai8xError

if TYPE_CHECKING:
    from ai8x_tool.console import Console

VERSION = 1
PEOPLE = 8631
SIDE = 112
WHOLE = (224, 168)
POINTS = torch.tensor(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where eyes, nose and corners of the mouth are in an aligned image."""
JITTER = Jitter(0.4, 0.4, 0.4, 0.4)
ERASED = 0.1
"""Probability that a part of an image is erased."""
_FIX = "put the images of VGGFace2 and its folder bb_landmark into VGGFace-2"
_MOST_FACES = 1 << 23


def load(data_dir: Path, console: Console, *, kind: str) -> Dataset:
    """Return both splits from `data_dir`/VGGFace-2. Raises Ai8xError if files are missing or damaged."""
    root = Path(data_dir) / "VGGFace-2"
    return Dataset(_split(root, "train", kind, console), None, _split(root, "test", kind, console))


def _split(root: Path, name: str, kind: str, console: Console) -> Split:
    boxes = read_table(root / "bb_landmark" / f"loose_bb_{name}.csv", 4)
    points = read_table(root / "bb_landmark" / f"loose_landmark_{name}.csv", 10)
    if boxes.keys() != points.keys():
        raise Ai8xError("boxes and landmarks are of different images", where=str(root / "bb_landmark"), fix=_FIX)
    files = [f"{image}.jpg" for image in boxes]
    people = sorted({file.partition("/")[0] for file in files})
    number = {person: index for index, person in enumerate(people)}

    def build(folder: Path) -> None:
        with (
            ArrayWriter(folder / "faces.npy", (16,), np.float32) as faces,
            console.progress(f"VGGFace2 {name}", len(files)) as progress,
        ):
            for file, box, landmarks in zip(files, boxes.values(), points.values(), strict=True):
                faces.append(np.array([[*image_size(root / name / file), *box, *landmarks]], np.float32))
                progress.advance()

    key = {"version": VERSION, "files": len(files), "first": files[0], "last": files[-1]}
    faces = cached_arrays(root / "prepared", name, key, build)["faces"]
    targets = torch.tensor([number[file.partition("/")[0]] for file in files])
    if kind == "detection":
        targets = _objects(faces)
    pictures = Faces(root / name, files, faces, kind)
    augmented = kind == "aligned" or (name == "train" and kind == "pair")
    return Split(torch.arange(len(files)), targets, pictures, pictures.augment if augmented else None)


def read_table(path: Path, columns: int) -> dict[str, tuple[float, ...]]:
    """Return the numbers of every image of a table with a header. Raises Ai8xError if it is not as expected."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            found = {row[0]: tuple(map(float, row[1:])) for row in rows if row}
    except FileNotFoundError:
        raise Ai8xError("not found", where=str(path), fix=_FIX) from None
    except (OSError, ValueError, IndexError, StopIteration, csv.Error) as error:
        raise Ai8xError(f"cannot be read as a table of faces: {error!r}", where=str(path), fix=_FIX) from None
    wrong = next((n for n, v in found.items() if len(v) != columns or n.count("/") != 1 or ".." in n), None)
    if wrong is not None or not 0 < len(found) < _MOST_FACES:
        what = "no images in it" if wrong is None else f"{wrong!r} is not an image with {columns} numbers"
        raise Ai8xError(what, where=str(path), fix=_FIX)
    return found


def _objects(faces: Tensor) -> Tensor:
    """Return one object (N, 1, 5) per image: its box relative to the size of the image, and label 1."""
    rows, columns, x, y, width, height = faces[:, :6].unbind(dim=1)
    box = torch.stack([x / columns, y / rows, (x + width) / columns, (y + height) / rows], dim=1).clamp(0, 1)
    return torch.cat([box, torch.ones(len(box), 1)], dim=1)[:, None]


@dataclass(frozen=True)
class Faces:
    """Reads images, whose positions are the samples, and turns them into inputs of one kind.

    "detection" is the whole image, "aligned" the face with eyes and mouth in fixed places, "pair" the square around the
    face and, for a teacher, the aligned face.
    """

    folder: Path
    files: Sequence[str]
    faces: Tensor
    kind: str

    def __call__(self, raw: Tensor) -> Tensor:
        """Return inputs (B, C, H, W)."""
        return normalized(self.images(raw) if raw.dim() == 1 else raw)

    def images(self, positions: Tensor) -> Tensor:
        """Return images (B, C, H, W), 0 … 255."""
        return torch.stack([self._image(position) for position in positions.tolist()]).round()

    def augment(self, positions: Tensor, _indices: Tensor, generator: torch.Generator) -> Tensor:
        """Return mirrored faces; those for the student also have other colors, and parts of some are erased."""
        images = self.images(positions)
        if self.kind == "aligned":
            return mirrored(images, generator)
        student = jittered(mirrored(images[:, :3], generator), JITTER, generator)
        return torch.cat([erased(student, generator), images[:, 3:]], dim=1).round()

    def _image(self, position: int) -> Tensor:
        pixels: NDArray[np.uint8] = read_image(self.folder / self.files[position])
        image = torch.from_numpy(pixels).permute(2, 0, 1)
        if self.kind == "detection":
            return scaled(image, WHOLE)
        numbers = self.faces[position]
        aligned = warped(image, similarity(POINTS, numbers[6:].view(5, 2) + 0.5), (SIDE, SIDE))
        return aligned if self.kind == "aligned" else torch.cat([squared(image, numbers[2:6]), aligned])


def squared(image: Tensor, box: Tensor) -> Tensor:
    """Return the square around a box (x, y, width, height), black outside of the image, as (3, 112, 112)."""
    x, y, width, height = box.tolist()
    side = max(1, round(max(width, height)))
    left, top = round(x + width / 2 - side / 2), round(y + height / 2 - side / 2)
    square = torch.zeros(3, side, side)
    rows, columns = image.shape[1:]
    first, last = (max(top, 0), max(left, 0)), (min(top + side, rows), min(left + side, columns))
    if first[0] < last[0] and first[1] < last[1]:
        part = image[:, first[0] : last[0], first[1] : last[1]]
        square[:, first[0] - top : last[0] - top, first[1] - left : last[1] - left] = part
    return scaled(square, (SIDE, SIDE))


def similarity(points: Tensor, others: Tensor) -> Tensor:
    """Return the turn, scale and shift (2, 3) that moves `points` (N, 2) closest to `others`."""
    middle, there = points.mean(dim=0), others.mean(dim=0)
    a, b = (points - middle).double(), (others - there).double()
    spread = a.square().sum().clamp(min=1e-9)
    cos, sin = (a * b).sum() / spread, (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    turn = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])]).float()
    return torch.cat([turn, (there - turn @ middle)[:, None]], dim=1)


def erased(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images of which some have a black rectangle of 2 to 33 % of their area."""
    count, images = len(images), images.clone()
    chosen = chance(count, ERASED, generator)
    shares, shapes = uniform((count,), 0.02, 0.33, generator), uniform((count,), -1.2, 1.2, generator).exp()
    corners = torch.rand(count, 2, generator=generator)
    for number in chosen.nonzero().flatten().tolist():
        share, shape, corner = shares[number], shapes[number], corners[number]
        height, width = (min(SIDE, max(1, round(SIDE * float(part.sqrt())))) for part in (share * shape, share / shape))
        top, left = int(corner[0] * (SIDE - height + 1)), int(corner[1] * (SIDE - width + 1))
        images[number, :, top : top + height, left : left + width] = 0
    return images


def _entry(name: str, kind: str, shape: tuple[int, ...], labels: int, task: str, description: str) -> DatasetEntry:
    return DatasetEntry(
        name=name,
        input=shape,
        labels=tuple(map(str, range(1, labels + 1))),
        load=partial(load, kind=kind),
        task=task,
        description=description,
    )


datasets = [
    _entry("VGGFace2_FaceID", "pair", (6, SIDE, SIDE), PEOPLE, "embeddings", "faces and, for a teacher, aligned faces"),
    _entry("VGGFace2_FaceID_dr", "aligned", (3, SIDE, SIDE), PEOPLE, "embeddings", "aligned faces of 8,631 people"),
    _entry("VGGFace2_FaceDetection", "detection", (3, *WHOLE), 1, "detection", "photographs, faces to be detected"),
]
