"""Every model of the zoo: its size, its layers, and what it computes, as published."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ai8x_tool import resources
from ai8x_tool.device import MAX78002
from ai8x_tool.plugins.find import find_model, list_models
from tests.support.zoo import counts, layer_table, zoo

SHARED = 4
"""Calls of the layers that the feature-pyramid detector uses for each of its feature maps; the table has the first."""


@pytest.mark.parametrize("name", zoo())
def test_layers_and_sizes_are_those_published(name):
    published = zoo()[name]
    model = published.build()
    rows, output = layer_table(model, published.shape)
    assert counts(model) == published.counts
    assert (
        tuple(tuple(part.shape[1:]) for part in (output if isinstance(output, tuple) else (output,)))
        == published.outputs
    )
    for number, expected in enumerate(published.layers):
        assert expected in rows, (number, [row for row in rows if row.split()[0] == expected.split()[0]])
    calls = Counter(row.split()[0] for row in rows)
    listed = Counter(row.split()[0] for row in published.layers)
    if listed:
        assert calls == {layer: n * (SHARED if "_net." in layer else 1) for layer, n in listed.items()}
    order = {row: number for number, row in reversed(list(enumerate(rows)))}
    assert sorted(published.layers, key=order.__getitem__) == list(published.layers)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("ai85nascifarnet", {"num_classes": 10}, (301760, 842, 0)),
        ("ai85unetlarge", {"num_classes": 2}, (276128, 876, 0)),
        ("ai85net5", {"num_channels": 3, "dimensions": (32, 32)}, (72228, 10, 0)),
        ("ai85kws20netnas", {"num_classes": 12}, (419840, 1484, 0)),
        ("ai85kws20netv3", {"num_classes": 36}, (173312, 0, 0)),
        ("ai85tinierssd", {"num_classes": 2}, (299232, 672, 1344)),
        ("ai85faceidnet", {"bias": True}, (176048, 288, 0)),
        ("ai85net6", {"device": MAX78002}, (3307044, 0, 0)),
    ],
)
def test_sizes_for_other_data(name, arguments, expected):
    assert counts(zoo()[name].build(**arguments)) == expected


@pytest.mark.parametrize(("name", "entries"), [("AI85DotProd", 512), ("AI87DotProd", 1024)])
def test_databases_of_embeddings(name, entries):
    model = zoo()["ai85net5"].__class__(name, MAX78002, (64, 1, 1), None, False, (0, 0, 0), (), ()).build()
    assert counts(model) == (64 * entries, 0, 0) and set(model.state_dict()) >= {"dot.op.weight", "dot.output_shift"}
    assert model(torch.zeros(2, 64, 1, 1)).shape == (2, entries)


def test_all_files_of_models_are_in_the_zoo():
    shipped = {listing.file for listing in list_models() if listing.file.parent in set(resources.search_path("models"))}
    for_own_data = ("compact2d", "compact1d", "compactautoencoder", "compactunet", "compactdetector")
    for_own_data += ("compactautoencoder2d",)
    known = {find_model(name).file for name in (*zoo(), "AI85DotProd", *for_own_data)}
    assert shipped == known


@pytest.mark.parametrize("name", ["ai85faceidnet_112", "ai87netmobilefacenet_112"])
def test_embeddings_have_length_one_and_ignore_the_image_for_the_teacher(name):
    model = zoo()[name].build(dimensionality=32)
    images = torch.rand(2, 6, 112, 112) - 0.5
    with torch.no_grad():
        both, one = model(images), model(images[:, :3])
    assert both.shape == (2, 32) and torch.equal(both, one)
    assert torch.allclose(both.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("ai85tinierssd", [0.75, 0.75, 0.725 * 0.25**0.5, 1.0]),
        ("ai85tinierssdface", [4.5 / 5, 6.5 / 7, 0.7143 * 0.75**0.5, 0.7143 / 0.75**0.5]),
        ("ai85tinierssdqr", [0.75, 0.5, 0.725 * 0.5**0.5, 1.0]),
        ("ai87fpndetector", [0.9, 0.875, 1.0, 0.8]),
    ],
)
def test_priors(name, last):
    published = zoo()[name]
    priors = published.build().priors_cxcy
    assert priors.shape == (published.outputs[0][0], 4)
    assert priors[-1].tolist() == pytest.approx(last)
