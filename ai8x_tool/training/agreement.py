"""Comparison of the quantized model in PyTorch with the integer engine, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ai8x_tool.compat.modules import SoftwareLinear
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Split
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.layer import Layer
from ai8x_tool.network.network import Network
from ai8x_tool.nn.dataflow import trace_dataflow
from ai8x_tool.text import counted
from ai8x_tool.training.layer_outputs import conv_strides, layer_outputs, module_name

_BATCH = 128


@dataclass(frozen=True)
class Agreement:
    """Result of comparing `samples` samples with a total of `values` outputs.

    `different_samples` should be 0; then `first` is None, otherwise it describes the first difference. `confusion`
    counts the results of the engine (rows are true classes); it is empty if targets are not one class per result.
    `outputs` names the compared values if they are not the output of the model; `not_compared` names outputs that were
    not compared, with the reason.
    """

    samples: int
    values: int
    different_samples: int
    first: str | None
    top1: float = 0.0
    confusion: tuple[tuple[int, ...], ...] = ()
    outputs: tuple[str, ...] = ()
    not_compared: str | None = None

    @property
    def complete(self) -> bool:
        """Return whether all outputs of all samples are equal."""
        return self.different_samples == 0

    def text(self) -> str:
        """Return the result as one line of text."""
        names = f" ({', '.join(self.outputs)})" if self.outputs else ""
        compared = f"8-bit model in torch ≡ integer engine{names}"
        rest = "" if self.not_compared is None else f"; not compared: {self.not_compared}"
        if self.complete:
            return f"{compared}: {counted(self.samples, 'sample')}, {self.values:,} outputs, all equal{rest}"
        return f"{compared}: {self.different_samples:,} of {self.samples:,} samples differ; first: {self.first}{rest}"

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return vars(self) | {"confusion": [list(row) for row in self.confusion], "outputs": list(self.outputs)}


def compare_outputs(
    network: Network, split: Split, outputs: Tensor, console: Console, *, average_rounding: bool = False
) -> Agreement:
    """Run all samples of `split` through the integer engine; compare with PyTorch's 8-bit `outputs` (N, classes, …).

    Both compute the accumulator for a 32-bit last layer; PyTorch multiplies it by the final scale.
    """
    classes, unscaled = int(outputs.shape[1]), 2.0 ** -network.outputs()[-1].final_scale
    confusion = np.zeros((classes, classes), np.int64)
    count = _Count()
    for indices, inputs, targets in _batches(split, console):
        engine = run(network, _samples(network, inputs), average_rounding=average_rounding).last
        count.add("", outputs[indices] * unscaled, engine, int(indices[0]))
        count.finish_batch()
        answers = engine.argmax(axis=1)
        if _are_classes(targets, answers, classes):
            truth = np.broadcast_to(_aligned(targets.numpy(), answers), answers.shape)
            np.add.at(confusion, (truth.reshape(-1), answers.reshape(-1)), 1)
    return Agreement(
        samples=len(split),
        values=count.values,
        different_samples=count.different,
        first=count.first,
        top1=100 * float(np.trace(confusion)) / max(1, int(confusion.sum())),
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
    )


def compare_layers(
    network: Network,
    split: Split,
    model: nn.Module,
    console: Console,
    *,
    names: Sequence[str] = (),
    average_rounding: bool = False,
) -> Agreement:
    """Compare each last layer of a model in 8-bit mode with the integer engine, for all samples of `split`.

    For models with several outputs, and for those that end in layers computed by the processor core. `names` are the
    names of the model's outputs if it returns a tuple. Raises Ai8xError if no layer can be compared.
    """
    device, modules = next(model.parameters()).device, dict(model.named_modules())
    wanted = [layer for output in network.outputs() for layer in _with_weights(network, output)]
    layers = {layer.name: layer for layer in wanted if module_name(layer) in modules}
    if not layers:
        fix = "choose the description that was made for the model"
        raise Ai8xError("no output layer of the network description corresponds to a module of the model", fix=fix)
    titles = _titles(model, split.batch(torch.arange(1))[0].float().to(device), names)
    strides, count = conv_strides(model, network), _Count()
    for indices, inputs, _ in _batches(split, console):
        engine = run(network, _samples(network, inputs), average_rounding=average_rounding)
        found = layer_outputs(model, network, inputs.float().to(device), layers.values())
        for layer in layers.values():
            rows, columns = strides.get(layer.index, (1, 1))
            expected = engine.outputs[layer.index][:, :, ::rows, ::columns]
            title = titles.get(module_name(layer), layer.name)
            count.add(f"{title}, ", found[layer.index].cpu(), expected, int(indices[0]))
        count.finish_batch()
    software = [repr(name) for name, module in modules.items() if isinstance(module, SoftwareLinear)]
    return Agreement(
        samples=len(split),
        values=count.values,
        different_samples=count.different,
        first=count.first,
        outputs=tuple(dict.fromkeys(titles.get(module_name(layer), layer.name) for layer in layers.values())),
        not_compared=f"{' and '.join(software)}, computed in software" if software else None,
    )


def _batches(split: Split, console: Console) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield positions, inputs and targets of all samples in batches, and show the progress."""
    with console.progress("integer engine", len(split)) as progress:
        for start in range(0, len(split), _BATCH):
            indices = torch.arange(start, min(start + _BATCH, len(split)))
            inputs, targets = split.batch(indices)
            yield indices, inputs, targets
            progress.advance(len(indices))


class _Count:
    """Counts the compared values and the samples that differ in any output; keeps the first difference."""

    def __init__(self) -> None:
        self.values, self.different = 0, 0
        self.first: str | None = None
        self._batch: npt.NDArray[np.bool_] | None = None

    def add(self, title: str, output: Tensor, engine: npt.NDArray[Any], start: int) -> None:
        """Compare one output of a batch; `start` is the number of its first sample."""
        if output.numel() != engine.size:
            have, want = ("×".join(map(str, shape[1:])) for shape in (output.shape, engine.shape))
            message = f"{title}the model's output is {have}, that of the network description {want}"
            raise Ai8xError(message, fix="choose the description that was made for the model")
        expected = output.double().numpy().reshape(engine.shape)
        unequal = (engine != expected).reshape(len(engine), -1)
        if unequal.any() and self.first is None:
            self.first = title + _first_difference(engine, expected, unequal, start)
        different = unequal.any(axis=1)
        self._batch = different if self._batch is None else self._batch | different
        self.values += output.numel()

    def finish_batch(self) -> None:
        """Count the samples of the batch that differ in any output."""
        self.different += 0 if self._batch is None else int(self._batch.sum())
        self._batch = None


def _with_weights(network: Network, layer: Layer) -> list[Layer]:
    """Return `layer` or, if it has no weights, the nearest layers before it that have weights."""
    if layer.parameters is not None:
        return [layer]
    before = [network[source] for source in layer.inputs if isinstance(source, str)]
    return [found for each in before for found in _with_weights(network, each)]


@torch.no_grad()
def _titles(model: nn.Module, inputs: Tensor, names: Sequence[str]) -> dict[str, str]:
    """Return the names of the model's outputs by the name of the module that computes them."""
    outputs = model(inputs)
    known = list(outputs) if isinstance(outputs, Mapping) else list(names)
    if not known:
        return {}
    arriving = trace_dataflow(model, inputs, SoftwareLinear).outputs
    return {module: name for name, modules in zip(known, arriving, strict=False) for module in modules}


def _samples(network: Network, inputs: Tensor) -> np.ndarray[Any, np.dtype[np.int8]]:
    data = inputs.numpy()
    data = data.reshape(*data.shape, *(1,) * (4 - data.ndim))
    if data.shape[1:] != network.input_shape:
        have, want = ("×".join(map(str, shape)) for shape in (data.shape[1:], network.input_shape))
        raise Ai8xError(f"the samples have the shape {have}, but the network description requires {want}")
    return data.astype(np.int8)


def _are_classes(found: Any, answers: np.ndarray[Any, Any], classes: int) -> bool:
    if not isinstance(found, Tensor):
        return False
    targets = found.numpy()
    fitting = targets.ndim == 1 or targets.shape == answers.shape[: targets.ndim]
    return bool(np.issubdtype(targets.dtype, np.integer) and fitting and targets.max(initial=0) < classes)


def _aligned(targets: np.ndarray[Any, Any], answers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return targets.reshape(targets.shape + (1,) * (answers.ndim - targets.ndim))


def _first_difference(engine: Any, expected: Any, unequal: Any, start: int) -> str:
    sample = int(unequal.any(axis=1).argmax())
    channel, row, column = np.argwhere(engine[sample] != expected[sample])[0].tolist()
    torch_value, engine_value = expected[sample][channel, row, column], engine[sample][channel, row, column]
    return (
        f"sample {start + sample}, channel {channel}, row {row}, column {column}: "
        f"torch {torch_value:.0f}, engine {engine_value}"
    )
