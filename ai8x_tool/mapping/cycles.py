"""The cycle-count model of the MAX78000, and its calibration for the MAX78002. spec: registers, section 11."""

from __future__ import annotations

from ai8x_tool.device import MAX78002, Device
from ai8x_tool.mapping.mapping import LayerMapping

_LONG_FLATTEN = 16
_PIPELINE_FACTOR = 1.2
"""Cycles per cycle of the model with the MAX78002's pipeline: published measurements of five networks give 1.14 … 1.46;
without the pipeline they give 0.99."""


def cycle_factor(device: Device, *, pipeline: bool) -> float:
    """Return what the model's cycles are multiplied with."""
    return _PIPELINE_FACTOR if device is MAX78002 and pipeline else 1.0


def cycle_basis(device: Device, *, pipeline: bool, streams: bool) -> str:
    """Return how far the estimate can be trusted, as a remark."""
    if device is MAX78002 and pipeline:
        return "calibrated estimate, ±25 %"
    return "estimate: streaming layers wait for their input" if streams else "model, ±1 % of measured networks"


def start_up_cycles() -> int:
    """Return the cycles before the first layer."""
    return 1


def layer_cycles(mapped: LayerMapping) -> int:
    """Return the estimated accelerator cycles of one layer."""
    layer, view = mapped.layer, mapped.view
    operands, window = layer.operands, layer.pool[0] * layer.pool[1]
    rows, columns = view.pooled_size
    if view.operator == "convtranspose2d":
        rows, columns = rows * layer.stride[0], columns * layer.stride[1]
    passes = view.input_passes
    if view.operator == "none" and view.output_passes > 1 and layer.has_pool:
        passes = 2 * passes - 1
    if layer.pool_first:
        step, pooled_step, repeat = 2 * passes * operands, passes * operands * (window + 1), 1
    else:
        step, pooled_step, repeat = 2 * passes, passes * (operands * window + 1), passes
    if view.operator == "none":
        slots = (mapped.time_slots + 1) * (rows * columns if layer.flatten else 1)
        return _streaming(mapped.streaming, rows * columns * (pooled_step + passes * slots))
    return _streaming(mapped.streaming, _convolution(mapped, rows, columns, passes, step, pooled_step, repeat))


def _streaming(streaming: bool, cycles: int) -> int:
    return (15 * cycles + 9) // 10 if streaming else cycles


def _convolution(
    mapped: LayerMapping, rows: int, columns: int, passes: int, step: int, pooled_step: int, repeat: int
) -> int:
    layer, view = mapped.layer, mapped.view
    (kernel_rows, kernel_columns), (pad_rows, pad_columns) = view.kernel, view.pad
    out_columns = view.out_size[1] * (columns if layer.flatten else 1)
    outputs = mapped.kernels.count // (view.input_passes * (rows * columns if layer.flatten else 1))
    before = 0
    if not layer.pool_first and (passes > 1 or layer.operands > 1):
        vertical = (rows + 2 * pad_rows - kernel_columns + 1) * pad_columns
        horizontal = (columns + 2 * pad_columns - kernel_rows + 1) * pad_rows
        before = (vertical + horizontal - pad_rows * pad_columns) * mapped.kernels.offset
    inner = kernel_columns - 1 - pad_columns
    top = 2 * pad_columns * (step + 1) + repeat * columns * (step + 1)
    fill = 2 * pad_columns * (step + 1) + repeat * columns * (pooled_step + 1)
    edge = pad_columns * (step + 1) + step * pad_columns
    row = edge + repeat * inner * (pooled_step + 1) + repeat * (out_columns - pad_columns) * pooled_step
    bottom = edge + repeat * inner * (step + 1) + repeat * (out_columns - pad_columns) * step
    out = passes * out_columns * outputs + (outputs if outputs == 1 and passes == 1 else 0)
    first_rows = kernel_rows - 1 - pad_rows
    return (
        int(mapped.flat_product >= _LONG_FLATTEN)
        + before
        + pad_rows * top
        + first_rows * fill
        + (row + out) * (rows - first_rows)
        + pad_rows * (bottom + out)
    )
