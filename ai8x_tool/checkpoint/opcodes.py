"""Scan of a pickle before it is loaded, which rejects content that would exhaust memory or the call stack.

The unpickler allocates a table for the largest memo index, and hashing nested tuples (as keys) recurses without limit.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any, NamedTuple

_NESTING_LIMIT = 64
_MOST_OPCODES = 2_000_000
"""A tensor takes about forty opcodes; checkpoints of the largest models have a tenth of this limit."""
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_MUTABLE = (pickletools.pylist, pickletools.pydict, pickletools.pyset)


class _Effect(NamedTuple):
    """Effect of an opcode on the stack: objects it takes, `below` the top or `from_mark`, and objects it puts there."""

    below: int
    from_mark: bool
    puts: int
    nests: bool
    marks: bool


def _effect(opcode: pickletools.OpcodeInfo) -> _Effect:
    before, after = opcode.stack_before, opcode.stack_after
    from_mark = pickletools.markobject in before
    below = before.index(pickletools.markobject) if from_mark else len(before)
    nests = bool(before) and not any(kind in _MUTABLE for kind in after)
    return _Effect(below, from_mark, len(after), nests, pickletools.markobject in after)


_EFFECTS = {opcode.name: _effect(opcode) for opcode in pickletools.opcodes}


def check_pickle(file: IO[bytes]) -> None:
    """Check the pickle at the current position of `file`, and restore the position.

    Raises ValueError for content that no checkpoint has, or if the pickle is truncated.
    """
    start = file.tell()
    stack, memo = _Depths(), dict[int, int]()
    for count, (opcode, given, _) in enumerate(pickletools.genops(file)):
        if count > _MOST_OPCODES:
            raise ValueError(f"more than {_MOST_OPCODES:,} values in addition to tensors")
        argument: Any = given
        name = opcode.name
        if name in _PUTS:
            number = len(memo) if name == "MEMOIZE" else argument
            if number > count:  # every object takes an opcode, and storing it in the memo another one
                raise ValueError("a memo index is too large")
            memo[number] = stack.objects[-1]
        elif name == "POP" and stack.marks and stack.marks[-1] == len(stack.objects):
            stack.marks.pop()
        elif name in _GETS:
            stack.objects.append(memo[argument])
        else:
            stack.apply(_EFFECTS[name])
    file.seek(start)


class _Depths:
    """Nesting depths of the tuples on the unpickler's stack, one number for every object.

    `marks` are the numbers of objects below each mark.
    """

    def __init__(self) -> None:
        self.objects: list[int] = []
        self.marks: list[int] = []

    def apply(self, effect: _Effect) -> None:
        """Apply the effect of an opcode on the objects to their depths."""
        if effect.marks:
            self.marks.append(len(self.objects))
            return
        depth = 0
        if effect.below or effect.from_mark:
            first = (self.marks.pop() if effect.from_mark else len(self.objects)) - effect.below
            if first < (self.marks[-1] if self.marks else 0):
                raise ValueError("the stack is empty")
            if effect.nests:
                depth = max(self.objects[first:], default=-1) + 1
            if depth > _NESTING_LIMIT:
                raise ValueError("nested too deeply")
            del self.objects[first:]
        self.objects.extend([depth] * effect.puts)
