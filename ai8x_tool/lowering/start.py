"""Register writes that initialize and start the accelerator."""

from __future__ import annotations

from ai8x_tool.device import registers as tables
from ai8x_tool.device.facts import PROCESSORS_PER_QUADRANT, QUADRANTS
from ai8x_tool.lowering.fifo import is_fed, is_group
from ai8x_tool.lowering.options import Context, Fields
from ai8x_tool.lowering.sequence import layer_count
from ai8x_tool.lowering.steps import ClearTram, Step, Wait, Write
from ai8x_tool.network.layer import BINARY


def _write(context: Context, name: str, quadrant: int, value: int) -> Write:
    register = tables.registers(context.device)[name]
    return Write(register.address(context.device, quadrant), value, name, quadrant, fields=register.decode(value))


def _aon(context: Context, value: int) -> Write:
    return Write(context.device.base + tables.AON_CONTROL, value, "AON")


def initialize(context: Context) -> list[Step]:
    """Return the steps of ``cnn_init()``."""
    quadrants = context.mapping.quadrants
    steps: list[Step] = []
    if context.device.clear_registers is not None:
        control = _control(context, {})
        steps += [_write(context, "CTL", q, control) for q in quadrants]
    steps.append(_aon(context, 0))
    if context.device.clear_registers is not None:
        steps += _clear_registers(context, context.device.clear_registers)
    control = _control(context, {"fifo": int(context.fifo), "express": int(context.options.express)})
    count = tables.registers(context.device)["LCNT"].encode(layer_count(context))
    for quadrant in quadrants:
        steps.append(_write(context, "CTL", quadrant, control))
        steps += (
            _clear_tram(context, quadrant) if context.options.init_tram else []
        )  # needs the clock that CTL turns on
        if context.device.clear_registers is None:
            steps.append(_write(context, "SRAM", quadrant, tables.MEMORY_CONTROL))
        if count:
            steps.append(_write(context, "LCNT", quadrant, count))
    return steps + (_clear_memories(context) if context.options.zero_memory else [])


def _control(context: Context, fields: Fields) -> int:
    fields = {"clock": 1, **fields}
    if context.device.pipeline:
        fields["no_pipeline"] = int(not context.pipeline)
    return tables.registers(context.device)["CTL"].encode(fields)


def _clear_registers(context: Context, code: int) -> list[Step]:
    quadrants, has_bias = context.mapping.quadrants, context.mapping.network.has_bias
    test = tables.registers(context.device)["TEST"]
    return [
        *(_write(context, "SRAM", q, tables.MEMORY_CONTROL) for q in quadrants),
        *(_write(context, "TEST", q, code | (tables.CLEAR_BIAS if has_bias else 0)) for q in quadrants),
        *(Wait(test.address(context.device, q), tables.REGISTERS_CLEARED) for q in quadrants),
        *(_write(context, "TEST", q, 0) for q in quadrants),
    ]


def _clear_tram(context: Context, quadrant: int) -> list[Step]:
    device = context.device
    base = device.quadrant(device.addresses.tram, quadrant)
    step = device.addresses.tram_stride
    return [ClearTram(base + step * p, device.tram_entries) for p in range(PROCESSORS_PER_QUADRANT)]


def _clear_memories(context: Context) -> list[Step]:
    address = tables.registers(context.device)["TEST"].address
    steps: list[Step] = []
    for test in context.device.tests:
        steps += [_write(context, "TEST", q, test.start) for q in range(QUADRANTS)]
        steps += [Wait(address(context.device, q), test.done, test.error) for q in range(QUADRANTS)]
        steps += [_write(context, "TEST", q, 0) for q in range(QUADRANTS)]
    return steps


def _start_fields(context: Context) -> Fields:
    options, mapping = context.options, context.mapping
    start = mapping.start
    fields = {
        "clock": 1,
        "average_round": int(options.average_rounding),
        "stream": int(context.streams),
        "fifo_stream": int(context.fifo and context.streams),
        "express": int(options.express),
        "binary": int(any(m.layer.bits == BINARY for m in mapping.layers)),
        "quad": int(mapping.options.quad),
    }
    if context.device.pipeline:
        fields |= {
            "no_pipeline": int(not context.pipeline),
            "stream_chw": int(start.streaming and start.chw),
            "snoop": int(mapping.placement.snoop is not None),
            "one_shot": int(options.one_shot),
        }
    return fields


def _fifo_fields(context: Context, quadrant: int) -> Fields:
    if not context.fifo:
        return {}
    fed = is_fed(context, quadrant)
    return {
        "fifo": 1,
        "fast_fifo": int(fed and context.mapping.options.fast_fifo),
        "fifo_group": int(fed and is_group(context)),
    }


def start(context: Context) -> tuple[list[Write], list[Write]]:
    """Return the writes of ``cnn_start()``: those before the timer starts, and the one that starts the master."""
    encode = tables.registers(context.device)["CTL"].encode
    base, master = _start_fields(context), context.master
    before = [
        _write(
            context,
            "CTL",
            q,
            encode({**base, "master": master, "sync": 1, "run": int(q != master), **_fifo_fields(context, q)}),
        )
        for q in context.mapping.quadrants
    ]
    if context.options.powerdown:
        unused = sum(1 << (12 + q) for q in range(QUADRANTS) if q not in context.mapping.quadrants)
        if unused:
            before.append(_aon(context, unused))
    fifo = _fifo_fields(context, master) if is_fed(context, master) else {}
    final = {**base, "run": 1, "sync": int(context.fifo), **fifo}
    return before, [_write(context, "CTL", master, encode(final))]


def interrupt_mask(context: Context) -> int:
    """Return the control bits that the interrupt handler clears."""
    fields = {"done": 1, "run": 1, "stream": int(context.streams)}
    if context.options.one_shot:
        fields = {"done": 1}
    return tables.registers(context.device)["CTL"].encode(fields)
