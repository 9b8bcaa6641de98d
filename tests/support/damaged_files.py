"""Files and texts, damaged at random."""

from __future__ import annotations

import re

_EXTREMES = (
    *("0", "-1", "1", "255", "65536", "4294967296", "1e999", "-0.0", "nan", "0x" + "f" * 17, "9" * 30, "9" * 5000),
    *(
        "null",
        "true",
        "~",
        "''",
        '""',
        "[]",
        "{}",
        "[[]]",
        "{a: {}}",
        "*a",
        "&a",
        "!!int x",
        "2001-99-99",
        "<<",
        "12:30:45",
    ),
    *(
        "\0",
        "\n",
        "\t",
        "\r\n",
        "\\",
        "'",
        '"',
        "%s%n",
        "*/",
        "${HOME}",
        "`id`",
        "\x1b[31m",
        "é",
        "\u202e",
        "\ud7ff",
        "🙂",
    ),
    *("../x/x", "../../x", "/dev/null", "/dev/zero", "~nobody-of-this-name", "a" * 300),
    *("- " * 60, "[" * 60, "?", ":", "---"),
)
_WORD = re.compile(rb"[\w.+-]+|\s+|[^\w\s]")


def damaged_bytes(data, generator):
    """Return `data` with one to four bytes or slices changed, added, doubled, moved or cut off."""
    result = bytearray(data)
    for _ in range(int(generator.integers(1, 5))):
        if not result:
            break
        start = int(generator.integers(len(result)))
        length = int(min(len(result) - start, generator.choice([1, 1, 2, 4, 16, 64])))
        change = int(generator.integers(7))
        if change == 0:
            result[start] ^= 1 << int(generator.integers(8))
        elif change == 1:
            result[start : start + length] = generator.bytes(length)
        elif change == 2:
            result[start : start + length] = bytes([int(generator.choice([0, 0x7F, 0x80, 0xFF]))] * length)
        elif change == 3:
            del result[start : start + length]
        elif change == 4:
            result[start:start] = result[start : start + length]
        elif change == 5:
            del result[start:]
        else:
            other = int(generator.integers(len(result)))
            result[other : other + length] = result[start : start + length]
    return bytes(result)


def damaged_text(data, generator):
    """Return `data`, bytes of a text, with one to three words or lines changed; now and then with bytes changed."""
    if generator.random() < 0.2:
        return damaged_bytes(data, generator)
    words = _WORD.findall(data)
    for _ in range(int(generator.integers(1, 4))):
        place = int(generator.integers(len(words)))
        change = int(generator.integers(5))
        if change <= 1:
            words[place] = extreme(generator)
        elif change == 2:
            words.insert(place, extreme(generator))
        elif change == 3:
            del words[place]
            words = words or [b""]
        else:
            words[place] = words[int(generator.integers(len(words)))]
    return b"".join(words)


def extreme(generator):
    """Return a value that is seldom meant."""
    return str(generator.choice(_EXTREMES)).encode("utf-8", "replace")
