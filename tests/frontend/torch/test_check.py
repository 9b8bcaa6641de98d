"""What cannot run on the accelerator is refused before training, with rule, module and line."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ai8x_tool import nn as ai8x
from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import trace
from ai8x_tool.nn import QatPolicy, build_context
from tests.support.traced_models import agree, check_model, randomize, traced


class Model(nn.Module):
    """Modules by name, and a function of the model and its input."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x):
        return self.function(self, x)


@pytest.fixture(autouse=True)
def _context():
    with build_context(MAX78002):
        yield


def conv(inputs=1, outputs=4, **more):
    return ai8x.FusedConv2dReLU(inputs, outputs, 3, padding=1, **more)


def refusal(model, shape=(1, 8, 8), device=MAX78002, **more):
    with pytest.raises(Ai8xError) as caught:
        check_model(model, shape, device, **more)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_plain_layers():
    text = refusal(Model(lambda m, x: m.b(torch.relu(m.a(x))), a=nn.Conv2d(1, 4, 3), b=conv(4)))
    assert "'a' is a plain nn.Conv2d" in text and "test_check.py:" in text
    text = refusal(Model(lambda m, x: m.b(m.a(x.squeeze(1))[0][:, -1]), a=nn.LSTM(8, 4), b=ai8x.Linear(4, 2)))
    assert "'a' is a plain nn.LSTM" in text


def test_wide_inside():
    model = Model(lambda m, x: m.b(m.a(x)), a=ai8x.Conv2d(1, 4, 3, wide=True), b=conv(4))
    assert "'b' reads the 32-bit output of 'a'" in refusal(model)


def test_wide_last_is_fine():
    model = Model(lambda m, x: m.fc(m.a(x).flatten(1)), a=conv(), fc=ai8x.Linear(256, 2, wide=True))
    check_model(model, (1, 8, 8), MAX78000)


def test_stride_becomes_subsampling():
    network = trace(Model(lambda m, x: m.b(m.a(x)), a=conv(stride=2), b=conv(4)), (1, 9, 9), "net")
    assert [(layer.name, layer.out_size, layer.pool_stride) for layer in network.layers] == [
        ("a", (9, 9), (1, 1)),
        ("b", (5, 5), (2, 2)),
    ]
    wide = Model(lambda m, x: m.a(x), a=ai8x.Conv2d(1, 4, 3, stride=2, wide=True))
    assert "'a' has stride 2 and 32-bit outputs" in refusal(wide)


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        (lambda m, x: m.b(m.a(x) * 2), r"'b' reads the result of .*mul.* \(.*test_check.py:\d+"),
        (lambda m, x: m.b(torch.sigmoid(m.a(x))), "'b' reads the result of sigmoid"),
        (lambda m, x: m.b(m.a(x).permute(0, 1, 3, 2)), "not in the order channel, row, column"),
        (lambda m, x: m.b(m.a(x).flip(2)), "not in the order channel, row, column"),
        (lambda m, x: m.c(m.a(x)[:, :2, :, 1:]), "only a part of 'a' is used|another order"),
        (lambda m, x: m.b(F.pad(m.a(x), (0, 1))), "zeros are added outside a convolution"),
        (lambda m, x: m.b(m.a(x).view(4, 4, 16, -1)), "the samples of a batch are mixed|needs 4 input channels"),
        (lambda m, x: m.b(m.a(x) if x.max() > 0 else x), "decides by the values of activations"),
        (lambda m, x: m.b(torch.zeros(2, 4, 8, 8)), "does not come from a layer of the accelerator"),
        (lambda m, x: m.b(x), "'b' needs 4 input channels, its input has 1"),
        (lambda m, x: m.nothing(x), "AttributeError: .*for an input of 1×8×8"),
        (lambda m, x: x, "does not come from a layer"),
        (lambda m, x: m.b(F.max_pool2d(m.a(x), 3, 2, 1)), "pooling with padding"),
    ],
)
def test_refusals(forward, text):
    import re

    model = Model(forward, a=conv(), b=conv(4), c=conv(2))
    assert re.search(text, refusal(model))


@pytest.mark.parametrize(
    ("forward", "names"),
    [
        (lambda m, x: m.b(m.a(x).flip(1)), ["a", "b_selection", "b"]),
        (lambda m, x: m.c(m.a(x)[:, 1:3]), ["a", "c_selection", "c"]),
        (lambda m, x: m.b(F.relu(m.add(m.d(x), m.a(x)))), ["d", "a", "relu", "b"]),
        (lambda m, x: m.fc(m.a(x)[:, :, 2:6].flatten(1)), ["a", "a_part", "fc"]),
        (lambda m, x: m.fc(m.a(x).flatten(2)[:, :, 3:35].flatten(1)), ["a", "a_part", "a_part_part", "fc"]),
    ],
    ids=["other order", "some channels", "activation alone", "some rows", "some pixels"],
)
def test_layers_that_move_data_or_activate_it(forward, names):
    with build_context(MAX78002, simulate=True):
        more = {"d": ai8x.Conv2d(1, 4, 1), "fc": ai8x.Linear(128, 2), "add": ai8x.Add()}
        model = randomize(Model(forward, a=conv(), b=conv(4), c=conv(2), **more), 1, (8,))
    assert [layer.name for layer in traced(model, (1, 8, 8)).layers] == names
    agree(model, (1, 8, 8))


def test_grouped_convolutions():
    model = Model(lambda m, x: m.a(x), a=ai8x.FusedConv2dReLU(4, 8, 3, groups=2))
    assert "must be depthwise" in refusal(model, (4, 8, 8))


def test_software_behind_the_last_layer_is_fine():
    model = Model(lambda m, x: F.softmax(m.fc(m.a(x).mean((2, 3))), 1).permute(1, 0), a=conv(), fc=SoftwareLinear(4, 3))
    check_model(model, (1, 8, 8), MAX78000)
    inside = Model(lambda m, x: m.b(m.fc(m.a(x).mean((2, 3)))), a=conv(), fc=SoftwareLinear(4, 3), b=ai8x.Linear(3, 2))
    assert "'b' reads the result of SoftwareLinear" in refusal(inside)


def test_device_limits():
    depthwise = Model(lambda m, x: m.a(x), a=ai8x.FusedDepthwiseConv2dReLU(4, 4, 3))
    check_model(depthwise, (4, 8, 8), MAX78002)
    assert "4 groups on the MAX78000" in refusal(depthwise, (4, 8, 8), MAX78000)
    many = Model(lambda m, x: m.net(x), net=nn.Sequential(*[conv(1, 1) for _ in range(33)]))
    check_model(many, (1, 8, 8), MAX78002)
    assert "33 layers, the MAX78000 has 32" in refusal(many, device=MAX78000)
    large = Model(lambda m, x: m.b(m.a(x)), a=conv(64, 512), b=conv(512, 64))
    check_model(large, (64, 8, 8), MAX78000, policy=QatPolicy(0, 4))
    assert "589,824 bytes, the MAX78000 has 442,368" in refusal(large, (64, 8, 8), MAX78000, policy=QatPolicy(0, 8))
    wide = [conv(1, 1024), ai8x.Conv2d(1024, 1, 1), conv(1, 1024), ai8x.Conv2d(1024, 1, 1)]
    biased = Model(lambda m, x: m.net(x), net=nn.Sequential(*wide))
    assert "2,050 values, the MAX78000 holds 2,048" in refusal(biased, device=MAX78000)
    assert "1025, the MAX78000 supports up to 1024" in refusal(
        Model(lambda m, x: m.a(x), a=conv()), (1, 4, 1025), MAX78000
    )


def test_the_model_is_left_as_it_was():
    model = Model(lambda m, x: m.b(m.a(x)), a=conv(), b=conv(4))
    model.train()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    check_model(model, (1, 8, 8), MAX78002)
    with pytest.raises(Ai8xError):
        check_model(model, (2, 8, 8), MAX78002)
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    assert not any("forward" in module.__dict__ for module in model.modules())


def test_channels_of_the_input_can_be_left_out():
    """Data sets of face identification have the teacher's image behind the student's."""
    more = {"a": conv(3), "b": conv(4), "c": conv(3), "add": ai8x.Add()}
    model = Model(lambda m, x: m.b(m.add(m.a(x[:, 3:]), m.c(x[:, 3:]))), **more)
    network = trace(model, (6, 8, 8), "net")
    assert network.input_shape == (3, 8, 8)
    both = Model(lambda m, x: m.b(m.add(m.a(x[:, 3:]), m.c(x[:, :3]))), **more)
    assert "'c' reads data that the accelerator cannot arrange" in refusal(both, (6, 8, 8))
