"""Observation of a model's modules."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ai8x_tool.nn.hooks import Call, observed_calls


class Scaled(nn.Module):
    def forward(self, x: Tensor, factor: float = 1.0) -> Tensor:
        return x * factor


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Scaled(), Scaled()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x, factor=2.0), 3.0) + self.first(x)


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_calls_are_seen_in_order_with_their_arguments() -> None:
    model, seen = Model(), []

    def before(call: Call[nn.Module]) -> None:
        seen.append(("before", call.name, float(call.input), call.args[1:], dict(call.kwargs)))

    def after(call: Call[nn.Module], output: Tensor) -> Tensor:
        assert call.module is model.get_submodule(call.name)
        seen.append(("after", call.name, float(output)))
        return output + 100  # is not what the model goes on with

    with observed_calls(model.named_children(), before=before, after=after):
        assert hooks(model) == 4
        assert float(model(torch.tensor(1.0))) == 7
    assert seen == [
        ("before", "first", 1, (), {"factor": 2}),
        ("after", "first", 2),
        ("before", "second", 2, (3,), {}),
        ("after", "second", 6),
        ("before", "first", 1, (), {}),
        ("after", "first", 1),
    ]
    assert hooks(model) == 0


def test_nothing_is_left_after_an_error() -> None:
    model = Model()

    def refuse(_: Call[nn.Module], _output: Tensor) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), observed_calls(model.named_children(), after=refuse):
        model(torch.tensor(1.0))
    assert hooks(model) == 0


def test_nothing_is_left_where_a_module_cannot_be_observed() -> None:
    model = Model()
    with pytest.raises(AttributeError), observed_calls([("first", model.first), ("none", None)], before=print):
        pass
    assert hooks(model) == 0
