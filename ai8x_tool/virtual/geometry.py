"""Sizes, windows and pitches of a hardware layer, decoded from its registers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ai8x_tool.virtual.registers import RegisterFile

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """Pairs are (rows, columns). `pitch` is the distance of input pixels in words, `columns` that of rows in pixels.

    `pooled` is the size after pooling and before padding; for a transposed convolution, before zeros are inserted.
    """

    passes: int
    columns: int
    pitch: int
    pooled: Pair
    window: Pair
    dilation: Pair
    stride: int
    pad: Pair
    kernel: Pair

    @property
    def reach(self) -> Pair:
        """Rows and columns of the input that pooling windows cover."""
        rows, columns = (
            (count - 1) * self.stride + (window - 1) * dilation + 1
            for count, window, dilation in zip(self.pooled, self.window, self.dilation, strict=True)
        )
        return rows, columns


def decode_geometry(registers: RegisterFile, master: int, index: int, operands: int, *, transposed: bool) -> Geometry:
    """Return the sizes of hardware layer `index`, decoded from the registers of the master quadrant."""
    fields = {
        name: registers.fields(name, master, index)
        for name in ("RCNT", "CCNT", "PRCNT", "PCCNT", "STRIDE", "ONED", "LCTL", "LCTL2", "POST", "TPTR")
    }
    wide_passes = fields["POST"]["flatten"]
    passes = fields["TPTR"]["start"] + 1 if wide_passes else fields["LCTL2"]["input_passes"] + 1
    decode = _newer if "stop" in fields["RCNT"] else _older
    geometry = decode(fields, passes, operands)
    if not transposed:
        return geometry
    if fields["LCTL"]["pool"]:
        return _pooled_transposed(fields, geometry, operands)
    rows, columns = geometry.pooled
    return replace(geometry, pooled=(rows // 2, columns // 2), columns=geometry.columns // 2)


def _older(fields: dict[str, dict[str, int]], passes: int, operands: int) -> Geometry:
    rows, columns = fields["RCNT"], fields["CCNT"]
    pad = (rows["pad"], columns["pad"])
    stride = fields["STRIDE"]["stride"] + 1
    window = (fields["PRCNT"]["window"] + 1, fields["PCCNT"]["window"] + 1)
    size = (rows["count"] + 1 - 2 * pad[0], columns["count"] + 1 - 2 * pad[1])
    pooled = tuple((s + stride - w) // stride for s, w in zip(size, window, strict=True))
    return Geometry(
        passes=passes,
        columns=size[1],
        pitch=operands * passes,
        pooled=(pooled[0], pooled[1]),
        window=window,
        dilation=(1, 1),
        stride=stride,
        pad=pad,
        kernel=_kernel(fields, (3, 3)),
    )


def _newer(fields: dict[str, dict[str, int]], passes: int, operands: int) -> Geometry:
    rows, columns = fields["RCNT"], fields["CCNT"]
    stride = fields["STRIDE"]["stride"] + 1
    pooling = (fields["PRCNT"], fields["PCCNT"])
    dilation = (pooling[0]["dilation"] + 1, pooling[1]["dilation"] + 1)
    control = fields["LCTL"]
    return Geometry(
        passes=passes,
        columns=columns["stop"] + columns["next"],
        pitch=fields["STRIDE"]["row_words"] // stride,
        pooled=(rows["stop"] // stride + 1, columns["stop"] // stride + 1),
        window=(pooling[0]["window"] // dilation[0] + 1, pooling[1]["window"] // dilation[1] + 1),
        dilation=dilation,
        stride=stride,
        pad=(_pad(rows), _pad(columns)),
        kernel=_kernel(fields, (control["kernel_rows"] + 1, control["kernel_columns"] + 1)),
    )


def _pad(fields: dict[str, int]) -> int:
    return fields["pad_minus_1"] + 1 if fields["pad_enable"] else 0


def _kernel(fields: dict[str, dict[str, int]], size: Pair) -> Pair:
    one = fields["ONED"]
    if one["conv1d"]:
        return one["kernel_length"], 1
    return (1, 1) if one["kernel_length"] == 1 else size


def _pooled_transposed(fields: dict[str, dict[str, int]], decoded: Geometry, operands: int) -> Geometry:
    """Return the geometry with the pool stride, which the registers of a transposed convolution do not contain."""
    pointer = fields["TPTR"]
    wanted = (pointer["maximum"] - pointer["start"] + 3 - 2 * decoded.pad[1]) // 2
    columns = decoded.columns // 2
    if "stop" in fields["RCNT"]:
        stride = max(1, fields["STRIDE"]["row_words"] // (operands * decoded.passes))
        rows = (fields["RCNT"]["stop"] + decoded.window[0] + 1) // 2
    else:
        rows = (fields["RCNT"]["count"] + 1 - 2 * decoded.pad[0]) // 2
        strides = range(1, 17)
        stride = next((b for b in strides if (columns + b - decoded.window[1]) // b == wanted), 1)
    pooled = tuple((s + stride - w) // stride for s, w in zip((rows, columns), decoded.window, strict=True))
    pitch = operands * decoded.passes
    return replace(decoded, pooled=(pooled[0], pooled[1]), columns=columns, stride=stride, pitch=pitch)
