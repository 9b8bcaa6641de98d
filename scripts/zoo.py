#!/usr/bin/env python3
"""Test recipes from training to the device: a few steps in float and QAT on synthetic data, quantize, evaluate -8,
synthesize and verify (virtual device and firmware) for every device that the demo is for.

Usage: zoo.py [RECIPE …] [--folder FOLDER]; without names all recipes. Prints one line per recipe and device; the exit
status is 1 if one of them fails. The files stay in the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ai8x_tool import resources
from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.files import list_recipes
from ai8x_tool.settings.resolve import resolve
from ai8x_tool.settings.training import TrainSettings

BOTH = ("MAX78000", "MAX78002")
ONE_DEVICE = {
    **dict.fromkeys(("mnist_extrasmall", "kws20", "kws20_v3", "kws20_v3_tts", "kws20_nas"), "MAX78000"),
    **dict.fromkeys(("kws20_v3_msnoise_mixed", "kws20_nas_msnoise_mixed", "kws12_nas_benchmark"), "MAX78000"),
    **dict.fromkeys(("faceid_112", "autoencoder", "qr_tinierssd"), "MAX78000"),
    **dict.fromkeys(("kws20_v2", "kws20_v3_tts_mixed"), "MAX78000"),
}
"""Demos that exist for one device; others for the MAX78000 also run on the MAX78002, and those for it only there."""
NO_FIRMWARE = {
    ("kinetics", BOTH[0]): "345,600 bytes of sample and 375,264 of weights exceed its 524,288 bytes of flash",
}
"""Recipes and devices for which no project with a known-answer test can be compiled, and why.

The virtual device alone verifies these programs."""
NO_PROGRAM = {
    "cifar10_1x1": "weights exceed kernel memory: 486,948 of 442,368 bytes, on the MAX78002 3,307,044 of 2,396,160",
}
"""Recipes that end with the evaluation in 8 bits, and why."""
STEPS, LARGEST_BATCH = 3, 8
EPOCHS, QAT_EPOCH = 2, 1


@dataclass(frozen=True)
class Attempt:
    """Outcome of one recipe on one device: the first error, or nothing."""

    recipe: str
    device: str
    seconds: float
    error: str | None

    def line(self) -> str:
        """Return ``PASS recipe MAX78000 12 s``."""
        state, reason = "PASS" if self.error is None else "FAIL", NO_FIRMWARE.get((self.recipe, self.device))
        ends = NO_PROGRAM.get(self.recipe)
        more = f"without program, {ends}" if ends else f"without firmware, {reason}" if reason else ""
        more = self.error or more
        return f"{state} {self.recipe} {self.device} {self.seconds:.0f} s" + (f": {more}" if more else "")


def devices(recipe: str, device: str) -> tuple[str, ...]:
    """Return the devices that the demo of a recipe is for."""
    if recipe in ONE_DEVICE:
        return (ONE_DEVICE[recipe],)
    return BOTH if device == BOTH[0] else (device,)


class CommandError(Exception):
    """A command failed; the text is its error message."""


def ai8x(*words: str | Path) -> str:
    """Run a command in this process; return what it printed. Raises CommandError with its error."""
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            app([str(word) for word in words], standalone_mode=True)
    except SystemExit as end:
        if end.code not in (None, 0):
            lines = [line for line in output.getvalue().splitlines() if line.strip()]
            errors = [line for line in lines if line.startswith("error:")] or lines[-1:]
            raise CommandError(f"{words[0]}: {' '.join(errors)[:300]}") from None
    return output.getvalue()


def few_steps(name: str, folder: Path) -> Iterator[str | Path]:
    """Yield the options that make the training of a recipe short: its own policy begins with the second epoch."""
    settings = resolve(TrainSettings, "train", name, given={"data": "synthetic"})
    count = len(find_dataset(settings.dataset, settings).load(settings.data, Console(verbosity=-1)).train)
    batch = min(LARGEST_BATCH, settings.batch_size or LARGEST_BATCH)
    yield from ("--data", "synthetic", "--cpu", "--epochs", str(EPOCHS), "--batch-size", str(batch))
    yield from ("--sample-fraction", f"{min(1.0, STEPS * batch / count):.6f}", "--validation-split", "0")
    yield from ("--truncate-testset", "--out-dir", folder, "--name", "zoo")
    if settings.qat_policy is not None:
        content: dict[str, Any] = yaml.safe_load(resources.find_config("qat", settings.qat_policy).read_text())
        policy = folder / "policy.yaml"
        policy.write_text(yaml.safe_dump({**content, "start_epoch": QAT_EPOCH}))
        yield from ("--qat-policy", policy)


def try_recipe(name: str, device: str, folder: Path) -> Iterator[Attempt]:
    """Try one recipe on all its devices, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    started, names = time.monotonic(), devices(name, device)
    quantized = folder / "q.pth.tar"
    short = ("--data", "synthetic")
    try:
        ai8x("train", name, *few_steps(name, folder))
        logs = max(folder.glob("zoo___*"), key=os.path.getmtime)
        trained = next(path for word in ("qat_best", "best") for path in logs.glob(f"*{word}.pth.tar"))
        ai8x("quantize", trained, quantized, "--device", names[0])
        words = ("--checkpoint", quantized, "--8bit", *short, "--cpu", "--truncate-testset", "--out-dir", folder)
        ai8x("evaluate", name, *words)
    except (CommandError, Ai8xError, StopIteration, ValueError) as error:
        for one in names:
            yield Attempt(name, one, time.monotonic() - started, f"{error}")
        return
    if name in NO_PROGRAM:
        yield Attempt(name, names[0], time.monotonic() - started, None)
        return
    for one in names:
        project = folder / one
        try:
            ai8x("synthesize", name, "--checkpoint", quantized, "--device", one, "--output", project, "--overwrite")
            firmware = "--no-firmware" if (name, one) in NO_FIRMWARE else "--firmware"
            said = ai8x("verify", project, *short, "--samples", "1", firmware)
            if "PASS" not in said and firmware == "--firmware":
                raise CommandError(f"verify: {said.splitlines()[-1]}")
            fault = None
        except CommandError as error:
            fault = str(error)
        yield Attempt(name, one, time.monotonic() - started, fault)
        started = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the recipes that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="*")
    parser.add_argument("--folder", type=Path, default=Path("build/zoo"))
    chosen = parser.parse_args(arguments)
    known = {recipe.name: str(recipe.common["device"]) for recipe in list_recipes()}
    unknown = [name for name in chosen.recipe if name not in known]
    if unknown:
        parser.error(f"no recipe named {', '.join(unknown)}")
    started, failed = time.monotonic(), 0
    for name in chosen.recipe or known:
        for attempt in try_recipe(name, known[name], chosen.folder / name):
            print(attempt.line(), flush=True)
            failed += attempt.error is not None
    print(f"{failed} failed, {time.monotonic() - started:.0f} s")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
