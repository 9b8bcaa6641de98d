"""Table of the costs of each kind of layer on each device, for the tutorial on models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ai8x_tool import nn as ai8x
from ai8x_tool.analysis import DeviceAnalysis, analyze_network
from ai8x_tool.device import DEVICES, Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import model_network

START, END = "<!-- layer costs -->", "<!-- end of layer costs -->"
_BITS = 8


@dataclass(frozen=True)
class Example:
    """A layer: its description, the shape of its input, and the function that creates it."""

    text: str
    shape: tuple[int, ...]
    make: Callable[[], nn.Module]


class _Residual(nn.Module):
    """Two convolutions, and the sum of their outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (ai8x.Conv2d(32, 32, 3, padding=1, bias=True) for _ in range(2))
        self.add = ai8x.Add()

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum."""
        x = self.first(x)
        found: Tensor = self.add(x, self.second(x))
        return found


def _examples() -> tuple[Example, ...]:
    image, wide, line = (32, 32, 32), (128, 32, 32), (32, 128)
    padded: dict[str, Any] = {"padding": 1, "bias": True}
    return (
        Example("`Conv2d` 1×1, 32 → 32", image, lambda: ai8x.Conv2d(32, 32, 1, bias=True)),
        Example("`Conv2d` 3×3, 32 → 32", image, lambda: ai8x.Conv2d(32, 32, 3, **padded)),
        Example(
            "… followed by batch normalization and ReLU", image, lambda: ai8x.FusedConv2dBNReLU(32, 32, 3, **padded)
        ),
        Example("… 32 → 64", image, lambda: ai8x.Conv2d(32, 64, 3, **padded)),
        Example("… 128 → 32", wide, lambda: ai8x.Conv2d(128, 32, 3, **padded)),
        Example("… 32 → 32, 32 bits out (`wide`)", image, lambda: ai8x.Conv2d(32, 32, 3, wide=True, **padded)),
        Example("2×2 pooling, `Conv2d` 3×3", image, lambda: ai8x.FusedMaxPoolConv2d(32, 32, 3, **padded)),
        Example("`MaxPool2d` 2×2 alone", image, lambda: ai8x.MaxPool2d(2, 2)),
        Example("`AvgPool2d` 2×2 alone", image, lambda: ai8x.AvgPool2d(2, 2)),
        Example("`ConvTranspose2d` 3×3, 32 → 32", image, lambda: ai8x.ConvTranspose2d(32, 32, 3, stride=2, **padded)),
        Example("`DepthwiseConv2d` 3×3, 32", image, lambda: ai8x.DepthwiseConv2d(32, 32, 3, **padded)),
        Example("`Conv2d` 3×3 twice, `Add` of both", image, _Residual),
        Example("`Conv1d` 3, 32 → 32", line, lambda: ai8x.Conv1d(32, 32, 3, **padded)),
        Example("`Conv1d` 9, 32 → 32", line, lambda: ai8x.Conv1d(32, 32, 9, **padded)),
        Example(
            "`Linear`, 1024 → 10", (64, 4, 4), lambda: nn.Sequential(nn.Flatten(), ai8x.Linear(1024, 10, bias=True))
        ),
    )


def _analyzed(example: Example, device: Device) -> DeviceAnalysis | None:
    """Return the analysis; None if the device does not support the layer."""
    try:
        with ai8x.build_context(device):
            model = example.make()
        return analyze_network(model_network(model, example.shape, device, undecided=_BITS), None, device)
    except Ai8xError:
        return None


def _row(example: Example) -> str:
    found = [_analyzed(example, device) for device in DEVICES]
    there = next(each for each in found if each is not None)
    shapes = ("×".join(map(str, shape)) for shape in (example.shape, there.layers[-1].output_shape))
    cycles = [f"{sum(layer.cycles for layer in each.layers):,}" if each else "–" for each in found]
    passes = max(layer.passes for layer in there.layers)
    weights = sum(layer.weight_bytes for layer in there.layers)
    cells = (example.text, " → ".join(shapes), *cycles, str(passes), str(len(there.layers)), f"{weights:,}")
    return f"| {' | '.join(cells)} |"


def costs_table() -> str:
    """Return the table as Markdown."""
    heads = [
        "Layer",
        "Input → output",
        *(f"{device.name}, cycles" for device in DEVICES),
        "Passes",
        "Layers",
        "Weights, bytes",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---|---|" + "---:|" * (len(heads) - 2), *map(_row, _examples())]
    return "\n".join(lines) + "\n"


def with_costs(page: str) -> str:
    """Return `page` with the table between its marks."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n\n{costs_table()}\n{END}{after}"
