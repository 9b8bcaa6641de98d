"""Summaries of a model that ``--summary`` shows or writes instead of training or evaluating."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.files import write_file
from ai8x_tool.model.build import output_scale
from ai8x_tool.model.facts import layers, measure_work, weight_tensors, weights_csv
from ai8x_tool.plugins.find import find_dataset, find_model
from ai8x_tool.report.model_tables import modules_table, sparsity_table, work_table
from ai8x_tool.report.onnx_file import export_onnx, largest_difference, require_packages, write_onnx
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.evaluation import prepare_model
from ai8x_tool.training.setup import build_untrained
from ai8x_tool.training.tasks import TaskContext, choose_task
from ai8x_tool.version import __version__

_CHECKED = 8
"""Number of random samples for which an ONNX file is compared with its model."""


@dataclass(frozen=True)
class Summary:
    """A summary: plain values for JSON, the table or text to show, and the file that was written, if any."""

    document: dict[str, Any]
    view: Any
    file: Path | None = None


@dataclass(frozen=True)
class SummarizedModel:
    """A model in evaluation mode on the CPU, with inputs for it and notes about it."""

    name: str
    model: nn.Module
    inputs: Tensor
    notes: dict[str, str]
    file: Path
    """Of the output, without extension."""

    def output(self, extension: str) -> Path:
        """Return the name of the output file."""
        return self.file.with_name(self.file.name + extension)


def summarize(settings: TrainSettings | EvaluateSettings, kind: str, filename: str, console: Console) -> Summary:
    """Return the summary of the given kind; `filename` has no extension. The dataset is not loaded.

    Raises Ai8xError for an unknown kind, and if a package is missing.
    """
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise Ai8xError(f"--summary {kind}: unknown{nearest(kind, list(KINDS))}", fix=f"choose one of {known}")
    summary = KINDS[kind](_summarized_model(settings, filename, console))
    document = {"schema": "ai8x-summary/1", "summary": kind, **summary.document}
    if summary.file is not None:
        document["file"] = str(summary.file)
    return Summary(document, summary.view, summary.file)


def _summarized_model(settings: TrainSettings | EvaluateSettings, filename: str, console: Console) -> SummarizedModel:
    entry = find_dataset(settings.dataset)
    simulate = isinstance(settings, EvaluateSettings) and settings.simulate
    if isinstance(settings, EvaluateSettings):
        ready = prepare_model(settings, entry, console)
        name, model, checkpoint = ready.name, ready.model, str(settings.checkpoint)
    else:
        task = choose_task(TaskContext(settings, entry, torch.device("cpu"), console))
        name = find_model(settings.model).name
        model = build_untrained(settings, name, entry, task, console)
        checkpoint = str(settings.exp_load_weights_from or settings.resume_from or "none: untrained")
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(-128, 128, (_CHECKED, *entry.input), generator=generator).float()
    notes = {
        "model": name,
        "dataset": entry.name,
        "checkpoint": checkpoint,
        "labels": ", ".join(entry.labels),
        "input_unit": "integers -128 to 127" if simulate else "integers -128 to 127, divided by 128",
        "output_unit": f"{output_scale(model, simulate):g}",
        "ai8x_version": __version__,
    }
    named = Path(filename)
    file = named.with_suffix("") if named.suffix in (".onnx", ".png", ".csv") else named
    return SummarizedModel(name, model.cpu().eval(), inputs if simulate else inputs / 128, notes, file)


# -- tables ---------------------------------------------------------------------------------------------------------


def _model(given: SummarizedModel) -> Summary:
    text = str(given.model)
    return Summary({"model": given.name, "text": text}, text)


def _modules(given: SummarizedModel) -> Summary:
    rows = [(name, type(module).__name__) for name, module in layers(given.model)]
    document = {"model": given.name, "modules": [{"name": name, "type": kind} for name, kind in rows]}
    return Summary(document, modules_table(rows, f"{given.name}: modules"))


def _compute(given: SummarizedModel) -> Summary:
    rows = measure_work(given.model, given.inputs[:1])
    keys = ("weights", "biases", "macs")
    total = {key: sum(getattr(row, key) for row in rows) for key in keys}
    document = {"model": given.name, "layers": [row.document() for row in rows], "total": total}
    return Summary(document, work_table(rows, f"{given.name}: one sample"))


def _sparsity(given: SummarizedModel) -> Summary:
    rows = weight_tensors(given.model)
    file = Path("weights_sparsity.csv")
    write_file(weights_csv(rows).encode(), file)
    document = {"model": given.name, "weights": [row.document() for row in rows]}
    return Summary(document, sparsity_table(rows, f"{given.name}: weights"), file)


# -- files ----------------------------------------------------------------------------------------------------------


def _onnx(given: SummarizedModel, *, simplified: bool) -> Summary:
    content = export_onnx(given.model, given.inputs[:2], simplified=simplified, notes=given.notes)
    difference = largest_difference(given.model, content, given.inputs)
    file = given.output(".onnx")
    write_onnx(content, file)
    found = f"largest difference of ONNX Runtime from torch on {_CHECKED} random inputs: {difference:g}"
    return Summary({**given.notes, "simplified": simplified, "largest_difference": difference}, found, file)


def _png(given: SummarizedModel, *, simplified: bool = False, parameters: bool = False) -> Summary:
    require_packages()
    if importlib.util.find_spec("matplotlib") is None:
        raise Ai8xError("plots need matplotlib, which is not installed", fix="pip install 'ai8x-tool[plots]'")
    from ai8x_tool.report.graph_plot import draw_graph  # noqa: PLC0415
    from ai8x_tool.report.onnx_graph import graph_nodes  # noqa: PLC0415  (onnx and matplotlib are optional)

    content = export_onnx(given.model, given.inputs[:2], simplified=simplified)
    nodes = graph_nodes(content, parameters=parameters)
    file = given.output(".png")
    write_file(draw_graph(nodes, given.name), file)
    return Summary({"model": given.name, "operators": len(nodes)}, f"{len(nodes)} boxes", file)


KINDS: dict[str, Callable[[SummarizedModel], Summary]] = {
    "sparsity": _sparsity,
    "compute": _compute,
    "model": _model,
    "modules": _modules,
    "png": _png,
    "png_simplified": lambda given: _png(given, simplified=True),
    "png_w_params": lambda given: _png(given, parameters=True),
    "onnx": lambda given: _onnx(given, simplified=False),
    "onnx_simplified": lambda given: _onnx(given, simplified=True),
}
