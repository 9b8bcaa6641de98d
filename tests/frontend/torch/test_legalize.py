"""Plain models become fused ones that compute the same, or are refused with module and line."""

import copy
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ai8x_tool import nn as ai8x
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import is_plain, legalize, trace
from ai8x_tool.nn import BuildContext, FusedModule
from tests.support.traced_models import agree, check_model, randomize

MEASURED = BuildContext(MAX78002, measured_ranges=True)
FIXED = BuildContext(MAX78002)
SIMULATE = BuildContext(MAX78002, simulate=True)


class Model(nn.Module):
    """Modules by name, and a function of the model and its input."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.down(self.blocks(self.stem(x))))
        return self.fc(self.dropout(torch.flatten(self.pool(x), 1)))


class OneDimensional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(5, 8, 3, padding=1), nn.Conv1d(8, 8, 3, padding=1, bias=False)
        self.norm, self.fc = nn.BatchNorm1d(8), nn.Linear(64, 4)

    def forward(self, x):
        x = F.max_pool1d(torch.relu(self.a(x)), 2)
        return self.fc(self.norm(self.b(x)).relu().view(x.size(0), -1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.mid = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1)
        self.depth, self.dec = nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 3, 1)

    def forward(self, x):
        first = F.relu(self.enc(x))
        x = torch.abs(self.mid(F.avg_pool2d(first, 2)))
        return self.dec(F.relu(self.depth(torch.cat((self.up(x), first), 1))))


MODELS = {ResNet: (3, 16, 16), OneDimensional: (5, 16), UNet: (2, 8, 8)}


def trained(kind):
    """Return a plain model whose batch normalization has seen data."""
    torch.manual_seed(3)
    model = kind()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.6)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    with torch.no_grad():
        for _ in range(20):
            model(torch.rand(8, *MODELS[kind]) - 0.5)
    return model.eval()


@pytest.mark.parametrize("context", [MEASURED, FIXED], ids=["measured", "fixed"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_function_is_kept_up_to_the_scale(kind, context):
    model = trained(kind)
    x = torch.rand(8, *MODELS[kind]) - 0.5
    with torch.no_grad():
        expected = model(x)
        table = legalize(model, MODELS[kind], context)
        actual = model(x)
    scale = 1 if context.measured_ranges else 0.25
    assert expected.std() > 0.01
    assert torch.allclose(actual, expected * scale, atol=2e-6)
    assert all(row.exact and "test_legalize.py:" in row.where for row in table)
    assert not is_plain(model) and isinstance(model, kind)
    check_model(model, MODELS[kind], MAX78002)


@pytest.mark.parametrize("kind", MODELS)
def test_what_it_becomes_equals_the_engine(kind):
    model = trained(kind)
    legalize(model, MODELS[kind], SIMULATE)
    assert agree(randomize(model, 5), MODELS[kind]) >= sum(
        isinstance(m, FusedModule) and m.op is not None for m in model.modules()
    )


def test_the_table_says_what_became_what():
    rows = legalize(ResNet(), (3, 16, 16), MEASURED)
    found = [(row.name, row.was, row.became) for row in rows]
    assert found[0] == ("stem.0", "Conv2d + BatchNorm + ReLU", "one fused Conv2d")
    assert ("blocks.0.conv2", "Conv2d + BatchNorm", "one fused Conv2d") in found
    assert any(became.startswith("Conv2d 1×1 with the weights of an identity") for _, _, became in found)
    assert found[-1] == ("fc", "Linear", "one fused Linear")


def test_it_trains_and_copies():
    model = ResNet()
    legalize(model, (3, 16, 16), MEASURED)
    assert model.training
    model(torch.rand(4, 3, 16, 16)).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    x = torch.rand(2, 3, 16, 16)
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        assert torch.equal(twin(x), model.eval()(x))
    assert any(layer.name == "down" for layer in trace(model, (3, 16, 16), "net").layers)


def test_fused_models_are_left_alone():
    model = Model(lambda m, x: m.a(x), a=ai8x.Conv2d(1, 4, 3, context=MEASURED))
    assert legalize(model, (1, 8, 8), MEASURED) == []
    assert type(model) is Model


def residual(function):
    """Return a model of fused modules in 8-bit mode that combines what two of them return."""
    layers = {name: ai8x.FusedConv2dReLU(2, 2, 3, padding=1, context=SIMULATE) for name in "abc"}
    return randomize(Model(function, **layers), 3)


@pytest.mark.parametrize(
    "function",
    [lambda m, x: m.c(m.a(x) + m.b(x)), lambda m, x: m.c(m.a(x).sub(m.b(x))), lambda m, x: m.c(m.a(x).add_(m.b(x)))],
)
def test_sums_of_fused_modules_saturate(function):
    model = residual(function)
    assert [row.became for row in legalize(model, (2, 8, 8), SIMULATE)] in (["Add"], ["Sub"])
    assert agree(model, (2, 8, 8)) >= 3
    assert "add.weight" not in model.state_dict()


def test_sums_that_differ_in_training_are_refused():
    model = residual(lambda m, x: m.c(m.a(x) + m.b(x) if m.training else m.b(x) + m.a(x) + x))
    assert legalize(model, (2, 8, 8), SIMULATE) == []
    with pytest.raises(
        Ai8xError, match=r"test_legalize.py:\d+.*the sum of two tensors saturates.*use a module, ai8x.Add"
    ):
        check_model(model, (2, 8, 8), MAX78002)


REFUSED = {
    "5×5": (lambda m, x: m.a(x), {"a": lambda: nn.Conv2d(1, 2, 5)}, "kernels must be 1×1 or 3×3"),
    "ReLU6": (lambda m, x: F.relu6(m.a(x)), {"a": lambda: nn.Conv2d(1, 2, 3)}, "not support ReLU6"),
    "padded pooling": (
        lambda m, x: m.p(m.a(x)),
        {"a": lambda: nn.Conv2d(1, 2, 3), "p": lambda: nn.MaxPool2d(3, 2, 1)},
        "not support pooling with padding",
    ),
    "normalization": (
        lambda m, x: m.a(m.n(x)),
        {"n": lambda: nn.BatchNorm2d(1), "a": lambda: nn.Conv2d(1, 2, 3)},
        "must follow a convolution",
    ),
    "decisions": (lambda m, x: m.a(x) if x.sum() > 0 else x, {"a": lambda: nn.Conv2d(1, 2, 3)}, "cannot be analyzed"),
    "dilation": (lambda m, x: m.a(x), {"a": lambda: nn.Conv2d(1, 2, 3, dilation=2)}, "dilation"),
    "mode": (lambda m, x: m.a(x), {"a": lambda: nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect")}, "reflect"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_module_and_line(name):
    function, modules, text = REFUSED[name]
    model = Model(function, **{key: make() for key, make in modules.items()})
    with pytest.raises(Ai8xError, match=text) as caught:
        legalize(model, (1, 12, 12), MEASURED)
    assert name == "decisions" or re.search(r"test_legalize\.py:\d+", str(caught.value))


def test_inexact_remedies_are_listed():
    model = Model(lambda m, x: m.p(F.relu6(m.a(x))), a=nn.Conv2d(1, 2, 3), p=nn.MaxPool2d(3, 2, 1))
    rows = legalize(model, (1, 14, 14), MEASURED, adapt=True)
    assert [(row.was, row.became) for row in rows if not row.exact] == [
        ("ReLU6", "ReLU"),
        ("MaxPool2d", "a fused MaxPool2d"),
    ]
    check_model(model, (1, 14, 14), MAX78000)


@pytest.mark.parametrize(("kernel", "padding", "layers"), [(5, 2, 2), (5, 1, 2), (7, 3, 3), (7, 0, 3)])
def test_large_kernels_become_small_ones_if_accepted(kernel, padding, layers):
    modules = {"a": nn.Conv2d(1, 2, kernel, padding=padding, bias=False), "n": nn.BatchNorm2d(2)}
    model = Model(lambda m, x: F.relu(m.n(m.a(x))), **modules)
    (row,) = legalize(model, (1, 14, 14), MEASURED, adapt=True)
    assert not row.exact and row.became == "several fused 3×3 convolutions, untrained"
    network = trace(model, (1, 14, 14), "net")
    assert [layer.name for layer in network.layers] == [f"a.{number}" for number in range(layers)]
    assert network.layers[-1].out_size == (14 + 2 * padding - kernel + 1,) * 2
    assert {layer.activation for layer in network.layers} == {"relu"}


def test_what_is_left_to_software_is_listed():
    model = Model(lambda m, x: F.log_softmax(m.f(m.a(x)).flatten(1), 1), a=nn.Conv2d(1, 2, 3), f=nn.MaxPool2d(2))
    rows = legalize(model, (1, 8, 8), MEASURED)
    assert [(row.was, row.became) for row in rows if not row.became] == [("log_softmax", "")]


def test_lines_of_converted_models():
    """Layers and errors name the line of the user's call, which the converted model no longer makes."""
    model = Model(lambda m, x: torch.sin(m.a(x)), a=nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 1)))
    legalize(model, (1, 8, 8), MEASURED)
    line = test_lines_of_converted_models.__code__.co_firstlineno + 2
    network = trace(model, (1, 8, 8), "net")
    assert {layer.source.rpartition("/")[2] for layer in network.layers} == {f"test_legalize.py:{line}"}


def test_other_layers_are_refused_at_their_line():
    model = Model(lambda m, x: m.b(m.a(x).flatten(2))[0], a=nn.Conv2d(1, 2, 3), b=nn.LSTM(36, 4))
    legalize(model, (1, 8, 8), MEASURED)
    with pytest.raises(Ai8xError, match=r"test_legalize\.py:\d+: b: 'b' is a plain nn\.LSTM"):
        trace(model, (1, 8, 8), "net")
