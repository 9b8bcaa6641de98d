"""What a layer computes, as plainly as possible: loops over Python integers."""

from __future__ import annotations

from math import trunc


def clamp(value, low=-128, high=127):
    return min(max(value, low), high)


def shape_of(x):
    return len(x), len(x[0]), len(x[0][0])


def eltwise(function, operands):
    """Left to right in exact integers, one clamp at the end."""
    channels, rows, columns = shape_of(operands[0])
    steps = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
    }
    result = [[[0] * columns for _ in range(rows)] for _ in range(channels)]
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                value = operands[0][c][i][j]
                for operand in operands[1:]:
                    value = steps[function](value, operand[c][i][j])
                result[c][i][j] = clamp(value)
    return result


def pool(x, size, stride, dilation, average, rounding):
    """ValueError if a window reaches beyond the data."""
    channels, rows, columns = shape_of(x)
    out = [(n + s - p - d + 1) // s for n, s, p, d in zip((rows, columns), stride, size, dilation, strict=True)]
    result = []
    for c in range(channels):
        plane = []
        for i in range(out[0]):
            line = []
            for j in range(out[1]):
                window = [
                    x[c][i * stride[0] + u * dilation[0]][j * stride[1] + v * dilation[1]]
                    for u in range(size[0])
                    for v in range(size[1])
                ]
                line.append(average_of(window, rounding) if average and len(window) > 1 else max(window))
            plane.append(line)
        result.append(plane)
    return result


def average_of(window, rounding):
    total, n = sum(window), len(window)
    if not rounding:
        return trunc(total / n)
    sign = 1 if total >= 0 else -1
    return sign * ((2 * abs(total) + n) // (2 * n))


def convolve(x, weights, bias, pad, dilation, depthwise):
    """Accumulators."""
    channels, rows, columns = shape_of(x)
    height, width = len(weights[0][0]), len(weights[0][0][0])
    out_rows = rows + 2 * pad[0] - dilation[0] * (height - 1)
    out_columns = columns + 2 * pad[1] - dilation[1] * (width - 1)
    result = []
    for o, kernels in enumerate(weights):
        plane = []
        for i in range(out_rows):
            line = []
            for j in range(out_columns):
                total = 128 * bias[o] if bias else 0
                for c in [o] if depthwise else range(channels):
                    kernel = kernels[0 if depthwise else c]
                    for u in range(height):
                        for v in range(width):
                            row, column = i + u * dilation[0] - pad[0], j + v * dilation[1] - pad[1]
                            if 0 <= row < rows and 0 <= column < columns:
                                total += kernel[u][v] * x[c][row][column]
                line.append(total)
            plane.append(line)
        result.append(plane)
    return result


def convolve_transposed(x, weights, bias, pad, depthwise):
    """Zeros between samples, zeros around, then an ordinary convolution without padding."""
    channels, rows, columns = shape_of(x)
    before, after = 2 - pad, 2 - pad + 1
    height, width = 2 * rows - 1 + before + after, 2 * columns - 1 + before + after
    wide = [[[0] * width for _ in range(height)] for _ in range(channels)]
    for c in range(channels):
        for i in range(rows):
            for j in range(columns):
                wide[c][before + 2 * i][before + 2 * j] = x[c][i][j]
    return convolve(wide, weights, bias, (0, 0), (1, 1), depthwise)


def to_8_bits(total, shift, activation):
    t = 7 - shift
    value = clamp((total + (1 << (t - 1))) >> t if t > 0 else total << -t)
    if activation == "relu":
        return clamp(value, 0, 127)
    if activation == "abs":
        return clamp(abs(value), 0, 127)
    return value


def each(x, function):
    return [[[function(value) for value in line] for line in plane] for plane in x]


def flatten(x):
    """Channel slowest, column fastest."""
    return [[[value]] for plane in x for line in plane for value in line]


def prepare(layer, operands, rounding):
    """Pool and combine as the layer says; None if it is an error."""
    size, stride, dilation = layer.pool, layer.pool_stride, layer.pool_dilation

    def pooled(x):
        return pool(x, size, stride, dilation, layer.pool_average, rounding and layer.operator != "conv1d")

    try:
        if len(operands) > 1 and not layer.pool_first:
            operands = [eltwise(layer.eltwise, operands)]
        operands = [pooled(x) for x in operands]
    except IndexError:
        return None
    return eltwise(layer.eltwise, operands) if len(operands) > 1 else operands[0]


def layer_output(layer, sample, rounding):
    """Return what `layer` makes of `sample`, all operands among its channels; None if a window leaves the data."""
    per_operand = len(sample) // layer.operands
    operands = [sample[k * per_operand : (k + 1) * per_operand] for k in range(layer.operands)]
    x = prepare(layer, operands, rounding)
    if x is None or not layer.is_convolution:
        return x
    if layer.bypass:
        height, width = layer.kernel
        weights, bias = [[[[1] * width] * height] * layer.channels_in] * layer.channels_out, None
    else:
        weights = layer.parameters.weights.tolist()
        bias = None if layer.parameters.bias is None else layer.parameters.bias.tolist()
    if layer.flatten:
        x = flatten(x)
    if layer.operator == "convtranspose2d":
        total = convolve_transposed(x, weights, bias, layer.pad[0], layer.depthwise)
    else:
        total = convolve(x, weights, bias, layer.pad, layer.dilation, layer.depthwise)
    if layer.output_width == 32:
        return total
    return each(total, lambda value: to_8_bits(value, layer.shift, layer.activation))
