"""The functions that compute the layer registers, in the order in which the registers are written."""

from __future__ import annotations

from collections.abc import Callable

from ai8x_tool.device import registers as tables
from ai8x_tool.lowering import (
    dimensions,
    kernel_range,
    layer_control,
    one_dimensional,
    post_processing,
    read_side,
    sequence,
    streaming,
    tram,
    write_side,
)
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.lowering.steps import Write
from ai8x_tool.mapping import LayerMapping

RegisterFunction = Callable[[LayerMapping, Context, int], "Fields | None"]

LAYER_REGISTERS: tuple[tuple[str, RegisterFunction], ...] = (
    ("NEXT", sequence.next_layer),
    ("RCNT", dimensions.row_count),
    ("CCNT", dimensions.column_count),
    ("PRCNT", dimensions.pool_rows),
    ("PCCNT", dimensions.pool_columns),
    ("STRIDE", dimensions.stride),
    ("WPTR", write_side.write_pointer),
    ("WTOFF", write_side.time_slot_offset),
    ("WMOFF", write_side.kernel_offset),
    ("WCOFF", write_side.pass_offset),
    ("RPTR", read_side.read_pointer),
    ("LCTL", layer_control.layer_control),
    ("LCTL2", layer_control.layer_control_2),
    ("MCNT", kernel_range.kernel_count),
    ("MCNT1", kernel_range.kernel_end),
    ("MCNT2", kernel_range.kernel_start),
    ("OCHAN", kernel_range.output_channels),
    ("ONED", one_dimensional.one_dimensional),
    ("TPTR", tram.tram_pointer),
    ("POST", post_processing.post_processing),
    ("ENA", read_side.enables),
    ("STR1", streaming.stream_start),
    ("STR2", streaming.stream_deltas),
    ("FMAX", streaming.rolling_buffer),
    ("IFRM", streaming.input_frame),
)
"""Registers of one layer in the order in which they are written; each device has a subset of them."""


def layer_writes(mapped: LayerMapping, context: Context, quadrant: int) -> list[Write]:
    """Return the writes that configure one layer in one quadrant, including those of zero."""
    table = tables.registers(context.device)
    hidden = mapped.resets_accumulator and quadrant == context.master
    writes: list[Write] = []
    for name, function in LAYER_REGISTERS:
        register = table.get(name)
        if register is None or mapped.hardware_index >= register.layers:
            continue
        fields = function(mapped, context, quadrant)
        if fields is None:
            continue
        value = register.encode(fields, mapped.layer.where)
        if hidden and name in sequence.RESET_LAYER:
            reset = sequence.RESET_LAYER[name]
            address = register.address(context.device, quadrant, mapped.hardware_index - 1)
            constant = value if reset is None else reset
            writes.append(Write(address, constant, name, quadrant, mapped.layer.index, note="accumulator reset"))
        address = register.address(context.device, quadrant, mapped.hardware_index)
        writes.append(Write(address, value, name, quadrant, mapped.layer.index, fields=fields))
    return writes


def configure(context: Context) -> list[Write]:
    """Return the writes of all layer registers in program order; zeros are included only if the options request it."""
    keep_zeros = context.options.write_zero_registers
    writes = []
    for mapped in context.mapping.layers:
        for quadrant in context.mapping.quadrants:
            writes += [w for w in layer_writes(mapped, context, quadrant) if w.value or keep_zeros]
    return writes + _snoop(context)


def _snoop(context: Context) -> list[Write]:
    values = context.mapping.placement.snoop
    if values is None:
        return []
    table = tables.registers(context.device)
    names = [name for name in table if name.startswith("SNP")]
    return [
        Write(table[name].address(context.device, quadrant), value, name, quadrant)
        for quadrant in context.mapping.quadrants
        for name, value in zip(names, values, strict=False)
        if value
    ]
