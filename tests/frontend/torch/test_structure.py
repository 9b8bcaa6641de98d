"""Differences between model and description are named by structure."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ai8x_tool import nn as ai8x
from ai8x_tool import resources
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import bind, structure_differences, trace
from ai8x_tool.network.layer import INPUT, Layer, Parameters
from ai8x_tool.network.network import build_network
from ai8x_tool.network.selection import identity_convolution, selection_layer
from ai8x_tool.nn import build_context
from ai8x_tool.plugins.find import find_model
from ai8x_tool.synthesis.synthesize import load_network
from tests.support.case_folders import cases_folder
from tests.support.networks import QUIET
from tests.support.traced_models import checkpoint_of, randomize, simulated, traced


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = ai8x.FusedConv2dReLU(3, 8, 3, padding=1)
        self.second = ai8x.FusedMaxPoolConv2d(8, 8, 3, padding=1)
        self.pool = ai8x.MaxPool2d(2)
        self.add = ai8x.Add()
        self.third = ai8x.FusedConv2dReLU(8, 4, 1, bias=False)
        self.fc = ai8x.Linear(64, 5, bias=True, wide=True)

    def forward(self, x):
        x = self.first(x)
        x = self.third(self.add(self.second(x), self.pool(x)))
        return self.fc(x.flatten(1))


@pytest.fixture(scope="module")
def network():
    with simulated():
        model = Residual()
    return traced(randomize(model, 1), (3, 8, 8))


def changed(network, name, **changes):
    """Return the network with other values for what defines a layer; what follows is derived again."""
    derived = {"in_size": (0, 0), "pooled_size": (0, 0), "out_size": (0, 0), "channels_in": 0}
    layers = [replace(layer, **derived, **(changes if layer.name == name else {})) for layer in network.layers]
    return build_network(network.name, network.input_shape, layers)


def without_bias(network, name):
    return changed(network, name, parameters=replace(network[name].parameters, bias=None))


def test_a_network_equals_itself(network):
    assert structure_differences(network, network) == []


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("first", {"activation": "none"}, "activation: ReLU in the model, none in the description"),
        ("second", {"activation": "abs"}, "activation: none in the model, Abs in the description"),
        (
            "second",
            {"pool_average": True},
            "pooling: max pooling 2, stride 2 in the model, average pooling 2, stride 2",
        ),
        (
            "third",
            {"output_width": 32, "activation": "none", "output": True},
            "output width: 8 bits in the model, 32 bits",
        ),
        ("third", {"eltwise": "sub"}, "input: add("),
    ],
)
def test_what_differs_is_named(network, name, changes, text):
    network = changed(network, "fc", output=True)
    (line,) = [x for x in structure_differences(network, changed(network, name, **changes)) if text in x]
    assert line.startswith(f"{name} (")
    assert network[name].source in line


def test_padding_and_bias(network):
    padded = changed(network, "third", pad=(0, 0))
    assert structure_differences(network, padded) == []
    found = structure_differences(network, without_bias(network, "first"))
    assert [line.split(": ", 1)[1] for line in found] == ["bias: yes in the model, no in the description"]
    cut = [replace(layer, pad=(0, 0)) if layer.name == "first" else layer for layer in network.layers[:1]]
    first = build_network("cut", network.input_shape, [replace(cut[0], out_size=(0, 0), output=True)])
    assert "padding: 1×1 in the model, 0×0 in the description" in structure_differences(network, first)[0]


def test_copies_and_identities_make_no_difference(network):
    """A copy without operator, and a convolution with an identity's weights, are not part of the model."""
    weights = 64 * np.eye(8, dtype=np.int64)[:, :, None, None]
    identity = Parameters("fake.op.weight", weights, None, 8, 1)
    layers = []
    for layer in network.layers:
        reset = replace(layer, index=0, in_size=(0, 0), pooled_size=(0, 0), out_size=(0, 0))
        reads = tuple({"first": "copy", "second": "fake"}.get(str(x), x) for x in layer.inputs)
        layers.append(replace(reset, inputs=reads))
        if layer.name == "first":
            layers.append(Layer("copy", ("first",), "none"))
        if layer.name == "second":
            layers.append(Layer("fake", ("second",), "conv2d", parameters=identity))
    described = build_network("copied", network.input_shape, layers)
    assert structure_differences(network, described) == []
    broken = replace(described["fake"], parameters=replace(identity, weights=weights // 2), index=0)
    other = build_network(
        "x", (3, 8, 8), [replace(x, index=0) if x.name != "fake" else broken for x in described.layers]
    )
    assert any("'fake' is not in the model" in line for line in structure_differences(network, other))


def test_parts_that_are_put_together_again_make_no_difference(network):
    parts = [
        selection_layer(f"part{half}", ("first",), range(4 * half, 4 * half + 4), 8, flat=False) for half in (0, 1)
    ]
    names = [part.name for part in parts]

    def through(order):
        again = identity_convolution("joined", order, 8, flat=False)
        first, *others = (replace(layer, index=0) for layer in network.layers)
        reads = {"second": ("joined",)}
        others = [replace(layer, inputs=reads.get(layer.name, layer.inputs)) for layer in others]
        layers = [first, *parts, again, *others]
        return build_network(network.name, network.input_shape, layers)

    assert not structure_differences(network, through(names))
    (difference,) = structure_differences(network, through(names[::-1]))
    assert "channels first[4…7], first[0…3] in the description" in difference


def test_a_description_that_ends_early_is_no_difference(network):
    layers = [layer for layer in network.layers if layer.name in ("first", "second", "pool")]
    cut = build_network("cut", network.input_shape, [replace(layer, output=layer.name != "first") for layer in layers])
    assert structure_differences(network, cut) == []


def test_an_output_that_is_pooled_in_one_of_them():
    class Ends(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = ai8x.Conv2d(3, 4, 1)
            self.pool = ai8x.AvgPool2d(2)

        def forward(self, x):
            return self.pool(self.conv(x))

    with simulated():
        model = randomize(Ends(), 3)
    pooled = traced(model, (3, 6, 6))
    cut = build_network("cut", (3, 6, 6), [replace(pooled["conv"], output=True)])
    (line,) = structure_differences(pooled, cut)
    assert line == "output: average pooling 2, stride 2 of conv in the model, conv in the description"


@pytest.mark.parametrize("name", ["mnist", "kws20_v3", "ai87_kws20_v3"])
def test_shipped_descriptions_equal_their_models(name, tmp_path):
    path = resources.shipped("configs") / "networks" / f"{name}.yaml"
    arch = next(line.split()[1] for line in path.read_text().splitlines() if line.startswith("arch:"))
    shape = (1, 28, 28) if arch == "ai85net5" else (128, 128)
    device = MAX78002 if arch.startswith("ai87") else MAX78000
    with simulated(device):
        model = find_model(arch).build(num_channels=shape[0], dimensions=(*shape[1:], 1)[:2], bias=False)
    randomize(model, 1)
    file = tmp_path / "q.pth.tar"
    torch.save({"state_dict": model.state_dict(), "epoch": 0, "arch": arch}, file)
    described = load_network(path, file, (*shape, 1)[:3], device, QUIET).network
    assert structure_differences(bind(trace(model, shape, arch), read_checkpoint(file), device), described) == []


@pytest.mark.skipif(not cases_folder().exists(), reason="no shared cases")
def test_missing_activation_in_a_description(monkeypatch):
    """The description lacks a ReLU that the model has."""
    monkeypatch.chdir(cases_folder() / "residual")
    with build_context(MAX78000):
        model = find_model("resnet14").build(num_classes=4, num_channels=3, dimensions=(32, 32), bias=False)
    checkpoint = Path("q.pth.tar")
    network = bind(trace(model, (3, 32, 32), "resnet14", device=MAX78000), read_checkpoint(checkpoint), MAX78000)
    found = {}
    for name in ("i3.yaml", "bad_no_relu.yaml"):
        described = load_network(Path(name), checkpoint, (3, 32, 32), MAX78000, QUIET).network
        found[name] = structure_differences(network, described)
    assert found["i3.yaml"] == []
    (line,) = found["bad_no_relu.yaml"]
    assert line.startswith("b1a (models/") and "bad_no_relu.yaml:20" in line
    assert line.endswith("activation: ReLU in the model, none in the description")


def test_weights_of_another_model_are_named(network):
    with simulated():
        other = randomize(nn.Sequential(ai8x.Conv2d(3, 4, 1)), 1)
    with pytest.raises(Ai8xError, match="no weights for"):
        bind(network, checkpoint_of(other), MAX78002)
    assert network.layers[0].inputs == (INPUT,)


def test_wider_weights_of_the_same_values_make_no_difference(network):
    """What few bits cannot store may be stored in more; another scale, or fewer bits, is another layer."""
    narrow = changed(network, "third", bits=4)
    shift = narrow["third"].shift
    assert structure_differences(narrow, changed(narrow, "third", bits=8)) == []
    (line,) = structure_differences(narrow, changed(narrow, "third", bits=8, shift=shift + 1))
    assert "weight bits: 4 in the model, 8 in the description" in line
    (line,) = structure_differences(narrow, changed(narrow, "third", bits=2))
    assert "weight bits: 4 in the model, 2 in the description" in line
