"""Tiny data in the layouts that the real datasets have on disk."""

from __future__ import annotations

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


def colors(data: Path) -> None:
    """Smooth color images of two classes."""
    random = np.random.default_rng(5)
    for part, count in (("train", 16), ("val", 4)):
        for number in range(count):
            folder = data / "ImageNet" / part / f"n{number % 2:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            coarse.resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
