"""Files with boxes of objects: YOLO, COCO and Pascal VOC."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.parsers import expat

_MOST_BYTES = 1 << 20
_MOST_DEPTH = 32


@dataclass(frozen=True)
class Box:
    """An object: class and corners (x0, y0, x1, y1), in pixels or as shares of the image."""

    label: str
    corners: tuple[float, float, float, float]


@dataclass(frozen=True)
class Objects:
    """The objects in an image, with corners in `pixels` or as shares; `size` are rows and columns if known."""

    boxes: tuple[Box, ...] = ()
    pixels: bool = False
    size: tuple[int, int] | None = None


def _finite(*numbers: float) -> bool:
    return all(map(math.isfinite, numbers))


def read_yolo(text: str, names: Sequence[str]) -> Objects:
    """Return the objects in YOLO text: each line is ``class x y width height``, or a class and a polygon.

    Raises ValueError naming the first invalid line.
    """
    boxes = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            label, values = int(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            raise ValueError(f"line {number} must be a class number and a box") from None
        if len(values) < 4 or not _finite(*values) or label < 0:
            raise ValueError(f"line {number} must be a class number and a box")
        if names and label >= len(names):
            raise ValueError(f"line {number} has class {label}, but there are {len(names)} classes")
        boxes.append(Box(names[label] if names else str(label), _yolo_corners(values)))
    return Objects(tuple(boxes))


def _yolo_corners(values: Sequence[float]) -> tuple[float, float, float, float]:
    if len(values) >= 6 and len(values) % 2 == 0:  # the corners of a polygon
        return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    x, y, width, height = values[:4]
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def read_voc(data: bytes) -> tuple[str, Objects]:
    """Return the name of the image and the objects in a Pascal VOC file. Raises ValueError for anything else.

    Documents with a document type, which could declare entities, are refused: nothing is expanded or fetched.
    """
    root = _parse_xml(data)
    size = root.first("size")
    if root.name != "annotation":
        raise ValueError("it is not a Pascal VOC file")
    rows_and_columns = None
    if size is not None:
        rows_and_columns = (int(size.number("height")), int(size.number("width")))
    boxes = []
    for entry in root.every("object"):
        box = entry.first("bndbox")
        if box is None or not entry.text("name"):
            raise ValueError("an object must have a name and a bndbox")
        left, top, right, bottom = (box.number(key) for key in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append(Box(entry.text("name"), (left, top, right, bottom)))
    known = rows_and_columns if rows_and_columns and min(rows_and_columns) > 0 else None
    return root.text("filename"), Objects(tuple(boxes), pixels=True, size=known)


class _Element:
    """An element of an XML document."""

    def __init__(self, name: str) -> None:
        self.name, self.content = name, ""
        self.parts: list[_Element] = []

    def every(self, name: str) -> list[_Element]:
        return [part for part in self.parts if part.name == name]

    def first(self, name: str) -> _Element | None:
        return next(iter(self.every(name)), None)

    def text(self, name: str) -> str:
        part = self.first(name)
        return "" if part is None else part.content.strip()

    def number(self, name: str) -> float:
        try:
            value = float(self.text(name))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"{self.name} has no number {name}")
        return value


def _parse_xml(data: bytes) -> _Element:
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
    top = _Element("")
    open_elements = [top]

    def start(name: str, _attributes: Mapping[str, str]) -> None:
        if len(open_elements) > _MOST_DEPTH:
            raise ValueError("elements are nested too deeply")
        element = _Element(name)
        open_elements[-1].parts.append(element)
        open_elements.append(element)

    def end(_name: str) -> None:
        open_elements.pop()

    def text(characters: str) -> None:
        open_elements[-1].content += characters

    def refuse(*_details: Any) -> None:
        raise ValueError("document types are not supported")

    parser = expat.ParserCreate()
    parser.buffer_text = True  # one call per text instead of one per line, each of which would copy the preceding text
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"it is not an XML document ({error})") from None
    return top.parts[0]


@dataclass(frozen=True)
class CocoFile:
    """Objects by the image names of the file, and the problems of the file."""

    objects: Mapping[str, Objects]
    problems: tuple[str, ...]


def read_coco(content: Any) -> CocoFile:
    """Return the objects in a COCO document. Raises ValueError for anything else."""
    if not (isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))):
        raise ValueError("it is not a COCO file: images and annotations are missing")
    categories, _ = _keyed(content.get("categories") or [], lambda c: (c["id"], str(c["name"])))
    sizes, bad_images = _keyed(
        content["images"],
        lambda i: (i["id"], (str(i["file_name"]), int(i.get("height") or 0), int(i.get("width") or 0))),
    )
    boxes: dict[Any, list[Box]] = {key: [] for key in sizes}
    bad = 0
    for entry in content["annotations"]:
        try:
            x, y, width, height = map(float, entry["bbox"])
            label, image = categories[entry["category_id"]], boxes[entry["image_id"]]
            good = _finite(x, y, width, height)
        except (KeyError, TypeError, ValueError, OverflowError):
            good = False
        if good:
            image.append(Box(label, (x, y, x + width, y + height)))
        else:
            bad += 1
    objects = {
        name: Objects(tuple(boxes[key]), pixels=True, size=(rows, columns) if rows > 0 and columns > 0 else None)
        for key, (name, rows, columns) in sizes.items()
    }
    problems = [f"{bad_images} images without id or file_name are left out"] if bad_images else []
    problems += [f"{bad} annotations without box, known category or known image are left out"] if bad else []
    return CocoFile(objects, tuple(problems))


def _keyed(entries: Iterable[Any], pair: Callable[[Any], tuple[Any, Any]]) -> tuple[dict[Any, Any], int]:
    """Return entries by key, and the number of entries without one."""
    found, bad = {}, 0
    for entry in entries:
        try:
            key, value = pair(entry)
            found[key] = value
        except (KeyError, TypeError, ValueError, OverflowError):
            bad += 1
    return found, bad


def read_small(path: Path) -> bytes:
    """Return the bytes of a file with boxes. Raises ValueError if it is too large."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
    return data


def stem(name: str) -> str:
    """Return the name of a file without folders and suffix."""
    return PurePosixPath(name.replace("\\", "/")).stem
