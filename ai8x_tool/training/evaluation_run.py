"""Evaluation with a run folder."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import asdict, replace
from pathlib import Path

from ai8x_tool.console import Console, json_text
from ai8x_tool.files import write_file
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.files import save
from ai8x_tool.training.evaluation import EvaluateResult, evaluate
from ai8x_tool.training.logs import RunLog
from ai8x_tool.training.plots import shortened_name


def evaluate_into_folder(settings: EvaluateSettings, console: Console) -> EvaluateResult:
    """Evaluate; write log, settings, result and plots into a new folder below `settings.out_dir`, unless it is None.

    The folder is created at the end, so that a failed evaluation leaves none; ``latest`` links to the latest training.
    """
    lines: list[tuple[float, str]] = []
    console.log = lambda text: lines.append((time.time(), text))
    try:
        result = evaluate(settings, console)
    finally:
        console.log = None
    if settings.out_dir is None:
        return result
    with RunLog(settings.out_dir, settings.name, console, links=False) as log:
        save(settings, log.folder / "settings.yaml")
        log.record(f"Settings: {asdict(settings)}")
        for moment, text in lines:
            log.record(text, moment)
        if result.agreement is not None:
            log.record(result.agreement.text())
        result = replace(result, folder=log.folder)
        write_file(json_text(result.document()).encode(), log.folder / "result.json")
        _draw(result, log.folder)
        log.info(f"Log file for this run: {log.file}")
    return result


def _draw(result: EvaluateResult, folder: Path) -> None:
    """Draw the task's plots if matplotlib is installed."""
    if result.learned is None or importlib.util.find_spec("matplotlib") is None:
        return
    title = " – ".join(shortened_name(part) for part in (result.model, result.dataset, result.note) if part)
    result.learned.draw(result.score, folder, f"{title}{', 8 bit' if result.simulate else ''}")
