from __future__ import annotations

import shutil
import tarfile
import wave
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.data import speech_commands, speech_store
from ai8x_tool.data.dataset import Dataset
from ai8x_tool.data.download import Download
from ai8x_tool.data.speech import COMMAND_WORDS, SAMPLES, shift_limits
from ai8x_tool.data.speech_commands import read_wav
from ai8x_tool.data.stock_inputs import KEYWORDS_20, LABELS_20
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from tests.support.dataset_layouts import noises

FILES = ("aa_nohash_0.wav", "bb_nohash_0.wav", "bb_nohash_1.wav", "cc_nohash_0.wav")
FREQUENCY = 500


def _write_wav(path: Path, samples: np.ndarray, rate: int = 16000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())


def _tone(length: int, amplitude: float) -> np.ndarray:
    return (amplitude * 32768 * np.sin(2 * np.pi * FREQUENCY * np.arange(length) / 16000)).round()


def _tree(raw: Path) -> None:
    """Write every word four times: aa and the first bb for training, the second bb for validation, cc for the test."""
    for number, word in enumerate(COMMAND_WORDS):
        for file, length in zip(FILES, (16000, 12000, 16000, 16000), strict=True):
            _write_wav(raw / word / file, _tone(length, 0.1 + 0.02 * number))
    _write_wav(raw / "_background_noise_" / "hum.wav", np.random.default_rng(0).integers(-999, 999, 40000))
    (raw / "validation_list.txt").write_text("".join(f"{word}/{FILES[2]}\n" for word in COMMAND_WORDS))
    (raw / "testing_list.txt").write_text("".join(f"{word}/{FILES[3]}\n" for word in COMMAND_WORDS))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    _tree(folder / "KWS" / "raw")
    return folder


@pytest.fixture(autouse=True)
def _few_silences_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech_commands, "_SILENCES_PER_FILE", 18)
    nowhere = ["http://127.0.0.1:9/file"]
    for name in ("COMMANDS", "BENCHMARK", "LIBRISPEECH_DEV"):
        offline = Download(getattr(speech_commands, name).name, 1, "md5:0", nowhere)
        monkeypatch.setattr(speech_commands, name, offline)
        if hasattr(speech_store, name):
            monkeypatch.setattr(speech_store, name, offline)


@pytest.fixture
def data(tree: Path, kws20: ModuleType, console: Console) -> Dataset:
    return kws20.datasets[0].load(tree, console)


def test_parts_labels_and_unknown_words(data: Dataset, kws20: ModuleType) -> None:
    entry = kws20.datasets[0]
    assert entry.input == (128, 128) and tuple(entry.labels) == LABELS_20
    assert tuple(entry.class_weights) == (1.0,) * 20 + (0.07,)
    # Three speeds of two training files and one validation file per word; the test has one speed.
    for part, each in ((data.train, 6), (data.validation, 3), (data.test, 1)):
        assert part is not None
        counts = torch.bincount(part.targets, minlength=21).tolist()
        assert counts == [each] * 20 + [each * (len(COMMAND_WORDS) - len(KEYWORDS_20))]


def test_other_sets_of_words(data: Dataset, tree: Path, kws20: ModuleType, console: Console) -> None:
    entries = {entry.name: entry for entry in kws20.datasets}
    few, all_ = (entries[name].load(tree, console).test.targets for name in ("KWS", "KWS_35"))
    assert torch.bincount(few).tolist() == [1] * 6 + [29] and torch.bincount(all_).tolist() == [1] * 35
    assert [len(entries[name].labels) for name in ("KWS", "KWS_35", "KWS_12_benchmark")] == [7, 36, 12]
    with pytest.raises(Ai8xError, match="prepared without the official test set"):
        entries["KWS_12_benchmark"].load(tree, console)
    exact = find_dataset("KWS_35_unquantized").load(tree, console)
    row = COMMAND_WORDS.index("zero")
    inputs, target = exact.test.batch(torch.tensor([row]))
    assert target.item() == kws20.LABELS_35.index("zero") and len(exact.train) == 70
    rounded = data.test.batch(torch.tensor([row]))[0]
    assert torch.allclose(inputs, rounded, atol=0.51) and not torch.equal(inputs, rounded)
    assert exact.train.batch(torch.arange(3), torch.Generator().manual_seed(1))[0].shape == (3, 128, 128)


def test_speech_with_noise_has_no_validation_list(data: Dataset, tree: Path, console: Console) -> None:
    noises(tree)
    mixed, fixed = (find_dataset(name).load(tree, console) for name in ("KWS_20_msnoise_mixed", "MixedKWS20_10dB"))
    assert data.validation is not None and mixed.validation is None and fixed.validation is None
    first, last = len(data.train), len(data.train) + len(data.validation) - 1
    rows = torch.tensor([0, 7, last])
    inputs, targets = mixed.held_back.batch(rows)
    parts = data.train.batch(rows[:2]), data.validation.batch(rows[2:] - first)
    assert len(mixed.train) == last + 1 and torch.equal(inputs, torch.cat([part[0] for part in parts]))
    assert targets.tolist() == torch.cat([part[1] for part in parts]).tolist()
    one, two = (mixed.train.batch(rows, torch.Generator().manual_seed(5))[0] for _ in range(2))
    assert torch.equal(one, two) and not (one == inputs).all(dim=(1, 2)).any()
    assert torch.equal(mixed.test.batch(rows[:2])[0], data.test.batch(rows[:2])[0])
    noisy = fixed.train.batch(rows)[0]
    assert not (noisy == inputs).all(dim=(1, 2)).any() and torch.equal(noisy, fixed.train.batch(rows)[0])


def test_samples_are_the_quantized_files(data: Dataset, tree: Path) -> None:
    row = COMMAND_WORDS.index("zero")
    signal = speech_commands.read_wav(tree / "KWS/raw/zero" / FILES[3])
    expected = np.clip(np.round((signal + 1) * 128), 0, 255)
    np.testing.assert_array_equal(data.test.raw[row, :16000].numpy(), expected)
    assert (data.test.raw[row, 16000:] == 128).all()
    inputs, target = data.test.batch(torch.tensor([row]))
    assert inputs.shape == (1, 128, 128) and target.item() == LABELS_20.index("zero")
    assert inputs[0, 5, 2].item() == expected[128 * 2 + 5] - 128


def test_speed_variants_change_pitch_and_limits(data: Dataset, tree: Path) -> None:
    (folder,) = (tree / "KWS/processed").glob("speech-commands-*")
    words, limits = np.load(folder / "train-words.npy"), np.load(folder / "train-limits.npy")
    rows = np.flatnonzero(words == speech_commands.FOLDERS.index("yes"))
    found = {}
    for row in rows:
        spectrum = np.abs(np.fft.rfft(data.train.raw[row, :9000].numpy() - 128.0, 16000))
        found.setdefault(int(spectrum.argmax()), set()).add(tuple(limits[row].tolist()))
    assert {frequency: len(ranges) for frequency, ranges in found.items()} == {500: 2, 450: 2, 550: 2}
    assert found[500] == {shift_limits(16000), shift_limits(12000)}
    assert found[450] == {shift_limits(16000, 0.9), shift_limits(12000, 0.9)}
    assert found[550] == {shift_limits(16000, 1.1), shift_limits(12000, 1.1)}


def test_validation_is_stored_shifted_and_noisy(data: Dataset) -> None:
    assert data.validation is not None
    everything = torch.arange(len(data.validation))
    plain, _ = data.validation.batch(everything)
    assert torch.equal(plain, data.validation.batch(everything, torch.Generator().manual_seed(1))[0])
    edges = data.validation.raw[:, SAMPLES // 2 - 50 :].float()
    assert (edges.std(dim=1) > 0).all()
    # The clean sources end in 384 samples of digital zero; noise has changed nearly all of them.
    clean_tail = (data.test.raw[:, 16000:] == 128).all(dim=1)
    noisy_tail = (data.validation.raw[:, 16000:] == 128).all(dim=1)
    assert clean_tail.all() and not noisy_tail.any()


def test_training_items_are_augmented(data: Dataset) -> None:
    indices = torch.arange(20)
    generator = torch.Generator().manual_seed(1)
    first, _ = data.train.batch(indices, generator)
    second, _ = data.train.batch(indices, generator)
    assert not torch.equal(first, second)
    assert torch.equal(first, data.train.batch(indices, torch.Generator().manual_seed(1))[0])


def test_same_result_from_a_new_cache(data: Dataset, tree: Path, kws20: ModuleType, tmp_path: Path) -> None:
    shutil.copytree(tree / "KWS/raw", tmp_path / "KWS/raw")
    again = kws20.datasets[0].load(tmp_path, Console(verbosity=-1))
    for old, new in ((data.train, again.train), (data.validation, again.validation), (data.test, again.test)):
        assert torch.equal(old.raw, new.raw) and torch.equal(old.targets, new.targets)


def test_cache_needs_no_recordings(data: Dataset, tree: Path, kws20: ModuleType, tmp_path: Path) -> None:
    shutil.copytree(tree / "KWS/processed", tmp_path / "KWS/processed")
    assert len(kws20.datasets[0].load(tmp_path, Console(verbosity=-1)).train) == len(data.train)


@pytest.mark.parametrize("flac", [False, True])
def test_warns_about_what_is_missing(
    tree: Path, kws20: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flac: bool
) -> None:
    monkeypatch.setattr(speech_commands, "can_read_flac", lambda: flac)
    shutil.copytree(tree / "KWS/raw", tmp_path / "KWS/raw")
    console = Console(verbosity=-1)
    kws20.datasets[0].load(tmp_path, console)
    assert sum("librispeech" in text.lower() for text in console.warnings) == 1
    assert sum("continuing without raw_test" in text for text in console.warnings) == 1


def test_benchmark_files_go_to_the_test(tree: Path, kws20: ModuleType, tmp_path: Path, console: Console) -> None:
    shutil.copytree(tree / "KWS/raw", tmp_path / "KWS/raw")
    official = tmp_path / "KWS" / "raw_test"
    _write_wav(official / "yes" / FILES[0], _tone(16000, 0.5))
    _write_wav(official / "_unknown_" / f"bed_{FILES[0]}", _tone(16000, 0.5))
    _write_wav(official / "_silence_" / "s_0.wav", _tone(16000, 0.001))
    data = kws20.datasets[0].load(tmp_path, console)
    counts = [torch.bincount(part.targets, minlength=21) for part in (data.train, data.test)]
    yes, unknown = LABELS_20.index("yes"), 20
    assert [counts[0][yes].item(), counts[1][yes].item()] == [3, 2]
    assert [counts[0][unknown].item(), counts[1][unknown].item()] == [15 * 6 - 3, 16]


def test_pieces_of_librispeech_are_unknown_words(data: Dataset, tree: Path, kws20: ModuleType, tmp_path: Path) -> None:
    console = Console(verbosity=-1)
    shutil.copytree(tree / "KWS", tmp_path / "KWS")  # with the cache made without LibriSpeech
    for number in range(3):
        _write_wav(tmp_path / f"KWS/raw/librispeech/84_{number}.wav", _tone(SAMPLES, 0.9))
    train = kws20.datasets[0].load(tmp_path, console).train
    assert len(train) == len(data.train) + 9
    assert train.targets[:9].tolist() == [20] * 9 and train.raw[0].max() > 240
    assert not any("LibriSpeech" in text for text in console.warnings)


def test_unpacks_the_archive(tree: Path, data: Dataset, kws20: ModuleType, tmp_path: Path, console: Console) -> None:
    (tmp_path / "KWS").mkdir()
    with tarfile.open(tmp_path / "KWS/speech_commands_v0.02.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(tree / "KWS/raw", arcname=".")
    assert torch.equal(kws20.datasets[0].load(tmp_path, console).test.raw, data.test.raw)


def test_damaged_archive(kws20: ModuleType, tmp_path: Path, console: Console) -> None:
    (tmp_path / "KWS").mkdir()
    archive = tmp_path / "KWS/speech_commands_v0.02.tar.gz"
    archive.write_bytes(b"\x1f\x8b\x08 not really")
    with pytest.raises(Ai8xError, match="the archive is damaged") as caught:
        kws20.datasets[0].load(tmp_path, console)
    assert str(archive) in str(caught.value)
    assert not (tmp_path / "KWS/raw").exists() and not list((tmp_path / "KWS/processed").glob("*.part"))


def test_nothing_there_and_no_network(kws20: ModuleType, tmp_path: Path, console: Console) -> None:
    with pytest.raises(Ai8xError, match=r"put speech_commands_v0\.02\.tar\.gz into .*KWS") as caught:
        kws20.datasets[0].load(tmp_path, console)
    assert "\n" not in str(caught.value)


def test_incomplete_folder(tree: Path, kws20: ModuleType, tmp_path: Path, console: Console) -> None:
    shutil.copytree(tree / "KWS/raw", tmp_path / "KWS/raw")
    shutil.rmtree(tmp_path / "KWS/raw/zero")
    with pytest.raises(Ai8xError, match=r"must contain all of Speech Commands.*'zero' is missing"):
        kws20.datasets[0].load(tmp_path, console)


@pytest.mark.parametrize("damage", ["text", "empty", "stereo", "rate"])
def test_damaged_recording_is_named_and_leaves_no_cache(
    tree: Path, kws20: ModuleType, tmp_path: Path, console: Console, damage: str
) -> None:
    shutil.copytree(tree / "KWS/raw", tmp_path / "KWS/raw")
    path = tmp_path / "KWS/raw/bird" / FILES[1]
    if damage in ("text", "empty"):
        path.write_bytes(b"RIFFnothing" if damage == "text" else b"")
    else:
        _write_wav(path, _tone(1000, 0.5), rate=8000 if damage == "rate" else 16000, channels=1 + (damage == "stereo"))
    with pytest.raises(Ai8xError, match=r"WAV (file|with one channel)") as caught:
        kws20.datasets[0].load(tmp_path, console)
    assert str(path) in str(caught.value)
    assert not list((tmp_path / "KWS/processed").glob("*speech*/*.npy"))


def test_damaged_recordings_are_counted(tree: Path, kws20: ModuleType, tmp_path: Path, console: Console) -> None:
    shutil.copytree(tree / "KWS/raw", tmp_path / "KWS/raw")
    for name in ("bird", "zero"):
        path = tmp_path / "KWS/raw" / name / FILES[1]
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Ai8xError, match=r"bird/.*\.wav: 2 of \d+ recordings are damaged; .*it is truncated: \d"):
        kws20.datasets[0].load(tmp_path, console)


WAV_DAMAGE = {
    "cut off": lambda c: c[:-1],
    "in the header": lambda c: c[:30],
    "longer": lambda c: c + b"x",
    "whole chunk more": lambda c: c + b"junk" + bytes(4),
    "size of the file": lambda c: c[:4] + b"\0" + c[5:],
    "size of the data, smaller": lambda c: c[:40] + (len(c) - 44 - 10).to_bytes(4, "little") + c[44:],
    "size of the data, larger": lambda c: c[:40] + b"\xff\xff\xff\xff" + c[44:],
    "size of the format": lambda c: c[:16] + b"\x08" + c[17:],
    "bytes per second": lambda c: c[:28] + b"\x01" + c[29:],
    "bytes per sample": lambda c: c[:32] + b"\x01" + c[33:],
    "kind": lambda c: c[:20] + b"\x55" + c[21:],
    "name of a chunk": lambda c: c[:36] + b"dada" + c[40:],
}


@pytest.mark.parametrize("damage", WAV_DAMAGE.values(), ids=WAV_DAMAGE)
def test_damaged_sizes_are_not_accepted(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.wav"
    _write_wav(path, _tone(1000, 0.5))
    assert len(read_wav(path)) == 1000
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Ai8xError, match=r"a\.wav: .*WAV (file|with one channel)"):
        read_wav(path)


def test_silence_is_prepared_but_not_part_of_the_set(data: Dataset, tree: Path) -> None:
    (folder,) = (tree / "KWS/processed").glob("speech-commands-*")
    words = {name: np.load(folder / f"{name}-words.npy") for name in ("train", "validation")}
    assert {name: int((array == 0).sum()) for name, array in words.items()} == {"train": 16 * 3, "validation": 2 * 3}
    assert len(data.train) == (words["train"] > 0).sum()
