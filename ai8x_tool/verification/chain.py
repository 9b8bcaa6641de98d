"""Verification of one network in all links: trained ≈ quantized ≡ engine ≡ virtual device ≡ firmware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ai8x_tool.console import Console
from ai8x_tool.data.dataset import DatasetEntry
from ai8x_tool.data.middle import seen
from ai8x_tool.engine import LayerTensors, run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.lowering import lower_sample
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.synthesis.hardware_check import HardwareCheck, ProgramCheck
from ai8x_tool.synthesis.layer_comparison import LayerCheck
from ai8x_tool.synthesis.synthesize import Synthesis
from ai8x_tool.training.evaluation import PreparedModel, prepare_model
from ai8x_tool.training.layer_outputs import conv_strides, layer_outputs
from ai8x_tool.verification.firmware import FirmwareCheck
from ai8x_tool.verification.firmware_process import FirmwareProcess
from ai8x_tool.verification.models import (
    LayerDistance,
    LayerEquality,
    compare_with_engine,
    distance,
)
from ai8x_tool.verification.samples import Samples
from ai8x_tool.verification.structure import compare_structure

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class LayerVerification:
    """Result for one layer; links that were not checked are None.

    `distance` is that of the quantized model from the trained one, `from_float` that from the model before QAT.
    `equality` compares the quantized model with the engine, `check` the engine with the virtual device.
    """

    index: int
    label: str
    distance: LayerDistance | None
    equality: LayerEquality | None
    check: LayerCheck
    from_float: LayerDistance | None = None

    @property
    def equal(self) -> bool:
        """True if all values that were compared are equal."""
        return not self.check.different and (self.equality is None or not self.equality.different)

    def text(self) -> str:
        """Return the first broken link as a line."""
        if self.equality is not None and self.equality.different:
            count = f"{self.equality.different:,} of {self.equality.values:,} values differ"
            return f"{self.label}: the quantized model and the engine: {count}; first {self.equality.first}"
        return self.check.text()


@dataclass(frozen=True)
class Verification:
    """Result of the verification with `samples` samples from `source`.

    `diagnostics` are those of the virtual device. `structure` has a line for each difference of structure between
    description and model. `firmware` is None if the program was not compiled and run. `skipped` names every link that
    was not checked, and the reason. `synthesis` is the project that was verified.
    """

    samples: int
    source: str
    layers: tuple[LayerVerification, ...]
    diagnostics: tuple[str, ...]
    firmware: FirmwareCheck | None = None
    structure: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    synthesis: Synthesis | None = field(default=None, compare=False, repr=False)

    @property
    def passed(self) -> bool:
        """True if none of the links that were checked is broken."""
        values = all(layer.equal for layer in self.layers) and (self.firmware is None or self.firmware.equal)
        return values and not self.structure

    def text(self) -> str:
        """Return the first broken link as a line; valid only if the verification did not pass."""
        broken = [*self.structure, *(layer.text() for layer in self.layers if not layer.equal)]
        if self.firmware is not None and not self.firmware.equal:
            broken.append(self.firmware.text())
        return broken[0]

    def document(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "samples": self.samples,
            "source": self.source,
            "complete": self.passed,
            "structure": list(self.structure),
            "skipped": list(self.skipped),
            "layers": [
                {
                    "index": layer.index,
                    "label": layer.label,
                    "float_vs_quantized": layer.from_float and vars(layer.from_float),
                    "trained_vs_quantized": layer.distance and vars(layer.distance),
                    "quantized_vs_engine": layer.equality and vars(layer.equality),
                    "engine_vs_device": {"values": layer.check.values, "different": layer.check.different},
                }
                for layer in self.layers
            ],
            "diagnostics": list(self.diagnostics),
            "firmware": self.firmware and self.firmware.document(),
        }


def verify_samples(
    synthesis: Synthesis,
    samples: Samples,
    models: Mapping[str, EvaluateSettings],
    console: Console,
    *,
    firmware: FirmwareProcess | None,
) -> Verification:
    """Check every link for every sample; `firmware` already runs them.

    `models` may have settings for a "float", a "trained" and a "quantized" checkpoint. Without the quantized one, the
    links between models and engine are skipped; without `firmware`, the last link is.
    """
    network = synthesis.network
    layers = synthesis.mapping.placement.simulated or synthesis.mapping.placement.order
    tensors = run(network, samples.values, layers, average_rounding=synthesis.program.options.average_rounding)
    checks, diagnostics = _check_hardware(synthesis, samples, tensors, console)
    entries = {name: _entry(settings, synthesis, console) for name, settings in models.items()}
    ready = {name: prepare_model(settings, entries[name], console) for name, settings in models.items()}
    different = _structure(ready, models, synthesis, console)
    outputs = {name: _model_outputs(ready[name], models[name], samples, synthesis, console) for name in models}
    quantized, trained, before = (outputs.get(name, {}) for name in ("quantized", "trained", "float"))
    strides = conv_strides(ready["quantized"].model, network) if "quantized" in ready else {}
    verified = []
    for index in tensors.order:
        layer = network[index]
        stride = strides.get(index, (1, 1))
        equality = compare_with_engine(layer, quantized[index], tensors, stride) if index in quantized else None
        far, further = (
            distance(layer, model[index], quantized[index], fitted=model is before)
            if index in quantized and index in model
            else None
            for model in (trained, before)
        )
        verified.append(LayerVerification(index, layer.label, far, equality, checks[index], further))
    last = None if firmware is None else firmware.result(tensors, console)
    return Verification(len(samples.values), samples.source, tuple(verified), diagnostics, last, different)


def _entry(settings: EvaluateSettings, synthesis: Synthesis, console: Console) -> DatasetEntry:
    return seen(find_dataset(settings.dataset, settings, console), synthesis.network.input_shape)


def _structure(
    ready: Mapping[str, PreparedModel], models: Mapping[str, EvaluateSettings], synthesis: Synthesis, console: Console
) -> tuple[str, ...]:
    if "quantized" not in ready:
        return ()
    settings = models["quantized"]
    shape = tuple(_entry(settings, synthesis, console).input)
    return compare_structure(ready["quantized"].model, shape, settings.checkpoint, synthesis, console)


def _check_hardware(
    synthesis: Synthesis, samples: Samples, tensors: LayerTensors, console: Console
) -> tuple[dict[int, LayerCheck], tuple[str, ...]]:
    """Run every sample's program on the virtual device; return the checks by layer, summed over samples."""
    results: list[HardwareCheck] = []
    program = synthesis.program
    device = ProgramCheck(program)
    with console.progress("virtual device", len(samples.values)) as progress:
        for number, sample in enumerate(samples.values):
            own = LayerTensors({i: x[number : number + 1] for i, x in tensors.outputs.items()}, tensors.order)
            results.append(device.check(lower_sample(program, sample, own), own))
            progress.advance()
    diagnostics = dict.fromkeys(str(d) for result in results for d in result.problems)
    return {c.index: _summed([r.layers[i] for r in results]) for i, c in enumerate(results[0].layers)}, (*diagnostics,)


def _summed(checks: Sequence[LayerCheck]) -> LayerCheck:
    shown = next((check for check in checks if check.different), checks[0])
    return replace(shown, values=sum(c.values for c in checks), different=sum(c.different for c in checks))


def _model_outputs(
    ready: PreparedModel, settings: EvaluateSettings, samples: Samples, synthesis: Synthesis, console: Console
) -> dict[int, torch.Tensor]:
    entry = _entry(settings, synthesis, console)
    inputs = torch.from_numpy(samples.values.astype(np.float32)).reshape(-1, *_shape(entry, samples))
    scaled = inputs if settings.simulate else inputs / 128
    return layer_outputs(ready.model, synthesis.network, scaled.to(ready.device))


def _shape(entry: DatasetEntry, samples: Samples) -> tuple[int, ...]:
    shape = (min(entry.input[0], samples.values.shape[1]), *entry.input[1:])
    if int(np.prod(shape)) != samples.values[0].size:
        have, want = ("×".join(map(str, sizes)) for sizes in (samples.values.shape[1:], entry.input))
        message = f"the sample is {have}, but samples of {entry.name} are {want}"
        raise Ai8xError(message, fix="name the model's dataset with --dataset")
    return shape


def model_settings(
    settings: EvaluateSettings, checkpoint: Path, trained: Path | None, before: Path | None = None
) -> dict[str, EvaluateSettings]:
    """Return the argument `models` of :func:`verify_samples`; `before` is the checkpoint from before QAT."""
    models = {"quantized": replace(settings, checkpoint=checkpoint, simulate=True)}
    for name, path in (("trained", trained), ("float", before)):
        if path is not None:
            models[name] = replace(settings, checkpoint=path, simulate=False)
    return models
