"""Stages of residual bottlenecks, which MobileNets and networks for faces are made of. Not a model by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Stage:
    """`repeat` blocks: the first from `inputs` to `outputs` channels with `stride`, the others with stride 1.

    `expansion` is by how much the channels grow inside a block.
    """

    repeat: int
    inputs: int
    outputs: int
    stride: int
    expansion: int


def feature_stage(
    block: type[nn.Module], stages: Iterable[Stage], depthwise_bias: Callable[[int], bool], **options: Any
) -> nn.Sequential:
    """Return the stages, each a sequence of blocks; `depthwise_bias` states for which blocks of a stage it is set."""
    sequence = []
    for stage in stages:
        blocks = []
        for number in range(stage.repeat):
            inputs, stride = (stage.inputs, stage.stride) if number == 0 else (stage.outputs, 1)
            bias = depthwise_bias(number)
            blocks.append(block(inputs, stage.outputs, stage.expansion, stride, depthwise_bias=bias, **options))
        sequence.append(nn.Sequential(*blocks))
    return nn.Sequential(*sequence)
