"""Activation ranges at the start of QAT: measurement, consistency between layers, folding into parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from ai8x_tool.device.limits import OUTPUT_SHIFT
from ai8x_tool.errors import Ai8xError
from ai8x_tool.nn.dataflow import INPUT, Dataflow, Sources, trace_dataflow
from ai8x_tool.nn.elementwise import Add, Elementwise, Sub
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.nn.histogram import ActivationStatistics
from ai8x_tool.nn.hooks import Call, observed_calls
from ai8x_tool.nn.policy import QatPolicy
from ai8x_tool.nn.quantizers import output_shift

Warn = Callable[[str], None]


def measure_ranges(model: nn.Module, batches: Iterable[Tensor], policy: QatPolicy, warn: Warn) -> dict[str, int]:
    """Measure, for every layer of `model`, the power of two 2^T that divides its activations from now on, and fold it.

    `model` is a float model without batch normalization, built with measured ranges; `batches` are the inputs of the
    training set. R, F and the biases are changed so that the function of the network is unchanged. Returns T by module.
    `warn` is called with a line for each unusual layer. Raises Ai8xError naming a module whose activations cannot be
    measured.
    """
    statistics, flow = _collect(model, batches)
    if flow is None:
        raise Ai8xError("measurement of activation ranges requires training samples")
    exponents = {}
    for name, collected in statistics.items():
        found = collected.range(policy.z_score)
        exponents[name] = found.exponent
        if found.problem is not None:
            warn(f"the output of {name!r} {found.problem}")
    consistent = consistent_exponents(model, exponents, flow, warn)
    fold_ranges(model, consistent, flow)
    _warn_about_outputs(model, consistent, flow, warn)
    _warn_about_limits(model, consistent, policy, warn)
    return consistent


@torch.no_grad()
def _collect(model: nn.Module, batches: Iterable[Tensor]) -> tuple[dict[str, ActivationStatistics], Dataflow | None]:
    observed = {n: m for n, m in model.named_modules() if isinstance(m, FusedModule | Elementwise)}
    statistics = {name: ActivationStatistics() for name in observed}

    def add(call: Call[FusedModule | Elementwise], output: Tensor) -> None:
        try:
            statistics[call.name].add(output)
        except ValueError as error:
            message = f"activation ranges cannot be measured: {error} in the output of {call.name!r}"
            raise Ai8xError(message, fix="reduce the learning rate") from None

    stream, training = iter(batches), model.training
    first = next(stream, None)
    if first is None:
        return statistics, None
    try:
        flow = trace_dataflow(model.eval(), first[:1].clone())
        with observed_calls(observed.items(), after=add):
            for inputs in chain([first], stream):
                model(inputs)
    finally:
        model.train(training)
    return statistics, flow


def consistent_exponents(model: nn.Module, measured: Mapping[str, int], flow: Dataflow, warn: Warn) -> dict[str, int]:
    """Return T by compute layer: equal for all layers whose outputs meet; that of the sum if they are added."""
    modules = dict(model.named_modules())
    exponents = {name: measured.get(name, 0) for name in flow.inputs}
    for name, sources in flow.joins:
        if isinstance(modules[name], Add | Sub):
            exponents |= dict.fromkeys(sources - {INPUT}, measured.get(name, 0))
    meetings = [*(s for _, s in flow.joins), *flow.concatenations, *flow.inputs.values(), *flow.outputs]
    for group in connected(meetings):
        layers = sorted(group - {INPUT})
        common = 0 if INPUT in group else max(exponents[name] for name in layers)
        if INPUT in group and any(exponents[name] for name in layers):
            warn(f"{', '.join(map(repr, layers))}: range ±1 instead of the measured one, because the input joins them")
        exponents |= dict.fromkeys(layers, common)
    return exponents


def connected(meetings: Iterable[Sources]) -> list[set[str]]:
    """Return the groups of sources that meet directly or via others."""
    groups: list[set[str]] = []
    for meeting in meetings:
        touched = [group for group in groups if group & meeting]
        groups = [group for group in groups if not group & meeting]
        if meeting:
            groups.append(set(meeting).union(*touched))
    return groups


@torch.no_grad()
def fold_ranges(model: nn.Module, exponents: Mapping[str, int], flow: Dataflow) -> None:
    """Set R, F and biases so that every layer computes its activations divided by 2^T."""
    modules = dict(model.named_modules())
    for name, sources in flow.inputs.items():
        module = modules[name]
        assert isinstance(module, FusedModule) and module.op is not None
        before, after = _common(sources, exponents), exponents[name]
        if isinstance(module.op.bias, Tensor):
            module.op.bias.mul_(2.0**-before)
        module.activation_threshold.fill_(after - before)
        module.final_scale.fill_(0 if name in flow.consumed else before if module.wide else after)
        module.update()
    for name, sources in flow.joins:
        joined = modules[name]
        assert isinstance(joined, Elementwise)
        joined.activation_threshold.fill_(_common(sources, exponents))


def _common(sources: Sources, exponents: Mapping[str, int]) -> int:
    """Return the common T of sources that meet; it is 0 for the input and for constants."""
    (exponent,) = {exponents.get(source, 0) for source in sources} or {0}
    return exponent


def _warn_about_outputs(model: nn.Module, exponents: Mapping[str, int], flow: Dataflow, warn: Warn) -> None:
    for number, sources in enumerate(flow.outputs):
        common = _common(sources, exponents)
        if common and sources & flow.consumed:
            where = f"output {number}" if len(flow.outputs) > 1 else "the output"
            reason = "because it is not computed by layers with weights alone"
            warn(f"{where} of the network remains divided by 2^{common}, {reason}")


def _warn_about_limits(model: nn.Module, exponents: Mapping[str, int], policy: QatPolicy, warn: Warn) -> None:
    for name, exponent in exponents.items():
        module = model.get_submodule(name)
        assert isinstance(module, FusedModule) and module.op is not None
        if abs(exponent) > OUTPUT_SHIFT:
            warn(f"the range of {name!r} is ±2^{exponent}, outside 2^−15 … 2^15")
        weight, bias = module.op.weight, module.op.bias
        assert isinstance(weight, Tensor)
        shift = output_shift(weight, bias if isinstance(bias, Tensor) else None, policy.choose(name)[1])
        shift -= int(module.activation_threshold)
        if abs(shift) > OUTPUT_SHIFT and not module.wide:
            warn(f"the output shift of {name!r} would be {shift}; it is limited to −15 … 15")
