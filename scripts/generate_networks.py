#!/usr/bin/env python3
"""Generate the network descriptions in configs/networks: models are traced, and placed by the mapper.

Usage: generate_networks.py [--check]; with --check nothing is written, and the exit status is 1 if a file differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002, Device
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.mapper import map_automatically
from ai8x_tool.mapping import violations
from ai8x_tool.resources import find_config
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.files import read_recipe
from ai8x_tool.subjects.find import RECIPE, Subject
from ai8x_tool.subjects.model import AnalyzedModel

ROOT = Path(__file__).resolve().parents[1]
BOTH, SMALL, LARGE = (MAX78000, MAX78002), (MAX78000,), (MAX78002,)
DESCRIPTIONS = {
    "mnist": ("Handwritten digits", BOTH),
    "kws20_v3": ("Keyword spotting with 20 words", SMALL),
    "ai87_kws20_v3": ("Keyword spotting with 20 words", LARGE),
    "mnist_extrasmall": ("Handwritten digits", SMALL),
    "cifar10": ("Photographs of 10 classes", BOTH),
    "catsdogs": ("Cats and dogs", BOTH),
    "kws20": ("Keyword spotting with 20 words", SMALL),
    "kws20_v2": ("Keyword spotting with 20 words", SMALL),
    "kws20_nas": ("Keyword spotting with 20 words", SMALL),
    "autoencoder": ("Vibration of a motor", SMALL),
    "cifar100_qat8": ("Photographs of 100 classes", BOTH),
    "cifar100_qat_mixed": ("Photographs of 100 classes", BOTH),
    "cifar100_simplenetwide2x_qat_mixed": ("Photographs of 100 classes", BOTH),
    "cifar100_ressimplenet": ("Photographs of 100 classes", BOTH),
    "cifar100_qat8_effnet2": ("Photographs of 100 classes", LARGE),
    "cifar100_qat8_mobilenet_v2_0.5": ("Photographs of 100 classes", LARGE),
    "cifar100_qat8_mobilenet_v2_0.75": ("Photographs of 100 classes", LARGE),
    "camvid_unet": ("Street scenes, the middle 192×192 pixels folded by 4", BOTH),
    "aisegment_unet": ("Portraits, the middle 192×192 pixels folded by 4", BOTH),
    "kinetics": ("Recognition of actions in videos", SMALL),
    "svhn_tinierssd": ("Digit detection", BOTH),
    "facedet_tinierssd": ("Face detection", BOTH),
    "faceid_112": ("Face embeddings", SMALL),
    "mobilefacenet_112": ("Face embeddings", LARGE),
    "imagenet_effnet2": ("Photographs of 1000 classes", LARGE),
    "bayer2rgb": ("Color images from Bayer mosaics", LARGE),
    "qr_tinierssd": ("QR code detection", SMALL),
}
"""Title and devices of the description of each recipe. The first device is the one that places are found for."""
PARTS = dict.fromkeys(("camvid_unet", "aisegment_unet"), "48x48x48")
"""The input of networks that see a part of the samples: with all of it, sample and weights exceed a device's flash."""


def description(recipe: str, title: str, devices: tuple[Device, ...]) -> str:
    """Return the description of a recipe's model. Raises Ai8xError if it has no placement that fits all devices."""
    console, file = Console(verbosity=-1, muted=True), find_config("recipes", recipe)
    settings = AnalyzeSettings(input=PARTS.get(recipe))
    source = AnalyzedModel(Subject(RECIPE, recipe, file), read_recipe(str(file)), settings, console)
    network, _, options = source.on(devices[0])
    found = map_automatically(network, devices[0], options)
    for device in devices:
        for violation in violations(found.network, found.placement, device, found.options):
            raise violation.error()
    where = " and ".join(device.name for device in devices)
    heading = f"{title} ({source.name}), for the {where}; placed by the mapper (scripts/generate_networks.py)"
    placed = (found.network, found.placement, devices[0])
    part = recipe in PARTS
    return write_description(*placed, dataset=source.entry.name, title=heading, options=found.options, input_shape=part)


def main() -> None:
    """Write or compare all descriptions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    different = []
    for name, (title, devices) in DESCRIPTIONS.items():
        path, text = ROOT / "configs" / "networks" / f"{name}.yaml", description(name, title, devices)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            different.append(name)
            if not arguments.check:
                path.write_text(text, encoding="utf-8")
    print(", ".join(different) or "up to date")
    sys.exit(arguments.check and bool(different))


if __name__ == "__main__":
    main()
