"""Splits by content: the content of a sample determines its split, independently of other samples."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ai8x_tool.settings.own_data import OwnDataSettings

_RANK = {"test": 0, "validation": 1, "train": 2}
"""Precedence of splits: a sample contained in several splits stays in the first of these."""


@dataclass(frozen=True)
class Unit:
    """Data that stay in one split: name of the file, hash of the content, split of the folder."""

    name: str
    content: bytes
    split: str | None


def assign(units: Sequence[Unit], own: OwnDataSettings) -> tuple[list[str | None], list[tuple[str, str]]]:
    """Return the split of each unit, None for copies, and the pairs (copy, original) of names.

    Of units with the same content, only one is kept: if folders name splits, that for the test or, without one, for
    validation.
    """
    given = {unit.split for unit in units if unit.split is not None}
    kept: dict[bytes, int] = {}
    for number, unit in enumerate(units):
        known = kept.setdefault(unit.content, number)
        if _rank(unit) < _rank(units[known]):
            kept[unit.content] = number
    copies = [(unit.name, units[kept[unit.content]].name) for n, unit in enumerate(units) if kept[unit.content] != n]
    places = [_place(unit, own, given) if kept[unit.content] == number else None for number, unit in enumerate(units)]
    return places, copies


def _rank(unit: Unit) -> int:
    return _RANK[unit.split or "train"]


def _place(unit: Unit, own: OwnDataSettings, given: set[str]) -> str:
    """Return the split of a unit: that of its folder, else as determined by its content or group."""
    if unit.split in ("validation", "test"):
        return unit.split
    if unit.split is None and given == {"test"}:
        given = set()  # anomalies are not used for training
    position = _fraction(_group(unit.name, own.group) or unit.content)
    validation, test = own.split
    test = 0.0 if "test" in given else test
    validation = 0.0 if "validation" in given else validation
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


def _group(name: str, pattern: str | None) -> bytes | None:
    match = re.search(pattern, name) if pattern else None
    if match is None:
        return None
    return (match.group(1) if match.groups() else match.group()).encode(errors="surrogatepass")


def _fraction(content: bytes) -> float:
    """Return a number in [0, 1) that depends on `content` only."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big") / 2**64


def content_hash(data: bytes | memoryview) -> bytes:
    """Return the hash of the content for :class:`Unit`."""
    return hashlib.blake2b(data, digest_size=16).digest()
