#!/usr/bin/env python3
"""Comparison of placements found by the mapper with those written by hand.

Usage: bench_mapping.py [FOLDER ...] [--only TEXT] [--verify]; each FOLDER holds a network description (network.yaml)
with its case.json and sample.npz, as ../shared/golden/accept does (the default). Every description is stripped of all
places and of layers that only copy, and mapped again: with the same input path, and with any. Prints cycles,
bytes up to the end of the fullest data-memory instance, copies, and seconds, and geometric means of the cycles (found ÷
by hand). The bounds are those of the cycles of any placement, and of any with as many streaming layers as the one that
was found. The exit status is 1 if a network is worse than by hand.

With --verify, the values of every layer are compared with those of the network as described, channel by channel, the
placement is checked and replayed, and the program is run on the virtual device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai8x_tool.console import Console
from ai8x_tool.device import Device, find_device
from ai8x_tool.device.bits import bit_indices
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.load import LoadOptions, load_network
from ai8x_tool.frontend.yaml.resolve import PlacedDescription, ResolveOptions
from ai8x_tool.lowering import LoweringOptions, lower, lower_sample
from ai8x_tool.mapper import MappingResult, map_automatically
from ai8x_tool.mapper.lower_bound import cycle_lower_bound
from ai8x_tool.mapper.paths import InputPath, fifo_pattern
from ai8x_tool.mapper.unplaced import without_copies
from ai8x_tool.mapping import Mapping, MappingOptions, violations
from ai8x_tool.mapping.mapping import build_mapping
from ai8x_tool.mapping.occupancy import rolling_buffers, stored_values
from ai8x_tool.mapping.placed import PlacedNetwork, place
from ai8x_tool.mapping.replay import replay
from ai8x_tool.mapping.statistics import statistics
from ai8x_tool.mapping.words import written_words
from ai8x_tool.synthesis.hardware_check import check_program

QUIET = Console(verbosity=-1, muted=True)
HEADER = (
    f"{'network':44} {'by hand':>32}   {'same input':>32} {'s':>5}   {'any input':>32} {'s':>5} {'bound':>12} "
    f"{'streaming':>12}"
)


@dataclass(frozen=True)
class Case:
    """One description as it was written by hand."""

    name: str
    described: PlacedDescription
    device: Device
    options: MappingOptions
    lowering: LoweringOptions
    sample: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Figures:
    """Cost of a placement."""

    cycles: int
    peak: int
    copies: int

    def __str__(self) -> str:
        return f"{self.cycles:>12,} {self.peak:>10,} {self.copies:>8}"


def read_case(folder: Path) -> Case | None:
    """Return the case in a folder, None for conditional execution, which no mapper can place."""
    info = json.loads((folder / "case.json").read_text())
    options, device = info["options"], find_device(info["device"])
    sample = np.load(folder / "sample.npz")["sample"]
    sample = sample if sample.ndim == 3 else sample[..., None]
    stop = int(options[options.index("--stop-after") + 1]) if "--stop-after" in options else None
    load = LoadOptions(network=ResolveOptions(stop_after=stop))
    checkpoint = (folder / info["checkpoint"]).resolve()
    described = load_network(folder / "network.yaml", checkpoint, sample.shape, device, QUIET, load)
    if described.placement.snoop is not None or described.placement.simulated is not None:
        return None
    fast = "--fast-fifo" in options
    mapping = MappingOptions(fifo="--fifo" in options or fast, fast_fifo=fast, overlap_data="--overlap-data" in options)
    lowering = LoweringOptions(express="--no-mexpress" not in options, pipeline="--no-pipeline" not in options)
    return Case(f"{folder.parent.name}/{folder.name}", described, device, mapping, lowering, sample)


def peak_of(placed: PlacedNetwork) -> int:
    """Return the bytes up to the end of the fullest data-memory instance."""
    ends = [words.last for value in stored_values(placed) for words in value.words]
    ends += [ring.words.last for ring in rolling_buffers(placed)]
    ends += [words.last for at in placed.layers if not at.streaming for words in written_words(at)]
    return 4 * (max(ends) + 1)


def path_of(mapping: Mapping) -> InputPath:
    """Return the input path."""
    streams = sum(at.streaming for at in mapping.placement.layers.values())
    chw, fifo = mapping.placement.chw, mapping.options.fifo
    pattern = tuple(bit_indices(mapping.start.own_processors)) if chw else ()
    if fifo:
        pattern = fifo_pattern(mapping.network.input_shape[0], chw=chw)
    return InputPath(chw=chw, fifo=fifo, streams=streams, pattern=pattern)


def differences(case: Case, found: MappingResult, names: dict[str, str]) -> Iterator[str]:
    """Yield the violations and differences of a placement."""
    network, placement = case.described
    for violation in violations(found.network, found.placement, case.device, found.options):
        yield f"rule: {violation}"
    mapping = build_mapping(place(found.network, found.placement, case.device, found.options))
    for conflict in replay(mapping):
        yield f"replay: {conflict.text()}"
    by_hand, tensors = run(network, case.sample[None], placement.order), run(found.network, case.sample[None])
    for old, new in names.items():
        layer = found.network[new]
        if not np.array_equal(by_hand.outputs[network[old].index], tensors.outputs[layer.index]):
            yield f"{layer.label}: other values than {network[old].label} by hand"
    program = lower(mapping, case.lowering)
    check = check_program(program, lower_sample(program, case.sample, tensors), tensors)
    if not check.equal:
        yield f"virtual device: {check.text()}"


def worse(given: Figures, found: Figures) -> list[str]:
    """Return the respects in which a placement is worse than the one written by hand."""
    return [what for what in ("cycles", "peak", "copies") if getattr(found, what) > getattr(given, what)]


def measure(case: Case, *, verify: bool) -> tuple[str, list[str], tuple[float, float, float, float]]:
    """Return the line of a network, what is worse or wrong, and ratios and seconds with the same input and with any."""
    network, placement = case.described
    mapping = build_mapping(place(network, placement, case.device, case.options))
    stripped, names = without_copies(network)
    given = Figures(statistics(mapping).cycles, peak_of(mapping.placed), len(network.layers) - len(stripped.layers))
    problems: list[str] = []
    columns, ratios, seconds = [], [], []
    for same in (True, False):
        options = case.options if same else MappingOptions()
        found = map_automatically(
            stripped, case.device, replace(options, overlap_data=False), path=path_of(mapping) if same else None
        )
        figures = Figures(found.cycles, found.peak, len(found.copies))
        problems += worse(given, figures) if same else worse(given, replace(figures, peak=0))
        problems += differences(case, found, names) if verify else ()
        columns.append(f"{figures} {found.seconds:5.2f}")
        ratios.append(figures.cycles / given.cycles)
        seconds.append(found.seconds)
    bounds = [cycle_lower_bound(stripped, case.device, streams) for streams in (0, found.path.streams)]
    line = f"{case.name:44} {given}   {columns[0]}   {columns[1]} {bounds[0]:>12,} {bounds[1]:>12,}"
    return line, problems, (ratios[0], ratios[1], seconds[0], seconds[1])


def mean(ratios: list[float]) -> str:
    """Return a geometric mean."""
    return f"{np.exp(np.mean(np.log(ratios))):.4f}" if ratios else "–"


def folders(given: list[Path]) -> list[Path]:
    """Return the folders with descriptions."""
    shared = Path(os.environ.get("AI8X_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    roots = given or [shared / "golden" / "accept"]
    return sorted({path.parent for root in roots for path in root.rglob("case.json")})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--verify", action="store_true", help="compare values, check, replay and execute")
    arguments = parser.parse_args()
    results: dict[str, tuple[float, float, float, float]] = {}
    failed = left_out = 0
    print(HEADER)
    for folder in folders(arguments.folders):
        if arguments.only not in str(folder):
            continue
        case = read_case(folder)
        if case is None:
            left_out += 1
            continue
        try:
            line, problems, results[case.name] = measure(case, verify=arguments.verify)
        except Ai8xError as error:
            line, problems = f"{case.name:44} {error}", ["not mapped"]
        print(line + (f"   WORSE: {'; '.join(problems)}" if problems else ""), flush=True)
        failed += bool(problems)
    for title, chosen in (("all", results), ("demo-*", {n: r for n, r in results.items() if "/demo-" in n})):
        same, free = [r[0] for r in chosen.values()], [r[1] for r in chosen.values()]
        print(f"{title}: {len(chosen)} networks, cycles found ÷ by hand: same input {mean(same)}, any {mean(free)}")
    if results:
        times = np.array([r[3] for r in results.values()])
        print(f"seconds: median {np.median(times):.2f}, 95 % {np.percentile(times, 95):.2f}, most {times.max():.2f}")
    print(f"{failed} worse or wrong, {left_out} left out (conditional execution)")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
