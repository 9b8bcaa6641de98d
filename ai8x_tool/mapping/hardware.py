"""Layers as the hardware executes them: with stretched, padded or folded kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ai8x_tool.device import Device
from ai8x_tool.device.bits import ceil_div
from ai8x_tool.mapping.rules.dilation_rules import DILATION_RULES, FOLDED_KERNEL, STRETCHED_REACH, DilatedLayer
from ai8x_tool.network.layer import IntArray, Layer, Operator, Pair
from ai8x_tool.network.sizes import passes, processors_per_pass
from ai8x_tool.rule import require

_LAST_CONVERTED_LAYER = 8


@dataclass(frozen=True, eq=False)
class HardwareView:
    """Operator and sizes from which registers and kernel memory are computed.

    `kernels` is (out, in/groups, rows, columns) after all transformations, None without weights. `extra_words` are
    written after the useful output, `skipped_bytes` before it (dilated Conv1d executed as a 2D convolution).
    """

    operator: Operator
    in_size: Pair
    pooled_size: Pair
    out_size: Pair
    kernel: Pair
    pad: Pair
    kernels: IntArray | None
    input_passes: int
    output_passes: int
    inputs_per_pass: int
    outputs_per_pass: int
    emulated: bool = False
    extra_words: int = 0
    skipped_bytes: int = 0

    @property
    def kernel_area(self) -> int:
        """Taps of one kernel."""
        return self.kernel[0] * self.kernel[1]


def hardware_view(
    layer: Layer, device: Device, *, streaming: bool = False, follows_streaming: bool = False
) -> HardwareView:
    """Return `layer` as the hardware executes it.

    `streaming` is whether it runs while its input arrives, `follows_streaming` whether the preceding layer does. Raises
    Ai8xError for dilations that the device cannot execute.
    """
    kernels = None if layer.parameters is None else layer.parameters.weights
    view = HardwareView(
        operator=layer.operator,
        in_size=layer.in_size,
        pooled_size=layer.pooled_size,
        out_size=layer.out_size,
        kernel=layer.kernel,
        pad=layer.pad,
        kernels=kernels,
        input_passes=passes(layer.channels_in),
        output_passes=passes(layer.channels_out),
        inputs_per_pass=processors_per_pass(layer.channels_in),
        outputs_per_pass=processors_per_pass(layer.channels_out),
    )
    if streaming or follows_streaming:
        view = _widen_streaming(layer, view)
    view = _dilate(layer, view, device)
    if layer.operator == "convtranspose2d":
        rows, columns = (layer.dilation[i] * (view.kernel[i] - 1) - view.pad[i] for i in (0, 1))
        view = replace(view, pad=(rows, columns))
    return replace(view, emulated=_emulates(layer, view, device))


def _widen_streaming(layer: Layer, view: HardwareView) -> HardwareView:
    """Return the view with a 1×1 kernel of a streaming chain widened to a 3×3 kernel with the weight in the center.

    A flattening layer has no neighboring pixels: it is not changed, and neither is a linear layer.
    """
    applies = layer.operator in ("conv2d", "convtranspose2d") and layer.kernel == (1, 1) and not layer.flatten
    if not applies or layer.index > _LAST_CONVERTED_LAYER:
        return view
    kernels = view.kernels
    if kernels is not None:
        kernels = np.pad(kernels, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return replace(view, kernel=(3, 3), pad=(1, 1), kernels=kernels)


def _dilate(layer: Layer, view: HardwareView, device: Device) -> HardwareView:
    dilation, length = layer.dilation[0], layer.kernel[0]
    if layer.dilation == (1, 1):
        return view
    for rule in DILATION_RULES:
        require(rule, DilatedLayer(layer, device))
    reach = (length - 1) * dilation
    if reach < STRETCHED_REACH:
        kernels = view.kernels
        if kernels is not None:
            stretched = np.zeros((*kernels.shape[:2], reach + 1, 1), np.int64)
            stretched[:, :, ::dilation] = kernels
            kernels = stretched
        return replace(view, kernel=(reach + 1, 1), kernels=kernels)
    size = (ceil_div(layer.in_size[0], dilation), dilation)
    return replace(
        view,
        operator="conv2d",
        in_size=size,
        pooled_size=size,
        out_size=size,
        pad=(1, 1),
        kernel=(3, 3),
        kernels=_center_column(view.kernels),
        extra_words=size[0] * size[1] - layer.out_size[0],
        skipped_bytes=4 * dilation * view.output_passes if length == FOLDED_KERNEL else 0,
    )


def _center_column(kernels: IntArray | None) -> IntArray | None:
    """Return 3×3 kernels with the taps in the center column, at its lower end."""
    if kernels is None:
        return None
    square = np.zeros((*kernels.shape[:2], 3, 3), np.int64)
    square[:, :, 3 - kernels.shape[2] :, 1] = kernels[..., 0]
    return square


def _emulates(layer: Layer, view: HardwareView, device: Device) -> bool:
    operands, count = layer.operands, view.input_passes
    several = operands > 1 and count > 1 and operands * count != operands + count
    return several and device.eltwise_emulation


def tram_depth(layer: Layer, view: HardwareView) -> int:
    """Return the number of entries of the compute cache (TRAM) that the layer needs."""
    if view.operator == "none":
        return 1
    columns = view.pooled_size[1]
    if view.operator == "convtranspose2d":
        columns = (columns - 1) * layer.stride[1] + 1 + layer.output_pad[1]
    return max(0, columns + 2 * view.pad[1] - view.kernel[1]) + 1
