"""Recordings of Speech Commands v0.02, with segments of background noise and LibriSpeech."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ai8x_tool.data import wav
from ai8x_tool.data.download import Download, extract, fetch
from ai8x_tool.data.speech import COMMAND_WORDS, SAMPLE_RATE, SAMPLES
from ai8x_tool.errors import Ai8xError
from ai8x_tool.readers.text_file import read_text

if TYPE_CHECKING:
    from ai8x_tool.console import Console

SILENCE, LIBRISPEECH = "_silence_", "librispeech"
NOISE = "_background_noise_"
# Position = class number of a folder.
FOLDERS = tuple(sorted((*COMMAND_WORDS, SILENCE, LIBRISPEECH)))

_SERVER = "http://download.tensorflow.org/data/"
COMMANDS = Download(
    "speech_commands_v0.02.tar.gz",
    2428923189,
    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    [f"{_SERVER}speech_commands_v0.02.tar.gz"],
)
BENCHMARK = Download(
    "speech_commands_test_set_v0.02.tar.gz",
    112563277,
    "sha256:cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
    [f"{_SERVER}speech_commands_test_set_v0.02.tar.gz"],
)
LIBRISPEECH_DEV = Download(
    "dev-clean.tar.gz",
    337926286,
    "sha256:76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    ["https://www.openslr.org/resources/12/dev-clean.tar.gz"],
)

_LONGEST_LIST = 1 << 24
_SILENCES_PER_FILE = 560
_SILENCE_SEED = 6
# A LibriSpeech segment extends this far before and after the block in which speech begins.
_BEFORE, _AFTER, _BLOCK = 3840, 12544, 128


@dataclass(frozen=True)
class Recording:
    """The `samples` (float32, −1…1, 16 kHz) of a word, which is the name of its folder.

    `group` orders the recordings of one split so that every dataset is a contiguous range of it: LibriSpeech 0,
    words 1, silence 2 in training and validation; words 0, words of the official benchmark 1, silence 2 in the test.
    """

    word: str
    group: int
    samples: NDArray[np.float32]


@dataclass(frozen=True)
class RecordingFolders:
    """Folders of Speech Commands and, if present, of the benchmark set and LibriSpeech."""

    raw: Path
    benchmark: Path | None
    librispeech: Path | None


def find_commands(folder: Path, console: Console) -> Path:
    """Return ``raw`` in `folder`, unpacked from the archive there or downloaded. Raises Ai8xError if incomplete."""
    raw = folder / "raw"
    if not raw.is_dir() or not any(raw.iterdir()):
        extract(fetch(COMMANDS, folder, console), raw, console)
    for name in (*COMMAND_WORDS, NOISE, "testing_list.txt", "validation_list.txt"):
        if not (raw / name).exists():
            fix = f"delete the folder; it will be unpacked again from {COMMANDS.name}"
            raise Ai8xError(
                f"the folder must contain all of Speech Commands v0.02, but {name!r} is missing",
                where=str(raw),
                fix=fix,
            )
    return raw


def find_optional(folder: Path, name: str, download: Download, console: Console) -> Path | None:
    """Return `name` in `folder`, unpacked or downloaded; None, with a warning, if it is not available."""
    if not (folder / name).is_dir():
        try:
            extract(fetch(download, folder, console), folder / name, console)
        except Ai8xError as error:
            console.warn(f"continuing without {name}: {error}")
            return None
    return folder / name


def find_librispeech(folder: Path, console: Console, *, download: bool) -> Path | None:
    """Return the folder of LibriSpeech, whose sentences are additional unknown words, or None with a warning."""
    pieces = folder / "raw" / LIBRISPEECH
    if pieces.is_dir():
        return pieces
    without = "continuing without LibriSpeech as unknown words"
    if not can_read_flac():
        console.warn(f"{without}: reading FLAC requires 'pip install soundfile'")
        return None
    if download:
        return find_optional(folder, LIBRISPEECH, LIBRISPEECH_DEV, console)
    if not (folder / LIBRISPEECH).is_dir():
        console.warn(f"{without}: {folder / LIBRISPEECH} does not exist")
        return None
    return folder / LIBRISPEECH


def can_read_flac() -> bool:
    """Return whether a FLAC decoder is installed."""
    return importlib.util.find_spec("soundfile") is not None


def read_wav(path: Path) -> NDArray[np.float32]:
    """Return the samples of a 16-bit mono 16 kHz WAV file as −1…1. Raises Ai8xError for other files."""
    file = wav.read_wav(path)
    if (file.kind, file.channels, file.bits, file.rate) != (wav.PCM, 1, 16, SAMPLE_RATE) or not file.frames:
        raise Ai8xError("the file must be WAV with one channel, 16 bits, at 16 kHz", where=str(path))
    samples: NDArray[np.float32] = np.frombuffer(file.frames, dtype="<i2").astype(np.float32) / np.float32(32768)
    return samples


def list_words(sources: RecordingFolders) -> dict[str, list[tuple[str, int, Path]]]:
    """Return (word, group, file) of every word's recordings, sorted, for the splits train, validation and test."""
    listed = {
        name: set(read_text(sources.raw / f"{name}_list.txt", _LONGEST_LIST).split())
        for name in ("testing", "validation")
    }
    benchmark = _benchmark_files(sources.benchmark)
    splits: dict[str, list[tuple[str, int, Path]]] = {"train": [], "validation": [], "test": []}
    for word in COMMAND_WORDS:
        for path in sorted((sources.raw / word).glob("*.wav")):
            name = f"{word}/{path.name}"
            if name in benchmark:
                splits["test"].append((word, 1, path))
            elif name in listed["testing"]:
                splits["test"].append((word, 0, path))
            else:
                splits["validation" if name in listed["validation"] else "train"].append((word, 1, path))
    splits["test"].sort(key=lambda item: item[1])
    return splits


def _benchmark_files(folder: Path | None) -> set[str]:
    """Return ``word/file`` of the official test set, whose files of unknown words are named ``word_file``."""
    if folder is None:
        return set()
    known = {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.wav")}
    unknown = {path.name.replace("_", "/", 1) for path in folder.glob("_unknown_/*.wav")}
    return known | unknown


def recordings(split: str, words: list[tuple[str, int, Path]], sources: RecordingFolders) -> Iterator[Recording]:
    """Yield all recordings of `split` in the order of their groups, read one by one.

    Raises Ai8xError after all words if files are damaged, naming the first and their number.
    """
    if split == "train" and sources.librispeech is not None:
        yield from (Recording(LIBRISPEECH, 0, samples) for samples in _librispeech(sources.librispeech))
    damaged: list[Ai8xError] = []
    for word, group, path in words:
        try:
            samples = read_wav(path)
        except Ai8xError as error:
            damaged.append(error)
        else:
            yield Recording(word, group, samples)
    if damaged:
        first = damaged[0]
        count = f"{len(damaged)} of {len(words)} recordings are damaged; " if len(damaged) > 1 else ""
        raise Ai8xError(f"{count}{first.message}", where=first.where, fix=first.fix)
    if split == "test":
        silent = sorted((sources.benchmark / SILENCE).glob("*.wav")) if sources.benchmark else []
        yield from (Recording(SILENCE, 2, read_wav(path)) for path in silent)
    else:
        for number, samples in enumerate(_silences(sources.raw)):
            if (number % 9 == 8) == (split == "validation"):
                yield Recording(SILENCE, 2, samples)


def _silences(raw: Path) -> Iterator[NDArray[np.float32]]:
    """Yield 560 random segments of every background noise, always the same ones."""
    random = np.random.default_rng(_SILENCE_SEED)
    for path in sorted((raw / NOISE).glob("*.wav")):
        noise = read_wav(path)
        for start in random.integers(0, max(len(noise) - SAMPLES, 0) + 1, _SILENCES_PER_FILE).tolist():
            yield noise[start : start + SAMPLES]


def _librispeech(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the segments of all LibriSpeech files; a folder of ready segments contains WAV files."""
    for path in sorted(folder.rglob("*.wav")):
        yield read_wav(path)
    for path in sorted(folder.rglob("*.flac")):
        yield from voiced_pieces(_read_flac(path))


def _read_flac(path: Path) -> NDArray[np.float32]:
    soundfile = importlib.import_module("soundfile")
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (OSError, RuntimeError) as error:
        raise Ai8xError(
            f"cannot read the FLAC file: {error}", where=str(path), fix="download the file again"
        ) from error
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise Ai8xError("the file must be FLAC with one channel at 16 kHz", where=str(path))
    return np.asarray(samples, dtype=np.float32)


def voiced_pieces(signal: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the segments of 16384 samples of `signal` in which speech begins at sample 3840.

    The signal is scaled to peak 1. Speech begins at a block of 128 samples with a mean magnitude above 0.03 after at
    least 3840 samples; the search continues 12544 samples later and stops when fewer remain.
    """
    signal = signal / max(float(np.abs(signal).max(initial=0)), 1e-9)
    blocks = len(signal) // _BLOCK
    loudness = np.abs(signal[: blocks * _BLOCK]).reshape(blocks, _BLOCK).mean(axis=1)
    onsets = np.flatnonzero(1000 * loudness > 30) * _BLOCK
    onsets = onsets[(onsets >= _BEFORE) & (len(signal) - onsets >= _AFTER)]
    pieces = []
    while len(onsets):
        onset = int(onsets[0])
        pieces.append(signal[onset - _BEFORE : onset + _AFTER])
        onsets = onsets[onsets >= onset + _AFTER]
    return pieces
