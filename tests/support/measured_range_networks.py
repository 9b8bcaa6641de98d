"""The networks of the worked examples of activation ranges, with their layers in any order of definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ai8x_tool import nn
from ai8x_tool.device import MAX78000

CHANNELS = 3


def conv(**options: Any) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, **options)


def sequential(net: Any, x: Tensor) -> Any:
    return net.fc(net.c3(net.c2(net.c1(x))))


def residual(net: Any, x: Tensor) -> Any:
    a = net.c1(x)
    return net.fc(net.pool(net.c4(net.add(a, net.c3(net.c2(a))))))


def concatenated(net: Any, x: Tensor) -> Any:
    a = net.c1(x)
    return net.out(torch.cat((a, net.c2(a)), 1))


def shared(net: Any, x: Tensor) -> Any:
    a = net.c1(x)
    b = net.c2(a)
    return net.head(a), net.head(b), net.cls(b)


def exclusive(net: Any, x: Tensor) -> Any:
    return net.c(net.xor(net.a(x), net.b(x)))


def chain(net: Any, x: Tensor) -> Any:
    a, b, c, d = net.a(x), net.b(x), net.c(x), net.d(x)
    return net.x(torch.cat((a, b), 1)), net.y(torch.cat((b, c), 1)), net.z(torch.cat((c, d), 1))


def joined_input(net: Any, x: Tensor) -> Any:
    return net.out(torch.cat((x, net.c1(x)), 1))


def added_output(net: Any, x: Tensor) -> Any:
    a = net.c1(x)
    return net.add(a, net.c2(a))


DOUBLE: Callable[[], nn.Conv2d] = lambda: nn.Conv2d(2 * CHANNELS, CHANNELS, 1)  # noqa: E731
MODULES: dict[Callable[..., Any], dict[str, Callable[[], torch.nn.Module]]] = {
    sequential: {"c1": conv, "c2": conv, "c3": conv, "fc": lambda: conv(wide=True)},
    residual: {
        **{"c1": conv, "c2": conv, "c3": conv, "add": nn.Add, "c4": conv},
        **{"pool": lambda: nn.MaxPool2d(2), "fc": conv},
    },
    concatenated: {"c1": conv, "c2": conv, "out": DOUBLE},
    shared: {"c1": conv, "c2": conv, "head": conv, "cls": lambda: conv(wide=True)},
    exclusive: {"a": conv, "b": conv, "xor": nn.BitwiseXor, "c": conv},
    chain: {"a": conv, "b": conv, "c": conv, "d": conv, "x": DOUBLE, "y": DOUBLE, "z": DOUBLE},
    joined_input: {"c1": conv, "out": DOUBLE},
    added_output: {"c1": conv, "c2": conv, "add": nn.Add},
}


class Network(torch.nn.Module):
    """One of the networks above."""

    def __init__(self, function: Callable[..., Any], order: Sequence[str] | None = None) -> None:
        super().__init__()
        self.function = function
        for name in order or list(MODULES[function]):
            self.add_module(name, MODULES[function][name]())

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def network(
    function: Callable[..., Any], order: Sequence[str] | None = None, *, simulate: bool = False, seed: int = 0
) -> Network:
    """Return the network with random weights and biases, built with measured ranges."""
    torch.manual_seed(seed)
    with nn.build_context(MAX78000, measured_ranges=True, simulate=simulate):
        made = Network(function, order)
    for name in MODULES[function]:
        module = getattr(made, name)
        if isinstance(module, nn.FusedModule) and module.op is not None:
            generator = torch.Generator().manual_seed(hash_of(name))
            module.op.weight.data.uniform_(-1.5, 1.5, generator=generator)
            module.op.bias.data.uniform_(-1.5, 1.5, generator=generator)
    return made.eval()


def hash_of(name: str) -> int:
    """A number that depends on nothing but the name."""
    return int.from_bytes(name.encode(), "little")


def inputs(count: int = 2, seed: int = 1) -> Tensor:
    """Return activations of the network's input: multiples of 1/128."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-128, 128, (count, CHANNELS, 8, 8), generator=generator).float() / 128
