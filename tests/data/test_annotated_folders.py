"""Images with masks and with boxes: which layouts are known, what is named, and how samples and targets go together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.data.own.box_files import read_coco, read_voc, read_yolo
from ai8x_tool.data.own.box_folder import BoxVariation, moved_objects
from ai8x_tool.data.own.entry import Folder, open_folder, own_entry
from ai8x_tool.data.own.images import drawn_move
from ai8x_tool.data.own.mask_folder import MaskVariation
from ai8x_tool.data.own.prepare import Prepared
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings

pillow = pytest.importorskip("PIL.Image")
pytest.importorskip("torchvision")

ROWS, COLUMNS, COUNT = 16, 32, 24
VOC = (
    "<annotation><filename>x.png</filename><size><width>{w}</width><height>{h}</height></size><object><name>{name}"
    "</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object></annotation>"
)


def silent() -> Console:
    return Console(verbosity=-1, muted=True)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.fromarray(pixels).save(path)


def scene(number: int) -> tuple[np.ndarray, tuple[int, int, int, int], int]:
    """Return an image with a bright box, its corners, and its class 0 or 1."""
    random = np.random.default_rng(number)
    left, top = int(random.integers(1, 20)), int(random.integers(1, 8))
    corners = (left, top, left + 8, top + 6)
    image = random.integers(0, 50, (ROWS, COLUMNS, 3), dtype=np.uint8)
    image[top : top + 6, left : left + 8, number % 2] = 255
    return image, corners, number % 2


def mask(number: int, values: tuple[object, object, object]) -> np.ndarray:
    _, (x0, y0, x1, y1), label = scene(number)
    found = np.full((ROWS, COLUMNS, np.size(values[0])), values[0], np.uint8)
    found[y0:y1, x0:x1] = values[1 + label]
    return found.squeeze()


def prepared(path: Path, tmp_path: Path, **keys: object) -> tuple[Folder, Prepared]:
    folder = open_folder(OwnDataSettings(path=path, size=(16, 32), **keys))  # type: ignore[arg-type]
    return folder, folder.kind.prepare(tmp_path, silent())


MASKS = {
    "gray": (0, 128, 200),
    "index": (0, 1, 2),
    "colour": ((0, 0, 0), (0, 0, 255), (255, 128, 0)),
}


@pytest.mark.parametrize("kind", MASKS)
def test_masks(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number in range(COUNT):
        save(root / "images" / f"é {number}.png", scene(number)[0])
        save(root / "masks" / f"é {number}.png", mask(number, MASKS[kind]))
    save(root / "images" / "lonely.png", scene(90)[0])
    save(root / "masks" / "alone.png", mask(0, MASKS[kind]))
    save(root / "images" / "small.png", scene(91)[0])
    save(root / "masks" / "small.png", mask(1, MASKS[kind])[:8])
    (root / "images" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    save(root / "masks" / "bad.png", mask(2, MASKS[kind]))
    folder, found = prepared(root, tmp_path)
    chosen = folder.chosen()
    assert chosen.task == "segmentation" and chosen.channels == 3
    assert chosen.mask_values == {"colour": ("#000000", "#0000ff", "#ff8000"), "gray": ("0", "128", "200")}.get(
        kind, ("0", "1", "2")
    )
    assert folder.labels == ("background", *chosen.mask_values[1:])
    assert dict(found.left_out) == {
        "images/lonely.png": "it has no mask",
        "masks/alone.png": "no image has its name",
        "images/small.png": "its mask has 32×8 pixels, but the image has 32×16",
        "images/bad.png": "it cannot be read as an image (unknown format)",
    }
    assert [sum(counts) for counts in zip(*found.counts.values(), strict=True)] == [COUNT, COUNT // 2, COUNT // 2]
    assert "images/lonely.png is left out: it has no mask" in folder.messages(found, by_file=True)
    data = own_entry("set", chosen).load(tmp_path, silent())
    inputs, targets = data.train.batch(torch.arange(len(data.train)))
    assert targets.shape == (len(data.train), 16, 32) and data.preprocessing is not None
    bright = (inputs[:, :2] == 127).any(dim=1)
    assert bright.equal(targets > 0) and data.preprocessing["pixels"] == list(folder.labels)


def test_masks_vary_with_their_images() -> None:
    generator = torch.Generator().manual_seed(4)
    masks = torch.zeros(8, 32, 32, dtype=torch.uint8)
    masks[:, 8:20, 5:17] = 1
    images = masks[:, None].expand(-1, 3, -1, -1) * 200
    changed, moved = MaskVariation(1.0, False, True)(images, masks, generator)
    bright = changed[:, 0] > 90
    assert not moved.equal(masks) and float((bright == (moved > 0)).float().mean()) > 0.97


def write_boxes(root: Path, kind: str) -> None:
    images, annotations = [], []
    for number in range(COUNT):
        image, (x0, y0, x1, y1), label = scene(number)
        name = ("cat", "dog")[label]
        folder = "JPEGImages" if kind == "voc" else "images"
        save(root / folder / f"im {number}.png", image)
        if kind == "yolo":
            numbers = ((x0 + x1) / 2 / COLUMNS, (y0 + y1) / 2 / ROWS, (x1 - x0) / COLUMNS, (y1 - y0) / ROWS)
            path = root / "labels" / f"im {number}.txt"
            text = f"{label} " + " ".join(map(str, numbers)) + "\n"
        elif kind == "voc":
            path = root / "Annotations" / f"im {number}.xml"
            text = VOC.format(x0, y0, x1, y1, w=COLUMNS, h=ROWS, name=name)
        else:
            images.append({"id": number, "file_name": f"im {number}.png", "width": COLUMNS, "height": ROWS})
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"image_id": number, "category_id": 5 + label, "bbox": box})
            path = root / "all.json"
            names = [{"id": 5, "name": "cat"}, {"id": 6, "name": "dog"}, {"id": 7, "name": "cow"}]
            text = json.dumps({"images": images, "annotations": annotations, "categories": names})
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    if kind == "yolo":
        (root / "data.yaml").write_text("names: {0: cat, 1: dog}\n")


@pytest.mark.parametrize("kind", ["yolo", "coco", "voc"])
def test_boxes(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_boxes(root, kind)
    save(root / ("JPEGImages" if kind == "voc" else "images") / "more.png", scene(99)[0])
    expected = {"images/more.png": "no COCO file refers to it"}
    if kind == "yolo":
        (root / "labels" / "more.txt").write_text("0 0.5 0.5 0.2\n")
        expected = {"images/more.png": "labels/more.txt: line 1 must be a class number and a box"}
    elif kind == "voc":
        text = '<!DOCTYPE a [<!ENTITY e "x">]><annotation>&e;</annotation>'
        (root / "Annotations" / "evil.xml").write_text(text)
        expected = {
            "Annotations/evil.xml": "document types are not supported",
            "JPEGImages/more.png": "no Pascal VOC file has its name",
        }
    folder, found = prepared(root, tmp_path)
    assert folder.own.task == "detection" and folder.labels == ("cat", "dog")
    assert dict(found.left_out) == expected
    assert [sum(counts) for counts in zip(*found.counts.values(), strict=True)] == [COUNT // 2, COUNT // 2]
    entry = own_entry("set", folder.chosen())
    assert entry.task == "detection" and entry.detection == "own"
    data = entry.load(tmp_path, silent())
    inputs, targets = data.train.batch(torch.arange(len(data.train)))
    unit = torch.tensor([COLUMNS, ROWS] * 2)
    for image, (objects,) in zip(inputs, targets, strict=True):
        x0, y0, x1, y1 = (objects[:4] * unit).round().long().tolist()
        assert (image[int(objects[4]) - 1, y0:y1, x0:x1] == 127).all() and int((image == 127).sum()) == 48


def test_boxes_keep_their_place_in_a_scaled_image(tmp_path: Path) -> None:
    write_boxes(tmp_path / "set", "voc")
    folder = open_folder(OwnDataSettings(path=tmp_path / "set", size=(32, 32)))
    data = own_entry("set", folder.chosen()).load(tmp_path, silent())
    _, targets = data.train.batch(torch.arange(len(data.train)))
    assert (targets[:, 0, 1] >= 0.25).all() and (targets[:, 0, 3] <= 0.75).all()
    assert torch.allclose(targets[:, 0, 3] - targets[:, 0, 1], torch.tensor(6 / 16 / 2))


def test_boxes_vary_with_their_images() -> None:
    generator = torch.Generator().manual_seed(3)
    images = torch.zeros(8, 3, 40, 40, dtype=torch.uint8)
    images[:, :, 10:20, 8:24] = 200
    objects = torch.tensor([[0.2, 0.25, 0.6, 0.5, 1.0], [0.0] * 5]).expand(8, 2, 5)
    changed, moved = BoxVariation(1.0, False, True)(images, objects, generator)
    for image, (box, none) in zip(changed, moved, strict=True):
        rows, columns = (image[0] > 90).nonzero().T
        found = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 40
        assert (found - box[:4]).abs().max() < 0.05 and int(box[4]) == 1 and not none.any()
    assert not moved_objects(torch.tensor([[[0.0, 0.0, 0.01, 0.01, 1]]]), drawn_move(generator, 1.0), 9, 9)[0, 0, 0]


def test_splits_are_named_by_folders_and_files(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for number in range(4):
            save(tmp_path / "set" / split / "images" / f"{number}.png", scene(number + 9 * (split == "val"))[0])
            save(tmp_path / "set" / split / "masks" / f"{number}.png", mask(number, (0, 1, 2)))
    folder = open_folder(OwnDataSettings(path=tmp_path / "set"))
    assert [file.split for file in folder.content.files] == ["train"] * 4 + ["validation"] * 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<annotation>", "not an XML document"),
        (b"<a/>", "not a Pascal VOC file"),
        (b'<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><annotation/>', "document type"),
        (b"<a>" * 40, "nested too deeply"),
        (VOC.format(1, 2, "x", 4, w=9, h=9, name="a").encode(), "no number xmax"),
    ],
)
def test_damaged_voc_files(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_voc(data)


def test_damaged_yolo_and_coco_files() -> None:
    for text in ("a 1 2 3 4", "0 1 2", "0 nan 1 1 1", "-1 0 0 1 1", "7 .5 .5 .1 .1"):
        with pytest.raises(ValueError, match="line 1"):
            read_yolo(text, ["only"])
    assert read_yolo("0 0 0 .5 0 .5 .5\n", ()).boxes[0].corners == (0, 0, 0.5, 0.5)
    with pytest.raises(ValueError, match="not a COCO file"):
        read_coco([1])
    images = [{"id": 1, "file_name": "a.png"}, {"name": 2}]
    found = read_coco({"images": images, "annotations": [{"bbox": [1, 2, 3]}], "categories": []})
    assert list(found.objects) == ["a.png"] and len(found.problems) == 2


def test_what_is_asked_for_must_be_there(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a" / "1.png", scene(0)[0])
    for task in ("segmentation", "detection"):
        with pytest.raises(Ai8xError, match=f"{task} requires"):
            open_folder(OwnDataSettings(path=tmp_path / "set", task=task))  # type: ignore[arg-type]


def test_counts_of_pixels_are_not_added() -> None:
    """An image has several classes of pixels; boxes are counted one by one."""
    from ai8x_tool.report.data_table import data_table

    counts = {split: [3, 2] for split in ("train", "validation", "test")}
    heads = {
        what: [column.heading for column in data_table(("a", "b"), counts, what).columns]
        for what in ("boxes", "samples")
    }
    assert heads == {
        "boxes": ["class (boxes)", "training", "validation", "test"],
        "samples": ["class", *heads["boxes"][1:]],
    }
    shown = {what: data_table(("a", "b"), counts, what).columns[0].cells for what in ("boxes", "images with it")}
    assert shown == {"boxes": ("a", "b", "all"), "images with it": ("a", "b")}
