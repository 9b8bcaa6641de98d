#!/usr/bin/env python3
"""Measure ``ai8x analyze`` of network descriptions, as processes of their own: seconds, and whether torch is imported.

    scripts/bench_analyze.py [DESCRIPTION …]

Without arguments: all shipped descriptions and, where there is shared reference data, the demo networks and the largest
descriptions there. The limits are 1.5 s for kws20_v3 and 5 s for all others.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from ai8x_tool import resources

_RUNS = 3
_LARGEST = 3
_FASTEST, _LIMITS = 5.0, {"kws20_v3": 1.5}
_PROGRAM = """
import sys
from ai8x_tool.cli.main import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@dataclass(frozen=True)
class Case:
    """A description, and further arguments."""

    name: str
    arguments: tuple[str, ...]

    @property
    def limit(self) -> float:
        """Limit in seconds."""
        return _LIMITS.get(self.name, _FASTEST)


def shipped() -> list[Case]:
    """Return the descriptions that ship."""
    return [Case(name, (str(path),)) for name, path in resources.list_configs("networks").items()]


def shared() -> list[Case]:
    """Return demo networks, and the largest other ones, of the shared reference data, if there are any."""
    root = Path(os.environ.get("AI8X_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "golden" / "accept"
    folders = sorted(root.glob("*/*/"), key=lambda folder: -(folder / "network.yaml").stat().st_size)
    demos = [folder for folder in folders if folder.name.startswith("demo-")]
    chosen = [*demos, *[folder for folder in folders if folder not in demos][:_LARGEST]]
    return [_case(folder) for folder in chosen]


def _case(folder: Path) -> Case:
    facts = json.loads((folder / "case.json").read_text())
    import numpy as np  # noqa: PLC0415  (shared data only)

    shape = "x".join(map(str, np.load(folder / "sample.npz")["sample"].shape))
    checkpoint = str((folder / facts["checkpoint"]).resolve())
    options = ["--device", facts["device"], "--checkpoint", checkpoint, "--input", shape]
    options += [option for option in ("--fifo", "--fast-fifo", "--overlap-data") if option in facts["options"]]
    return Case(f"{folder.parent.name}/{folder.name}", (str(folder / "network.yaml"), *options))


def measure(case: Case) -> tuple[float, float, bool, bool]:
    """Return the seconds of the fastest run, the least processor time, whether torch was imported, and the fit."""
    best, work, torch, fits = float("inf"), float("inf"), False, False
    for _ in range(_RUNS):
        begin, before = time.monotonic(), _processor_seconds()
        command = [sys.executable, "-c", _PROGRAM, "analyze", *case.arguments, "--json"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        best = min(best, time.monotonic() - begin)
        work = min(work, _processor_seconds() - before)
        torch, fits = result.stderr.splitlines()[-1] == "True", result.returncode == 0
    return best, work, torch, fits


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print one line for each description; exit with status 1 if one takes too long or imports torch."""
    given = [Case(Path(name).stem, (name,)) for name in sys.argv[1:]]
    wrong = False
    for case in given or [*shipped(), *shared()]:
        seconds, work, torch, fits = measure(case)
        late = seconds > case.limit or torch
        wrong = wrong or late
        notes = {"imports torch": torch, "does not fit": not fits, "too slow": seconds > case.limit}
        said = "".join(f", {note}" for note, holds in notes.items() if holds)
        print(f"{case.name:<44} {seconds:5.2f} s of {case.limit:g}, {work:.2f} s of the processor{said}")
    sys.exit(wrong)


if __name__ == "__main__":
    main()
