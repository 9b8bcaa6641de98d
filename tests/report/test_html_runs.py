"""Pages of runs: they refer to nothing else, and show what was measured."""

from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ai8x_tool.report.html import evaluation_report, training_report
from ai8x_tool.report.html.charts import Curve, confusion_drawing, curve_drawing, wave_drawing
from ai8x_tool.report.html.png import png_bytes
from ai8x_tool.training.clipping import LayerClipping
from ai8x_tool.training.evaluation import EvaluateResult
from ai8x_tool.training.metrics import Score
from ai8x_tool.training.passes import BatchResult, Selection
from ai8x_tool.training.results import BestEpoch, EpochRecord, TrainResult
from ai8x_tool.training.shown_samples import ShownBox, ShownSample, WorstSamples
from ai8x_tool.training.tasks.base import MetricFormat
from ai8x_tool.training.tasks.classification import Classification

SCORE = Score(0.5, {"top1": 75.0, "top5": 100.0}, 4, ((2, 1), (0, 1)))
CLIPPING = (LayerClipping("conv<1>", 8, 0.01, 0.02, 0.25),)
WRONG = (
    ShownSample(7, np.zeros((3, 4, 4)), "cat", "dog, 90 %"),
    ShownSample(8, np.zeros((2, 4, 4)), "cat", "dog, 80 %"),
    ShownSample(9, np.linspace(-128, 127, 1024).reshape(1, 1024), "yes", "no, 70 %"),
)


class Page(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def checked(text):
    """Return a page that refers to nothing and runs nothing."""
    page = Page(text)
    assert not [tag for tag, _ in page.found if tag in ("script", "link", "iframe", "object")]
    for tag, attributes in page.found:
        for key in ("src", "href"):
            assert attributes.get(key, "data:").startswith("data:"), (tag, attributes)
    assert "://" not in text and "conv<1>" not in text
    return page


@pytest.fixture(scope="module")
def trained():
    epochs = [(0, "float", 2.0, 40.0, 30.0), (1, "float", 1.0, 60.0, None), (2, "qat", 0.5, 75.0, 70.0)]
    history = tuple(
        EpochRecord(loss, {"top1": top1}, epoch, phase, 0.1 / (epoch + 1), loss + 0.1, {"top1": own}, 1.5)
        for epoch, phase, loss, top1, own in epochs
    )
    return TrainResult(
        model="tiny & small",
        dataset="Pets",
        task="classification",
        folder=Path("logs/run"),
        checkpoint=Path("logs/run/qat_checkpoint.pth.tar"),
        best_checkpoint=Path("logs/run/qat_best.pth.tar"),
        best=BestEpoch(0.5, {"top1": 75.0}, 2),
        best_headline="Top1 75.00 %",
        history=history,
        test=SCORE,
        test_of_best=SCORE,
        test_headline="Top1 75.00 %",
        test_of_best_headline="Top1 75.00 %",
        labels=("cat", "dog"),
        note=None,
        metric=MetricFormat("top1", "Top1", 2, "%"),
        seed=1,
        seconds=4.5,
        clipping=CLIPPING,
        wrong=WRONG,
    )


def test_training(trained):
    text = training_report(trained)
    page = checked(text)
    for words in ("tiny &amp; small", "training Top1 in %, epoch 2: 70", "cat, predicted as dog: 1 of 3", "25.00 %"):
        assert words in text
    assert [attributes["alt"] for tag, attributes in page.found if tag == "img"] == ["sample 7", "sample 8"]
    assert 'aria-label="1 channels of 1024 values"' in text


def test_evaluation():
    result = EvaluateResult(
        model="tiny",
        dataset="Pets",
        checkpoint=Path("q.pth.tar"),
        simulate=True,
        task="classification",
        score=SCORE,
        headline="Top1 75.00 %",
        labels=("cat", "dog"),
        not_compared="--no-engine",
        clipping=CLIPPING,
        wrong=WRONG,
    )
    text = evaluation_report(result)
    checked(text)
    for words in ("Top1 75.00 % of 4 samples", "integers, as on the accelerator", "--no-engine", "dog, 90 %"):
        assert words in text


def test_samples_of_other_tasks():
    """Masks next to the input with a key of their classes, boxes on the image, outputs like the inputs."""
    masks = (("given", np.eye(4, dtype=np.int64)), ("found", np.full((4, 4), 5)))
    boxes = (ShownBox((0.25, 0.5, 1.5, 0.75), "c<a>t", found=False), ShownBox((0, 0, 1, 1), "dog", found=True))
    wave = np.linspace(-128, 127, 64).reshape(1, 64)
    cases = {
        "segmentation": ShownSample(1, np.zeros((12, 2, 2)), "", "25 %", maps=masks),
        "detection": ShownSample(2, np.zeros((1, 4, 4)), "given: cat", "found: dog", boxes=boxes),
        "reconstruction": ShownSample(3, wave, "normal", "error 1", output=wave),
    }
    shared = {"model": "m", "dataset": "d", "checkpoint": Path("q"), "simulate": False, "score": Score(0, {}, 1, ())}
    names = ("cat", "dog")
    pages = {
        task: evaluation_report(EvaluateResult(**shared, task=task, headline="", labels=names, wrong=(sample,)))
        for task, sample in cases.items()
    }
    found = {task: checked(text).found for task, text in pages.items()}
    images = [dict(attributes)["alt"] for tag, attributes in found["segmentation"] if tag == "img"]
    assert images == ["sample 1, input", "sample 1, given", "sample 1, found"]
    assert [pages["segmentation"].count(f"</span>{name}</span>") for name in (*names, "5")] == [1, 1, 1]
    outlines = [a for tag, a in found["detection"] if tag == "rect" and a["class"] in ("wanted", "detected")]
    assert [tuple(a[key] for key in ("class", "x", "width")) for a in outlines] == [
        ("wanted", "25.0", "75.0"),
        ("detected", "0.0", "100.0"),
    ]
    assert "c&lt;a&gt;t" in pages["detection"]
    assert pages["reconstruction"].count('aria-label="1 channels of 64 values"') == 2


def test_ticks_are_whole_epochs():
    for last in (1, 5, 37, 299):
        epochs = range(last + 1)
        drawing = curve_drawing(
            "loss", "loss", epochs, [Curve("loss", [None, *(1.0 for _ in epochs)][: last + 1], "c0")], 1
        )
        ticks = [
            label.text for label in drawing.labels if re.fullmatch(r"\d+", label.text) and label.anchor == "middle"
        ]
        assert 2 <= len(ticks) <= 14 and ticks[0] == "0"


def test_shares_of_rows():
    drawing = confusion_drawing("confusion", SCORE.confusion, ("cat",))
    styles = {box.title: box.style for box in drawing.boxes if box.title}
    assert styles["cat, predicted as cat: 2 of 3"] == "value right level-6"
    assert styles["cat, predicted as 1: 1 of 3"] == "value wrong level-3"
    assert styles["1, predicted as 1: 1 of 1"] == "value right level-9"


def test_folded_waveforms_are_unfolded():
    """Value after value lies in the next channel."""
    signal = np.repeat([-100.0, 100.0], 500)
    folded = signal.reshape(-1, 10).T
    (path,) = wave_drawing("wave", folded).paths
    heights = [float(y) for y in re.findall(r",([\d.]+)", path.line)]
    assert heights == sorted(heights, reverse=True) and heights[0] > heights[-1]


def test_png():
    pixels = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    data = png_bytes(pixels)
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (width, height, depth, kind) == (4, 2, 8, 2)
    start = data.index(b"IDAT")
    (size,) = struct.unpack(">I", data[start - 4 : start])
    rows = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + size]), np.uint8).reshape(2, 13)
    assert (rows[:, 0] == 0).all()
    assert (rows[:, 1:].reshape(2, 4, 3) == np.moveaxis(pixels, 0, 2)).all()


def test_the_most_wrong_samples_come_first():
    labels = ("a", "b", "c")
    settings = SimpleNamespace(out_fold_ratio=1)
    entry = SimpleNamespace(labels=labels, class_weights=None)
    task = Classification(SimpleNamespace(settings=settings, entry=entry, device="cpu", simulate=False))
    targets = torch.zeros(60, dtype=torch.int64)
    outputs = torch.zeros(60, 3)
    outputs[:, 1] = torch.linspace(-1, 5, 60)
    split = SimpleNamespace(batch=lambda indices: (indices.float()[:, None, None].expand(-1, 1, 8), None))
    samples = Selection(split, torch.arange(60) + 100)
    worst = WorstSamples(task, samples)
    for part in (slice(0, 40), slice(40, 60)):
        worst.add(BatchResult(outputs[part], targets[part]))
    found = worst.result()
    assert [sample.number for sample in found] == list(range(159, 135, -1))
    assert found[0].expected == "a" and found[0].found == "b, 99 %"
    assert (found[0].values == 159).all()
