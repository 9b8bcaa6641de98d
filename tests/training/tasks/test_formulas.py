"""Losses and metrics of the tasks against plain formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, smooth_l1_loss

from ai8x_tool.console import Console
from ai8x_tool.data.boxes import centers, corners, overlaps
from ai8x_tool.data.dataset import DatasetEntry
from ai8x_tool.data.folding import fold, unfold
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.task import TaskSettings
from ai8x_tool.training.metrics import progress_line
from ai8x_tool.training.tasks import Task, TaskContext, choose_task
from ai8x_tool.training.tasks.arcface import arcface_loss, initial_centers
from ai8x_tool.training.tasks.boxes import decode, detect, encode, pad_objects
from ai8x_tool.training.tasks.classification import ClassMeter
from ai8x_tool.training.tasks.detection import read_parameters
from ai8x_tool.training.tasks.distillation import soft_divergence
from ai8x_tool.training.tasks.embeddings import NeighborMeter
from ai8x_tool.training.tasks.multibox import MultiBoxLoss
from ai8x_tool.training.tasks.reconstruction import ReconstructionMeter, anomaly_metrics
from ai8x_tool.training.tasks.regression import SquaredErrorMeter, shaped_like
from ai8x_tool.training.tasks.segmentation import SegmentationMeter, intersection_over_union


def random_boxes(generator: torch.Generator, *shape: int) -> Tensor:
    """Center boxes inside the image."""
    place = torch.rand(*shape, 2, generator=generator) * 0.6 + 0.2
    return torch.cat([place, torch.rand(*shape, 2, generator=generator) * 0.3 + 0.05], dim=-1)


def plain_overlap(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def test_boxes() -> None:
    generator = torch.Generator().manual_seed(1)
    boxes, priors = random_boxes(generator, 3, 20), random_boxes(generator, 20)
    torch.testing.assert_close(centers(corners(boxes)), boxes)
    torch.testing.assert_close(decode(encode(corners(boxes), priors), priors), corners(boxes), atol=1e-5, rtol=1e-4)
    code = encode(corners(boxes), priors)[1, 4]
    box, prior = boxes[1, 4].tolist(), priors[4].tolist()
    assert code[0] == pytest.approx((box[0] - prior[0]) * 10 / prior[2], abs=1e-4)
    assert code[3] == pytest.approx(5 * math.log(box[3] / prior[3] + 1e-7), abs=1e-4)
    shares = overlaps(corners(boxes[0]), corners(priors))
    assert shares.shape == (20, 20)
    expected = plain_overlap(corners(boxes[0, 2]).tolist(), corners(priors[7]).tolist())
    assert float(shares[2, 7]) == pytest.approx(expected, abs=1e-5)


def test_objects_of_images_are_padded() -> None:
    box = torch.tensor([[0.1, 0.2, 0.3, 0.4]])
    objects = pad_objects([(box, torch.tensor([3])), (box[:0], torch.tensor([], dtype=torch.long))])
    assert objects.shape == (2, 1, 5) and objects[0, 0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 3])
    assert not objects[1].any()
    points = torch.rand(1, 4, 2)
    assert pad_objects([(box, points, torch.tensor([1]))]).shape == (1, 1, 13)


def plain_multibox(codes: Tensor, scores: Tensor, objects: Tensor, priors: Tensor, alpha: float, ratio: int) -> float:
    """Image by image."""
    found, wanted, confidence, positives = [], [], 0.0, 0
    for image in range(len(objects)):
        real = objects[image][objects[image, :, -1] > 0]
        labels = [0] * len(priors)
        if len(real):
            shares = overlaps(real[:, :4], corners(priors))
            best, owner = shares.max(dim=0)
            for number in range(len(real)):
                prior = int(shares[number].argmax())
                owner[prior], best[prior] = number, 1.0
            labels = [int(real[o, -1]) if share >= 0.5 else 0 for o, share in zip(owner, best, strict=True)]
            for prior, label in enumerate(labels):
                if label:
                    found.append(codes[image, prior])
                    wanted.append((real[owner[prior]], priors[prior]))
        losses = [float(cross_entropy(scores[image, p : p + 1], torch.tensor([v]))) for p, v in enumerate(labels)]
        count = sum(label > 0 for label in labels)
        positives += count
        confidence += sum(loss for loss, label in zip(losses, labels, strict=True) if label)
        confidence += sum(
            sorted((x for x, v in zip(losses, labels, strict=True) if not v), reverse=True)[: ratio * count]
        )
    if not positives:
        return float(cross_entropy(scores.flatten(0, 1), torch.zeros(scores.shape[0] * scores.shape[1]).long()))
    location = smooth_l1_loss(
        torch.stack([code[:4] for code in found]),
        torch.stack([encode(target[None, :4], prior[None])[0] for target, prior in wanted]),
    )
    for column in range(4, codes.shape[2], 2):
        points = torch.stack([target[column : column + 2] for target, _ in wanted])
        location = location + smooth_l1_loss(torch.stack([code[column : column + 2] for code in found]), points)
    return confidence / positives + alpha * float(location)


@given(seed=st.integers(0, 10**6), points=st.sampled_from([0, 4]), most=st.integers(0, 4))
def test_multibox_loss(seed: int, points: int, most: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    priors = random_boxes(generator, 30)
    boxes = corners(random_boxes(generator, 3, most))
    boxes[:, ::2] = corners(priors[:most])[::2] + 0.01  # some fit a prior well
    labels = torch.randint(0, 4, (3, most, 1), generator=generator).float()
    objects = torch.cat([boxes, torch.rand(3, most, 2 * points, generator=generator), labels], dim=2)
    codes = torch.randn(3, 30, 4 + 2 * points, generator=generator)
    scores = torch.randn(3, 30, 4, generator=generator)
    loss = MultiBoxLoss(priors, alpha=2, neg_pos_ratio=3)(codes, scores, objects)
    assert float(loss) == pytest.approx(plain_multibox(codes, scores, objects, priors, 2, 3), rel=1e-4)


def plain_suppression(
    boxes: Tensor, likely: Tensor, min_score: float, max_overlap: float, top_k: int
) -> set[tuple[int, int]]:
    """Class by class, greedily, then the best of all; returns (prior, label)."""
    kept = []
    for label in range(1, likely.shape[1]):
        order = [int(p) for p in likely[:, label].argsort(descending=True, stable=True) if likely[p, label] > min_score]
        while order:
            best = order.pop(0)
            kept.append((float(likely[best, label]), best, label))
            order = [p for p in order if plain_overlap(boxes[best].tolist(), boxes[p].tolist()) <= max_overlap]
    return {(prior, label) for _, prior, label in sorted(kept, reverse=True)[:top_k]}


@given(seed=st.integers(0, 10**6), top_k=st.sampled_from([1, 5, 50]))
def test_detections(seed: int, top_k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    priors = random_boxes(generator, 40)
    codes, scores = torch.randn(3, 40, 12, generator=generator), 2 * torch.randn(3, 40, 4, generator=generator)
    scores[1] = torch.tensor([9.0, 0, 0, 0])  # nothing but background
    found = detect(codes, scores, priors, min_score=0.4, max_overlap=0.3, top_k=top_k)
    boxes = decode(codes, priors)
    for image, detections in enumerate(found):
        likely = scores[image].softmax(dim=1)
        got = list(zip(detections.priors.tolist(), detections.labels.tolist(), strict=True))
        assert set(got) == plain_suppression(boxes[image], likely, 0.4, 0.3, top_k) and len(set(got)) == len(got)
        assert detections.scores.tolist() == sorted(detections.scores.tolist(), reverse=True)
        assert torch.equal(detections.boxes, boxes[image][detections.priors])
    assert len(found[1].boxes) == 0


@pytest.mark.parametrize("points", [1, 3])
def test_arcface(points: int) -> None:
    generator = torch.Generator().manual_seed(points)
    embeddings, targets = torch.randn(6, 5, generator=generator), torch.tensor([0, 1, 2, 2, 1, 0])
    w = initial_centers(5, 3, generator)
    embeddings[0] = -w[:, 0] - w[:, 1] - w[:, 2]  # nearly opposite to its class: beyond π − m
    margin, scale = math.radians(28.6), 64.0
    logits = torch.zeros(6, 3)
    for sample in range(6):
        for label in range(3):
            unit = normalize(embeddings[sample], dim=0)
            cosine = max(float(unit @ normalize(w[:, 3 * label + k], dim=0)) for k in range(3))
            if label == targets[sample]:
                angle = math.acos(cosine)
                cosine = math.cos(angle + margin) if angle <= math.pi - margin else cosine - margin * math.sin(margin)
            logits[sample, label] = cosine * scale
    expected = cross_entropy(logits, targets)
    torch.testing.assert_close(
        arcface_loss(embeddings, targets, w, margin=margin, scale=scale), expected, rtol=1e-4, atol=1e-4
    )


def test_soft_targets() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(4, 6, generator=generator), torch.randn(4, 6, generator=generator)
    p, q = (teacher / 3).softmax(dim=1), (student / 3).softmax(dim=1)
    expected = float((p * (p / q).log()).sum()) / 4
    assert float(soft_divergence(student, teacher, 3.0)) == pytest.approx(expected, rel=1e-4)


def test_folding() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    folded = fold(image, 2)
    assert folded[0].tolist() == [[[0, 2], [8, 10]], [[1, 3], [9, 11]], [[4, 6], [12, 14]], [[5, 7], [13, 15]]]
    colors = torch.rand(2, 3, 8, 12)
    torch.testing.assert_close(unfold(fold(colors, 4), 4), colors)
    torch.testing.assert_close(fold(colors, 2)[:, 3:6], colors[:, :, ::2, 1::2])  # a block has all channels
    torch.testing.assert_close(unfold(fold(colors, 2)[0], 2), colors[0])
    assert unfold(torch.zeros(1, 6, 2, 2), 2).shape == (1, 1, 4, 4)
    with pytest.raises(Ai8xError, match="3 channels cannot be unfolded by 2"):
        unfold(torch.zeros(1, 3, 2, 2), 2)
    with pytest.raises(Ai8xError, match="cannot be folded by 3"):
        fold(colors, 3)


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 9))
def test_class_counts(seed: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    output, target = (
        torch.randn(20, classes, 2, generator=generator),
        torch.randint(0, classes, (20, 2), generator=generator),
    )
    meter = ClassMeter(classes)
    meter.add(output[:12], target[:12], None)
    meter.add(output[12:], target[12:], None)
    scores, truth = output.movedim(1, 2).reshape(40, classes), target.flatten()
    ranks = (scores > scores.gather(1, truth[:, None])).sum(dim=1)
    assert meter.metrics()["top1"] == pytest.approx(100 * float((ranks == 0).float().mean()))
    assert meter.metrics()["top5"] == pytest.approx(100 * float((ranks < 5).float().mean()))
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (truth.numpy(), scores.argmax(dim=1).numpy()), 1)
    assert np.array_equal(meter.confusion(), confusion) and meter.samples == 40


def test_intersection_over_union() -> None:
    shares = intersection_over_union(((3, 1, 0), (0, 4, 0), (0, 0, 0)))
    assert shares[:2].tolist() == [75.0, 80.0] and math.isnan(shares[2])
    meter = SegmentationMeter(3)
    assert meter.metrics()["mean_iou"] == 0
    output = torch.tensor([[[[9.0, 0]], [[0, 9.0]], [[0, 0]]]])
    meter.add(output, torch.tensor([[[0, 0]]]), None)
    assert meter.metrics()["mean_iou"] == pytest.approx((50 + 0) / 2)


def test_squared_errors() -> None:
    meter = SquaredErrorMeter()
    meter.add(torch.tensor([[1.0], [2.0]]), torch.tensor([0, 4]), None)
    assert meter.metrics()["mse"] == 2.5 and meter.samples == 2
    assert shaped_like(torch.zeros(2), torch.zeros(2, 1)).shape == (2, 1)
    with pytest.raises(Ai8xError, match="3 and 1"):
        shaped_like(torch.zeros(2), torch.zeros(2, 3))


def test_anomalies() -> None:
    meter = ReconstructionMeter(0.5)
    inputs = torch.zeros(4, 2, 3)
    meter.add(torch.tensor([0.1, 0.9, 0.2, 2.0]).view(4, 1, 1).expand(4, 2, 3), torch.tensor([0, 0, 1, 1]), inputs)
    assert meter.confusion() == ((1, 1), (1, 1))
    assert meter.metrics()["mse"] == pytest.approx((0.01 + 0.81 + 0.04 + 4) / 4)
    found = anomaly_metrics(np.array([[8, 2], [1, 3]]))
    assert found == pytest.approx(
        {"tpr": 3 / 4, "fpr": 0.2, "precision": 3 / 5, "accuracy": 11 / 14, "f1": 6 / 9, "balanced_accuracy": 0.775}
    )
    assert anomaly_metrics(np.zeros((2, 2), np.int64))["f1"] == 0


def test_nearest_neighbors() -> None:
    meter = NeighborMeter()
    meter.add(torch.tensor([[1.0, 0.1], [2, 0]]), torch.tensor([0, 0]), None)
    meter.add(torch.tensor([[0, 1.0], [-1, -1], [0.1, 5]]), torch.tensor([1, 1, 1]), None)
    assert meter.metrics() == {"top1": 4 / 5}


def test_detection_parameters(tmp_path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "multi_box_loss: {alpha: 2, neg_pos_ratio: 3}\nnms: {min_score: 0.2, max_overlap: 0.3, top_k: 20}\n"
    )
    assert read_parameters(path).top_k == 20
    for text, words in (
        ("multi_box_loss: {alpha: 2}\n", "multi_box_loss must contain a number 'neg_pos_ratio', not None"),
        ("[1]\n", "multi_box_loss must contain a number 'alpha'"),
        ("a: [\n", "YAML syntax error"),
    ):
        path.write_text(text)
        with pytest.raises(Ai8xError, match=words):
            read_parameters(path)


def test_unknown_values_are_left_out() -> None:
    line = progress_line("Test: ", 3, 12, {"Loss": 1.5, "mAP": None, "F1": 0.25})
    assert line == "Test: [    3/   12]    Loss 1.500000    F1 0.250000"


def test_choosing_a_task() -> None:
    for package in ("torchmetrics", "pycocotools", "torchvision"):
        pytest.importorskip(package)

    def choose(task: str | None, labels: int, **options: Any) -> Task:
        entry = DatasetEntry("Set", (3, 8, 8), tuple("abcdefgh"[:labels]), lambda *_: pytest.fail(), task=task)
        settings = TaskSettings(**options)
        return choose_task(TaskContext(settings, entry, torch.device("cpu"), Console()))

    assert choose(None, 3).name == "classification" and choose(None, 1).name == "regression"
    assert choose("classification", 3, regression=True).name == "regression"
    assert choose("reconstruction", 1, regression=True).name == "reconstruction"
    assert choose("classification", 3, dr=4).name == "embeddings"
    with pytest.raises(Ai8xError, match="the number of output channels must be a multiple of 2², not 6"):
        choose("segmentation", 3, out_fold_ratio=2).real_outputs(torch.zeros(1, 6, 2, 2))
    found = choose("regression", 1, obj_detection=True, obj_detection_params="default", dr=4)
    assert found.name == "detection" and found.model_arguments() == {"num_classes": 2, "device": "cpu"}
    boxes = [torch.tensor([[0.1, 0.1, 0.5, 0.5]]), torch.zeros(0, 4)]
    assert found.targets((boxes, [torch.tensor([1]), torch.zeros(0)])).shape == (2, 1, 5)
    for words, options in (
        ("did you mean 'segmentation'", {"task": "segmentaton"}),
        ("no confusion matrix", {"confusion": True}),
    ):
        with pytest.raises(Ai8xError, match=words):
            choose(options.pop("task", "regression"), 2, **options)
