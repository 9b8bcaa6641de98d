"""The resolved network: every channel count, size, offset and width known, valid by construction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai8x_tool.device import Device
from ai8x_tool.frontend.yaml.description import STOP, LayerDescription, NetworkDescription, Pair

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights and bias of one layer as the accelerator uses them.

    `weights` is (out, in/groups, rows, columns), int64. `bias` is (out,) of 8-bit values, or None. `bits` is 8, 4, 2, 1
    or BINARY. `shift` is the output shift without the implicit 8 − bits. `key` is the name in the checkpoint. Software
    multiplies the outputs by 2^`final_scale` (spec: qatv2, section 6), which the accelerator does not know; None
    if the checkpoint does not know it either.
    """

    key: str
    weights: IntArray
    bias: IntArray | None
    bits: int
    shift: int
    final_scale: int | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes that the weights take, packed."""
        return int(self.weights.size * abs(self.bits) // 8)


@dataclass(frozen=True, eq=False)
class Layer(LayerDescription):
    """A layer with everything derived. spec: registers, section 3; network-yaml, section 3.

    `channels_in` is per operand, and before flattening. Sizes are (rows, columns), (length, 1) for 1D data;
    `out_size` is (1, 1) after flattening. `shift` is the total output shift, `bits` the weight width (0: no weights).
    """

    channels_in: int = 0
    channels_out: int = 0
    in_size: Pair = (0, 0)
    pooled_size: Pair = (0, 0)
    out_size: Pair = (0, 0)
    input_offset: int = 0
    output_map: int = 0
    shift: int = 0
    bits: int = 0
    parameters: Parameters | None = None
    previous: int = -1
    next: int = STOP
    where: str = ""

    @property
    def is_convolution(self) -> bool:
        """True for every operator that multiplies (convolutions, linear, bypass)."""
        return self.operator != "none"

    @property
    def depthwise(self) -> bool:
        """True for grouped convolutions; the accelerator knows only groups = channels."""
        return self.groups > 1

    @property
    def flat_pixels(self) -> int:
        """Pixels per channel that a flattening layer turns into channels; 1 for other layers."""
        return self.pooled_size[0] * self.pooled_size[1] if self.flatten else 1

    @property
    def final_scale(self) -> int:
        """F: the network's answers are this layer's outputs times 2^F; 0 for layers without weights."""
        return 0 if self.parameters is None else self.parameters.final_scale or 0

    @property
    def bias(self) -> IntArray | None:
        """The layer's bias, None if there is none or all its values are 0."""
        bias = None if self.parameters is None else self.parameters.bias
        return None if bias is None or not bias.any() else bias


@dataclass(frozen=True, eq=False)
class Network:
    """A network in execution order.

    `layers` holds the executed layers by ascending index, which is contiguous from `first`; `order` their indices as
    executed. `input_shape` is (channels, rows, columns) of the sample. `has_bias` also counts layers that were cut off.
    """

    description: NetworkDescription
    device: Device
    layers: tuple[Layer, ...]
    order: tuple[int, ...]
    input_shape: tuple[int, int, int]
    has_bias: bool

    @property
    def first(self) -> int:
        """Smallest executed layer index."""
        return self.layers[0].index

    @property
    def start(self) -> Layer:
        """The layer that is executed first."""
        return self[self.order[0]]

    @property
    def final(self) -> Layer:
        """The layer that is executed last."""
        return self[self.order[-1]]

    def __getitem__(self, index: int) -> Layer:
        return self.layers[index - self.layers[0].index]

    def __contains__(self, index: int) -> bool:
        return 0 <= index - self.layers[0].index < len(self.layers)

    def outputs(self) -> list[Layer]:
        """Return the output layers by index: those marked, or the final one."""
        return [layer for layer in self.layers if layer.output]

    def statistics(self) -> dict[str, Any]:
        """Return counts for summaries."""
        return {"layers": len(self.layers), "parameters": sum(_size(layer) for layer in self.layers)}


def _size(layer: Layer) -> int:
    return 0 if layer.parameters is None else int(layer.parameters.weights.size)
