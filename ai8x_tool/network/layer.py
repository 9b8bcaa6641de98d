"""One layer of a network: its operator, its inputs, its sizes and its weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt

Operator = Literal["none", "conv1d", "conv2d", "convtranspose2d", "linear"]
Eltwise = Literal["add", "sub", "or", "xor"]
Activation = Literal["none", "relu", "abs"]
Pair = tuple[int, int]
IntArray = npt.NDArray[np.int64]

BINARY = -1
"""Weight width of ±1 weights."""


class Special(Enum):
    """Sources that are not layers: the network's input and the rolling buffer."""

    INPUT = "input"
    BUFFER = "buffer"


INPUT, BUFFER = Special.INPUT, Special.BUFFER
Source = str | Special
"""A source that a layer reads: another layer, by name, or one of the special sources."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """Weights and bias of one layer as the accelerator uses them.

    `weights` is (out, in/groups, rows, columns), int64. `bias` is (out,) of 8-bit values, or None. `bits` is 8, 4, 2, 1
    or BINARY. `shift` is the output shift without the implicit 8 − bits. `key` is the name in the checkpoint. Software
    multiplies the outputs by 2^`final_scale` after the accelerator has computed them; None if the checkpoint does not
    contain it. `described` names the values taken from a description instead of the checkpoint: "bits", "shift".

    `threshold` is R of measured activation ranges: the output is divided by 2^R more than the input; None without them.
    """

    key: str
    weights: IntArray
    bias: IntArray | None
    bits: int
    shift: int
    final_scale: int | None = None
    described: frozenset[str] = frozenset()
    threshold: int | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes that the packed weights occupy."""
        return int(self.weights.size * abs(self.bits) // 8)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parameters):
            return NotImplemented
        biases = (self.bias, other.bias)
        same_bias = np.array_equal(*biases) if all(b is not None for b in biases) else biases == (None, None)  # type: ignore[arg-type]
        same = (self.key, self.bits, self.shift, self.final_scale, self.described, self.threshold) == (
            *(other.key, other.bits, other.shift),
            *(other.final_scale, other.described, other.threshold),
        )
        return same and same_bias and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.key, self.bits, self.shift, self.weights.shape))


@dataclass(frozen=True)
class Layer:
    """An operator with everything that its result depends on; nothing about its place in memory or when it runs.

    `inputs` are combined by the operation `eltwise` if it is given, and concatenated along the channels otherwise. If
    `in_size` differs from the size of the inputs, pixels are read in another arrangement. Pooling precedes the
    operator; an element-wise operation precedes or follows pooling (`pool_first`: pool each operand).

    Sizes are (rows, columns), (length, 1) for 1D data. A value of 0 is derived by
    :func:`~ai8x_tool.network.network.build_network`: `channels_in` (per operand, before flattening), `channels_out`
    (from the weights; without them it must be given, unless it equals the input), `in_size`, `pooled_size` and
    `out_size`, which is (1, 1) after flattening. `shift` is the total output shift, left if positive; `bits` the weight
    width, 0 without weights; both are taken from the parameters where `bits` is 0. A layer without `parameters` needs
    no weights, or its weights are not known (yet); `use_bias` is whether it has a bias in the latter case. `shares`
    names the layer whose weights it uses.

    `index` is the position in the list that defines the network, used in messages; it also names a layer that has no
    name of its own. `source` is the place that messages name: file and line, or module path.
    """

    name: str
    inputs: tuple[Source, ...]
    operator: Operator = "conv2d"
    eltwise: Eltwise | None = None
    operands: int = 1
    pool_first: bool = True
    groups: int = 1
    activation: Activation = "none"
    kernel: Pair = (1, 1)
    dilation: Pair = (1, 1)
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    output_pad: Pair = (0, 0)
    pool: Pair = (1, 1)
    pool_average: bool = False
    pool_stride: Pair = (1, 1)
    pool_dilation: Pair = (1, 1)
    flatten: bool = False
    bypass: bool = False
    in_crop: Pair = (0, 0)
    output_width: int = 8
    output: bool = False
    buffer_shift: int = 0
    buffer_insert: int = 0
    channels_in: int = 0
    channels_out: int = 0
    in_size: Pair = (0, 0)
    pooled_size: Pair = (0, 0)
    out_size: Pair = (0, 0)
    shift: int = 0
    bits: int = 0
    parameters: Parameters | None = None
    use_bias: bool = False
    shares: str | None = None
    index: int = 0
    source: str = field(default="", compare=False)

    @property
    def is_named(self) -> bool:
        """True if the layer has a name of its own."""
        return self.name != str(self.index)

    @property
    def label(self) -> str:
        """The layer's designation in messages: its index and, if it has one, its name."""
        return f"layer {self.index} ({self.name})" if self.is_named else f"layer {self.index}"

    @property
    def where(self) -> str:
        """Place of definition and designation of the layer, for messages."""
        return f"{self.source}: {self.label}" if self.source else self.label

    @property
    def has_pool(self) -> bool:
        """True if the layer pools windows of more than one value."""
        return self.pool != (1, 1)

    @property
    def is_convolution(self) -> bool:
        """True for every operator that multiplies (convolutions, linear, bypass)."""
        return self.operator != "none"

    @property
    def has_weights(self) -> bool:
        """True if the layer needs kernel memory (its own, or shared)."""
        return self.is_convolution and not self.bypass

    @property
    def depthwise(self) -> bool:
        """True for grouped convolutions; the accelerator supports only groups = channels."""
        return self.groups > 1

    @property
    def flat_pixels(self) -> int:
        """Pixels per channel that a flattening layer turns into channels; 1 for other layers."""
        return self.pooled_size[0] * self.pooled_size[1] if self.flatten else 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the weights: (out, in/groups, rows, columns)."""
        inputs = self.channels_in * self.flat_pixels // self.groups
        if self.depthwise and self.operator == "convtranspose2d":
            return 1, self.channels_out, *self.kernel
        return self.channels_out, inputs, *self.kernel

    @property
    def weight_size(self) -> int:
        """Bits that the weights occupy."""
        return prod(self.weight_shape) * abs(self.bits)

    @property
    def final_scale(self) -> int:
        """F: the network's results are this layer's outputs times 2^F; 0 for layers without weights."""
        return 0 if self.parameters is None else self.parameters.final_scale or 0

    @property
    def bias(self) -> IntArray | None:
        """The layer's bias; None if it has none or if all its values are 0."""
        bias = None if self.parameters is None else self.parameters.bias
        return None if bias is None or not bias.any() else bias

    @property
    def has_bias(self) -> bool:
        """True if the layer needs bias memory."""
        return self.use_bias if self.parameters is None else self.bias is not None
