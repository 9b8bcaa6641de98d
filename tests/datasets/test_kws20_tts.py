from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset
from ai8x_tool.data.espeak import Espeak, Utterance, synthesize
from ai8x_tool.data.speech import COMMAND_WORDS, SAMPLES
from ai8x_tool.data.stock_inputs import LABELS_20
from ai8x_tool.errors import Ai8xError

WORDS = ("stop", "seven", "bed")

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="eSpeak NG is not installed (the extra 'speech')"
)


def _plans(kws20_tts: ModuleType) -> dict[str, object]:
    voices = {"train": ("m3", "f2"), "validation": ("m4",), "test": ("f5",)}
    return {
        name: replace(plan, voices=voices[name], words=WORDS, repeats=2, accents=("en-us", "en"))
        for name, plan in kws20_tts.PLANS.items()
    }


@pytest.fixture(scope="module")
def tiny(kws20_tts: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return kws20_tts.load(tmp_path_factory.mktemp("tts"), Console(verbosity=-1), _plans(kws20_tts))


@needs_espeak
def test_targets_and_counts(tiny: Dataset) -> None:
    assert tiny.validation is not None
    assert [len(part) for part in (tiny.train, tiny.validation, tiny.test)] == [12, 6, 6]
    stop, seven, unknown = LABELS_20.index("stop"), LABELS_20.index("seven"), 20
    assert tiny.test.targets.tolist() == [stop, stop, seven, seven, unknown, unknown]
    inputs, _ = tiny.test.batch(torch.arange(6))
    assert inputs.shape == (6, 128, 128) and inputs.min() >= -128 and inputs.max() <= 127


@needs_espeak
def test_recordings_look_like_speech_commands(tiny: Dataset) -> None:
    signal = tiny.test.raw.float() - 128
    assert (signal.abs().amax(dim=1) > 45).all()  # loud enough, at least −8 dB of full scale
    assert (signal[:, 16000:] == 0).all()  # one second of sound, the rest is padding
    energy = signal**2
    middle = (energy * torch.arange(SAMPLES)).sum(1) / energy.sum(1)
    assert ((middle > 4000) & (middle < 12000)).all()
    # Word and background: most of the energy lies inside the tenths of a second at both ends.
    assert (energy[:, 1600:14400].sum(1) / energy.sum(1) > 0.9).all()
    assert any(len(row[:1000].unique()) > 1 for row in tiny.test.raw)  # silence is not digital zero


@needs_espeak
def test_clips_of_a_word_differ(tiny: Dataset) -> None:
    rows = [tuple(row.tolist()) for row in tiny.train.raw]
    assert len(set(rows)) == len(rows)


@needs_espeak
def test_only_training_is_augmented(tiny: Dataset) -> None:
    indices = torch.arange(6)
    for part, changes in ((tiny.train, True), (tiny.validation, False), (tiny.test, False)):
        assert part is not None
        plain = part.batch(indices)[0]
        assert torch.equal(plain, part.batch(indices, torch.Generator().manual_seed(1))[0]) is not changes


@needs_espeak
def test_same_samples_in_another_process(
    tiny: Dataset, kws20_tts: ModuleType, tmp_path: Path, console: Console
) -> None:
    # Something else is spoken in this process first; every build speaks in a process of its own.
    Espeak().speak(Utterance("anything", "en+m1"))
    again = kws20_tts.load(tmp_path, console, _plans(kws20_tts))
    assert tiny.validation is not None and again.validation is not None
    for old, new in ((tiny.train, again.train), (tiny.validation, again.validation), (tiny.test, again.test)):
        assert torch.equal(old.raw, new.raw) and torch.equal(old.targets, new.targets)


@needs_espeak
def test_cached_set_needs_no_espeak(
    kws20_tts: ModuleType, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kws20_tts.load(tmp_path, console, _plans(kws20_tts))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert torch.equal(kws20_tts.load(tmp_path, console, _plans(kws20_tts)).train.raw, first.train.raw)
    assert (tmp_path / "KWS_TTS").is_dir()


def test_missing_espeak_names_the_extra(
    kws20_tts: ModuleType, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Ai8xError, match=r"pip install ai8x-tool\[speech\]") as caught:
        kws20_tts.datasets[0].load(tmp_path, console)
    assert "\n" not in str(caught.value)


def test_voices_are_in_exactly_one_split(kws20_tts: ModuleType) -> None:
    parts = defaultdict(set)
    for name, plan in kws20_tts.PLANS.items():
        assert len(set(plan.voices)) == len(plan.voices)
        for utterance in plan.utterances():
            parts[utterance.voice.split("+")[1]].add(name)
    assert all(len(names) == 1 for names in parts.values())
    assert len(parts) > 75


def test_entry_and_size(kws20_tts: ModuleType) -> None:
    (entry,) = kws20_tts.datasets
    assert entry.name == "KWS_20_TTS" and entry.note == "synthetic speech (eSpeak NG)" and entry.input == (128, 128)
    assert tuple(entry.labels) == LABELS_20 and len(entry.class_weights) == 21
    sizes = {name: len(plan) for name, plan in kws20_tts.PLANS.items()}
    assert 12000 <= sizes["train"] <= 20000 and 1800 <= sizes["validation"] <= 2500 and sizes["test"] >= 3000
    for plan in kws20_tts.PLANS.values():
        utterances = plan.utterances()
        assert len(utterances) == len(plan) and {item.text for item in utterances} == set(COMMAND_WORDS)
        assert utterances == plan.utterances()


@needs_espeak
def test_every_voice_exists(kws20_tts: ModuleType) -> None:
    every = {f"{accent}+{voice}" for plan in kws20_tts.PLANS.values() for voice in plan.voices for accent in ("en",)}
    every |= {f"{accent}+f2" for accent in kws20_tts.ACCENTS}
    clips = list(synthesize([Utterance("yes", voice) for voice in sorted(every)]))
    assert len(clips) == len(every)
    assert all(rate == 22050 and 3000 < len(samples) < 40000 for rate, samples in clips)
    assert all(np.abs(samples.astype(int)).max() > 2000 for _, samples in clips)


@needs_espeak
def test_parameters_are_heard() -> None:
    slow, fast, other = (
        samples
        for _, samples in synthesize(
            [Utterance("seven", "en+m3", rate=100), Utterance("seven", "en+m3", rate=250), Utterance("no", "en+m3")]
        )
    )
    assert len(slow) > 1.3 * len(fast) and len(other) != len(fast)


@needs_espeak
def test_unknown_voice_is_one_clear_line() -> None:
    with pytest.raises(Ai8xError, match=r"no voice 'en-zz\+m3'"):
        Espeak().speak(Utterance("yes", "en-zz+m3"))
    with pytest.raises(Ai8xError, match=r"failed at 'yes': eSpeak NG has no voice 'en-zz\+m3'"):
        list(synthesize([Utterance("yes", "en-zz+m3")]))


@needs_espeak
def test_dying_process_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Ai8xError, match="eSpeak NG failed at 'yes': no message"):
        list(synthesize([Utterance("yes", "en+m3")] * 5000))


@needs_espeak
def test_interrupted_speaking_leaves_no_cache(kws20_tts: ModuleType, tmp_path: Path, console: Console) -> None:
    plans = _plans(kws20_tts)
    plans["test"] = replace(plans["test"], voices=("no such voice",))
    with pytest.raises(Ai8xError, match="no such voice"):
        kws20_tts.load(tmp_path, console, plans)
    assert not [path for path in (tmp_path / "KWS_TTS").iterdir() if path.is_dir()]


@needs_espeak
def test_speaking_process_does_not_import_torch() -> None:
    code = "import sys, ai8x_tool.data.espeak; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
