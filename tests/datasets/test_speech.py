from __future__ import annotations

import numpy as np
import pytest
import torch

from ai8x_tool.data.speech import (
    SAMPLES,
    add_white_noise,
    class_numbers,
    fold_audio,
    quantize_audio,
    shift,
    shift_limits,
    speech_split,
)
from ai8x_tool.data.speech_commands import FOLDERS, voiced_pieces
from ai8x_tool.data.stock_inputs import LABELS_20


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1, 0), (-0.5, 64), (-0.01, 127), (0, 128), (0.01, 129), (0.25, 160), (0.5, 192), (0.99, 255), (1, 255)],
)
def test_quantization_table(value: float, expected: int) -> None:
    assert quantize_audio(torch.tensor([value])).item() == expected


def test_quantization_rounds_half_to_even_and_clips() -> None:
    assert quantize_audio(torch.tensor([0.5, 1.5, 2.5]) / 128).tolist() == [128, 130, 130]
    assert quantize_audio(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("speed", "limits"), [(1.0, (-1600, 1984)), (0.9, (-1440, 3424)), (1.1, (-1760, 544)), (0.95, (-1520, 2704))]
)
def test_shift_limits_table(speed: float, limits: tuple[int, int]) -> None:
    assert shift_limits(16000, speed) == limits


def test_shift_limits_of_a_short_recording() -> None:
    assert shift_limits(8000) == (-1600, 9984)


def test_folding_formula() -> None:
    raw = torch.randint(0, 256, (2, SAMPLES), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    folded = fold_audio(raw)
    assert folded.shape == (2, 128, 128) and folded.dtype == torch.float32
    channel, time = np.meshgrid(np.arange(128), np.arange(128), indexing="ij")
    np.testing.assert_array_equal(folded[1].numpy(), raw[1].numpy()[128 * time + channel].astype(int) - 128)


def test_shift_is_circular_and_reaches_exactly_its_limits() -> None:
    raw = torch.zeros(4000, 64, dtype=torch.uint8)
    raw[:, 10] = 1
    limits = torch.tensor([[-12, 5]], dtype=torch.int16).expand(4000, 2)
    position = shift(raw, limits, torch.Generator().manual_seed(2)).argmax(dim=1)
    moved = (position - 10 + 32) % 64 - 32
    assert sorted(set(moved.tolist())) == list(range(-12, 5))


def test_shift_with_limits_of_its_own_for_each_row() -> None:
    raw = torch.arange(8, dtype=torch.uint8).repeat(3, 1)
    limits = torch.tensor([[2, 3], [-1, 0], [3, 3]], dtype=torch.int16)
    moved = shift(raw, limits, torch.Generator().manual_seed(0))
    assert moved[0].tolist() == [6, 7, 0, 1, 2, 3, 4, 5]
    assert moved[1].tolist() == [1, 2, 3, 4, 5, 6, 7, 0]
    assert moved[2].tolist() == list(range(8))  # an empty range: the row stays


def test_noise_has_integer_ratios_between_minus_4_and_19_decibels() -> None:
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(SAMPLES, dtype=torch.float32)
    tone = (128 + 40 * torch.sin(time / 5)).round().to(torch.uint8).repeat(400, 1)
    noise = add_white_noise(tone, generator).float() - tone.float()
    # Truncation of the noise to integers lowers its power noticeably where it is small: look at strong noise only.
    ratio = 10 * torch.log10(tone[0].float().var(correction=0) / noise.var(dim=1, correction=0))
    assert -4.2 < ratio.min() < -3.5
    strong = ratio[ratio < 0]
    assert len(strong) > 20 and (strong - strong.round()).abs().max() < 0.3
    assert ratio.max() > 18
    assert noise.mean().abs() < 0.2


def test_noise_clips_instead_of_wrapping() -> None:
    raw = torch.tensor([0, 255], dtype=torch.uint8).repeat(4, 500)
    noisy = add_white_noise(raw, torch.Generator().manual_seed(0))
    assert noisy[:, ::2].float().mean() < 80 and noisy[:, 1::2].float().mean() > 175


def test_training_part_augments_and_is_reproducible() -> None:
    raw = torch.randint(0, 256, (6, SAMPLES), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    limits = torch.tensor([[-1600, 1984]], dtype=torch.int16).expand(6, 2)
    part = speech_split(raw, torch.arange(6), limits)
    indices = torch.tensor([4, 1])
    plain, targets = part.batch(indices)
    assert targets.tolist() == [4, 1]
    assert torch.equal(plain, fold_audio(raw[indices]))
    first, _ = part.batch(indices, torch.Generator().manual_seed(7))
    again, _ = part.batch(indices, torch.Generator().manual_seed(7))
    other, _ = part.batch(indices, torch.Generator().manual_seed(8))
    assert torch.equal(first, again) and not torch.equal(first, other) and not torch.equal(first, plain)
    assert first.min() >= -128 and first.max() <= 127 and torch.equal(first, first.round())


def test_class_numbers() -> None:
    assert class_numbers(("up", "zero", "bed", "librispeech"), LABELS_20).tolist() == [0, 19, 20, 20]
    assert len(LABELS_20) == 21


def test_folder_numbers() -> None:
    expected = {"_silence_": 0, "backward": 1, "left": 16, "librispeech": 17, "marvin": 18, "zero": 36}
    assert {name: FOLDERS.index(name) for name in expected} == expected


def test_voiced_pieces() -> None:
    signal = np.zeros(60000, dtype=np.float32)
    signal[1280:1408] = 0.25  # too early: fewer than 3840 samples precede
    signal[6400:6528] = 0.5
    signal[7000:7500] = 0.5  # within the first piece
    signal[6400 + 12544 : 6400 + 12672] = 0.02  # scaled to peak 1: 0.04, loud enough
    signal[59000:] = 0.5  # too late: fewer than 12544 samples remain
    pieces = voiced_pieces(signal)
    assert [len(piece) for piece in pieces] == [SAMPLES, SAMPLES]
    np.testing.assert_allclose(pieces[0], 2 * signal[6400 - 3840 : 6400 + 12544])
    np.testing.assert_allclose(pieces[1], 2 * signal[6400 + 12544 - 3840 : 6400 + 2 * 12544])


def test_quiet_signal_has_no_voiced_pieces() -> None:
    signal = np.full(40000, 0.001, dtype=np.float32)
    signal[0] = 1
    assert voiced_pieces(signal) == []
