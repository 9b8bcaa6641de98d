"""A look through a pickle before it is unpickled: what would exhaust memory or the machine's stack is refused.

The unpickler makes as large a table as the largest number of a remembered object asks for, and hashing nested tuples
(as keys) recurses without limit.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

_NESTING_LIMIT = 64
_PUTS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
_GETS = ("GET", "BINGET", "LONG_BINGET")
_MUTABLE = (pickletools.pylist, pickletools.pydict, pickletools.pyset)


def check_pickle(file: IO[bytes]) -> None:
    """Check the pickle that begins at the position of `file`, and return there.

    Raises ValueError for what no checkpoint contains, or if the pickle breaks off.
    """
    start = file.tell()
    stack: list[int | None] = []  # depth of nested tuples by object, None for a mark
    memo: dict[int, int] = {}
    for count, (opcode, given, _) in enumerate(pickletools.genops(file)):
        argument: Any = given
        if opcode.name in _PUTS:
            number = len(memo) if opcode.name == "MEMOIZE" else argument
            if number > count:  # every object takes an opcode, and remembering it one more
                raise ValueError("an object is remembered under a number that is too large")
            memo[number] = _top(stack)
        elif opcode.name in _GETS:
            stack.append(memo[argument])
        else:
            _apply(opcode, stack)
    file.seek(start)


def _top(stack: list[int | None]) -> int:
    depth = stack[-1]
    if depth is None:
        raise ValueError("a mark is no object")
    return depth


def _apply(opcode: pickletools.OpcodeInfo, stack: list[int | None]) -> None:
    """Do to the depths of the objects on the stack what `opcode` does to the objects."""
    if opcode.stack_after == [pickletools.markobject]:
        stack.append(None)
        return
    taken = [depth for depth in _take(opcode, stack) if depth is not None]
    for kind in opcode.stack_after:
        depth = 0 if kind in _MUTABLE or not taken else 1 + max(taken)
        if depth > _NESTING_LIMIT:
            raise ValueError("nested too deeply")
        stack.append(depth)


def _take(opcode: pickletools.OpcodeInfo, stack: list[int | None]) -> list[int | None]:
    """Remove what `opcode` takes from the stack."""
    kinds = opcode.stack_before
    if pickletools.markobject in kinds:
        first = len(stack) - 1 - stack[::-1].index(None) - kinds.index(pickletools.markobject)
    else:
        first = len(stack) - len(kinds)
    if first < 0:
        raise ValueError("the stack is empty")
    taken = stack[first:]
    del stack[first:]
    return taken
