"""Tracing of a model to the network that it computes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from traceback import walk_tb
from typing import Any

import numpy as np
from torch import nn

from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch.functions import FUNCTIONS, MOVEMENTS, UNCHANGED
from ai8x_tool.frontend.torch.handlers import MODULES
from ai8x_tool.frontend.torch.merge import Merger
from ai8x_tool.frontend.torch.places import users_line
from ai8x_tool.frontend.torch.recorder import Recorder
from ai8x_tool.frontend.torch.sequences import Part, joined
from ai8x_tool.frontend.torch.steps import OperandReading, Step
from ai8x_tool.frontend.torch.tags import NOTHING, SECOND, TaggedTensor, tagged_leaves
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network, build_network
from ai8x_tool.nn.sequence import SequenceModel


def trace(model: nn.Module, input_shape: Sequence[int], name: str, *, device: Device | None = None) -> Network:
    """Return the network that `model` computes, without weights; the model's state does not change.

    `input_shape` is that of a sample without the batch: (channels, rows, columns), (channels, length) or (features,).
    Channels that the model omits before its first layer do not belong to the network's input. Layers have the names of
    their modules; if a module is used again, the name of the layer ends with a number and the layer shares the weights
    of the first one. Operations after the last layers are left to software. Steps are merged to layers as far as every
    device supports it; with `device`, as far as that device does. The network of a model of sequences reads one input
    of the sequence per inference.

    Raises Ai8xError, naming module and line, for operations between layers that the accelerator does not support.
    """
    if isinstance(model, SequenceModel):
        features = trace(Part(model, model.features), input_shape, name, device=device)
        found = (features.layers[-1].channels_out, model.length)
        return joined(model, features, trace(Part(model, model.scores), found, name, device=device))
    recorder = Recorder(MODULES, FUNCTIONS, MOVEMENTS, UNCHANGED)
    try:
        output = recorder.run(model, tuple(input_shape))
    except Ai8xError:
        raise
    except Exception as error:  # whatever the user's code raises
        shape = "×".join(map(str, input_shape))
        text = f"{type(error).__name__}: {error}"
        fix = f"correct forward() for an input of {shape}"
        raise Ai8xError(text, where=_failing_line(error) or name, fix=fix) from error
    outputs = _output_steps(output, recorder)
    if not any(not step.is_input for step in outputs):
        fix = "use layers of ai8x_tool.nn"
        raise Ai8xError("the model's output does not come from a layer of the accelerator", where=name, fix=fix)
    merger = Merger(recorder.steps, [step for step in outputs if not step.is_input], device)
    steps = _whole_input_first(merger.merge(), recorder)
    layers = _layers(steps, set(merger.outputs))
    return build_network(name, recorder.steps[0].shape, layers)


def _whole_input_first(steps: list[Step], recorder: Recorder) -> list[Step]:
    """Return `steps`, preceded by a copy if the first step omits rows of the input.

    The copy is necessary because the host stores exactly the data that the first layer reads.
    """
    first = steps[0]
    if not any(any(reading.crop) and reading.sources[0].is_input for reading in first.operands):
        return steps
    source = recorder.steps[0]
    layer = Layer(recorder.unique_name(f"{first.draft.name}_copy"), (), "none", source=first.draft.source)
    copied = recorder.add(layer, [OperandReading((source,))], source.shape)
    first.operands = [
        replace(reading, sources=tuple(copied if step.is_input else step for step in reading.sources))
        for reading in first.operands
    ]
    return [copied, *steps]


def _failing_line(error: Exception) -> str:
    """Return file:line of the innermost call in the user's files that led to `error`."""
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    return users_line(reversed(frames), whole=True)


def _output_steps(output: Any, recorder: Recorder) -> list[Step]:
    """Return the steps whose values reach the model's output, directly or through software."""
    found: dict[Step, None] = {}
    waiting = list(tagged_leaves(_plain_containers(output)))
    while waiting:
        tensor = waiting.pop(0)
        if tensor.tags is None:
            assert tensor.software is not None
            waiting += tensor.software.inputs
            continue
        firsts = np.array([step.first for step in recorder.steps])
        tags = np.unique(tensor.tags.numpy())
        tags = tags[(tags != NOTHING) & (tags < SECOND)]
        numbers = np.unique(np.maximum(np.searchsorted(firsts, tags, side="right") - 1, 0))
        found |= dict.fromkeys(recorder.steps[int(number)] for number in numbers)
    return list(found)


def _plain_containers(output: Any) -> Any:
    """Return nested tuples, lists and dictionaries unchanged, and other objects as the list of their attributes."""
    if isinstance(output, TaggedTensor | tuple | list | dict):
        return output
    return list(vars(output).values()) if hasattr(output, "__dict__") else output


def _layers(steps: Iterable[Step], outputs: set[Step]) -> list[Layer]:
    layers: list[Layer] = []
    owners: dict[int, str] = {}
    for step in steps:
        draft = step.draft
        shared = owners.setdefault(id(step.module), draft.name) if step.module is not None else draft.name
        reading = step.operands[0]
        layers.append(
            replace(
                draft,
                inputs=tuple(source.source for operand in step.operands for source in operand.sources),
                in_size=reading.in_size,
                in_crop=reading.crop,
                flatten=reading.flatten,
                output=step in outputs,
                shares=None if shared == draft.name or not draft.is_convolution else shared,
            )
        )
    return layers
