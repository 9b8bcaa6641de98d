"""``ai8x insert-identity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ai8x_tool.cli.options import Argument, Command, GivenOptions
from ai8x_tool.settings.quantization import IdentitySettings

if TYPE_CHECKING:
    from ai8x_tool.console import Console


def _insert_identity(given: GivenOptions, console: Console) -> None:
    from ai8x_tool.quantization.identity import IdentityLayer, insert_identity
    from ai8x_tool.text import decode_surrogates

    settings, target = given.settings(IdentitySettings), Path(given.get("target"))
    layer = IdentityLayer(
        decode_surrogates(settings.layer_name),
        settings.layer_depth,
        decode_surrogates(settings.insert_before),
        settings.low_memory,
    )
    insert_identity(Path(given.get("source")), target, layer)
    console.show(f"layer {layer.name!r} with {layer.channels} channels inserted before {layer.before!r}: {target}")
    console.result({"schema": "ai8x-insert-identity/1", "output": str(target), "layer": layer.name})


COMMAND = Command(
    _insert_identity,
    (IdentitySettings,),
    (
        Argument("source", "Quantized checkpoint to insert a layer into.", "INPUT"),
        Argument("target", "Checkpoint to write.", "OUTPUT"),
    ),
    examples=(
        "ai8x insert-identity camvid-q.pth.tar camvid-pt-q.pth.tar --layer-name pt --layer-depth 56 "
        "--insert-before upconv3",
    ),
    from_recipe=False,
)
