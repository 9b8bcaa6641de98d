#!/usr/bin/env python3
"""Compile and run the firmware of many networks on the virtual device, and count what passes.

    scripts/sweep_firmware.py GOLDEN [--only TEXT] [--jobs N] [--host]

GOLDEN is a folder of golden cases with `accept/<device>/<name>/` (network.yaml, checkpoint, sample, options). Each
project is generated as `ai8x synthesize` would, compiled unchanged for its core, and run in emulation with the virtual
device behind the accelerator's addresses; it passes if the firmware itself prints PASS.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from ai8x_tool.cli.main import app
from ai8x_tool.errors import Ai8xError
from ai8x_tool.firmware import build, open_session
from ai8x_tool.virtual import VirtualDevice


@dataclass(frozen=True)
class Outcome:
    """Outcome of one case: "pass", or the error."""

    case: str
    core: str
    result: str
    seconds: float


def run_case(folder: Path, host: bool) -> Outcome:
    """Generate, compile and run one case."""
    info = json.loads((folder / "case.json").read_text())
    name, core = f"{folder.parent.name}/{folder.name}", "RV32" if "--riscv" in info["options"] else "Cortex-M4"
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            result = _run(folder, info, Path(scratch), host)
        except Ai8xError as error:
            result = str(error)
    return Outcome(name, core, result, time.monotonic() - began)


def _run(folder: Path, info: dict[str, Any], scratch: Path, host: bool) -> str:
    sample, project = scratch / "sample.npy", scratch / "project"
    np.save(sample, np.load(folder / "sample.npz")["sample"].astype(np.int64))
    checkpoint = (folder / info["checkpoint"]).resolve()
    files = ["--config-file", str(folder / "network.yaml"), "--checkpoint-file", str(checkpoint)]
    options = ["--sample-input", str(sample), "--device", info["device"], "--output", str(project), *info["options"]]
    made = CliRunner().invoke(app, ["synthesize", *files, *options, "--no-verify", "-q"])
    if made.exit_code:
        return f"not generated: {made.output.strip()}"
    firmware = build(project, host=host)
    device = VirtualDevice(firmware.device)
    run = open_session(firmware, device).run()
    problems = [str(d) for d in device.diagnostics if d.severity != "note"]
    if run.passed and "PASS" in run.text:
        return "pass"
    return "; ".join([run.fault or f"exit status {run.exit_code}", *problems[:2]])


def main() -> int:
    """Run the sweep; exit status 0 if everything passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golden", type=Path)
    parser.add_argument("--only", default="", help="cases whose name contains this text")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--host", action="store_true", help="compile with this computer's C compiler instead")
    given = parser.parse_args()
    folders = [f.parent for f in sorted(given.golden.glob("accept/*/*/case.json"))]
    folders = [f for f in folders if given.only in f"{f.parent.name}/{f.name}"]
    began = time.monotonic()
    passed: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    with ProcessPoolExecutor(given.jobs) as pool:
        for outcome in pool.map(run_case, folders, [given.host] * len(folders)):
            key = outcome.case.split("/")[0], outcome.core
            total[key] += 1
            passed[key] += outcome.result == "pass"
            if outcome.result != "pass":
                print(f"{outcome.case} ({outcome.core}): {outcome.result}", flush=True)
    for device, core in sorted(total):
        print(f"{device} on {core}: {passed[device, core]} of {total[device, core]} pass")
    print(f"{sum(passed.values())} of {sum(total.values())} pass, {time.monotonic() - began:.0f} s")
    return int(sum(passed.values()) != sum(total.values()))


if __name__ == "__main__":
    sys.exit(main())
