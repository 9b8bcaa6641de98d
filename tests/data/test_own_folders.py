"""Folders of images, sounds and tables: what is read, what is left out and named, and where each sample goes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.data.own.entry import fitting_model, open_folder, own_entry
from ai8x_tool.data.own.images import read_header, read_image
from ai8x_tool.data.own.masks import read_mask
from ai8x_tool.data.own.preprocessing import inputs_of_file, read_preprocessing
from ai8x_tool.data.own.sounds import read_sound
from ai8x_tool.data.own.splits import Unit, assign, content_hash
from ai8x_tool.data.own.tables import read_tables
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.own_data import OwnDataSettings

pillow = pytest.importorskip("PIL.Image")
pytest.importorskip("torchvision")


def silent() -> Console:
    return Console(verbosity=-1, muted=True)


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.fromarray(pixels).save(path, **options)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images of two classes with names of all kinds, and files that are damaged or unusual."""
    root, random = tmp_path_factory.mktemp("images"), np.random.default_rng(1)
    for label, low in (("große Äpfel", 0), ("pears", 128)):
        for number in range(20):
            size = (12 + number, 20, 3)
            save(root / label / f"Bild {number} é.png", random.integers(low, low + 128, size, dtype=np.uint8))
    (root / "pears" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (root / "pears" / "empty.jpg").write_bytes(b"")
    (root / "pears" / "copy.png").write_bytes((root / "pears" / "Bild 3 é.png").read_bytes())
    (root / "pears" / "notes.txt").write_text("not an image")
    save(root / "pears" / "deep.png", np.full((20, 20), 40_000, np.uint16))
    save(root / "pears" / "clear.png", np.zeros((20, 20, 4), np.uint8))
    for ending in ("bmp", "webp", "jpg"):
        save(root / "pears" / f"other.{ending}", random.integers(0, 255, (16, 16, 3), dtype=np.uint8))
    return root


def test_images(images: Path, tmp_path: Path) -> None:
    own = OwnDataSettings(path=images, size=(16, 16), augment="light")
    entry = own_entry("fruit", own)
    assert entry.labels == ("große Äpfel", "pears") and entry.input == (3, 16, 16) and entry.task is None
    prepared = open_folder(own).kind.prepare(tmp_path, silent())
    assert {name for name, _ in prepared.left_out} == {"pears/notes.txt", "pears/broken.png", "pears/empty.jpg"}
    assert [sorted(pair) for pair in prepared.copies] == [["pears/Bild 3 é.png", "pears/copy.png"]]
    data = entry.load(tmp_path, silent())
    assert data.validation is not None
    counts = [sum(np.array(prepared.counts[split])) for split in ("train", "validation", "test")]
    assert sum(counts) == 45 and counts == [len(data.train), len(data.validation), len(data.test)]
    inputs, targets = data.train.batch(torch.arange(8), torch.Generator().manual_seed(1))
    assert inputs.shape == (8, 3, 16, 16) and inputs.dtype == torch.float32 and inputs.equal(inputs.round())
    assert inputs.min() >= -128 and inputs.max() <= 127 and set(targets.tolist()) <= {0, 1}
    assert data.preprocessing is not None and data.preprocessing["reading"] == {"size": [16, 16], "channels": 3}


def test_transparent_and_deep_images(images: Path) -> None:
    clear = read_image((images / "pears" / "clear.png").read_bytes(), 3, (16, 16))
    assert clear.min() == 255
    deep = read_image((images / "pears" / "deep.png").read_bytes(), 1, (16, 16))
    assert set(deep.unique().tolist()) == {40_000 >> 8}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("side", "words"), [(10_000, "10000×10000 pixels exceed the limit"), (20_000, "too many pixels")]
)
def test_large_images_are_one_line(tmp_path: Path, side: int, words: str) -> None:
    """Pillow warns on standard error, or raises an error of its own."""
    header = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    data = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    data += b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    for read in (lambda: read_image(data, 3, (16, 16)), lambda: read_mask(data)):
        with pytest.raises(ValueError, match=words):
            read()
    assert read_header(tmp_path / "a.png") == ((side, side, False) if side == 10_000 else None)


def test_cache_notices_files(tmp_path: Path) -> None:
    root, random = tmp_path / "set", np.random.default_rng(2)
    for number in range(30):
        save(root / "ab"[number % 2] / f"{number}.png", random.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    own = OwnDataSettings(path=root, size=(8, 8), split=(0.2, 0.2))

    def count() -> int:
        data = own_entry("set", own).load(tmp_path / "data", silent())
        return len(data.train) + len(data.validation or ()) + len(data.test)

    assert count() == 30
    save(root / "a" / "new.png", random.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    assert count() == 31
    (root / "a" / "new.png").unlink()
    assert count() == 30


def test_splits_do_not_move() -> None:
    own = OwnDataSettings(path=Path(), split=(0.2, 0.2))
    units = [Unit(f"{n}.png", content_hash(bytes([n])), None) for n in range(200)]
    before, _ = assign(units[:100], own)
    after, _ = assign(units, own)
    assert after[:100] == before and {"train", "validation", "test"} == set(before)
    shares = [after.count(split) / 200 for split in ("train", "validation", "test")]
    assert np.allclose(shares, [0.6, 0.2, 0.2], atol=0.1)


def test_copies_stay_in_one_split() -> None:
    own = OwnDataSettings(path=Path())
    units = [Unit("train/a.png", b"1", "train"), Unit("test/a.png", b"1", "test"), Unit("train/b.png", b"2", "train")]
    places, copies = assign(units, own)
    assert places == [None, "test", "train" if places[2] == "train" else "validation"]
    assert copies == [("train/a.png", "test/a.png")]


def test_groups_stay_together() -> None:
    own = OwnDataSettings(path=Path(), group=r"/(\w+?)_")
    units = [Unit(f"word/voice{n % 7}_{n}.wav", bytes([n]), None) for n in range(70)]
    places, _ = assign(units, own)
    assert all(len(set(places[voice::7])) == 1 for voice in range(7))


def wav(rate: int, channels: int, bits: int, values: np.ndarray) -> bytes:
    raw = (values * 2 ** (bits - 1)).astype("<i4").repeat(channels)
    body = raw.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
    header = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize(("rate", "channels", "bits"), [(16000, 1, 16), (48000, 2, 24), (44100, 1, 32)])
def test_sounds(rate: int, channels: int, bits: int) -> None:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    sound = read_sound(wav(rate, channels, bits, wave), 16000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert len(sound) == 16000
    assert np.abs(sound.numpy() - expected)[200:-200].max() < 0.01


def check(data: bytes, bits: int, polynomial: int) -> int:
    """Return the cyclic redundancy check of a FLAC header (8 bits) or frame (16 bits)."""
    found = 0
    for byte in data:
        found ^= byte << (bits - 8)
        for _ in range(8):
            found = (found << 1) ^ (polynomial if found >> (bits - 1) else 0)
            found &= (1 << bits) - 1
    return found


def flac(samples: np.ndarray, rate: int) -> bytes:
    """Return at most 65,536 samples as a FLAC file of two equal channels: one frame that is not compressed."""
    count, bits = len(samples), (rate << 44) | (1 << 41) | (15 << 36) | len(samples)
    info = struct.pack(">HH", count, count) + bytes(6) + bits.to_bytes(8, "big") + bytes(16)
    head = b"\xff\xf8" + bytes([0x70, 0x18, 0]) + struct.pack(">H", count - 1)
    frame = head + bytes([check(head, 8, 7)]) + 2 * (b"\x02" + samples.astype(">i2").tobytes())
    return b"fLaC\x80" + len(info).to_bytes(3, "big") + info + frame + check(frame, 16, 0x8005).to_bytes(2, "big")


def test_flac() -> None:
    pytest.importorskip("soundfile")
    values = (12_000 * np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050)).round().astype(np.int16)
    data = flac(values, 22_050)
    assert np.array_equal((read_sound(data, 22_050).numpy() * 32_768).round(), values)
    assert len(read_sound(data, 16_000)) == 16_000
    for damaged in (data[:60], data[:42] + b"x" * 90):
        with pytest.raises(ValueError, match=r"FLAC|samples"):
            read_sound(damaged, 16_000)


def test_flac_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'ai8x-tool\[sound\]'"):
        read_sound(b"fLaC", 16_000)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"something else", wav(16000, 1, 16, np.zeros(0))])
def test_no_sound(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"empty|WAV|samples"):
        read_sound(data, 16000)


@pytest.mark.parametrize("data", [b"1," * 5000, b'"' + b"a" * 200_000, b"1" * 200_000])
def test_tables_that_are_none(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"5,001 columns|cannot be read as a table"):
        read_tables(data, ".csv")


def test_tables() -> None:
    text = "time;ax;state;ay\n0;1,5;on;2\n1;;on;3\n2;2,5;off;x\n".encode("utf-8-sig")
    (table,) = read_tables(text, ".csv")
    assert table.names == ("time", "ax", "ay") and table.texts == {"state": ["on", "on", "off"]}
    assert table.values[:, 1].tolist() == [1.5, 2.0, 2.5] and table.gaps == 2
    assert table.channel_names() == ["ax", "ay"]
    (plain,) = read_tables(b"1,2\n3,4\n", ".csv")
    assert plain.values.tolist() == [[1, 2], [3, 4]] and plain.names == ("0", "1")
    for data in (b"", b"a,b\nx,y\n"):
        with pytest.raises(ValueError, match=r"empty|numbers"):
            read_tables(data, ".csv")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, random = tmp_path_factory.mktemp("series"), np.random.default_rng(3)
    for label in ("calm", "rough"):
        for number in range(6):
            rows = random.normal(0, 1 + (label == "rough"), (600, 2))
            path = root / label / f"run {number}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text("x,y\n" + "\n".join(f"{a:.4f},{b:.4f}" for a, b in rows))
    (root / "rough" / "text.csv").write_text("a\nb\n")
    return root


def test_series(series: Path, tmp_path: Path) -> None:
    own = open_folder(OwnDataSettings(path=series)).chosen()
    assert own.columns == ("x", "y") and own.task == "classification" and own.window == 128
    entry = own_entry("motor", own)
    data = entry.load(tmp_path, silent())
    assert entry.input == (2, 128) and entry.labels == ("calm", "rough")
    inputs, targets = data.train.batch(torch.arange(len(data.train)))
    spread = [float(inputs[targets == label].std()) for label in (0, 1)]
    assert spread[1] > 1.5 * spread[0]


def test_a_class_for_each_name_of_files(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for number in range(20):
        name = f"{'walk' if number % 2 else 'run'} ({number}).npy"
        np.save(tmp_path / "set" / name, np.random.default_rng(number).normal(0, 1 + number % 2, (3, 400)))
    own = open_folder(OwnDataSettings(path=tmp_path / "set")).chosen()
    assert own.classes == ("run", "walk") and own.columns == ("0", "1", "2")
    data = own_entry("set", own).load(tmp_path / "data", silent())
    assert set(data.train.targets.tolist()) == {0, 1}


def test_numbers_to_predict(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    rows = "\n".join(f"{n},{n % 9},{100 + n % 9}" for n in range(3000))
    (tmp_path / "set" / "log.csv").write_text("time,a,level\n" + rows)
    folder = open_folder(OwnDataSettings(path=tmp_path / "set", task="regression", target=("level",), window=32))
    data = own_entry("set", folder.chosen()).load(tmp_path / "data", silent())
    assert folder.labels == ("level",) and data.train.targets.shape == (len(data.train), 1)
    assert data.train.targets.abs().max() <= 0.91
    assert data.preprocessing is not None and 100 < data.preprocessing["target"]["offset"][0] < 108


def test_one_class_is_for_anomalies(series: Path, tmp_path: Path) -> None:
    folder = open_folder(OwnDataSettings(path=series, task="anomaly", classes=("calm", "rough"), window=64))
    assert folder.labels == ("calm", "anomaly")
    data = own_entry("motor", folder.own).load(tmp_path, silent())
    assert not data.train.targets.any() and data.test.targets.any()


def test_anomalies_in_images(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for label, count in (("train/good", 20), ("test/good", 4), ("test/dent", 3), ("test/scratch", 3)):
        for number in range(count):
            save(tmp_path / "set" / label / f"{number}.png", random.integers(0, 255, (16, 16), dtype=np.uint8))
    folder = open_folder(OwnDataSettings(path=tmp_path / "set"))
    entry, found = own_entry("set", folder.chosen()), folder.kind.prepare(tmp_path / "data", silent())
    assert folder.own.task == "anomaly" and folder.labels == ("good", "anomaly") and found.counts["test"] == [4, 6]
    data = entry.load(tmp_path / "data", silent())
    assert entry.task == "reconstruction" and fitting_model(entry) == "compactautoencoder2d"
    assert not data.train.targets.any() and sorted(data.test.targets.tolist()) == [0] * 4 + [1] * 6


def test_anomalies_in_sounds(tmp_path: Path) -> None:
    for label, pitch in (("normal", 200), ("whine", 900)):
        for number in range(5):
            path = tmp_path / "set" / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav(8000, 1, 16, 0.4 * np.sin(2 * np.pi * (pitch + number) * np.arange(8000) / 8000)))
    own = OwnDataSettings(path=tmp_path / "set", task="anomaly", rate=8000)
    folder = open_folder(own)
    data = own_entry("set", folder.chosen()).load(tmp_path / "data", silent())
    assert folder.labels == ("normal", "anomaly") and folder.kind.input == (1, 256)
    assert not data.train.targets.any() and data.test.targets.any() and data.preprocessing is not None
    preprocessing = read_preprocessing(data.preprocessing, "here")
    windows = inputs_of_file(tmp_path / "set" / "whine" / "0.wav", preprocessing)
    assert len(windows) == 8000 // 256 and windows[0].shape == (1, 256)


def test_a_class_for_each_run_of_rows(tmp_path: Path) -> None:
    rows = [f"{n % 7},{'idle' if n // 200 % 2 else 'busy'}" for n in range(4000)]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "log.csv").write_text("a,state\n" + "\n".join(rows))
    own = open_folder(OwnDataSettings(path=tmp_path / "set", target=("state",), window=32)).chosen()
    assert own.classes == ("busy", "idle")
    data = own_entry("log", own).load(tmp_path / "data", silent())
    assert set(data.train.targets.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("files", "words"),
    [((), "no images, sounds or tables"), (("a/x.txt",), "no images"), (("a/x.wav", "b/y.wav"), "left for training")],
)
def test_what_cannot_be_used_is_one_line(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    for name in files:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"")
    (tmp_path / "set").mkdir(exist_ok=True)
    with pytest.raises(Ai8xError, match=words):
        own_entry("set", OwnDataSettings(path=tmp_path / "set")).load(tmp_path / "data", silent())


@pytest.mark.parametrize("shape", [(3, 64, 16), (1, 20, 20), (128, 128), (3, 1000), (2, 16)])
def test_shipped_models_fit_inputs_of_any_size(shape: tuple[int, ...], tmp_path: Path) -> None:
    from ai8x_tool.data.dataset import DatasetEntry
    from ai8x_tool.device import DEVICES
    from ai8x_tool.starter.model_file import write_sized_model

    entry = DatasetEntry("any", shape, ("a", "b", "c"), lambda *_: None)  # type: ignore[arg-type,return-value]
    template = "compact2d" if len(shape) == 3 else "compact1d"
    for device in DEVICES:
        sized = write_sized_model(template, "mine", tmp_path / f"{device.name}.py", entry, device, silent())
        assert sized.name == "mine" and sized.found.network.layers[-1].channels_out == 3


def test_archives_with_other_members() -> None:
    """A member that is no array is left out; without any array the file is named."""
    for arrays, good in (({"a": np.ones((20, 3))}, True), ({}, False)):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        with zipfile.ZipFile(buffer, "a") as archive:
            archive.writestr("notes.npy", b"no array")
        if good:
            assert read_tables(buffer.getvalue(), ".npz")[0].values.shape == (20, 3)
        else:
            with pytest.raises(ValueError, match="contains no array of numbers"):
                read_tables(buffer.getvalue(), ".npz")
