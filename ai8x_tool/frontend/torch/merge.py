"""Merging of steps that the accelerator executes in one layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from ai8x_tool.device import Device
from ai8x_tool.device.facts import PROCESSORS
from ai8x_tool.frontend.torch.steps import Step
from ai8x_tool.network.selection import identity_convolution


class Merger:
    """Merges the steps of a network that are needed for its `outputs`.

    An activation that cannot be merged with a convolution gets one with identity weights. Without `device`, only steps
    that every device can execute in one layer are merged.
    """

    def __init__(self, steps: Iterable[Step], outputs: Iterable[Step], device: Device | None) -> None:
        self.steps, self.outputs, self.device = list(steps), list(dict.fromkeys(outputs)), device
        self._drop_unused()

    def merge(self) -> list[Step]:
        """Return the remaining steps, in order, without the network's input."""
        for join in (self._join_activation, self._join_pooling, self._join_elementwise):
            for step in list(self.steps):
                join(step)
        self._drop_unused()
        return [step for step in self.steps if not step.is_input]

    def _drop_unused(self) -> None:
        used: set[Step] = set()
        waiting = list(self.outputs)
        while waiting:
            step = waiting.pop()
            if step not in used:
                used.add(step)
                waiting += [source for reading in step.operands for source in reading.sources]
        self.steps = [step for step in self.steps if step in used]
        self._reads = Counter(s for step in self.steps for reading in step.operands for s in reading.sources)

    def _only_reader(self, source: Step) -> bool:
        """Return whether `source` is read exactly once and is not an output."""
        return self._reads[source] == 1 and source not in self.outputs and not source.is_input

    def _remove(self, step: Step, by: Step) -> None:
        """Remove `step`; its readers read `by` instead."""
        for reader in self.steps:
            reader.operands = [
                replace(reading, sources=tuple(by if s is step else s for s in reading.sources))
                for reading in reader.operands
            ]
        self.outputs = list(dict.fromkeys(by if output is step else output for output in self.outputs))
        self.steps.remove(step)
        self._drop_unused()

    def _join_activation(self, step: Step) -> None:
        if not step.separate:
            return
        source = step.operands[0].sources[0]
        owner = self._owner(step, source)
        if owner is not None:
            owner.layer = replace(owner.draft, activation=step.draft.activation)
        elif not self._is_positive(source) and (step not in self.outputs or self._reads[step]):
            draft, flat = step.draft, step.shape[2] == 1 and step.shape[1] > 1
            made = identity_convolution(draft.name, (), step.shape[0], flat=flat, source=draft.source)
            step.layer, step.separate = replace(made, activation=draft.activation), False
            return
        self._remove(step, source)

    def _owner(self, step: Step, source: Step) -> Step | None:
        """Return the convolution whose activation `step` can become, directly before it or before its max pooling."""
        if not self._only_reader(source):
            return None
        draft = source.draft
        if draft.operator == "none":
            moves = draft.eltwise is None and not draft.pool_average and step.draft.activation == "relu"
            moves = moves and len(source.operands[0].sources) == 1
            before = source.operands[0].sources[0]
            return self._owner(step, before) if moves else None
        return source if draft.activation == "none" and draft.output_width == 8 else None

    def _is_positive(self, source: Step) -> bool:
        if source.is_input:
            return False
        draft = source.draft
        if draft.operator == "none" and draft.eltwise is None:
            return all(self._is_positive(s) for reading in source.operands for s in reading.sources)
        return draft.activation != "none"

    def _join_pooling(self, step: Step) -> None:
        """Merge pooling with the convolution after it, except a transposed one, whose strides would be doubtful."""
        source = self._sole_source(step)
        if source is None or step.draft.operator in ("none", "convtranspose2d") or pools(step) or not pools(source):
            return
        draft = source.draft
        if draft.operator == "none" and draft.eltwise is None and step.draft.flatten is False:
            step.layer = replace(
                step.draft,
                pool=draft.pool,
                pool_average=draft.pool_average,
                pool_stride=draft.pool_stride,
                pool_dilation=draft.pool_dilation,
            )
            step.operands = source.operands
            self._drop_unused()

    def _sole_source(self, step: Step) -> Step | None:
        """Return the single step that `step` reads unchanged if no other step reads it; None otherwise."""
        if step.is_input or len(step.operands) != 1 or not step.operands[0].plain:
            return None
        sources = step.operands[0].sources
        return sources[0] if len(sources) == 1 and self._only_reader(sources[0]) else None

    def _join_elementwise(self, step: Step) -> None:
        """Merge an element-wise operation with the convolution that follows."""
        source = self._sole_source(step)
        if source is None or step.draft.operator not in ("conv2d", "convtranspose2d"):
            return
        draft = source.draft
        if draft.eltwise is None or draft.operator != "none" or not self._can_combine(step, source):
            return
        step.layer = replace(step.draft, eltwise=draft.eltwise, operands=draft.operands, pool_first=not pools(step))
        step.operands = source.operands
        self._drop_unused()

    def _can_combine(self, step: Step, source: Step) -> bool:
        """Return whether the device (every device, if none is given) combines and convolves in one layer."""
        emulates = self.device is None or self.device.eltwise_emulation
        if emulates and (len(source.operands) > 2 or source.shape[0] > PROCESSORS):
            return False
        biased = step.draft.use_bias and (self.device is None or not self.device.eltwise_convolution_bias)
        return not biased and not (pools(step) and len(source.operands) > 2)


def pools(step: Step) -> bool:
    """Return whether a step pools or subsamples."""
    return step.draft.has_pool or max(step.draft.pool_stride) > 1
