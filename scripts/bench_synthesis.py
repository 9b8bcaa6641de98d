#!/usr/bin/env python3
"""Time and memory of `ai8x synthesize` as a whole process, cold, next to the bare start of Python.

Usage: bench_synthesis.py [GOLDEN] [--repeat N]; GOLDEN is the folder of reference programs (../shared/golden). Prints
medians, their ratio to the start of Python with NumPy, peak memory, and whether torch was imported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CASES = ("demo-mnist", "demo-kws20_v3", "demo-cats-dogs", "demo-cifar-10", "demo-svhn_tinierssd")
PROGRAM = "import sys; from ai8x_tool.cli.main import main; sys.argv[0] = 'ai8x'; main()"


def timed(command: list[str]) -> tuple[float, int]:
    """Return seconds and peak memory (KiB) of one run."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - began, usage.ru_maxrss


def command_for(case: Path, work: Path) -> list[str]:
    """Return the command that generates the project of a golden case."""
    info = json.loads((case / "case.json").read_text())
    sample = work / f"{case.name}.npy"
    np.save(sample, np.load(case / "sample.npz")["sample"].astype(np.int64))
    inputs = {
        "--config-file": case / "network.yaml",
        "--checkpoint-file": (case / info["checkpoint"]).resolve(),
        "--sample-input": sample,
        "--device": info["device"],
        "--output": work / f"{case.name}-project",
    }
    flags = [str(part) for pair in inputs.items() for part in pair]
    return [sys.executable, "-c", PROGRAM, "synthesize", *flags, "--overwrite", *info["options"]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("AI8X_SHARED", Path(__file__).resolve().parents[2] / "shared")
    default = Path(shared) / "golden"
    parser.add_argument("golden", nargs="?", type=Path, default=default)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--device", default="max78000")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        base = statistics.median(timed([sys.executable, "-c", "import numpy"])[0] for _ in range(arguments.repeat))
        print(f"{'Python with NumPy':24} {base:6.2f} s")
        for name in CASES:
            command = command_for(arguments.golden / "accept" / arguments.device / name, work)
            runs = [timed(command) for _ in range(arguments.repeat)]
            seconds = statistics.median(run[0] for run in runs)
            memory = max(run[1] for run in runs) / 1024
            print(f"{name:24} {seconds:6.2f} s  {seconds / base:5.1f} × start  {memory:5.0f} MiB")
    imported = [sys.executable, "-X", "importtime", "-c", "import ai8x_tool.synthesis.project"]
    log = subprocess.run(imported, capture_output=True, text=True, check=True).stderr
    print("torch imported:", "yes" if "| torch" in log else "no")


if __name__ == "__main__":
    main()
