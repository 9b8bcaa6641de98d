"""Kernel streams put together byte by byte, and the search for their place column by column."""

from __future__ import annotations


def bits(value):
    return [i for i in range(64) if value >> i & 1]


class Columns:
    """The cursor over the columns of one processor."""

    def __init__(self):
        self.content = {}
        self.x, self.count = 0, 0

    def put(self, byte):
        column = self.content.setdefault(self.x, [0] * 9)
        column[8 - self.count] = byte & 0xFF
        self.count += 1
        if self.count == 9:
            self.x, self.count = self.x + 1, 0

    def skip(self):
        self.x, self.count = self.x + 1, 0


def tails(columns, s, length):
    """End of the stream."""
    if columns.count:
        columns.skip()
    while columns.x - s < length:
        for _ in range(9):
            columns.put(0)


def merged(kernels, layer, c, m, ie):
    """`F` consecutive entries of the list, from output `m`, pass `ie` on, merged into one kernel."""
    n = abs(layer["q"])
    f_per = 8 // n
    z = [0] * layer["K"]
    if m < layer["O"]:
        for i in range(f_per):
            d = ie * f_per + i
            r = c + m * layer["I"] + (d % layer["P"]) * layer["T"] + (d // layer["P"]) * layer["I"]
            if r < len(kernels):
                for tap in range(layer["K"]):
                    z[tap] |= (kernels[r][tap] % 2**n) << (n * i)
    return z


def plain_stream(kernels, layer, c):
    """The stream for the processor of rank `c`; `kernels` is the list of kernels, each a list of taps."""
    mo, i_channels = layer["Mo"], layer["I"]
    p, t, r_passes, u = layer["P"], layer["T"], layer["R"], layer["U"]
    k, n, grouped = layer["K"], abs(layer["q"]), layer["g"] > 1
    f_per = 8 // n
    f = bits(mo)[0]
    s = f % 4
    columns = Columns()
    columns.x, h = divmod(s * k * p, 9)
    for _ in range(h // f_per):
        columns.put(0)
    m = 0
    for _ in range(1 if grouped else r_passes):
        remaining = mo >> f
        pos = 0
        while pos < (1 if grouped else u):
            while remaining != 0 and remaining % 2**f_per == 0:
                columns.skip()
                remaining >>= f_per
            remaining >>= f_per
            for ie in range(p):
                if ie * t + c < i_channels and c + m * i_channels < len(kernels):
                    for tap in reversed(merged(kernels, layer, c, m, ie)):
                        columns.put(tap)
                else:
                    for _ in range(k // f_per):
                        columns.put(0)
            m += f_per
            pos += f_per
    tails(columns, s, layer["len"])
    return columns


def flat_stream(weights, layer, c, length):
    """Returns the columns and the length for the next processor."""
    mo, o_channels, x_pixels = layer["Mo"], layer["O"], layer["X"]
    p, t, n = layer["P"], layer["T"], abs(layer["q"])
    f_per = 8 // n
    f = bits(mo)[0]
    s = f % 4
    columns = Columns()
    columns.x, h = divmod(s, 9)
    for _ in range(h // f_per):
        columns.put(0)
    rows = [
        [weights[o][(e * t + c) * x_pixels + px] for px in range(x_pixels) for e in range(p)] for o in range(o_channels)
    ]
    group = 0
    for _ in range(layer["R"]):
        remaining = mo >> f
        for _ in range(layer["U"]):
            while remaining != 0 and remaining % 2**f_per == 0:
                columns.skip()
                remaining >>= f_per
            remaining >>= f_per
            elements = [w for row in rows[group * f_per : (group + 1) * f_per] for w in row]
            if not elements:
                for _ in range(1 // f_per):
                    columns.put(0)
            while len(elements) % f_per:
                elements.append(0)
            for i in range(0, len(elements), f_per):
                columns.put(sum((w % 2**n) << (n * j) for j, w in enumerate(elements[i : i + f_per])))
            group += 1
    tails(columns, s, length)
    return columns, columns.x


def counts(layer):
    """Len, count, ochan."""
    mo = layer["Mo"]
    f, t = bits(mo)[0], bits(mo)[-1]
    s = f % 4
    n, k, r, o_channels = abs(layer["q"]), layer["K"], layer["R"], layer["O"]
    f_per = 8 // n
    flat = layer["X"] > 0
    first = f if r == 1 else f - s
    span = t + 1 - first
    e = 1 if flat else layer["P"]
    if layer["g"] == 1:
        kc = span * r * e
        count = ochan = kc + s * r * e
    else:
        kc = e
        count, ochan = kc + s * e, span * e + s * e
    if flat:
        length = layer["X"] * layer["P"]
        cut = (r * len(bits(mo)) - o_channels) * length
        kc = kc * length - cut
        count = ochan = count * length - cut
    reserved = (kc * k * n + (kc % f_per) * k * (f_per - 1) + 71) // 72
    return reserved, count, ochan


def streams(layer, weights):
    """Return the columns of every processor of `layer`, by processor number, relative to the start column.

    `weights` is a list of kernels (lists of taps), for flattened layers a list of rows.
    """
    result = {}
    length = layer["len"]
    for c, processor in enumerate(bits(layer["Mi"])):
        if layer["X"]:
            columns, length = flat_stream(weights, layer, c, length)
        else:
            columns = plain_stream(weights, layer, c)
        result[processor] = columns.content
    return result


def ceil4(value):
    return -(-value // 4) * 4


def forward(layer, used, limit, start=0):
    """Forward search; None for an error. `used(processor, column)` tells whether a column is taken."""
    processors, length = bits(layer["Mi"]), layer["len"]
    y = ceil4(start)
    while used(processors[0], y):
        y += 4
        if y + length > limit(processors[0]):
            return None
    position = 0
    while position < len(processors):
        taken = [j for j in range(y, y + length) if used(processors[position], j)]
        if taken:
            y = ceil4(taken[0] + 1)
            if y + length > limit(processors[position]):
                return None
            position = 0
        else:
            position += 1
    return y


def forward_depthwise(layer, used, limit):
    """Forward search with the instance rule of the MAX78002."""
    processors, length = bits(layer["Mi"]), layer["len"]
    y = 0
    while used(processors[0], y):
        y += 4
        if y + length > limit(processors[0]):
            return None
    position = 0
    while position < len(processors):
        w = 256 if y + 2 >= 4096 else 1024
        if (y + 1) // w != (y + length) // w:
            y = (y + w - 1) // w * w - 1
            w = 256 if y + 2 >= 4096 else 1024
            if (y + 1) // w != (y + length) // w:
                return None
        taken = [j for j in range(y, y + length) if used(processors[position], j)]
        if taken:
            y = ceil4(taken[0] + 1)
            if y + length > limit(processors[position]):
                return None
            position = 0
        else:
            position += 1
    return ceil4(y)


def backward(layer, used, largest):
    """Backward search for layers on large processors only; None if nothing is found."""
    processors, length = bits(layer["Mi"]), layer["len"]
    y = largest - 1
    while used(processors[0], y):
        y -= 4
        if y < 0:
            return None
    position = 0
    while position < len(processors):
        taken = [j for j in range(y, y - length, -1) if used(processors[position], j)]
        if taken:
            y = (taken[0] - 1) // 4 * 4
            if y + length > largest:
                return None
            position = 0
        else:
            position += 1
    return (y - length + 1) // 4 * 4


def locate(layer, image, start, processor, k):
    """The weight at entry `k` of a processor's memory, tap by tap. `image[column]` is nine bytes."""
    taps, n = layer["K"], abs(layer["q"])
    first, sub = divmod(9 * start, taps)
    slot = first + (k * n) // 8
    result = []
    for t in range(taps):
        b = sub + slot * taps + taps - 1 - t
        byte = int(image[b // 9][8 - b % 9])
        result.append(byte >> (k * n % 8) & 2**n - 1)
    return result
