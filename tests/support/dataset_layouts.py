"""Tiny data in the layouts that the real datasets have on disk."""

from __future__ import annotations

import io
import tarfile
import wave
import zlib
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
Image = pytest.importorskip("PIL.Image")

CLASSES = (
    *("Animal", "Archway", "Bicyclist", "Bridge", "Building", "Car", "CartLuggagePram", "Child", "Column_Pole"),
    *("Fence", "LaneMkgsDriv", "LaneMkgsNonDriv", "Misc_Text", "MotorcycleScooter", "OtherMoving", "ParkingBlock"),
    *("Pedestrian", "Road", "RoadShoulder", "Sidewalk", "SignSymbol", "Sky", "SUVPickupTruck", "TrafficCone"),
    *("TrafficLight", "Train", "Tree", "Truck_Bus", "Tunnel", "VegetationMisc", "Void", "Wall"),
)


def motor(data: Path, *, rows: int = 16250) -> None:
    """Recordings of two healthy motors and a faulty one."""
    folder = data / "SampleMotorDataLimerick" / "SpectraQuest_Rig_Data_Voyager_3" / "Data_ADXL356C"
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    time = np.arange(rows) / 20000
    for name, tones in (
        ("0600_GoB_GS_BaLo_WA_100lbs.csv", (100, 250, 410)),
        ("3000_GoB_GS_BaLo_WA_200lbs.csv", (120, 300, 480)),
        ("1800_BaB_GS_BaLo_WA_100lbs.csv", (77, 640, 850)),
    ):
        waves = [np.sin(2 * np.pi * tone * time) for tone in tones]
        voltage = 1.6 + 0.02 * np.stack(waves, axis=1) + 0.002 * random.standard_normal((rows, 3))
        table = np.column_stack([time, voltage, np.full((rows, 3), 1.6)])
        np.savetxt(folder / name, table, fmt="%.6f", delimiter=";")


def camvid(data: Path, *, size: tuple[int, int] = (80, 200)) -> None:
    """Street scenes: a building below the sky, a car in front."""
    root = data / "CamVid"
    random = np.random.default_rng(2)
    colors = {name: (7 * number, 255 - 5 * number, 3 * number) for number, name in enumerate(CLASSES, 1)}
    root.mkdir(parents=True)
    lines = [f"{name}, {r}, {g}, {b}" for name, (r, g, b) in colors.items()]
    (root / "class_dict.csv").write_text("\n".join(["name,r,g,b", *lines, ""]))
    looks = {"Building": (200, 60, 40), "Sky": (90, 140, 250), "Car": (30, 30, 30)}
    for part, count in (("train", 6), ("test", 2)):
        (root / part).mkdir()
        (root / f"{part}_labels").mkdir()
        for number in range(count):
            names = np.full(size, "Building")
            names[: random.integers(size[0] // 4, size[0] // 2)] = "Sky"
            left = random.integers(0, size[1] - 60)
            names[-size[0] // 4 :, left : left + 60] = "Car"
            pixels, labels = np.zeros((*size, 3), np.uint8), np.zeros((*size, 3), np.uint8)
            for name, look in looks.items():
                pixels[names == name] = look
                labels[names == name] = colors[name]
            pixels = np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / part / f"scene_{number}.png")
            Image.fromarray(labels).save(root / f"{part}_labels" / f"scene_{number}_L.png")


def svhn(data: Path) -> None:
    """Bright bars as digits, one or two on each house."""
    random = np.random.default_rng(3)
    for part, count in (("train", 24), ("test", 6)):
        folder = data / "SVHN" / part
        folder.mkdir(parents=True)
        boxes = []
        for number in range(1, count + 1):
            pixels = random.integers(0, 60, (100, 120, 3), dtype=np.uint8)
            digits = [(40 + 22 * place, 30, 18, 40, 1 + place) for place in range(1 + number % 2)]
            for left, top, width, height, label in digits:
                pixels[top : top + height, left : left + width, label - 1] = 250
            Image.fromarray(pixels).save(folder / f"{number}.png")
            boxes.append(digits)
        _digit_struct(folder / "digitStruct.mat", boxes)


def _digit_struct(path: Path, boxes: list[list[tuple[int, ...]]]) -> None:
    with h5py.File(path, "w") as file:
        store = file.create_group("#refs#")
        names, groups = [], []
        for number, digits in enumerate(boxes, 1):
            text = store.create_dataset(f"name{number}", data=np.array([[ord(c)] for c in f"{number}.png"], np.uint16))
            group = store.create_group(f"box{number}")
            for column, key in enumerate(("left", "top", "width", "height", "label")):
                values = [float(digit[column]) for digit in digits]
                if len(values) == 1:
                    group.create_dataset(key, data=np.array([values]))
                    continue
                cells = [store.create_dataset(f"{key}{number}_{i}", data=[[v]]).ref for i, v in enumerate(values)]
                group.create_dataset(key, data=np.array(cells, dtype=h5py.ref_dtype)[:, None])
            names.append(text.ref)
            groups.append(group.ref)
        for key, references in (("name", names), ("bbox", groups)):
            file.create_dataset(f"digitStruct/{key}", data=np.array(references, dtype=h5py.ref_dtype)[:, None])


def faces(data: Path) -> None:
    """Four identities, each of its own colors."""
    random = np.random.default_rng(4)
    looks = random.integers(40, 216, (4, 2, 2, 3))
    for part, count in (("train", 12), ("test", 4)):
        for number, look in enumerate(looks, 1):
            folder = data / "VGGFace-2" / part / f"n{number:06d}"
            folder.mkdir(parents=True)
            for picture in range(count):
                pixels = np.kron(look, np.ones((16, 16, 1))) + random.normal(0, 20, (32, 32, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{picture:04d}_01.jpg")
        _face_tables(data / "VGGFace-2", part, count)


def colors(data: Path) -> None:
    """Smooth color images of two classes."""
    random = np.random.default_rng(5)
    for part, count in (("train", 16), ("val", 4)):
        for number in range(count):
            folder = data / "ImageNet" / part / f"n{number % 2:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{number}.png")


def _face_tables(root: Path, part: str, count: int) -> None:
    """Boxes 4 … 28, with eyes, nose and mouth where they are in an aligned face of that size."""
    (root / "bb_landmark").mkdir(exist_ok=True)
    names = [f"n{number:06d}/{picture:04d}_01" for number in range(1, 5) for picture in range(count)]
    points = "12.0,15.0,20.0,15.0,16.0,19.0,13.0,24.0,19.0,24.0"
    boxes = [f'"{name}",4,4,24,24' for name in names]
    (root / "bb_landmark" / f"loose_bb_{part}.csv").write_text("\n".join(["NAME_ID,X,Y,W,H", *boxes, ""]))
    marks = [f'"{name}",{points}' for name in names]
    (root / "bb_landmark" / f"loose_landmark_{part}.csv").write_text("\n".join(["NAME_ID,P1X", *marks, ""]))


def cats_and_dogs(data: Path) -> None:
    """Two of each in both splits, wide and high ones."""
    random = np.random.default_rng(6)
    for part in ("train", "test"):
        for number, name in enumerate(("cats", "dogs")):
            folder = data / "cats_vs_dogs" / part / name
            folder.mkdir(parents=True)
            for picture, size in enumerate(((153, 190), (200, 160))):
                pixels = random.integers(0, 90, (*size, 3), dtype=np.uint8)
                pixels[..., 2 * number] += 120
                Image.fromarray(pixels).save(folder / f"{name[:-1]}.{picture}.jpg", quality=95)


def portraits(data: Path, *, count: int = 12) -> None:
    """A person from row 300 on, in columns 200 to 399."""
    for number in range(count):
        name = f"1803151818-{number:08d}"
        for kind, suffix in (("clip_img", "jpg"), ("matting", "png")):
            folder = data / "AISegment" / kind / "1803151818" / f"{kind.partition('_')[0]}_00000000"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.full((800, 600, 4), 40, np.uint8)
            pixels[..., 3] = 0
            pixels[300:, 200:400] = (210, 160, 140, 255)
            image = Image.fromarray(pixels)
            (image.convert("RGB") if suffix == "jpg" else image).save(folder / f"{name}.{suffix}")


def voc(data: Path) -> None:
    """Two photographs of each set, with a person and a car."""
    for year, parts in (("VOC2007", ("trainval", "test")), ("VOC2012", ("trainval",))):
        root = data / "PascalVOC" / "VOCdevkit" / year
        for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
            (root / folder).mkdir(parents=True)
        for offset, part in enumerate(parts):
            numbers = [f"{2 * offset + number:06d}" for number in range(2)]
            (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(numbers) + "\n")
            for number in numbers:
                pixels = np.full((100, 200, 3), 60, np.uint8)
                pixels[20:60, 10:110] = (250, 20, 20)
                Image.fromarray(pixels).save(root / "JPEGImages" / f"{number}.jpg")
                objects = (("person", 11, 21, 111, 61), ("car", 101, 51, 151, 101))
                text = "".join(
                    f"<object><name>{name}</name><difficult>1</difficult><bndbox><xmax>{right}</xmax><xmin>{left}</xmin>"
                    f"<ymax>{bottom}</ymax><ymin>{top}</ymin></bndbox></object>"
                    for name, left, top, right, bottom in objects
                )
                (root / "Annotations" / f"{number}.xml").write_text(f"<annotation>{text}</annotation>")


def backgrounds(data: Path) -> None:
    """Gray pictures to put something on."""
    for part, count in (("train", 2), ("testval", 5)):
        folder = data / "BG-20k" / part
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(np.full((90, 120, 3), 100 + number, np.uint8)).save(folder / f"h_{number}.jpg")


def sound(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """Write a WAV file of 16 bits at 16 kHz; samples are −1 … 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def noises(data: Path) -> None:
    """Noise of two types in both splits."""
    random = np.random.default_rng(7)
    for part in ("train", "test"):
        for name, loudness in (("Babble_1", 0.5), ("Neighbor_2", 0.1)):
            values = random.uniform(-loudness, loudness, 20000)
            sound(data / "MSnoise" / "raw" / f"noise_{part}" / f"{name}.wav", values)


def imagenet_archives(root: Path, classes: int) -> None:
    """The three official archives, with two images of each class; the kit numbers the classes backwards."""
    root.mkdir(parents=True)
    names = [f"n{7 * number:08d}" for number in range(1, classes + 1)]
    with tarfile.open(root / "ILSVRC2012_img_train.tar", "w") as outer:
        for number, name in enumerate(names):
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as inner:
                for picture in range(2):
                    _add(inner, f"{name}_{picture}.JPEG", _jpeg(number))
            _add(outer, f"{name}.tar", buffer.getvalue())
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as archive:
        for number in range(classes):
            _add(archive, f"ILSVRC2012_val_{number + 1:08d}.JPEG", _jpeg(number))
    truth = "".join(f"{classes - number}\n" for number in range(classes)).encode()
    meta = zlib.compress(b"".join(name.encode() + b"\0\0" for name in reversed(names)))
    header = b"MATLAB 5.0 MAT-file".ljust(128) + np.array([15, len(meta)], "<u4").tobytes()
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        _add(archive, "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth)
        _add(archive, "ILSVRC2012_devkit_t12/data/meta.mat", header + meta)


def _jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((130, 170, 3), 40 + 80 * number, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
