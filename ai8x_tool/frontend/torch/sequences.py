"""Networks of models of sequences, which keep the features of each input in a rolling buffer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError
from ai8x_tool.network.layer import BUFFER, INPUT, Layer
from ai8x_tool.network.network import Buffer, Network, build_network
from ai8x_tool.nn.sequence import SequenceModel

_BUFFER, _SHIFT = "buffer", "buffer_shift"


class Part(nn.Module):
    """A part of a model whose modules keep their names."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        for name, child in model.named_children():
            setattr(self, name, child)
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        """Compute the part."""
        return self._function(x)


def joined(model: SequenceModel, features: Network, scores: Network) -> Network:
    """Return the network of both parts of `model`: each inference shifts the buffer and inserts the features found.

    Raises Ai8xError if the first part does not end with one value per channel, or if the parts share layers.
    """
    *before, last = features.layers
    shared = {layer.name for layer in features.layers} & {layer.name for layer in scores.layers}
    if shared or [layer.name for layer in features.layers if layer.output] != [last.name] or last.out_size != (1, 1):
        text = "features() must end with one value per channel, and must not share layers with scores()"
        raise Ai8xError(text, where=last.source or features.name, fix="change features() and scores()")
    shift = Layer(_SHIFT, (BUFFER,), "none", in_size=(model.length - 1, 1), buffer_shift=1)
    inserted = replace(_underived(last), output=False, buffer_insert=1)
    after = [
        replace(_underived(layer), inputs=tuple(BUFFER if source is INPUT else source for source in layer.inputs))
        for layer in scores.layers
    ]
    layers = [*map(_underived, before), shift, inserted, *after]
    buffer = Buffer(_BUFFER, last.channels_out, (model.length, 1))
    return build_network(features.name, features.input_shape, layers, buffer=buffer)


def _underived(layer: Layer) -> Layer:
    """Return a layer without index and derived sizes, which are derived again."""
    return replace(layer, index=0, pooled_size=(0, 0), out_size=(0, 0))
