"""Model file of a new project: a copy of a shipped model, as wide as the device allows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import DatasetEntry
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import write_file
from ai8x_tool.frontend.torch import model_network
from ai8x_tool.mapper import MappingResult, map_automatically
from ai8x_tool.model.build import build_model
from ai8x_tool.network.device_rules import require_device
from ai8x_tool.plugins.find import model_in_file
from ai8x_tool.resources import shipped

_BITS = 8
_SECONDS = 5.0
WIDTHS = {
    "compact2d": ((8, 16, 32, 64, 64), (8, 16, 24, 32, 48), (4, 8, 16, 32, 32)),
    "compact1d": ((64,) * 6, (48,) * 6, (32,) * 6),
    "compactunet": ((8, 16, 32, 64), (8, 8, 16, 32), (4, 8, 16, 32)),
    "compactdetector": ((16, 32, 48, 64, 64, 64), (8, 16, 32, 48, 64, 64), (4, 8, 16, 32, 32, 32)),
    "compactautoencoder2d": ((8, 16, 32, 4), (4, 8, 16, 4)),
    "compactautoencoder": ((32, 48, 16), (16, 32, 8)),
}
"""Channels of the stages, from the widest to one that almost always fits."""


@dataclass(frozen=True)
class SizedModel:
    """A model file, the name of its model, and the placement that was found for it."""

    file: Path
    name: str
    widths: Sequence[int]
    found: MappingResult


def write_sized_model(
    template: str, name: str, file: Path, entry: DatasetEntry, device: Device, console: Console
) -> SizedModel:
    """Write the widest variant of the model `template` that fits `device` to `file`, under `name`.

    Raises Ai8xError if none fits.
    """
    problem: Ai8xError | None = None
    parts = _parts(template)
    for part in parts:
        write_file((shipped("models") / part).read_bytes(), file.with_name(part))
    for widths in WIDTHS[template]:
        write_file(_text(template, name, widths).encode(), file)
        try:
            model = model_in_file(file)
            more = {"num_classes": len(entry.labels) + 1} if entry.task == "detection" else {}
            built = build_model(model, entry, device=device.name, arguments=more, console=console)
            network = model_network(built, entry.input, device, name=name, undecided=_BITS)
            require_device(network, device)
            found = map_automatically(network, device, moves=True, seconds=_SECONDS)
        except Ai8xError as error:
            problem = problem or error
        else:
            return SizedModel(file, name, widths, found)
        finally:
            shutil.rmtree(file.with_name("__pycache__"), ignore_errors=True)
    for path in (file, *(file.with_name(part) for part in parts)):
        path.unlink()
    shape = "×".join(map(str, entry.input))
    raise Ai8xError(f"no model for inputs of {shape} fits the {device.name}: {problem}", fix="choose smaller inputs")


def _parts(template: str) -> list[str]:
    """Return the names of the shipped files that a shipped model file imports."""
    text = (shipped("models") / f"{template}.py").read_text(encoding="utf-8")
    return [f"{name}.py" for name in re.findall(r"^from \.(\w+) import", text, re.MULTILINE)]


def _text(template: str, name: str, widths: Sequence[int]) -> str:
    """Return the shipped model file with other names and widths."""
    text = (shipped("models") / f"{template}.py").read_text(encoding="utf-8")
    text = re.sub(r"^WIDTHS = .*$", f"WIDTHS = {tuple(widths)}", text, flags=re.MULTILINE)
    kind = template[0].upper() + template[1:]
    camel = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Model"
    return re.sub(rf"\b{kind}\b", camel if camel != name else f"{camel}Model", re.sub(rf"\b{template}\b", name, text))
