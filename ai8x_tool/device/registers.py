"""Control registers of both devices: address formulas and fields.

This table is the only place that contains register addresses and bit positions; `lowering` encodes with it.
"""

from __future__ import annotations

from ai8x_tool.device.facts import MAX78000, MAX78002, Device
from ai8x_tool.device.register import Field, Register

FIFO_CONTROL = 0x0
FIFO_STATUS = 0x4
FIFO_DATA = 0x8
AON_CONTROL = 0x1000
"""Byte offsets from the accelerator's base, common to both devices."""

FAST_FIFO_CONTROL = 0x400C_0400
FAST_FIFO_STATUS = 0x400C_0404
FAST_FIFO_DATA = 0x400C_0410
"""Absolute addresses, common to both devices."""

MEMORY_CONTROL = 0x40E
"""Value of the SRAM register that the hardware requires."""

CLEAR_BIAS = 0x400
REGISTERS_CLEARED = 0x200_0000
"""TEST register: the bit that makes the code for clearing registers clear bias memory, too; and the bit for "done"."""


FieldTuple = tuple[str, int, int, str]
LayerRow = tuple[str, str, int | None, int | None, list[FieldTuple]]
"""Name, title, MAX78000 index, MAX78002 index, fields."""


def _fields(rows: list[FieldTuple]) -> tuple[Field, ...]:
    return tuple(Field(*row) for row in rows)


def _count_fields(device: Device, what: str) -> list[FieldTuple]:
    if device is MAX78000:
        return [
            ("count", 0, 10, f"{what} after zero insertion, minus 1, plus both pads"),
            ("pad", 16, 2, "zero padding on each side"),
        ]
    return [
        ("stop", 0, 11, f"last {what} position at which a pooling window starts"),
        ("pad_minus_1", 13, 2, "zero padding on each side, minus 1"),
        ("pad_enable", 15, 1, "1: padding is on"),
        ("next", 16, 16, "distance in words to the next row or column of windows"),
    ]


def _layer_rows(device: Device) -> list[LayerRow]:
    return [
        *_scan_rows(device),
        *_pointer_rows(device),
        *_layer_control_rows(device),
        *_kernel_rows(),
        *_post_rows(),
    ]


def _scan_rows(device: Device) -> list[LayerRow]:
    new = device is MAX78002
    pool_dilation: list[FieldTuple] = [("dilation", 4, 4, "pooling dilation minus 1")] if new else []
    return [
        (
            "NEXT",
            "next layer",
            None,
            0,
            [
                ("target", 0, 7, "hardware layer to execute next"),
                ("link", 7, 1, "1: continue at target"),
                ("stop", 8, 1, "1: stop after this layer"),
            ],
        ),
        ("RCNT", "row count", 0, 1, _count_fields(device, "rows")),
        ("CCNT", "column count", 1, 2, _count_fields(device, "columns")),
        (
            "ONED",
            "one-dimensional and element-wise processing",
            2,
            3,
            [
                ("time_slots", 0, 4, "time slots minus 1"),
                ("kernel_offset", 4, 4, "remainder of the kernel start address (sub-offset)"),
                ("kernel_length", 8, 4, "kernel length of Conv1d; 1 for 1×1 kernels and single-operand passthrough"),
                ("conv1d", 12, 1, "1: one-dimensional convolution"),
                ("eltwise", 13, 1, "1: element-wise operation"),
                ("eltwise_function", 14, 2, "0 sub, 1 add, 2 or, 3 xor"),
                ("pool_first", 16, 1, "1: pool each operand before the element-wise operation"),
                ("eltwise_convolution", 17, 1, "1: a convolution follows the element-wise operation"),
                ("operands", 18, 4, "operands minus 1"),
            ],
        ),
        ("PRCNT", "pooling rows", 3, 4, [("window", 0, 4, "(rows − 1)·dilation"), *pool_dilation]),
        ("PCCNT", "pooling columns", 4, 5, [("window", 0, 4, "(columns − 1)·dilation"), *pool_dilation]),
        (
            "STRIDE",
            "stride",
            5,
            6,
            [
                ("stride", 0, 4, "pooling or convolution stride minus 1; 0 for transposed convolution"),
                *(
                    [("row_words", 4, 16, "words to skip per stride: stride·operands·passes·(read gap + 1)")]
                    if new
                    else []
                ),
            ],
        ),
    ]


def _pointer_rows(device: Device) -> list[LayerRow]:
    pointer = 17 if device is MAX78000 else 21
    return [
        ("WPTR", "data write pointer", 6, 7, [("address", 0, pointer, "word offset | instance of the first output")]),
        ("WTOFF", "write pointer, time-slot offset", 7, 8, [("offset", 0, pointer, "words between time slots")]),
        ("WMOFF", "write pointer, kernel offset", 8, 9, [("offset", 0, pointer, "words between data instances")]),
        (
            "WCOFF",
            "write pointer, pass offset",
            9,
            10,
            [("offset", 0, pointer, "words between output passes, if there are several")],
        ),
        ("RPTR", "data read pointer", 10, 11, [("address", 0, pointer, "word offset of the input")]),
    ]


def _layer_control_rows(device: Device) -> list[LayerRow]:
    new = device is MAX78002
    kernel_size: list[FieldTuple] = (
        [
            ("readahead", 17, 1, "read ahead"),
            ("kernel_columns", 18, 4, "kernel columns minus 1"),
            ("kernel_rows", 22, 4, "kernel rows minus 1"),
            ("readahead_passes", 26, 6, "read-ahead: input passes minus 1 (in fours with tcalc)"),
        ]
        if new
        else []
    )
    return [
        (
            "LCTL",
            "layer control",
            11,
            12,
            [
                ("enable", 5, 1, "always 1"),
                ("chw", 6, 1, "1: CHW input (one channel per processor, four pixels per word)"),
                ("pool", 7, 1, "1: pooling"),
                ("max_pool", 8, 1, "1: maximum (also without pooling), 0: average"),
                ("relu", 9, 1, "1: ReLU"),
                ("shared_output", 11, 1, "1: outputs are spread evenly, 0: local sources"),
                ("sources", 12, 4, "master quadrant: other quadrants whose sums or biases are added"),
                ("wide", 16, 1, "1: 32-bit output"),
                *kernel_size,
                *(
                    [
                        ("broadcast", 29, 1, "depthwise: outputs stay in their processors"),
                        ("bypass", 30, 1, "1: all weights are 1"),
                    ]
                    if new
                    else []
                ),
            ],
        ),
        (
            "LCTL2",
            "layer control 2",
            20,
            13,
            [
                ("input_passes", 0, 4, "input passes minus 1; flatten: low bits of the product"),
                ("write_increment", 4, 8 if new else 4, "write pointer increment minus 1"),
                ("output_span", 12 if new else 8, 12, "span of the output processors times the weight bits"),
            ],
        ),
    ]


def _kernel_rows() -> list[LayerRow]:
    return [
        (
            "MCNT",
            "kernel start and end",
            12,
            None,
            [
                ("end", 0, 16, "8·start column·9/kernel size + (kernels − 1)·bits"),
                ("start", 16, 16, "8·start column·9/kernel size; passthrough: see end"),
            ],
        ),
        ("MCNT1", "kernel end", None, 14, [("end", 0, 19, "start + (kernels − 1)·bits")]),
        (
            "MCNT2",
            "kernel start",
            None,
            15,
            [("start", 0, 19, "8·start column·9/kernel size; passthrough: 8·(output passes − 1)")],
        ),
        ("OCHAN", "output channels", None, 16, [("count", 0, 16, "kernels or time slots minus 1")]),
        (
            "TPTR",
            "TRAM pointer",
            13,
            17,
            [
                ("maximum", 0, 16, "last TRAM entry"),
                ("start", 16, 16, "first TRAM entry of a streaming layer; flatten: product"),
            ],
        ),
        (
            "ENA",
            "enabled processors",
            14,
            18,
            [
                ("processors", 0, 16, "input processors of this quadrant"),
                ("kernels", 16, 16, "the same processors, for kernel memory"),
            ],
        ),
    ]


def _post_rows() -> list[LayerRow]:
    return [
        (
            "POST",
            "post-processing",
            15,
            19,
            [
                ("bias_offset", 0, 12, "first bias byte of the layer in this quadrant"),
                ("bias_enable", 12, 1, "1: the bias is in this quadrant"),
                ("shift", 13, 4, "magnitude of the total output shift"),
                ("shift_right", 17, 1, "1: the shift is negative"),
                ("flatten_high", 18, 12, "flatten: product divided by 16 (large values run into the next fields)"),
                ("weight_bits", 22, 2, "0: 8 bits, 1: 1 bit, 2: 2 bits, 3: 4 bits"),
                ("time_slots", 24, 1, "1: time slots are used"),
                ("passthrough", 25, 1, "1: single-operand passthrough"),
                ("absolute", 26, 1, "1: absolute value"),
                ("flatten", 27, 1, "1: flatten product of 16 or more"),
                ("transposed", 28, 1, "1: transposed convolution"),
                ("calcx4", 29, 1, "1: four kernels at once"),
                ("depthwise", 30, 1, "1: depthwise convolution"),
                ("tcalc", 31, 1, "1: read-ahead pass calculation"),
            ],
        ),
    ]


def _stream_rows(device: Device) -> list[tuple[str, str, int, int, list[FieldTuple]]]:
    """Return rows of (name, title, MAX78000 index, MAX78002 index of the register file, fields)."""
    new = device is MAX78002
    return [
        (
            "STR1",
            "stream start",
            16,
            0,
            [
                ("start", 0, 15 if new else 14, "input words before the layer starts"),
                *([("fifo_go", 25, 1, "start layer: wait for the FIFO")] if new else []),
            ],
        ),
        (
            "STR2",
            "stream deltas",
            17,
            1,
            [
                ("pass_offset", 0, 4, "sum of the passes of the preceding streaming layers"),
                ("delta1", 4, 5, "additional words per column step"),
                ("delta2", 16, 14 if new else 12, "additional words per row step"),
            ],
        ),
        ("FMAX", "rolling buffer length", 18, 2, [("words", 0, 18 if new else 17, "words until the buffer wraps")]),
    ]


def _control_rows(device: Device) -> list[tuple[str, str, int, list[FieldTuple]]]:
    new = device is MAX78002
    return [
        (
            "CTL",
            "control",
            0x0,
            [
                ("run", 0, 1, "start"),
                ("wait_states", 1, 2, "memory wait states"),
                ("clock", 3, 1, "clocks on"),
                ("external_ready", 4, 1, "external ready input"),
                *(
                    [
                        ("no_pipeline", 5, 1, "pipeline off"),
                        ("stream_chw", 6, 1, "the start layer streams CHW data"),
                        ("snoop", 7, 1, "snoop units on"),
                        ("one_shot", 8, 1, "stop after every layer"),
                    ]
                    if new
                    else []
                ),
                ("master", 9, 2, "number of the master quadrant"),
                ("sync", 11, 1, "follow the master quadrant; FIFO in use"),
                ("done", 12, 1, "interrupt flag"),
                ("average_round", 13, 1, "average pooling rounds"),
                ("stream", 14, 1, "some layer streams"),
                ("fifo", 15, 1, "FIFO in use"),
                ("mlator", 16, 1, "byte collector on"),
                ("mlator_lane", 17, 2, "byte lane of the collector"),
                ("fifo_stream", 19, 1, "FIFO in use and some layer streams"),
                ("express", 20, 1, "packed kernel loading"),
                ("simple_1bit", 21, 1, "1-bit weights by XOR"),
                ("fast_fifo", 22, 1, "the fast FIFO feeds this quadrant"),
                ("fifo_group", 23, 1, "fast FIFO feeds a group of processors"),
                ("binary", 30, 1, "some layer has binary weights"),
                ("quad", 31, 1, "fast FIFO feeds all quadrants"),
            ],
        ),
        ("SRAM", "data memory control", 0x4, [("value", 0, 32, "constant 0x40E")]),
        ("LCNT", "layer count", 0x8, [("last", 0, 8, "last hardware layer"), ("first", 8, 8, "first hardware layer")]),
        ("TEST", "built-in test and clear", 0xC, [("code", 0, 32, "test to start")]),
        (
            "IFRM",
            "input frame size",
            device.addresses.input_frame,
            [("words", 0, 22 if new else 20, "pixels of the input (CHW: divided by 4)")],
        ),
        ("MLAT", "byte collector", device.addresses.mlator, [("word", 0, 32, "four collected bytes")]),
    ]


def _table(device: Device) -> dict[str, Register]:
    table = {}
    for name, title, offset, fields in _control_rows(device):
        table[name] = Register(name, title, offset, 0, 1, _fields(fields))
    old_step, new_step = 0x80, 0x100
    for name, title, old, new, fields in _layer_rows(device):
        index = old if device is MAX78000 else new
        if index is None:
            continue
        if device is MAX78000:
            table[name] = Register(name, title, 0x10 + old_step * index, 4, device.layers, _fields(fields))
        else:
            table[name] = Register(name, title, 0x10_0000 + 4 * index, new_step, device.layers, _fields(fields))
    for name, title, old, new, fields in _stream_rows(device):
        offset = 0x10 + old_step * old if device is MAX78000 else 0x10_8000 + 0x20 * new
        layers = device.layers if device is MAX78000 else device.streaming_layers
        table[name] = Register(name, title, offset, 4, layers, _fields(fields))
    if device is MAX78002:
        names = ("A1", "A2", "D1", "D2", "X1", "X2", "C1", "C2", "ACC", "HIT", "MAX", "AM")
        for unit, start in ((1, 0x10_8080), (2, 0x10_80B0)):
            for i, name in enumerate(names):
                value = _fields([("value", 0, 32, "conditional execution")])
                table[f"SNP{unit}_{name}"] = Register(f"SNP{unit}_{name}", "snoop unit", start + 4 * i, 0, 1, value)
    return table


_TABLES = {device.die: _table(device) for device in (MAX78000, MAX78002)}


def registers(device: Device) -> dict[str, Register]:
    """Return the registers of `device` by name."""
    return _TABLES[device.die]
