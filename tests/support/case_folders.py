"""Folders with a network, a checkpoint, a sample and a command, made into programs whatever the overlap check says."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

from ai8x_tool.device import find_device
from ai8x_tool.synthesis.settings import SynthesizeSettings
from ai8x_tool.synthesis.synthesize import load_sample, synthesize
from tests.support.golden_cases import golden_folder
from tests.support.networks import QUIET

_FILES = ("network", "checkpoint", "sample_input")


def cases_folder():
    """Return the folder of such cases; it need not exist."""
    return golden_folder().parent / "cases"


def command_options(folder):
    """Return the options of ``ai8x synthesize`` in cmd.txt."""
    words = shlex.split((folder / "cmd.txt").read_text())[2:]
    options, name = {}, ""
    for word in words:
        if word.startswith("--"):
            name = word[2:].replace("-", "_")
            options[name] = True
        else:
            options[name] = word
    return options


def synthesized(folder, options):
    """Return the synthesis of a folder's network; outputs may overwrite anything."""
    files = {name: folder / options[name] for name in _FILES}
    device = options.get("device", "MAX78000")
    more = {"overlap_data": True, "error_stop": False, "fifo": options.get("fifo", False)}
    if "input_offset" in options:
        more["input_offset"] = int(options["input_offset"], 0)
    with tempfile.TemporaryDirectory() as output:
        settings = SynthesizeSettings(
            str(files["network"]), device, checkpoint=files["checkpoint"], output=Path(output) / "out", **more
        )
        return synthesize(
            files["network"],
            files["checkpoint"],
            load_sample(files["sample_input"]),
            find_device(device),
            settings.project_options(),
            settings.synthesis_options(),
            QUIET,
        )
