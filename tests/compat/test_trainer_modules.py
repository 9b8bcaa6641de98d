"""Helper modules of the reference trainer: boxes and augmentation."""

from __future__ import annotations

import colorsys
import random

import pytest
import torch
from torch import nn

from ai8x_tool.compat.trainer import augmentation, model_wrapper
from ai8x_tool.compat.trainer import object_detection as boxes


@pytest.fixture(autouse=True)
def seeded():
    random.seed(7)
    torch.manual_seed(7)


def test_boxes_and_codes():
    corner = torch.tensor([[0.1, 0.2, 0.5, 0.4]])
    center = boxes.xy_to_cxcy(corner)
    torch.testing.assert_close(center, torch.tensor([[0.3, 0.3, 0.4, 0.2]]))
    torch.testing.assert_close(boxes.cxcy_to_xy(center), corner)
    prior = torch.tensor([[0.25, 0.25, 0.5, 0.1]])
    code = boxes.cxcy_to_gcxgcy(center, prior)
    torch.testing.assert_close(code, torch.tensor([[1.0, 5.0, 5 * torch.log(torch.tensor(0.8)), 5 * 0.6931472]]))
    torch.testing.assert_close(boxes.gcxgcy_to_cxcy(code, prior), center, atol=1e-6, rtol=1e-5)


def test_areas_and_batches():
    one = torch.tensor([[0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    two = torch.tensor([[1.0, 1.0, 3.0, 3.0]])
    assert boxes.find_intersection(one, two).tolist() == [[1.0], [0.0]]
    torch.testing.assert_close(boxes.find_jaccard_overlap(one, two), torch.tensor([[1 / 7], [0.0]]))
    target, nothing = (one, torch.ones(2)), (one[:0], torch.ones(0))
    images, targets = boxes.collate_fn([(torch.zeros(3, 4, 5), target), (torch.ones(3, 4, 5), nothing)])
    assert images.shape == (2, 3, 4, 5) and targets[0] is target and targets[1] is nothing
    assert boxes.check_target_exists(targets) and not boxes.check_target_exists([nothing])


def test_the_hue_turns():
    image = torch.rand(3, 5, 6)
    image[:, 0, 0] = 0.5  # gray has no hue
    turned = augmentation._hue(image)
    random.seed(7)
    turn = random.uniform(-18 / 255, 18 / 255)
    for row, column in ((0, 0), (1, 2), (2, 3), (4, 5)):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[:, row, column].tolist())
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert turned[:, row, column].tolist() == pytest.approx(expected, abs=1e-5)


def test_photometric_changes_keep_the_range_and_sometimes_the_image():
    image = torch.rand(3, 8, 8)
    changed = [augmentation.photometric_distort(image) for _ in range(60)]
    assert all(c.min() >= 0 and c.max() <= 1 and c.shape == image.shape for c in changed)
    same = sum(torch.equal(c, image) for c in changed)
    assert 0 < same < 20  # one in sixteen


def test_geometry_moves_boxes_with_the_image():
    image = torch.zeros(3, 20, 30)
    image[:, 4:9, 10:16] = 1
    box, label = torch.tensor([[10.0, 4.0, 16.0, 9.0]]), torch.tensor([1])

    def marked(picture, found):
        left, top, right, bottom = found[0].int().tolist()
        part = picture[:, max(top, 0) : bottom, max(left, 0) : right]
        return part.numel() > 0 and bool((part == 1).all()) and float(picture.sum()) == part.numel()

    for _ in range(20):
        canvas, moved = augmentation.expand(image, box, (0.0, 0.0, 0.0))
        assert canvas.shape[1] >= 20 and canvas.shape[2] <= 120 and marked(canvas, moved)
        crop, kept, labels, difficulties = augmentation.random_crop(image, box, label, torch.tensor([0]))
        assert marked(crop, kept) and len(labels) == len(difficulties) == 1
    mirrored, flipped = augmentation.flip(image, box)
    assert flipped.tolist() == [[13.0, 4.0, 19.0, 9.0]] and torch.equal(mirrored.flip(2), image)


def test_crops_without_boxes_leave_the_image():
    image = torch.rand(3, 9, 9)
    empty = torch.zeros(0, 4)
    assert augmentation.random_crop(image, empty, empty[:, 0], empty[:, 0])[0] is image


def test_resize():
    image, box = torch.rand(3, 20, 30), torch.tensor([[3.0, 5.0, 15.0, 20.0]])
    small, shares = augmentation.resize(image, box, (10, 60))
    assert small.shape == (3, 10, 60)
    torch.testing.assert_close(shares, torch.tensor([[0.1, 0.25, 0.5, 1.0]]))
    _, pixels = augmentation.resize(image, box, (10, 60), return_percent_coords=False)
    torch.testing.assert_close(pixels, torch.tensor([[6.0, 2.5, 30.0, 10.0]]))


def test_unwrap():
    model = nn.Linear(1, 1)
    assert model_wrapper.unwrap(nn.DataParallel(model)) is model and model_wrapper.unwrap(model) is model
