"""Vibration spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins import find as plugins
from tests.support import dataset_layouts as layouts

motor = plugins.load_plugin(Path(__file__).resolve().parents[2] / "datasets" / "samplemotordatalimerick.py")


def test_decimation_is_scipys():
    time = np.arange(600) / 20000
    signal = np.stack([np.sin(2 * np.pi * tone * time) for tone in (100, 700, 3000)], axis=1)
    expected = [  # scipy.signal.decimate(signal, 10, axis=0, ftype="iir", zero_phase=True), SciPy 1.17.1
        [-2.2032943156e-03, -4.9883611641e-02, 1.9468394883e-03],
        [3.0769489520e-01, 8.2201152870e-01, 5.3322166955e-03],
        [3.1536956702e-05, 7.2138603930e-04, -6.6952182546e-06],
        [-2.7821786798e-01, -3.5289432141e-01, -1.0500952769e-01],
    ]
    found = motor.decimate(signal)
    assert found.shape == (60, 3)
    np.testing.assert_allclose(found[[0, 1, 30, 59]], expected, atol=1e-9)


def test_spectra_show_the_tone():
    time = np.arange(40000) / 20000
    signal = np.stack([np.sin(2 * np.pi * tone * time) for tone in (100, 400, 700)], axis=1)
    samples = motor.spectra(signal)
    assert samples.shape == (29, 256, 3) and samples.dtype == np.int8
    assert (samples.argmax(axis=1) == [25, 100, 175]).all()  # bins of 4 Hz
    assert not samples[:, :3].any() and not samples[:, -10:].any()
    assert (samples.max(axis=1) == 127).all() and (samples[:, 3:-10].min(axis=1) == -128).all()


def test_parts(tmp_path, console):
    layouts.motor(tmp_path)
    healthy = plugins.find_dataset("SampleMotorDataLimerick_ForTrain").load(tmp_path, console)
    everything = plugins.find_dataset("SampleMotorDataLimerick_ForEvalWithAnomalyLabel").load(tmp_path, console)
    assert (len(healthy.train), len(healthy.test)) == (2 * 8, 2 * 2) and not healthy.test.targets.any()
    assert everything.test.targets.tolist() == [0] * 4 + [1] * 10 and len(everything.train) == 16
    inputs, _ = healthy.train.batch(healthy.train.targets[:2] + 1)
    assert inputs.shape == (2, 256, 3) and inputs.min() == -128 and inputs.max() == 127


def test_what_is_wrong(tmp_path, console):
    load = plugins.find_dataset("SampleMotorDataLimerick_ForTrain").load
    with pytest.raises(Ai8xError, match="no recordings of a healthy motor"):
        load(tmp_path, console)
    layouts.motor(tmp_path, rows=5100)
    folder = tmp_path / motor.NAME / motor.RECORDINGS
    file = min(folder.glob("*GoB*"))
    for text, words in (("1;2\n3;x\n", "cannot be read as a recording"), ("1;2;3;4;5;6;7\n", "1×7 numbers are no")):
        file.write_text(text)
        with pytest.raises(Ai8xError, match=words):
            load(tmp_path, console)
