#!/usr/bin/env python3
"""Write docs/zoo.md: every recipe with its layers, memory, time and energy on both devices, and published figures.

Usage: generate_zoo.py [--check]; with --check nothing is written, and the exit status is 1 if the page differs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ai8x_tool.analysis.result import DeviceAnalysis
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.analysis import AnalyzeSettings
from ai8x_tool.settings.files import Recipe, list_recipes
from ai8x_tool.subjects.analyze import analyze

PAGE = Path(__file__).resolve().parents[1] / "docs" / "zoo.md"
DEVICES = (MAX78000, MAX78002)
SECONDS = 60.0
INTRODUCTION = """# The zoo

<!-- Written by scripts/generate_zoo.py -->

The zoo is the collection of networks that ship with `ai8x`: the models, datasets and recipes of the demos. The commands
for each of them (`ai8x train RECIPE`, `ai8x quantize`, `ai8x evaluate -8` and `ai8x synthesize`) are also available as
scripts: `scripts/train_RECIPE.sh`, `quantize_RECIPE.sh`, `evaluate_RECIPE.sh` and `gen_RECIPE.sh`. With
`--data synthetic`, each recipe runs without its dataset; `scripts/zoo.py` uses this to test recipes from training to
the virtual device and the firmware.

Times and energies are [estimates](estimates.md) for an inference, without loading weights and input, at the default
clocks (50 MHz on the MAX78000, 200 MHz with pipeline on the MAX78002). Figures marked “measured” were published by the
vendor for real devices; the networks have the same layers, but were placed by hand. The column “Reported” contains the
results that the vendor reports for quantized networks on the test split of the dataset; they were not reproduced for
this page.

Weights for `mnist` and for keyword spotting ship with `ai8x` (`ai8x list weights`). The vendor's checkpoints do not,
because no permanent address and no checksum of them is known; if you have them, pass them with `--checkpoint FILE`.
"""


@dataclass(frozen=True)
class Published:
    """Measured time in µs on either device, energy in µJ on the MAX78002, and the reported result."""

    slow: float | None = None
    fast: float | None = None
    energy: float | None = None
    result: str = ""


PUBLISHED = {
    "mnist": Published(1410, 410, 99, "99.44 %"),
    "mnist_extrasmall": Published(result="94.52 %"),
    "kws20_v3": Published(1442, result="88.91 % (validation)"),
    "ai87_kws20_v3": Published(fast=400, energy=149, result="86.22 % (validation)"),
    "kws20_v2": Published(fast=500, energy=209),
    "kws20": Published(result="87.59 % (validation)"),
    "kws20_v3_msnoise_mixed": Published(result="88.98 %"),
    "kws20_nas_msnoise_mixed": Published(result="92.69 %"),
    "cifar10": Published(fast=1320, energy=397, result="89.14 %"),
    "cifar100_qat8": Published(result="61.92 %"),
    "cifar100_qat_mixed": Published(2593, 920, 178, "50.57 %"),
    "cifar100_simplenetwide2x_qat_mixed": Published(fast=1220, energy=265, result="59.74 %"),
    "cifar100_ressimplenet": Published(fast=1020, energy=223, result="50.73 %"),
    "cifar100_qat8_effnet2": Published(fast=11620, energy=5965, result="60.94 %"),
    "cifar100_qat8_mobilenet_v2_0.5": Published(result="63.97 %"),
    "cifar100_qat8_mobilenet_v2_0.75": Published(fast=14120, energy=1357, result="66.45 %"),
    "catsdogs": Published(fast=3900, energy=751, result="94.62 %"),
    "camvid_unet": Published(fast=8600, energy=2722, result="90.83 % of the pixels"),
    "aisegment_unet": Published(fast=8200, energy=2604, result="98.45 % of the pixels (validation)"),
    "svhn_tinierssd": Published(fast=4400, energy=1009, result="mAP 0.773"),
    "facedet_tinierssd": Published(result="mAP 0.847 (validation)"),
    "qr_tinierssd": Published(result="mAP 0.876"),
    "pascalvoc_fpndetector": Published(result="mAP 0.442"),
    "imagenet_effnet2": Published(fast=34900, energy=14179),
    "kinetics": Published(result="75.53 %"),
    "autoencoder": Published(result="MSE 0.0225"),
    "bayer2rgb": Published(result="MSE 0.0043 (validation)"),
    "faceid_112": Published(result="loss 0.014 to the teacher"),
    "mobilefacenet_112": Published(result="loss 0.010 to the teacher"),
}


MIDDLE = {"camvid_unet": 4, "aisegment_unet": 2}
"""Recipes whose networks are described for 48×48×48 of 48×88×88, and their classes: biases are the model's."""
MIDDLE_TEXT = """\
The program uses only the middle 192×192 pixels, folded by 4, of the images of 352×352 pixels with which the model is
trained: a complete sample (371,712 bytes) and the weights together exceed the 524,288 bytes of flash of the MAX78000.
The network itself fits: `ai8x analyze ai85unetlarge --input 48x88x88 --use-bias --classes {classes}`."""


SEQUENCE_TEXT = """Each inference takes one of the 15 pairs of frames; what was found in those before it is kept in a
rolling buffer. On the MAX78000 a sample of 345,600 bytes and the weights are more than the 524,288 bytes of flash:
there the known-answer test cannot be compiled, and the virtual device alone verifies."""


@dataclass(frozen=True)
class Analyzed:
    """A recipe with the analysis of its network on both devices, or the reason why there is none."""

    recipe: Recipe
    devices: tuple[DeviceAnalysis, ...]
    problem: str = ""

    @property
    def shown(self) -> DeviceAnalysis | None:
        """The analysis whose layers are shown: that of the recipe's own device, if the network fits it."""
        wanted = str(self.recipe.common["device"])
        fitting = [found for found in self.devices if found.fits]
        return next((found for found in fitting if found.device == wanted), fitting[0] if fitting else None)


def analyzed(recipe: Recipe) -> Analyzed:
    """Return the facts about a recipe's network."""
    quiet = Console(verbosity=-1, muted=True)
    try:
        name, settings = recipe.name, AnalyzeSettings(map_seconds=SECONDS)
        if name in MIDDLE:
            settings = replace(settings, input="48x48x48", classes=MIDDLE[name], use_bias=True)
            name = str(recipe.common["model"])
        found = analyze(name, settings, quiet, remedies=False)
    except Ai8xError as error:
        return Analyzed(recipe, (), str(error).replace("\n", " "))
    return Analyzed(recipe, found.devices)


def time_text(microseconds: float) -> str:
    """Return a time with three digits."""
    return f"{microseconds / 1000:.3g} ms" if microseconds < 1e5 else f"{microseconds / 1000:.0f} ms"


def _figures(found: DeviceAnalysis | None, measured: float | None, energy: float | None) -> str:
    if found is None or found.estimate is None:
        return "does not fit" if found is not None else "–"
    inference = found.estimate.inference
    text = f"{time_text(1e6 * inference.seconds)}, {1e6 * inference.joules:,.0f} µJ"
    if measured is not None:
        text += f" (measured {time_text(measured)}" + (f", {energy:,.0f} µJ)" if energy is not None else ")")
    return text


def overview(entries: Sequence[Analyzed]) -> Iterator[str]:
    """Yield the lines of the table of all recipes."""
    yield "| Recipe | Dataset | Model | MAX78000 | MAX78002 | Reported |"
    yield "|---|---|---|---|---|---|"
    for entry in entries:
        common, known = entry.recipe.common, PUBLISHED.get(entry.recipe.name, Published())
        found = {one.device: one for one in entry.devices}
        slow = _figures(found.get(MAX78000.name), known.slow, None)
        fast = _figures(found.get(MAX78002.name), known.fast, known.energy)
        name = entry.recipe.name
        link = f"[{name}](#{name.replace('.', '')})"
        yield f"| {link} | {common['dataset']} | {common['model']} | {slow} | {fast} | {known.result or '–'} |"


def section(entry: Analyzed) -> Iterator[str]:
    """Yield the lines about one recipe."""
    recipe, found = entry.recipe, entry.shown
    yield from ("", f"## {recipe.name}", "", f"{recipe.description}.", "", f"    ai8x train {recipe.name}", "")
    if recipe.name in MIDDLE:
        yield from (MIDDLE_TEXT.format(classes=MIDDLE[recipe.name]), "")
    if recipe.name == "kinetics":
        yield from (SEQUENCE_TEXT, "")
    for one in entry.devices:
        if not one.fits:
            yield from (f"On the {one.device}: {_plain(one.problem or 'does not fit')}.", "")
    if entry.problem:
        yield from (_plain(entry.problem) + ".", "")
    if found is None:
        return
    weights = sum(layer.weight_bytes for layer in found.layers)
    yield f"On the {found.device}: {len(found.layers)} layers, {weights:,} bytes of weights, {found.path}."
    yield from ("", "| Memory | Used | Available |", "|---|---|---|")
    for resource in found.resources:
        where = f" ({resource.where})" if resource.where else ""
        yield f"| {resource.name}{where} | {resource.used:,} {resource.unit} | {resource.total:,} |"
    yield from ("", '??? note "Layers"', "")
    yield "    | # | Layer | Operator | Output | Processors | Output offset | Output bytes | Weight bytes | Cycles |"
    yield "    |---|---|---|---|---|---|---|---|---|"
    placed = {} if found.mapping is None else found.mapping.placement.layers
    for layer in found.layers:
        shape = "×".join(map(str, layer.output_shape))
        at = placed.get(layer.name)
        offset = "" if at is None or at.out_offset is None else f"0x{at.out_offset:x}"
        text = f"{layer.index} | {layer.name} | {layer.operator} | {shape} | 0x{layer.processors:016x} | {offset}"
        yield f"    | {text} | {layer.output_bytes:,} | {layer.weight_bytes:,} | {layer.cycles:,} |"


def _plain(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|").replace(str(PAGE.parents[1]) + "/", "").rstrip(".")


def page(entries: Sequence[Analyzed]) -> str:
    """Return the page."""
    lines = [INTRODUCTION, *overview(entries)]
    for entry in entries:
        lines += section(entry)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write or compare the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    entries = []
    for recipe in sorted(list_recipes(), key=lambda one: one.name):
        entries.append(analyzed(recipe))
        print(recipe.name, *(f"{one.device}: {'fits' if one.fits else one.problem}" for one in entries[-1].devices))
    text = page(entries)
    stale = not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text
    if stale and not arguments.check:
        PAGE.write_text(text, encoding="utf-8")
    print("differs" if stale else "up to date")
    sys.exit(arguments.check and stale)


if __name__ == "__main__":
    main()
