"""Words that a layer reads and writes, in the order in which it does, with plain loops over elements.

A layer reads its pooling windows once each, row by row, each with all its passes and operands. An output pixel is
written when the last window that it needs has been read, and all pixels before it are written.
"""

from __future__ import annotations

from itertools import product

from ai8x_tool.network.sizes import passes, processors_per_pass


def bits(processors):
    return [p for p in range(64) if processors >> p & 1]


def input_places(at, pixel):
    """Return {(instance, word)} of everything that belongs to one pixel of the input."""
    layer = at.layer
    first, rounds, count = at.input_offset // 4, passes(layer.channels_in), processors_per_pass(layer.channels_in)
    used = bits(at.own_processors)
    if at.chw:
        return {(p // 4, first + pixel // 4) for p in used}
    found = set()
    for channel, operand in product(range(layer.channels_in), range(layer.operands)):
        number, rank = divmod(channel, count)
        word = (pixel * rounds + number) * layer.operands + operand
        found.add((used[rank] // 4, first + word * (at.read_gap + 1)))
    return found


def output_places(at, pixel):
    """Return {(instance, word)} of everything that belongs to one pixel of the output."""
    layer = at.layer
    rounds, count = passes(layer.channels_out), processors_per_pass(layer.channels_out)
    used, wide = bits(at.output_map), layer.output_width // 8
    found = set()
    for channel in range(layer.channels_out):
        number, rank = divmod(channel, count)
        word = at.out_offset // 4 + (pixel * rounds + number) * wide * (at.write_gap + 1)
        lane = used[rank] % 4 if wide == 4 else 0
        found.add((used[rank] // 4, word + lane))
    return found


def windows_read(at):
    """Return what each pooling window reads: a list of {(instance, word)}."""
    layer = at.layer
    (rows, columns), (high, wide) = layer.in_size, layer.pooled_size
    found = []
    for row, column in product(range(high), range(wide)):
        taps = product(range(layer.pool[0]), range(layer.pool[1]))
        pixels = {
            (row * layer.pool_stride[0] + u * layer.pool_dilation[0], column * layer.pool_stride[1] + v * dilation)
            for u, v in taps
            for dilation in [layer.pool_dilation[1]]
        }
        inside = [r * columns + c for r, c in pixels if r < rows and c < columns]
        found.append(set().union(*(input_places(at, pixel) for pixel in inside)))
    return found


def windows_needed(at, row, column):
    """Return the numbers of the windows that an output pixel is computed from."""
    layer = at.layer
    high, wide = layer.pooled_size
    if layer.flatten:
        return set(range(high * wide))
    if layer.operator == "none":
        return {row * wide + column}
    step = 2 if layer.operator == "convtranspose2d" else 1
    pad = layer.pad if step == 1 else tuple(layer.kernel[i] - 1 - layer.pad[i] for i in (0, 1))
    found = set()
    for u, v in product(range(layer.kernel[0]), range(layer.kernel[1])):
        y, x = row - pad[0] + u * layer.dilation[0], column - pad[1] + v * layer.dilation[1]
        if y % step == 0 and x % step == 0 and 0 <= y < step * high and 0 <= x < step * wide:
            found.add(y // step * wide + x // step)
    return found


def outputs_written(at):
    """Return (number of the last window read before it, {(instance, word)}) of each output pixel, in order."""
    rows, columns = at.layer.out_size
    found, last = [], -1
    for pixel, (row, column) in enumerate(product(range(rows), range(columns))):
        last = max([last, *windows_needed(at, row, column)])
        found.append((last, output_places(at, pixel)))
    return found


def last_uses(at):
    """Return {(instance, word): number of the last window that holds it}."""
    return {place: number for number, places in enumerate(windows_read(at)) for place in places}


def writing_steps(at):
    """Return {(instance, word): number of the last window read before it is written}."""
    return {place: last for last, places in outputs_written(at) for place in places}


def never_read(at):
    """Return the words of the input that no window reads."""
    rows, columns = at.layer.in_size
    everything = set().union(*(input_places(at, pixel) for pixel in range(rows * columns)))
    return everything - set(last_uses(at))
