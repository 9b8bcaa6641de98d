"""Linked programs: memory contents, symbols and sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WRITABLE, _ALLOCATED, _EXECUTABLE = 1, 2, 4
_CODE, _THUMB = "STT_FUNC", 1


@dataclass(frozen=True)
class Sizes:
    """Sizes of a program in bytes: `code`, `constants` and `data` are in flash, `data` and `zero` in SRAM."""

    code: int
    constants: int
    data: int
    zero: int

    @property
    def flash(self) -> int:
        """Bytes of flash."""
        return self.code + self.constants + self.data

    @property
    def static(self) -> int:
        """Bytes of SRAM, excluding the stack."""
        return self.data + self.zero


@dataclass(frozen=True)
class Image:
    """A program for one core. `flash` has (address, bytes); `symbols` have no Thumb bit, `extents` are in bytes."""

    core: str
    path: Path
    flash: tuple[tuple[int, bytes], ...]
    symbols: dict[str, int]
    extents: dict[str, int]
    functions: tuple[tuple[int, str], ...] = field(repr=False)
    sizes: Sizes

    def function(self, address: int) -> str:
        """Return the name of the function that contains `address`."""
        names = [name for start, name in self.functions if start <= address]
        return names[-1] if names else "unknown code"


def read_image(path: Path, core: str) -> Image:
    """Read the ELF file that the linker made for `core`."""
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415  (an extra)

    with path.open("rb") as file:
        elf = ELFFile(file)
        flash = [(s["p_paddr"], s.data()) for s in elf.iter_segments("PT_LOAD") if s["p_filesz"]]
        table = [
            s for s in elf.get_section_by_name(".symtab").iter_symbols() if s.name and s["st_shndx"] != "SHN_UNDEF"
        ]
        sizes = _sizes(elf)
    thumb = _THUMB if core == "arm" else 0

    def address(symbol: Any) -> int:
        return symbol["st_value"] & ~thumb if symbol["st_info"]["type"] == _CODE else symbol["st_value"]

    functions = {address(s): s.name for s in table if s["st_info"]["type"] == _CODE}
    return Image(
        core=core,
        path=path,
        flash=tuple(flash),
        symbols={s.name: address(s) for s in table},
        extents={s.name: s["st_size"] for s in table},
        functions=tuple(sorted(functions.items())),
        sizes=sizes,
    )


def _sizes(elf: Any) -> Sizes:
    code = constants = data = zero = 0
    for section in elf.iter_sections():
        flags, size = section["sh_flags"], section["sh_size"]
        if not flags & _ALLOCATED:
            continue
        if section["sh_type"] == "SHT_NOBITS":
            zero += size
        elif flags & _EXECUTABLE:
            code += size
        elif flags & _WRITABLE:
            data += size
        else:
            constants += size
    return Sizes(code, constants, data, zero)
