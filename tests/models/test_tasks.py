"""Models for tasks other than classification: their sizes, and checkpoints of the reference."""

from __future__ import annotations

import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78000
from ai8x_tool.model.build import load_weights
from ai8x_tool.nn import build_context
from ai8x_tool.plugins.find import find_model


def build(name, **arguments):
    with build_context(MAX78000):
        return find_model(name).build(**arguments).eval()


def count(model, ending):
    return sum(value.numel() for name, value in model.named_parameters() if ending in name)


@pytest.mark.parametrize(
    ("name", "shape", "output", "weights", "biases", "norms"),
    [
        ("ai85autoencoder", (256, 3), [(256, 3)], 136448, 352, 384),
        ("bayer2rgbnet", (4, 64, 64), [(3, 128, 128)], 174, 0, 0),
        ("ai85unetsmall", (3, 80, 80), [(4, 80, 80)], 62956, 212, 0),
        ("ai85unetmedium", (3, 80, 80), [(4, 80, 80)], 110252, 360, 0),
        ("ai85unetlarge", (48, 88, 88), [(64, 88, 88)], 278176, 908, 0),
        ("ai85tinierssd", (3, 74, 74), [(1700, 4), (1700, 11)], 335520, 816, 1632),
    ],
)
def test_sizes(name, shape, output, weights, biases, norms):
    model = build(name)
    with torch.no_grad():
        found = model(torch.zeros(2, *shape))
    assert [tuple(part.shape[1:]) for part in (found if isinstance(found, tuple) else (found,))] == output
    assert [count(model, ending) for ending in ("op.weight", "op.bias", ".bn.")] == [weights, biases, norms]


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("ai85tinierssd", "checkpoints/ai85-svhn-tinierssd-qat8-q.pth.tar"),
        ("ai85unetlarge", "quantize/ai85-camvid-unet-large/trained.pth.tar"),
    ],
)
def test_checkpoints_of_the_reference_fit(name, path, golden, console):
    model, checkpoint = build(name), read_checkpoint(golden / path)
    load_weights(model, checkpoint, console)
    assert not console.warnings
    stored = [key for key in checkpoint.state if key.endswith("op.weight")]
    assert [key for key in model.state_dict() if key.endswith("op.weight")] == stored  # also in this order


def test_priors():
    priors = build("ai85tinierssd").priors_cxcy
    assert priors.shape == (1700, 4)
    expected = [0.5 / 18, 0.5 / 18, 0.15 * 0.85**0.5, 0.15 / 0.85**0.5]
    assert priors[0].tolist() == pytest.approx(expected)
    last = [0.75, 0.75, 0.725 * 0.25**0.5, 1.0]  # clipped
    assert priors[-1].tolist() == pytest.approx(last)
