"""Cycle model of the accelerator; docs/estimates.md describes the model, its constants and its errors."""

from __future__ import annotations

from dataclasses import dataclass

from ai8x_tool.device import Device
from ai8x_tool.device.bits import ceil_div
from ai8x_tool.device.facts import PARALLEL_OUTPUTS, QUADRANTS
from ai8x_tool.mapping.hardware import HardwareView
from ai8x_tool.mapping.mapping import LayerMapping
from ai8x_tool.mapping.regions import LANES
from ai8x_tool.network.layer import Layer

START_UP_CYCLES = 1
"""Cycles before the first layer."""
PIPELINE_CYCLES = 11
"""Length of the pipeline. It is drained after every pixel of every pass, except between the independent channels of
depthwise layers."""
FIFO_WORD_CYCLES = 5
"""Cycles that a streaming network needs to read one word of input from the FIFO."""
_LONG_FLATTEN = 16
_PIPELINE_FACTOR = 1.2


@dataclass(frozen=True, slots=True)
class PlacedWork:
    """Properties of a placement on which a layer's time depends.

    `outputs` is the number of outputs computed in sequence for each pixel and input pass; a layer without kernels
    writes in `slots` time slots instead. `column` is the first kernel column.
    """

    outputs: int
    slots: int = 1
    column: int = 0


@dataclass(frozen=True, slots=True)
class CycleParts:
    """Breakdown of a layer's cycles.

    `reading`: iterating over pixels and padding, and reading them into the window. `computing`: one cycle per output.
    `writing`: time slots of layers that do not sum. `pipeline`: draining the pipeline. `column`: place of the kernels.
    """

    reading: int
    computing: int
    writing: int
    pipeline: int
    column: int

    @property
    def total(self) -> int:
        """All cycles of the layer."""
        return self.reading + self.computing + self.writing + self.pipeline + self.column

    @property
    def largest(self) -> str:
        """Name of the part with the most cycles."""
        return max(self.__slots__, key=lambda name: int(getattr(self, name)))


def cycle_factor(device: Device, *, pipeline: bool) -> float:
    """Return the factor of `layer_cycles` in generated projects; `estimated_cycles` are more exact."""
    return _PIPELINE_FACTOR if device.pipeline and pipeline else 1.0


def cycle_basis(device: Device, *, pipeline: bool, streams: bool) -> str:
    """Return a remark on the accuracy of the figure in generated projects."""
    if device.pipeline and pipeline:
        return "calibrated estimate, ±25 %"
    return "estimate: streaming layers wait for their input" if streams else "model, ±1 % of measured networks"


def layer_cycles(mapped: LayerMapping) -> int:
    """Return the cycles of one layer on the MAX78000; those of streaming layers are multiplied by 1.5 for waiting."""
    layer, view = mapped.layer, mapped.view
    work = PlacedWork(_stored_outputs(mapped), mapped.time_slots + 1, mapped.kernels.offset)
    cycles = _work_cycles(layer, view, work) + _column_cycles(layer, view, work.column)
    return (15 * cycles + 9) // 10 if mapped.streaming else cycles


def estimated_cycles(mapped: LayerMapping, *, pipeline: bool) -> int:
    """Return the cycles of one layer on the device to which it is mapped, without waiting for input.

    Read-ahead is not taken into account because no measurements of it are available.
    """
    work = PlacedWork(_parallel_outputs(mapped), mapped.time_slots + 1, mapped.kernels.offset)
    return _device_cycles(mapped.layer, mapped.view, work, pipeline=pipeline)


def estimated_parts(mapped: LayerMapping, *, pipeline: bool) -> CycleParts:
    """Return the breakdown of `estimated_cycles`."""
    work = PlacedWork(_parallel_outputs(mapped), mapped.time_slots + 1, mapped.kernels.offset)
    return _parts(mapped.layer, mapped.view, work, pipeline=pipeline)


def minimum_parts(layer: Layer, view: HardwareView, *, pipeline: bool) -> CycleParts:
    """Return the breakdown of `minimum_cycles`."""
    work = PlacedWork(_fewest_outputs(layer, view, calcx4=False), _fewest_slots(layer, view))
    return _parts(layer, view, work, pipeline=pipeline)


def _parts(layer: Layer, view: HardwareView, work: PlacedWork, *, pipeline: bool) -> CycleParts:
    reading, busy = (_work_cycles(layer, view, each) for each in (PlacedWork(0, 0), work))
    column = max(0, _column_cycles(layer, view, work.column))
    total = _device_cycles(layer, view, work, pipeline=pipeline)
    writes = view.operator == "none" or layer.depthwise
    output = busy - reading
    return CycleParts(reading, 0 if writes else output, output if writes else 0, total - busy - column, column)


def minimum_cycles(layer: Layer, view: HardwareView, *, pipeline: bool, calcx4: bool = False) -> int:
    """Return a lower bound of `estimated_cycles` over all placements of `layer`.

    `view` is the layer as it is executed without streaming. `calcx4` allows placements with that key. The quad mode of
    the fast FIFO, which shares the first layer among the quadrants, is not covered.
    """
    work = PlacedWork(_fewest_outputs(layer, view, calcx4=calcx4), _fewest_slots(layer, view))
    return _device_cycles(layer, view, work, pipeline=pipeline)


def kernel_reads(mapped: LayerMapping) -> int:
    """Return the number of kernels that all processors together read from their kernel memories."""
    if mapped.view.operator == "none":
        return 0
    return _stored_outputs(mapped) * _pixel_passes(mapped.layer, mapped.view) * mapped.processors.bit_count()


def fewest_kernel_reads(layer: Layer, view: HardwareView) -> int:
    """Return a lower bound of `kernel_reads` over all placements of `layer`."""
    if view.operator == "none" or layer.bypass:
        return 0
    if layer.depthwise:
        return _pixel_passes(layer, view) * view.inputs_per_pass
    return _fewest_outputs(layer, view, calcx4=False) * _pixel_passes(layer, view) * view.inputs_per_pass


def _device_cycles(layer: Layer, view: HardwareView, work: PlacedWork, *, pipeline: bool) -> int:
    cycles = _work_cycles(layer, view, work) + max(0, _column_cycles(layer, view, work.column))
    return cycles + PIPELINE_CYCLES * _pixel_passes(layer, view) if pipeline and not layer.depthwise else cycles


def _stored_outputs(mapped: LayerMapping) -> int:
    """Return the outputs per pixel and pass by the stored kernels, including unused processors between used ones."""
    return mapped.kernels.count // (mapped.view.input_passes * mapped.layer.flat_pixels)


def _parallel_outputs(mapped: LayerMapping) -> int:
    layer = mapped.layer
    if layer.depthwise:
        return mapped.time_slots + 1
    if layer.bypass:
        return layer.channels_out
    return ceil_div(_stored_outputs(mapped), PARALLEL_OUTPUTS) if mapped.calcx4 else _stored_outputs(mapped)


def _fewest_outputs(layer: Layer, view: HardwareView, *, calcx4: bool) -> int:
    if layer.depthwise:
        return _fewest_slots(layer, view)
    outputs = view.output_passes * view.outputs_per_pass
    outputs = layer.channels_out if layer.flatten or layer.bypass else max(outputs, layer.channels_out)
    return ceil_div(outputs, PARALLEL_OUTPUTS) if calcx4 and not layer.bypass else outputs


def _fewest_slots(layer: Layer, view: HardwareView) -> int:
    """Return the time slots of the fullest quadrant if the channels are spread evenly."""
    channels, width = ceil_div(view.inputs_per_pass, QUADRANTS), layer.output_width // 8
    if layer.depthwise:
        return min(channels, LANES) * width
    return ceil_div(channels * width, LANES)


def _pixel_passes(layer: Layer, view: HardwareView) -> int:
    """Return the number of pixels for which outputs are computed, times the input passes."""
    rows, columns = view.pooled_size if layer.flatten else view.out_size
    return rows * columns * view.input_passes


def _rows_and_columns(layer: Layer, view: HardwareView) -> tuple[int, int]:
    rows, columns = view.pooled_size
    if view.operator == "convtranspose2d":
        return rows * layer.stride[0], columns * layer.stride[1]
    return rows, columns


def _work_cycles(layer: Layer, view: HardwareView, work: PlacedWork) -> int:
    """Return the cycles of reading pixels into the window, and of computing and writing outputs."""
    operands, window = layer.operands, layer.pool[0] * layer.pool[1]
    rows, columns = _rows_and_columns(layer, view)
    passes = view.input_passes
    if view.operator == "none" and view.output_passes > 1 and layer.has_pool:
        passes = 2 * passes - 1
    if layer.pool_first:
        step, pooled_step, repeat = 2 * passes * operands, passes * operands * (window + 1), 1
    else:
        step, pooled_step, repeat = 2 * passes, passes * (operands * window + 1), passes
    if view.operator == "none":
        slots = work.slots * (rows * columns if layer.flatten else 1)
        return rows * columns * (pooled_step + passes * slots)
    return _convolution_cycles(layer, view, work.outputs, passes, step, pooled_step, repeat)


def _convolution_cycles(
    layer: Layer, view: HardwareView, outputs: int, passes: int, step: int, pooled_step: int, repeat: int
) -> int:
    """Return the cycles of all rows of a convolution: above the image, filling the window, the others, and below.

    A pixel takes `step` cycles of reading in the padding and `pooled_step` in the image, and one cycle per output.
    """
    (kernel_rows, kernel_columns), (pad_rows, pad_columns) = view.kernel, view.pad
    rows, columns = _rows_and_columns(layer, view)
    out_columns = view.out_size[1] * (columns if layer.flatten else 1)
    inner = kernel_columns - 1 - pad_columns
    top = 2 * pad_columns * (step + 1) + repeat * columns * (step + 1)
    fill = 2 * pad_columns * (step + 1) + repeat * columns * (pooled_step + 1)
    edge = pad_columns * (step + 1) + step * pad_columns
    row = edge + repeat * inner * (pooled_step + 1) + repeat * (out_columns - pad_columns) * pooled_step
    bottom = edge + repeat * inner * (step + 1) + repeat * (out_columns - pad_columns) * step
    out = passes * out_columns * outputs + (outputs if outputs == 1 and passes == 1 else 0)
    first_rows = kernel_rows - 1 - pad_rows
    long_flatten = layer.flatten and view.input_passes * rows * columns > _LONG_FLATTEN
    return (
        int(long_flatten)
        + pad_rows * top
        + first_rows * fill
        + (row + out) * (rows - first_rows)
        + pad_rows * (bottom + out)
    )


def _column_cycles(layer: Layer, view: HardwareView, column: int) -> int:
    """Return the cycles that depend on the place of the kernels, for several passes or operands and pooling last."""
    if view.operator == "none" or layer.pool_first or (view.input_passes == 1 and layer.operands == 1):
        return 0
    (kernel_rows, kernel_columns), (pad_rows, pad_columns) = view.kernel, view.pad
    rows, columns = _rows_and_columns(layer, view)
    vertical = (rows + 2 * pad_rows - kernel_columns + 1) * pad_columns
    horizontal = (columns + 2 * pad_columns - kernel_rows + 1) * pad_rows
    return (vertical + horizontal - pad_rows * pad_columns) * column
