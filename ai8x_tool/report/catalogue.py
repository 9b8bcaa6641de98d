"""Resources that ``ai8x list`` lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.device import DEVICES, Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.report.columns import Column, Table

if TYPE_CHECKING:
    from ai8x_tool.console import Console

OPERATORS = {
    "Conv1d": "kernel 1 … 9, pad 0 … 2, dilation, optionally after max or average pooling",
    "Conv2d": "kernel 1×1 or 3×3, pad 0 … 2, optionally after max or average pooling",
    "ConvTranspose2d": "kernel 3×3, stride 2",
    "Linear": "optionally after flatten",
    "Passthrough": "pooling or copying",
    "Add, Sub, Or, Xor": "2 … 16 operands, before or after pooling, alone or before Conv2d",
    "ReLU, Abs": "activations",
}
"""Operators of the accelerator, with a description."""

KINDS = ("models", "datasets", "recipes", "networks", "weights", "devices", "operators")
"""Kinds of resources that can be listed."""


@dataclass(frozen=True)
class Resource:
    """A resource: its name, its description, and its file, None if it has none."""

    name: str
    description: str
    file: Path | None = None

    def document(self) -> dict[str, str]:
        """Return the resource for JSON."""
        named = {"name": self.name, "description": self.description}
        return named if self.file is None else {**named, "file": str(self.file)}


def catalogue(kind: str, console: Console | None = None) -> list[Resource]:
    """Return all resources of one kind; files that are skipped are reported on `console`. Raises Ai8xError."""
    from ai8x_tool import resources  # noqa: PLC0415  (each only where needed)
    from ai8x_tool.plugins import find as plugins  # noqa: PLC0415  (each only where needed)
    from ai8x_tool.settings.files import list_recipes  # noqa: PLC0415  (each only where needed)
    from ai8x_tool.settings.weights import list_cards  # noqa: PLC0415  (each only where needed)

    if kind in ("models", "datasets"):
        found = plugins.list_models(console) if kind == "models" else plugins.list_datasets(console)
        return [Resource(x.name, x.description, x.file) for x in found]
    if kind == "recipes":
        return [Resource(x.name, x.description, x.path) for x in list_recipes()]
    if kind == "networks":
        return [Resource(name, _first_comment(path), path) for name, path in resources.list_configs("networks").items()]
    if kind == "weights":
        return [Resource(card.name, card.text, card.path) for card in list_cards()]
    if kind == "devices":
        return [Resource(device.name, _device_text(device)) for device in DEVICES]
    if kind == "operators":
        return [Resource(name, text) for name, text in OPERATORS.items()]
    raise Ai8xError(f"cannot list {kind!r}: unknown kind", fix=f"choose one of {', '.join(KINDS)}")


def resources_table(resources: Sequence[Resource]) -> Table:
    """Return a table of names, files (relative to the current folder if below it) and descriptions."""
    here = Path.cwd()
    names, texts = ([getattr(resource, field) for resource in resources] for field in ("name", "description"))
    files = [resource.file for resource in resources]
    shown = ["" if x is None else str(x.relative_to(here) if x.is_relative_to(here) else x) for x in files]
    columns = [Column("name", tuple(names), right=False)]
    if any(shown):
        columns.append(Column("file", tuple(shown), right=False, rank=1))
    return Table((*columns, Column("description", tuple(texts), right=False, wrapped=True)))


def _first_comment(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def _device_text(device: Device) -> str:
    data = 16 * device.instance_size // 1024
    return f"{device.layers} layers, {device.weight_bytes // 1024} KiB of weights, {data} KiB of data memory"
