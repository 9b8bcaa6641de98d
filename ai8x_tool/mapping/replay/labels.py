"""Labels: unique numbers of all elements of all tensors, which identify the contents of memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ai8x_tool.network.layer import BUFFER, INPUT, Layer, Source
from ai8x_tool.network.network import Network

Labels = npt.NDArray[np.int32]
NOTHING = 0
ANYTHING = -1
"""The label of elements that may have any value."""
_ABSENT = -2
"""The label of elements that do not exist in the form that the reader needs: 32-bit values."""


class LabelTable:
    """The names of labels."""

    def __init__(self) -> None:
        self._first = [NOTHING]
        self._names = ["nothing"]
        self._next = 1

    def new(self, name: str, shape: tuple[int, ...] = (1,)) -> Labels:
        """Return unused labels of `shape` for elements of a tensor called `name`."""
        count = int(np.prod(shape))
        labels = np.arange(self._next, self._next + count, dtype=np.int32).reshape(shape)
        self._first.append(self._next)
        self._names.append(name)
        self._next += count
        return labels

    def owners(self, labels: Labels) -> npt.NDArray[np.int64]:
        """Return a number of the tensor of each label; labels with the same :meth:`name` have the same number."""
        return np.searchsorted(self._first, labels, side="right") - 1

    def name(self, label: int) -> str:
        """Return the name of the tensor to which a label belongs."""
        return self._names[int(self.owners(np.array(label)))] if label >= 0 else "8-bit values"


class Tensors:
    """The tensors of a network as labels, (channels, rows, columns) each, and the effects of layers on them."""

    def __init__(self, network: Network, register: LabelTable) -> None:
        self.network, self.register = network, register
        self._made: dict[Source, Labels] = {INPUT: register.new("the input", network.input_shape)}
        self.buffer: Labels | None = None
        if network.buffer is not None:
            length, width = network.buffer.size
            labels = register.new(f"the rolling buffer {network.buffer.name}", (length, network.buffer.channels, width))
            self.buffer = labels

    def __getitem__(self, source: Source) -> Labels:
        return self._made[source]

    def expected(self, layer: Layer, before: Source) -> Labels:
        """Return the labels that a layer executed after `before` must read: (operands, channels, pixels)."""
        if layer.buffer_shift:
            assert self.buffer is not None
            parts = [self.buffer[layer.buffer_shift :].transpose(1, 0, 2)]
        else:
            parts = np.split(self._joined(layer, before), layer.operands)
        first, last = layer.in_crop
        pixels = layer.in_size[0] * layer.in_size[1]
        return np.stack([part[:, first : part.shape[1] - last].reshape(-1, pixels) for part in parts])

    def _joined(self, layer: Layer, before: Source) -> Labels:
        left_out = layer.inputs[0] is not BUFFER and layer.inputs[0] not in self._made
        parts = [self._seen(layer, source) for source in ((before,) if left_out else layer.inputs)]
        if len(parts) == 1:
            return parts[0]
        if len({part.shape[1:] for part in parts}) == 1:
            return np.concatenate(parts)
        stacked = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        return stacked.reshape(len(stacked), -1, layer.in_size[1])

    def _seen(self, layer: Layer, source: Source) -> Labels:
        if source is BUFFER:
            assert self.buffer is not None
            one_dimensional = layer.operator == "conv1d"
            return self.buffer.transpose(1, 0, 2)[..., :1] if one_dimensional else self.buffer
        if isinstance(source, str) and self.network[source].output_width != 8:
            return np.full_like(self._made[source], _ABSENT)
        return self._made[source]

    def make(self, layer: Layer) -> Labels:
        """Return the labels of a layer's output, (channels, pixels), and update the rolling buffer."""
        labels = self.register.new(f"the output of {layer.label}", (layer.channels_out, *layer.out_size))
        self._made[layer.name] = labels
        if self.buffer is not None and layer.buffer_shift:
            rest = np.full_like(self.buffer[: layer.buffer_shift], ANYTHING)
            self.buffer = np.concatenate([labels.transpose(1, 0, 2), rest])
        elif self.buffer is not None and layer.buffer_insert:
            newest = self.buffer[-layer.buffer_insert :]
            newest = labels.transpose(1, 2, 0).reshape(newest.shape)
            self.buffer = np.concatenate([self.buffer[: -layer.buffer_insert], newest])
        return labels.reshape(len(labels), -1)
