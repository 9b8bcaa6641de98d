#!/usr/bin/env python3
"""Time of the virtual device, from stores to results, in one process.

Usage: bench_virtual.py [GOLDEN] [--repeat N]; GOLDEN is the folder of reference programs (../shared/golden). Prints
medians for programs of known demo networks and the total over all programs, in seconds and in time per store.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

from ai8x_tool.device import find_device
from ai8x_tool.device.stores import Stores
from ai8x_tool.virtual import VirtualDevice

CASES = ("demo-kws20_v3", "demo-mnist", "demo-cats-dogs", "demo-cifar-10", "demo-svhn_tinierssd")


def read(case: Path) -> tuple[str, Stores]:
    """Return the device and the stores of a golden case."""
    arrays = np.load(case / "golden.npz")
    device = find_device(json.loads((case / "case.json").read_text())["device"])
    return device.name, Stores.of(arrays["addr"], arrays["value"], arrays["width"])


def timed(device: str, stores: Stores) -> float:
    """Return the seconds of one run, power-on included."""
    began = time.perf_counter()
    VirtualDevice(device).load(stores).run()
    return time.perf_counter() - began


def show(name: str, seconds: float, stores: int) -> None:
    """Print one line."""
    print(f"{name:34} {seconds:7.3f} s  {stores:9,} stores  {1e6 * seconds / stores:6.2f} µs each")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("AI8X_SHARED", Path(__file__).resolve().parents[2] / "shared")
    parser.add_argument("golden", nargs="?", type=Path, default=Path(shared) / "golden")
    parser.add_argument("--repeat", type=int, default=9)
    arguments = parser.parse_args()
    for device in ("max78000", "max78002"):
        for name in CASES:
            folder = arguments.golden / "accept" / device / name
            if folder.is_dir():
                part, stores = read(folder)
                show(
                    f"{device} {name}",
                    statistics.median(timed(part, stores) for _ in range(arguments.repeat)),
                    len(stores),
                )
    seconds, count, programs = 0.0, 0, 0
    for entry in json.loads((arguments.golden / "index.json").read_text()):
        if entry.startswith("accept"):
            part, stores = read(arguments.golden / entry)
            seconds, count, programs = seconds + timed(part, stores), count + len(stores), programs + 1
    show(f"all {programs} programs", seconds, count)


if __name__ == "__main__":
    main()
