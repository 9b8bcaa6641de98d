"""Processes that start at once: they are forked from one that has imported PyTorch, which the first of them starts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

IMPORTED = [
    "torch._dynamo",  # optimizers import it when they are first used
    "torchmetrics.detection",
    "pycocotools.mask",
    "ai8x_tool.cli.train",
    "ai8x_tool.training.trainer",
]
"""What is imported once, as far as it is installed."""


def warm_process(output: Path, target: Callable[..., object], args: tuple[Any, ...]) -> BaseProcess:
    """Return a process that is to call `target`; what it and its children print is appended to the file `output`.

    Environment variables are those of the time when the first such process was made.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return context.Process(target=_printing, args=(output, target, args))


def _printing(output: Path, target: Callable[..., object], args: tuple[Any, ...]) -> None:
    with output.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    target(*args)


def start_command(output: Path, *words: str, environment: Mapping[str, str] | None = None) -> BaseProcess:
    """Start ``ai8x`` with the arguments `words`, in a session of its own, as a shell would."""
    process = warm_process(output, _command, (words, environment or {}))
    process.start()
    return process


def _command(words: tuple[str, ...], environment: Mapping[str, str]) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    sys.argv = ["ai8x", *words]
    from ai8x_tool.cli.main import main

    main()


def start_training(output: Path, given: Mapping[str, Any]) -> BaseProcess:
    """Start a training that draws no plots, with options as the command line understands them."""
    process = warm_process(output, _train, (given,))
    process.start()
    return process


def _train(given: Mapping[str, Any]) -> None:
    import torch

    from ai8x_tool.console import Console
    from ai8x_tool.settings.resolve import resolve
    from ai8x_tool.settings.training import TrainSettings
    from ai8x_tool.training.trainer import Trainer, train

    Trainer._draw = lambda *_: None  # type: ignore[method-assign]
    torch.set_num_threads(1)
    train(resolve(TrainSettings, "train", given=dict(given)), Console(verbosity=-1))
