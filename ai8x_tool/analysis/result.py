"""Results of the analysis of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai8x_tool.mapper import Remedy, Shortage
from ai8x_tool.mapping.cycles import CycleParts
from ai8x_tool.mapping.energy import Estimate
from ai8x_tool.mapping.mapping import Mapping
from ai8x_tool.network.network import Network

SCHEMA = "ai8x-analyze/1"
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class LayerMetrics:
    """Metrics of one layer on one device.

    Shapes are (channels, rows, columns). `inputs` are names of layers, or ``input`` and ``buffer``. `passes` are those
    of the input. `processors` is a mask, 0 if the layer is not placed. `utilization` is the average share of the 64
    processors that multiply during the layer, None for layers that do not multiply. `input_bytes` and `output_bytes`
    count one instance of data memory, gaps included. Without a placement, `parts` (cycles) and `joules` are the
    minimum over all placements.
    """

    index: int
    name: str
    operator: str
    source: str
    inputs: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    passes: int
    processors: int
    parts: CycleParts
    utilization: float | None
    macs: int
    weight_bits: int
    weight_bytes: int
    input_bytes: int
    output_bytes: int
    joules: float

    @property
    def cycles(self) -> int:
        """Cycles of the layer, excluding time spent waiting for input."""
        return self.parts.total

    @property
    def limit(self) -> str:
        """What takes most of the cycles: reading, computing, writing, pipeline or column."""
        return self.parts.largest

    def document(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "index": self.index,
            "name": self.name,
            "operator": self.operator,
            "source": self.source,
            "inputs": list(self.inputs),
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "passes": self.passes,
            "processors": f"{self.processors:#018x}",
            "cycles": self.cycles,
            "cycle_parts": {name: getattr(self.parts, name) for name in CycleParts.__slots__},
            "limit": self.limit,
            "utilization": self.utilization,
            "macs": self.macs,
            "weight_bits": self.weight_bits,
            "weight_bytes": self.weight_bytes,
            "input_bytes": self.input_bytes,
            "output_bytes": self.output_bytes,
            "microjoules": 1e6 * self.joules,
        }


@dataclass(frozen=True)
class Resource:
    """Use of one resource. `where` names the fullest one if there are several of its kind, such as quadrants."""

    name: str
    used: int
    total: int
    unit: str
    where: str = ""

    @property
    def share(self) -> float:
        """The fraction that is used; above 1 if there is not enough."""
        return self.used / self.total

    def document(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {**vars(self), "share": self.share}


@dataclass(frozen=True, eq=False)
class DeviceAnalysis:
    """A network on one device.

    `network` is None if the device does not support one of the layers. `mapping` and `estimate` are None if the network
    does not fit: then `problem` is the reason, `shortage` the memory that is too small, if that is the reason, and
    `remedies` are changes that were tested successfully, the cheapest first. `placement` is the origin of the
    placement, `path` how the input reaches the accelerator. `copies` are layers that were added because operands must
    be adjacent; `overlaps` are layers whose output overwrites input that the same layer has already read, because
    nothing else fits.
    """

    device: str
    clock_mhz: float
    pipeline: bool
    placement: str
    network: Network | None = None
    mapping: Mapping | None = None
    estimate: Estimate | None = None
    path: str = ""
    copies: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    layers: tuple[LayerMetrics, ...] = ()
    resources: tuple[Resource, ...] = ()
    problem: str | None = None
    shortage: Shortage | None = None
    remedies: tuple[Remedy, ...] = ()

    @property
    def fits(self) -> bool:
        """True if the network can run on the device."""
        return self.mapping is not None

    @property
    def tightest(self) -> Resource | None:
        """The resource of which the largest fraction is used."""
        return max(self.resources, key=lambda resource: resource.share, default=None)

    @property
    def cycles(self) -> int:
        """Cycles of an inference; if the network does not fit, the minimum that its layers need."""
        return sum(layer.cycles for layer in self.layers) if self.estimate is None else self.estimate.cycles

    def document(self) -> dict[str, Any]:
        """Return the values for JSON."""
        tightest = self.tightest
        return {
            "device": self.device,
            "fits": self.fits,
            "problem": self.problem,
            "shortage": None if self.shortage is None else dict(vars(self.shortage)),
            "remedies": [remedy_document(remedy) for remedy in self.remedies],
            "placement": self.placement,
            "input_path": self.path,
            "copies": list(self.copies),
            "overlaps": list(self.overlaps),
            "clock_mhz": self.clock_mhz,
            "pipeline": self.pipeline,
            "cycles": self.cycles,
            "estimate": None if self.estimate is None else estimate_document(self.estimate),
            "tightest": None if tightest is None else tightest.name,
            "resources": [resource.document() for resource in self.resources],
            "layers": [layer.document() for layer in self.layers],
        }


def remedy_document(remedy: Remedy) -> dict[str, Any]:
    """Return a remedy for JSON."""
    return {**vars(remedy), "layers": list(remedy.layers), "effect": remedy.effect}


def estimate_document(estimate: Estimate) -> dict[str, Any]:
    """Return times and energies for JSON, in microseconds and microjoules."""
    phases = {name: getattr(estimate, name) for name in ("load_weights", "load_input", "inference")}
    return {
        **{
            name: {"microseconds": 1e6 * phase.seconds, "microjoules": 1e6 * phase.joules}
            for name, phase in phases.items()
        },
        "streams": estimate.streams,
        "waiting_cycles": estimate.waiting_cycles,
        "input_words": estimate.input_words,
        "input_words_per_second": estimate.input_rate,
        "time_basis": estimate.time_basis,
        "energy_basis": estimate.energy_basis,
    }


@dataclass(frozen=True, eq=False)
class Analysis:
    """A network on all requested devices. `kind` is description, model or recipe; `file` is the file that defines it.

    `input_shape` is (channels, rows, columns) of a sample.
    """

    name: str
    kind: str
    file: Path
    input_shape: Shape
    devices: tuple[DeviceAnalysis, ...]

    @property
    def fits(self) -> bool:
        """True if the network fits any of the devices."""
        return any(device.fits for device in self.devices)

    def problem(self) -> str:
        """Return one line that states why the network fits none of the devices."""
        return "; ".join(f"{device.device}: {device.problem}" for device in self.devices if device.problem)

    def document(self) -> dict[str, Any]:
        """Return the analysis for ``--json``."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "kind": self.kind,
            "file": str(self.file),
            "input_shape": list(self.input_shape),
            "fits": self.fits,
            "devices": [device.document() for device in self.devices],
        }
