"""Names of generated files that the user can choose."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ai8x_tool.errors import Ai8xError

_PLAIN_NAME = re.compile(r"\w[\w.+-]*")
_ENDINGS = {"main": "", "api": ".c", "weights": ".h", "sample": ".h", "answers": ".h", "log": ""}
_OTHERS = (
    *("cnn.h", "cnn_input.c", "softmax.c", "interface.json", "README.md", "ai8x.yaml", "project.mk"),
    *("build", "buildrv", "Makefile", "Makefile.ARM", "Makefile.RISCV", "Makefile.common"),
)
"""Generated files and folders with fixed names."""

_SYSTEM_HEADERS = frozenset(
    f"{name}.h"
    for name in (
        *("assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits", "locale", "math"),
        *("setjmp", "signal", "stdalign", "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib"),
        *("stdnoreturn", "string", "tgmath", "threads", "time", "uchar", "wchar", "wctype"),
        *("mxc", "gcfr_regs", "fcr_regs", "sema_regs", "led", "board"),
    )
)
"""Headers that programs include: a file with such a name in the project would be included instead."""


def is_plain_name(name: str) -> bool:
    """Return whether `name` consists of letters, digits and ``_ - + .``, as compilers, make and the shell require."""
    return _PLAIN_NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class FileNames:
    """Names of the generated files that the user can choose; `main` has no extension.

    Raises Ai8xError for names that the project cannot be built with.
    """

    main: str = "main"
    api: str = "cnn.c"
    weights: str = "weights.h"
    sample: str = "sampledata.h"
    answers: str = "sampleoutput.h"
    log: str = "log.txt"

    def __post_init__(self) -> None:
        for key, name in vars(self).items():
            _check_name(name, _ENDINGS[key])
        if self.log.endswith((".c", ".h")):
            raise Ai8xError(
                f"{self.log!r} cannot be the name of the log", fix="choose a name that is not that of a C file"
            )
        names = [name if key != "main" else f"{name}.c" for key, name in vars(self).items()]
        taken = [name.casefold() for name in (*names, *_OTHERS)]  # some systems do not distinguish upper and lower case
        twice = next((name for name in names if taken.count(name.casefold()) > 1), None)
        if twice is not None:
            raise Ai8xError(f"{twice!r} would be the name of two generated files", fix="choose different names")


def _check_name(name: str, ending: str) -> None:
    what = f"{name!r} cannot be the name of a generated file"
    if not is_plain_name(name) or name.lower() == "none":
        raise Ai8xError(what, fix="use a plain name; merging files is not supported")
    if not name.endswith(ending):
        raise Ai8xError(what, fix=f"choose a name that ends in {ending}")
    if name.casefold() in _SYSTEM_HEADERS or name.removesuffix(".c").endswith("_riscv"):
        raise Ai8xError(f"{what}: the compiler or the SDK uses it", fix="choose another name")
