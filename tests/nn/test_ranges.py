"""Activation ranges: histograms, data flow, consistency and folding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool import nn
from ai8x_tool.device import MAX78000
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn import histogram as histograms
from ai8x_tool.nn.dataflow import INPUT, trace_dataflow
from ai8x_tool.nn.histogram import ActivationStatistics
from ai8x_tool.nn.ranges import connected, consistent_exponents, fold_ranges, measure_ranges
from tests.support import measured_range_networks as measured
from tests.support.measured_range_networks import (
    chain,
    concatenated,
    exclusive,
    joined_input,
    network,
    residual,
    sequential,
    shared,
)

POLICY = nn.QatPolicy(1, 8)


def ignored(_: str) -> None:
    pass


# -- one module -------------------------------------------------------------------------------------------------------


def test_worked_example(monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = ActivationStatistics()
    statistics.add(torch.linspace(-1.7, 1.7, 100001))
    statistics.add(torch.cat([torch.linspace(-1, 1, 1000), torch.tensor([9.0])]))
    tried: list[tuple[float, float]] = []
    original = histograms._error

    def error(values: Any, counts: Any, limit: float) -> float:
        tried.append((limit, original(values, counts, limit)))
        return tried[-1][1]

    monkeypatch.setattr(histograms, "_error", error)
    assert statistics.range(8) == histograms.MeasuredRange(1)
    assert [limit for limit, _ in tried] == [2, 1, 0.5, 0.25, 0.125]
    assert [e for _, e in tried] == pytest.approx([2.0395e-5, 0.067735, 0.33755, 0.59448, 0.76144], rel=1e-4)
    tried.clear()
    assert statistics.range(100) == histograms.MeasuredRange(2)
    assert [limit for limit, _ in tried] == [16, 8, 4, 2, 1]
    expected = [1.31541e-3, 3.34747e-4, 3.31829e-4, 5.07702e-4, 0.0683689]
    assert [e for _, e in tried] == pytest.approx(expected, rel=1e-4)


def measured_range(*calls: torch.Tensor, z: float = 8.0) -> histograms.MeasuredRange:
    statistics = ActivationStatistics()
    for call in calls:
        statistics.add(call)
    return statistics.range(z)


def test_degenerate_ranges() -> None:
    dead = measured_range(torch.zeros(4), torch.zeros(2, 2))
    assert dead.exponent == 0 and "always 0" in str(dead.problem)
    assert measured_range(torch.full((3,), 3.0)) == histograms.MeasuredRange(2)
    assert measured_range(torch.full((3,), -0.25), torch.full((1,), -0.25)) == histograms.MeasuredRange(-2)
    assert measured_range() == histograms.MeasuredRange(0)
    far = measured_range(torch.tensor([-1.0, 1.0]), z=0.5)
    assert far.exponent == 0 and "standard deviations" in str(far.problem)
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="infinite or undefined"):
            measured_range(torch.tensor([1.0, bad]))


@given(st.lists(st.tuples(st.floats(-50, 50, width=32), st.floats(0, 50, width=32)), min_size=1, max_size=4))
def test_merging_keeps_every_value(calls: list[tuple[float, float]]) -> None:
    """Counts are kept, and the distribution up to a bin of the calls and one of the result."""
    values = [torch.linspace(low, low + span, 501) for low, span in calls]
    parts = []
    for call in values:
        statistics = ActivationStatistics()
        statistics.add(call)
        parts += statistics._calls
    merged = histograms.merge(parts)
    together = torch.cat(values).double().numpy()
    assert merged.counts.sum() == pytest.approx(len(together))
    assert (merged.low, merged.high) == (together.min(), together.max())
    slack = (merged.high - merged.low) / histograms.BINS * 2 + 1e-6
    for k in (200, 1000, 1800):
        edge = merged.edges[k]
        below, above = (together < edge - slack).sum(), (together <= edge + slack).sum()
        assert below - 1e-6 <= merged.counts[:k].sum() <= above + 1e-6


def test_a_call_of_one_value_is_counted_where_it_is() -> None:
    constant = ActivationStatistics()
    constant.add(torch.full((7,), 2.0))
    constant.add(torch.tensor([0.0, 4.0]))
    constant.add(torch.tensor([0.0]))
    merged = histograms.merge(constant._calls)
    assert merged.counts.sum() == 10
    assert merged.counts[histograms.BINS // 2 - 1] == 7 and merged.counts[0] == 2 and merged.counts[-1] == 1


def test_many_calls_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "_CALLS_KEPT", 3)
    statistics = ActivationStatistics()
    for k in range(20):
        statistics.add(torch.linspace(-1, 1 + k / 10, 100))
        assert len(statistics._calls) < 3
    merged = histograms.merge(statistics._calls)
    assert merged.counts.sum() == pytest.approx(2000) and statistics.range(8).exponent == 2


@given(st.integers(-6, 6), st.floats(0.51, 1.0))
def test_the_range_covers_uniform_values(exponent: int, part: float) -> None:
    values = torch.linspace(-part, part, 4001) * 2.0**exponent
    assert measured_range(values).exponent in (exponent, exponent - 1 if part < 0.52 else exponent)


# -- the graph --------------------------------------------------------------------------------------------------------

EXAMPLES = {
    "sequential": (
        sequential,
        {"c1": 4, "c2": 6, "c3": 7, "fc": 8},
        {"c1": (4, 0), "c2": (2, 0), "c3": (1, 0), "fc": (1, 7)},
        {"c1": 0, "c2": 4, "c3": 6, "fc": 7},
    ),
    "residual": (
        residual,
        {"c1": 4, "c2": 5, "c3": 7, "add": 7, "c4": 9, "pool": 9, "fc": 10},
        {"c1": (7, 0), "c2": (-2, 0), "c3": (2, 0), "c4": (2, 0), "fc": (1, 10)},
        {"c1": 0, "c2": 7, "c3": 5, "c4": 7, "fc": 9},
    ),
    "concatenated": (
        concatenated,
        {"c1": 4, "c2": 6, "out": 7},
        {"c1": (6, 0), "c2": (0, 0), "out": (1, 7)},
        {"c1": 0, "c2": 6, "out": 6},
    ),
    "shared": (
        shared,
        {"c1": 4, "c2": 7, "head": 8, "cls": 8},
        {"c1": (7, 0), "c2": (0, 0), "head": (1, 8), "cls": (1, 7)},
        {"c1": 0, "c2": 7, "head": 7, "cls": 7},
    ),
    "exclusive or": (
        exclusive,
        {"a": 2, "b": 4, "xor": 1, "c": 3},
        {"a": (4, 0), "b": (4, 0), "c": (-1, 3)},
        {"a": 0, "b": 0, "c": 4},
    ),
    "chain": (
        chain,
        {"a": 1, "b": 2, "c": 3, "d": 6, "x": 7, "y": 7, "z": 5},
        {"a": (6, 0), "b": (6, 0), "c": (6, 0), "d": (6, 0), "x": (1, 7), "y": (1, 7), "z": (-1, 5)},
        {"a": 0, "x": 6, "y": 6, "z": 6},
    ),
    "joined input": (
        joined_input,
        {"c1": 4, "out": 2},
        {"c1": (0, 0), "out": (2, 2)},
        {"c1": 0, "out": 0},
    ),
}


@pytest.mark.parametrize("backwards", [False, True], ids=["as executed", "defined backwards"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_graph_rules(name: str, backwards: bool) -> None:
    """Known ranges of some modules, and what follows for the others; the order of definition does not matter."""
    function, exponents, results, divided = EXAMPLES[name]
    order = list(measured.MODULES[function])
    model = network(function, order[::-1] if backwards else order)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flow = trace_dataflow(model, measured.inputs(1))
    warnings: list[str] = []
    fold_ranges(model, consistent_exponents(model, exponents, flow, warnings.append), flow)
    found = {n: (int(m.activation_threshold), int(m.final_scale)) for n, m in nn.named_fused_modules(model) if m.op}
    assert found == results
    for layer, exponent in divided.items():
        assert torch.equal(model.state_dict()[f"{layer}.op.bias"], before[f"{layer}.op.bias"] * 2.0**-exponent)
        assert torch.equal(model.state_dict()[f"{layer}.op.weight"], before[f"{layer}.op.weight"])
    assert bool(warnings) == (name == "joined input")


@pytest.mark.parametrize("backwards", [False, True], ids=["as executed", "defined backwards"])
@pytest.mark.parametrize("name", ["sequential", "residual", "concatenated", "shared", "chain", "joined input"])
def test_folding_keeps_the_function(name: str, backwards: bool) -> None:
    """Powers of two only, hence the very same floats, final scales included."""
    function, exponents, *_ = EXAMPLES[name]
    order = list(measured.MODULES[function])
    model, x = network(function, order[::-1] if backwards else order), measured.inputs()
    with torch.no_grad():
        before = model(x)
        flow = trace_dataflow(model, x)
        fold_ranges(model, consistent_exponents(model, exponents, flow, ignored), flow)
        after = model(x)
    for one, two in zip(tuple(before), tuple(after), strict=True):
        assert torch.equal(one, two)


def test_connected_groups() -> None:
    groups = connected([frozenset("ab"), frozenset("cd"), frozenset(), frozenset("e"), frozenset("bc")])
    assert sorted(map(sorted, groups)) == [["a", "b", "c", "d"], ["e"]]


class InPlace(torch.nn.Module):
    """Views, assignment into a buffer, functions of torch and of one's own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.last = torch.nn.Sequential(nn.Linear(12, 2, bias=True))
        self.unused, self.sum = nn.Linear(2, 2), nn.Add()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        buffer = torch.zeros(len(x), 6, 2, 2)
        buffer[:, :3] = torch.relu_(self.a(x)).chunk(1)[0]
        buffer.view(len(x), -1)[:, 12:] = self.b(x).flatten(1)
        self.sum(torch.ones(1), torch.ones(1))
        y = self.c(buffer[:, :3])
        y += 1
        z = nn.quantizers.clamp(buffer.permute(1, 0, 2, 3), -1, 1)[3:].transpose(0, 1)
        return {"y": y, "z": self.last(z.reshape(len(x), -1))}


def test_sources_pass_through_views_and_assignments() -> None:
    with nn.build_context(MAX78000, measured_ranges=True):
        model = InPlace()
    flow = trace_dataflow(model, torch.zeros(1, 3, 2, 2))
    both = frozenset({"a", "b"})
    assert flow.inputs == {"a": {INPUT}, "b": {INPUT}, "c": both, "last.0": both}
    assert flow.outputs == [{"c"}, {"last.0"}] and flow.consumed == {INPUT, "a", "b"}
    assert model.training
    exponents = measure_ranges(model, [torch.rand(2, 3, 2, 2)], POLICY, ignored)
    assert set(exponents) == {"a", "b", "c", "last.0"} and exponents["a"] == exponents["b"]
    assert float(model.unused.activation_threshold) == 0


class Deciding(torch.nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.inner = torch.nn.Sequential(nn.Conv2d(3, 3, 1))
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.inner(x)
        if self.how == "if" and y.sum() > 0:
            y = y * 2
        if self.how == "item":
            y = y * y.max().item()
        if self.how == "from nowhere":
            y = torch.tensor(y.tolist())
        return self.last(y)


@pytest.mark.parametrize("how", ["if", "item", "from nowhere"])
def test_what_cannot_be_traced_is_named(how: str) -> None:
    with nn.build_context(MAX78000, measured_ranges=True):
        model = torch.nn.Sequential(torch.nn.Identity(), Deciding(how))
    with pytest.raises(Ai8xError, match="'1.last'" if how == "from nowhere" else "^1 uses values of activations"):
        trace_dataflow(model, torch.zeros(1, 3, 2, 2))


# -- the whole start --------------------------------------------------------------------------------------------------


def test_measuring_a_model() -> None:
    """Statistics are of the model in evaluation mode; modules keep their hooks and mode."""
    model, warnings = network(residual), list[str]()
    model.train()
    x = [measured.inputs(4, seed) for seed in range(3)]
    with torch.no_grad():
        before = model(x[0])
        captured: dict[str, list[torch.Tensor]] = {}
        handles = [
            m.register_forward_hook(lambda _m, _i, o, n=n: captured.setdefault(n, []).append(o))
            for n, m in model.named_children()
        ]
        for batch in x:
            model(batch)
        for handle in handles:
            handle.remove()
    exponents = measure_ranges(model, x, POLICY, warnings.append)
    assert model.training and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert warnings == []
    alone = {name: measured_range(*calls).exponent for name, calls in captured.items()}
    assert exponents["c1"] == exponents["c3"] == alone["add"] and exponents["c2"] == alone["c2"]
    assert float(model.add.activation_threshold) == alone["add"] and model.add.activation_threshold.shape == ()
    with torch.no_grad():
        assert torch.equal(model(x[0]), before)
    assert nn.start_qat(model, POLICY) == []
    assert model.add.clamps and all(m.clamp_activation for _, m in nn.named_fused_modules(model))


def test_warnings_name_the_layer() -> None:
    model, warnings = network(measured.added_output), list[str]()
    measure_ranges(model, [measured.inputs()], POLICY, warnings.append)
    common = int(model.add.activation_threshold)
    assert common > 0 and warnings == [
        f"the output of the network remains divided by 2^{common}, "
        "because it is not computed by layers with weights alone"
    ]
    assert {float(m.final_scale) for _, m in nn.named_fused_modules(model)} == {0}
    model, warnings = network(sequential), []
    with torch.no_grad():
        model.c1.op.weight.mul_(2.0**20)
        model.c2.op.weight.mul_(2.0**-22)
    measure_ranges(model, [measured.inputs()], POLICY, warnings.append)
    assert any("range of 'c1' is ±2^" in w for w in warnings)
    model, warnings = network(sequential), []
    with torch.no_grad():
        model.c1.op.weight.zero_(), model.c1.op.bias.zero_()
    measure_ranges(model, [measured.inputs()], POLICY, warnings.append)
    assert "the output of 'c1' is always 0: its range is taken as ±1" in warnings
    assert torch.isfinite(model.c2.op.bias).all() and float(model.c1.activation_threshold) == 0
    with torch.no_grad():
        model.c1.op.bias[0] = math.nan
    with pytest.raises(Ai8xError, match="infinite or undefined values in the output of 'c1'"):
        measure_ranges(model, [measured.inputs()], POLICY, ignored)


def test_an_output_shift_that_is_limited_is_reported() -> None:
    model, warnings = network(sequential), list[str]()
    with torch.no_grad():
        model.c2.op.weight.mul_(2.0**-13)
        model.c2.op.bias.mul_(2.0**-13)
    flow = trace_dataflow(model, measured.inputs(1))
    exponents = {"c1": 0, "c2": 5, "c3": 5, "fc": 5}
    fold_ranges(model, exponents, flow)
    nn.ranges._warn_about_limits(model, exponents, POLICY, warnings.append)
    assert warnings == ["the output shift of 'c2' would be -17; it is limited to −15 … 15"]
    assert model.c2._derive(model.c2.op.weight, None)[0].abs().max() == model.c2.op.weight.abs().max() * 2.0**-5


def test_a_single_layer_has_a_final_scale() -> None:
    """A layer that the input goes into directly."""
    for wide in (False, True):
        with nn.build_context(MAX78000, measured_ranges=True):
            model = torch.nn.Sequential(nn.Conv2d(3, 3, 1, wide=wide))
        torch.nn.init.constant_(model[0].op.weight, 3.0)
        x = measured.inputs()
        with torch.no_grad():
            before = model(x)
            measure_ranges(model, [x], POLICY, ignored)
            assert torch.equal(model(x), before)
        assert (int(model[0].final_scale) == 0) == wide and int(model[0].activation_threshold) > 1


def test_policy_keys(tmp_path: Any) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "start_epoch: 1\nweight_bits: 4\nshift_quantile: 0.9\noutlier_removal_z_score: 2\n"
        "overrides: {a: {shift_quantile: 0.5}, b: {}, c: {weight_bits: 8, shift_quantile: 1.0}, d: }\n"
    )
    policy = nn.read_policy(path)
    assert policy.z_score == 2
    assert [policy.choose(name) for name in "abcde"] == [(4, 0.5), (4, 0.9), (8, 1.0), (4, 0.9), (4, 0.9)]
    assert nn.QatPolicy(1, 8).z_score == 8 and nn.QatPolicy(1, 8).outlier_removal_z_score is None
    for text, words in {
        "outlier_removal_z_score: 0": "outlier_removal_z_score must be above 0, not 0.0",
        "outlier_removal_z_score: .nan": "must be above 0",
        "outlier_removal_z_score: x": "must be a number",
        "overrides: {a: {shift_quantile: 2}}": "a: shift_quantile must be above 0 and at most 1, not 2.0",
        "overrides: {a: {weight_bits: 5}}": "a: weight_bits must be 1, 2, 4 or 8, not 5",
        "overrides: {a: {weight_bit: 8}}": "did you mean 'weight_bits'",
        "overrides: {a: 8}": "the override of 'a' must be a mapping, not 8",
    }.items():
        path.write_text(f"start_epoch: 1\nweight_bits: 8\n{text}\n")
        with pytest.raises(Ai8xError, match=words):
            nn.read_policy(path)
    np.testing.assert_equal(len(policy.overrides), 4)


# -- random networks --------------------------------------------------------------------------------------------------


class RandomNetwork(torch.nn.Module):
    """Nodes (kind, sources); node 0 is the input. All data are 3×4×4. "again" calls the layer of an earlier node."""

    def __init__(self, nodes: list[tuple[str, list[int]]], order: list[int]) -> None:
        super().__init__()
        self.nodes = nodes
        makers = {"conv": measured.conv, "cat": measured.DOUBLE, "add": nn.Add, "pool": lambda: nn.MaxPool2d(1, 1)}
        for index in order:
            if nodes[index][0] in makers:
                torch.manual_seed(index)
                self.add_module(f"n{index}", makers[nodes[index][0]]())

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        values, used = [x], set[int]()
        for index, (kind, sources) in enumerate(self.nodes[1:], 1):
            used |= set(sources)
            operands = [values[source] for source in sources]
            owner = getattr(self, f"n{self.layer_of(index)}")
            values.append(owner(torch.cat(operands, 1)) if kind == "cat" else owner(*operands))
        return [value for index, value in enumerate(values) if index not in used and index]

    def layer_of(self, index: int) -> int:
        """The node whose module this node calls: an "again" the first convolution, which every network has."""
        return 1 if self.nodes[index][0] == "again" else index


@st.composite
def random_networks(draw: Any) -> tuple[list[tuple[str, list[int]]], list[int], dict[str, int]]:
    nodes: list[tuple[str, list[int]]] = [("input", []), ("conv", [0])]
    for index in range(2, draw(st.integers(4, 9))):
        kind = draw(st.sampled_from(["conv", "conv", "add", "cat", "pool", "again"]))
        count = 2 if kind in ("add", "cat") else 1
        nodes.append((kind, draw(st.lists(st.integers(0, index - 1), min_size=count, max_size=count))))
    order = draw(st.permutations(range(1, len(nodes))))
    exponents = {f"n{index}": draw(st.integers(-3, 6)) for index in range(1, len(nodes))}
    return nodes, list(order), exponents


@given(random_networks())
def test_random_networks_keep_their_function(
    drawn: tuple[list[tuple[str, list[int]]], list[int], dict[str, int]],
) -> None:
    """Whatever meets has one range; outputs change by the power of two that is reported, and no other way."""
    nodes, order, exponents = drawn
    with nn.build_context(MAX78000, measured_ranges=True):
        model, ordered = RandomNetwork(nodes, order).eval(), RandomNetwork(nodes, sorted(order)).eval()
    x = torch.randint(-128, 128, (2, 3, 4, 4), generator=torch.Generator().manual_seed(3)) / 128
    flow = trace_dataflow(model, x)
    with torch.no_grad():
        before = model(x)
        chosen = consistent_exponents(model, exponents, flow, ignored)
        fold_ranges(model, chosen, flow)
        after = model(x)
        warnings: list[str] = []
        nn.ranges._warn_about_outputs(model, chosen, flow, warnings.append)
        other = consistent_exponents(ordered, exponents, trace_dataflow(ordered, x), ignored)
        fold_ranges(ordered, other, trace_dataflow(ordered, x))
        assert chosen == other and all(torch.equal(a, b) for a, b in zip(after, ordered(x), strict=True))
    divided = 0
    for one, two, sources in zip(before, after, flow.outputs, strict=True):
        common = {chosen.get(source, 0) for source in sources}
        assert len(common) == 1
        left = common.pop() if sources & flow.consumed else 0
        divided += bool(left)
        assert torch.equal(one, two * 2.0**left)
    assert len(warnings) == divided
