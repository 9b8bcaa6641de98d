"""Inputs on which a user goes wrong, each in a folder of its own: what the command reports, or that it works."""

from __future__ import annotations

import shutil

import pytest

from tests.support.case_folders import cases_folder

SAMPLES = {"residual": "sample_shapes32.npy", "cut-network": "sample_dots.npy", "plain-torch": "sample_dots.npy"}
TRAIN = ("--dataset", "dots", "--epochs", "2", "--batch-size", "8", "--qat-policy", "qat.yaml", "-j", "0", "--cpu")
DIFFERENCE = "error: b1a (models/resnet18x.py:19; bad_no_relu.yaml:20): activation: ReLU in the model, none in the"
DESCRIPTIONS = [
    ("residual", "i3.yaml", ["error: i3.yaml:64: layer 7 (b2b)", "that the layer has yet to read"]),
    ("residual", "bad_wrong_inoffset.yaml", ["bad_wrong_inoffset.yaml:37: layer 4 (t1)", "is read from processor 0"]),
    ("residual", "bad_no_relu.yaml", [DIFFERENCE]),
    (
        "residual",
        "bad_no_flatten.yaml",
        [":144: layer 16 (fc)", "256 weights against 16×4×4 values: add flatten: true"],
    ),
    ("residual", "bad_no_pool.yaml", [":142: layer 16 (fc)", "is pooling missing in a preceding layer?"]),
    ("residual", "bad_no_inseq_add.yaml", [":37: layer 4 (t1)", "name 2 sources with in_sequences"]),
    ("emoji", "n.yaml", ["error: n.yaml:100: layer 0: unknown key 'max_pol'; did you mean 'max_pool'?"]),
    ("conv1d-kernel", "k.yaml", ["(layer 1 of k.yaml)", "set it to 1, or"]),
    ("conv1d-kernel", "k1.yaml", ["k1.yaml:22: layer 1", "for example 3 instead of 3x1"]),
]
"""Folder, description, and what is reported; nothing is written."""


@pytest.fixture
def case(tmp_path, monkeypatch):
    """Enter a copy of a case's folder."""
    if not cases_folder().is_dir():
        pytest.skip(f"no cases at {cases_folder()} (set AI8X_SHARED)")

    def enter(name):
        folder = shutil.copytree(cases_folder() / name, tmp_path / name)
        monkeypatch.chdir(folder)
        return folder

    return enter


@pytest.mark.parametrize(("name", "network", "texts"), DESCRIPTIONS, ids=lambda value: str(value)[:24])
def test_wrong_descriptions(case, ai8x, name, network, texts):
    folder = case(name)
    sample = ("--sample-input", SAMPLES[name]) if name in SAMPLES else ()
    result = ai8x("synthesize", "--network", network, "--checkpoint", "q.pth.tar", *sample, "--output", "out")
    assert result.exit_code == 1
    for text in texts:
        assert text in result.stderr
    assert not (folder / "out").exists()


def test_the_likely_cause_is_not_the_processors(case, ai8x):
    """Nothing is wrong with them."""
    case("residual")
    for network in ("bad_no_flatten.yaml", "bad_no_pool.yaml", "bad_no_inseq_add.yaml"):
        result = ai8x("synthesize", "--network", network, "--checkpoint", "q.pth.tar", "--output", "out")
        assert "processors" not in result.stderr


def test_a_difference_can_be_accepted(case, ai8x):
    folder = case("residual")
    files = ("--checkpoint", "q.pth.tar", "--sample-input", SAMPLES["residual"], "--output", "out")
    assert ai8x("synthesize", "--network", "bad_no_relu.yaml", *files, "--no-verify").exit_code == 0
    assert (folder / "out" / "cnn.c").is_file()


def test_descriptions_that_end_before_the_model(case, ai8x):
    case("cut-network")
    files = ("--checkpoint-file", "q.pth.tar", "--sample-input", SAMPLES["cut-network"], "-o", "out")
    result = ai8x("synthesize", "--config-file", "cut.yaml", *files)
    assert result.exit_code == 0
    assert "no layer of cut.yaml uses the weights of fc" in result.output
    assert "the model's values are the outputs times 2^8" in result.output
    assert "same structure: the description and the model cutnet" in result.output


def test_biases_follow_the_checkpoint(case, ai8x):
    case("verify-bias")
    files = ("--checkpoint", "q.pth.tar", "--sample-input", "sample_dots.npy", "--no-firmware")
    result = ai8x("verify", "--config-file", "partbias.yaml", *files)
    assert result.exit_code == 0
    assert "quantized ≡ engine (3 layers" in result.output


def test_samples_beyond_the_split(case, ai8x):
    case("verify-bias")
    options = ("--use-bias", "--checkpoint", "q.pth.tar", "-8", "--save-sample", "20", "-j", "0", "--cpu")
    result = ai8x("evaluate", "--model", "partbias", "--dataset", "dots", *options)
    assert result.exit_code == 1
    assert "--save-sample 20: the test split of dots has 16 samples (choose a number from 0 to 15)" in result.stderr


@pytest.mark.parametrize(
    ("name", "model", "texts"),
    [
        ("wide-inside", "wideinside", ["models/wideinside.py:12: fc2", "remove wide=True from 'fc1'"]),
        ("plain-torch", "lstm", ["models/plain.py:20: lstm", "is a plain nn.LSTM"]),
    ],
)
def test_models_that_cannot_run(case, ai8x, name, model, texts):
    """They are refused before the first epoch."""
    folder = case(name)
    result = ai8x("train", "--model", model, *TRAIN)
    assert result.exit_code == 1
    for text in texts:
        assert text in result.stderr
    assert not (folder / "logs").exists()


@pytest.mark.parametrize(
    ("name", "model", "dataset"),
    [
        ("plain-torch", "plain", "dots"),
        ("stride2", "stridenet", "dots"),
        ("view-one-channel", "onechannel", "dots3"),
    ],
)
def test_models_that_are_converted(case, ai8x, name, model, dataset):
    """They train, and what is trained becomes a program that is verified."""
    case(name)
    assert ai8x("train", "--model", model, *TRAIN, "--dataset", dataset, "-q").exit_code == 0
    assert ai8x("quantize", "logs/latest/qat_best.pth.tar", "trained-q.pth.tar", "-q").exit_code == 0
    options = ("--model", model, "--dataset", dataset, "--checkpoint", "trained-q.pth.tar", "--output", "out")
    result = ai8x("synthesize", *options)
    assert result.exit_code == 0, result.output
    assert "all equal" in result.output


def test_reports(case, ai8x):
    """Training, evaluation and verification write a page each, with the numbers that they print."""
    folder = case("stride2")
    assert ai8x("train", "--model", "stridenet", *TRAIN, "--qat-policy", "none", "--html", "train.html").exit_code == 0
    assert "validation loss, epoch 1" in (folder / "train.html").read_text()
    options = ("--model", "stridenet", "--dataset", "dots", "--checkpoint", "q.pth.tar")
    result = ai8x("evaluate", *options, "-8", "--cpu", "-j", "0", "--html", "evaluate.html")
    shown = result.stdout.partition(" of ")[0]
    assert shown.startswith("Top1 ") and f"{shown} of 16 samples" in (folder / "evaluate.html").read_text()
    sample = ("--sample-input", "sample_dots.npy", "--no-firmware")
    assert ai8x("verify", *options, *sample, "--html", "verify.html").exit_code == 0
    text = (folder / "verify.html").read_text()
    for words in ("engine ≡ virtual device", "Data memory over the schedule", "Kernel memory", "all equal"):
        assert words in text
