"""Time of a training step of ai85kws20netv3, in float and QAT, against its bare convolutions in torch.

Prints milliseconds and ratios measured alternately in one run: ``python scripts/bench_training.py``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool.device import find_device
from ai8x_tool.nn import QatPolicy, build_context, start_qat
from ai8x_tool.plugins import find_model
from ai8x_tool.training.batches import channels_last

BATCH, ROUNDS = 256, 7
LAYERS = ((128, 100, 1, 0), (100, 96, 3, 0), (96, 64, 3, 1), (64, 48, 3, 0))
LAYERS += ((48, 64, 3, 1), (64, 96, 3, 0), (96, 100, 3, 1), (100, 64, 6, 1))
POOLED = (2, 4, 6, 7)


class BareConvolutions(nn.Module):
    """The convolutions and poolings of the model, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        shapes = (nn.Conv1d(i, o, kernel, padding=pad, bias=False) for i, o, kernel, pad in LAYERS)
        self.layers = nn.ModuleList(shapes)
        self.classifier = nn.Linear(256, 21, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return one score per class."""
        for number, layer in enumerate(self.layers):
            x = layer(F.max_pool1d(x, 2) if number in POOLED else x)
        return self.classifier(x.flatten(1))


def training_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
    """Return a function that takes one step of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return step


def main() -> None:
    """Measure and print."""
    inputs = channels_last(torch.randint(-128, 128, (BATCH, 128, 128)) / 128)
    targets = torch.randint(0, 21, (BATCH,))
    with build_context(find_device("MAX78000")):
        floating, quantized = (find_model("ai85kws20netv3").build() for _ in range(2))
    start_qat(quantized, QatPolicy(0, 8))
    models = {"bare convolutions": BareConvolutions(), "float": floating, "QAT": quantized}
    steps = {name: training_step(model, inputs, targets) for name, model in models.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - started)
    base = statistics.median(times["bare convolutions"])
    for name, measured in times.items():
        middle = statistics.median(measured)
        print(f"{name:18s} {1e3 * middle:6.1f} ms per batch of {BATCH}   {middle / base:.2f}×")


if __name__ == "__main__":
    main()
