"""The training loop: float epochs, the switch to QAT, validation, checkpoints, test. spec: training, section 4."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ai8x_tool import settings as settings_files
from ai8x_tool.console import Console
from ai8x_tool.nn import fuse_batchnorm, start_qat
from ai8x_tool.report.plots import plot_confusion, plot_history
from ai8x_tool.settings import TrainSettings
from ai8x_tool.training.activation_ranges import has_measured_ranges, set_ranges
from ai8x_tool.training.batches import batch_count, batches, derived_seed, generator_for
from ai8x_tool.training.checkpoints import checkpoint_content, drop_parameters, serialize, write_file
from ai8x_tool.training.logs import RunLog
from ai8x_tool.training.metrics import (
    Meter,
    Score,
    accuracy_items,
    confusion_lines,
    progress_line,
    summary_line,
)
from ai8x_tool.training.model import in_qat, nonzero_weights
from ai8x_tool.training.schedule import Schedule
from ai8x_tool.training.session import Best, Samples, Session, prepare


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch achieved: training loss, validation loss and percentages."""

    epoch: int
    phase: str
    learning_rate: float
    training_loss: float
    training_top1: float | None
    loss: float
    top1: float
    top5: float
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """A finished training run. `test` is the score of the last epoch's weights, which `checkpoint` holds."""

    model: str
    dataset: str
    folder: Path
    checkpoint: Path
    best_checkpoint: Path
    best: Best
    history: tuple[EpochRecord, ...]
    test: Score
    labels: tuple[str, ...]
    note: str | None
    seed: int
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the result as plain values for JSON."""
        return {
            "schema": "ai8x-train/1",
            "model": self.model,
            "dataset": self.dataset,
            "note": self.note,
            "folder": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "best_checkpoint": str(self.best_checkpoint),
            "best": asdict(self.best),
            "epochs": [asdict(record) for record in self.history],
            "test": asdict(self.test),
            "labels": list(self.labels),
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
        }


class TrainingInterruptedError(KeyboardInterrupt):
    """Training was stopped by the user; the text says how to continue."""


def train(settings: TrainSettings, console: Console) -> TrainResult:
    """Train a model; the plain Python form of ``ai8x train``.

    Raises Ai8xError for what the user can fix, and TrainingInterruptedError on Ctrl-C after writing a checkpoint of the
    last completed epoch.
    """
    session = prepare(settings, console)
    log = RunLog(settings.out_dir, settings.name, console)
    try:
        return Trainer(session, log).run()
    finally:
        log.close()


class Trainer:
    """One training run in progress."""

    def __init__(self, session: Session, log: RunLog) -> None:
        self.session, self.log = session, log
        self.settings, self.model, self.optimizer = session.settings, session.model, session.optimizer
        self.classes = len(session.entry.labels)
        weights = session.entry.class_weights
        self.criterion = nn.CrossEntropyLoss(None if weights is None else torch.tensor(weights)).to(session.device)
        self.schedule = Schedule(session.schedule, self.optimizer, session.first_epoch)
        self.history: list[EpochRecord] = []
        self.best: Best | None = None
        self.qat = in_qat(self.model)
        self.saved: Path | None = None
        self._take_over_best()

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> TrainResult:
        """Train all epochs and evaluate the result."""
        started = time.monotonic()
        self._introduce()
        epoch = self.session.first_epoch
        beginning = (self._file("checkpoint"), self._checkpoint(epoch - 1, 0.0))
        try:
            for epoch in range(self.session.first_epoch, self.settings.epochs):
                self._run_epoch(epoch)
            test = self._test()
        except KeyboardInterrupt:
            raise self._interrupted(epoch, *beginning) from None
        result = self._result(test, time.monotonic() - started)
        self._finish(result)
        return result

    def _introduce(self) -> None:
        session, log = self.session, self.log
        settings_files.save(self.settings, log.folder / "settings.yaml")
        log.keep(*session.config_files)
        log.record(f"Settings: {asdict(self.settings)}")
        log.info(f"Training {session.arch} on {session.entry.name} for {self.settings.device}, seed {session.seed}")
        if session.entry.note:
            log.info(f"note: {session.entry.note}")
        group = {k: v for k, v in self.optimizer.param_groups[0].items() if k in ("lr", "momentum", "weight_decay")}
        log.info(f"Optimizer: {type(self.optimizer).__name__} {group}")
        sizes = (("training", session.training), ("validation", session.validation), ("test", session.test))
        log.info("Dataset sizes:\n" + "\n".join(f"\t{name}={len(samples)}" for name, samples in sizes))

    def _run_epoch(self, epoch: int) -> None:
        started = time.monotonic()
        policy = self.session.policy
        if policy is not None and not self.qat and epoch >= policy.start_epoch:
            self._switch_to_qat(epoch)
        rate = float(self.optimizer.param_groups[0]["lr"])
        loss, top1 = self._train_epoch(epoch)
        score = self._validate(epoch)
        phase = "qat" if self.qat else "float"
        seconds = round(time.monotonic() - started, 3)
        self.history.append(EpochRecord(epoch, phase, rate, loss, top1, score.loss, score.top1, score.top5, seconds))
        self._save(epoch, score)
        self.schedule.end_epoch(epoch)

    def _switch_to_qat(self, epoch: int) -> None:
        assert self.session.policy is not None
        self.log.info("Initiating quantization aware training (QAT)...")
        fuse_batchnorm(self.model)
        drop_parameters(self.optimizer, self.model)
        if has_measured_ranges(self.model):
            set_ranges(self.session, epoch, self.log)
        for name in start_qat(self.model, self.session.policy):
            self.log.console.warn(f"the QAT policy overrides {name!r}, which the model does not have")
        self.qat, self.best = True, None

    def _train_epoch(self, epoch: int) -> tuple[float, float | None]:
        """Return the mean loss and the training accuracy, if it is wanted."""
        session, size = self.session, self.settings.batch_size
        samples, seed = session.training, session.seed
        self._seed_everything(epoch)
        order = torch.randperm(len(samples), generator=generator_for(seed, epoch, "order"))
        augmentation = generator_for(seed, epoch, "augmentation")
        steps = batch_count(len(samples), size)
        self.log.info(f"Training epoch: {len(samples)} samples ({size} per mini-batch, world size: 1)")
        self.model.train()
        meter, accuracy = Meter(self.classes), Meter(self.classes)
        started = time.monotonic()
        stream = batches(samples.part, samples.indices[order], size, augmentation=augmentation, device=session.device)
        with self.log.console.progress(f"epoch {epoch}", steps) as progress:
            for step, (inputs, targets) in enumerate(stream, 1):
                output, loss = self._train_batch(inputs, targets)
                meter.losses.append(loss)
                if self._counts_for_accuracy(step, steps):
                    accuracy.add_outputs(output, targets)
                progress.advance(note=f"loss {loss:.4f}")
                if step % self.settings.print_freq == 0 or step == steps:
                    seconds = (time.monotonic() - started) / step
                    self._batch_line(f"Epoch: [{epoch}]", step, steps, self._training_items(meter, accuracy, seconds))
        if not math.isfinite(meter.loss):
            self.log.console.warn(f"the loss is {meter.loss} since epoch {epoch}: try a smaller --lr")
        return meter.loss, accuracy.top1 if accuracy.samples else None

    def _train_batch(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, float]:
        output = self.model(inputs)
        loss = self.criterion(output, targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return output, loss.item()

    def _counts_for_accuracy(self, step: int, steps: int) -> bool:
        wanted = self.settings.show_train_accuracy
        return wanted == "full" or (wanted == "last_batch" and step > steps - 2)

    def _training_items(self, meter: Meter, accuracy: Meter, seconds: float) -> dict[str, float | None]:
        items: dict[str, float | None] = {"Overall Loss": meter.loss, "Objective Loss": meter.loss}
        if self.settings.show_train_accuracy != "none":
            known = accuracy_items(accuracy, self.classes)
            items |= {name: value if accuracy.samples else None for name, value in known.items()}
        return items | {"LR": float(self.optimizer.param_groups[0]["lr"]), "Time": seconds}

    def _seed_everything(self, epoch: int) -> None:
        """Start all global generators anew: an epoch gives the same whether or not the run was resumed at it."""
        seed = derived_seed(self.session.seed, epoch, "model")
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)

    # -- evaluation -------------------------------------------------------------------------------------------------

    def _validate(self, epoch: int) -> Score:
        self.log.info(f"--- validate (epoch={epoch})-----------")
        return self._evaluate(self.session.validation, "validate")

    def _test(self) -> Score:
        self.log.info("--- test ---------------------")
        return self._evaluate(self.session.test, "test")

    @torch.no_grad()
    def _evaluate(self, samples: Samples, title: str) -> Score:
        size, steps = self.settings.batch_size, batch_count(len(samples), self.settings.batch_size)
        self.log.info(f"{len(samples)} samples ({size} per mini-batch)")
        self.model.eval()
        meter = Meter(self.classes)
        stream = batches(samples.part, samples.indices, size, device=self.session.device)
        with self.log.console.progress(title, steps) as progress:
            for step, (inputs, targets) in enumerate(stream, 1):
                output = self.model(inputs)
                meter.add(output, targets, float(self.criterion(output, targets)))
                progress.advance()
                if step % self.settings.print_freq == 0 or step == steps:
                    items = {"Loss": meter.loss, **accuracy_items(meter, self.classes)}
                    self._batch_line("Test: ", step, steps, items)
        score = meter.score()
        self.log.info(summary_line(score, self.classes))
        if self.settings.confusion:
            self.log.info("\n".join(confusion_lines(score)))
        return score

    def _batch_line(self, head: str, step: int, steps: int, items: Mapping[str, float | None]) -> None:
        line = progress_line(head, step, steps, items)
        self.log.record(line)
        if not self.log.console.err.is_terminal:  # there the bar shows it
            self.log.console.info(line)

    # -- files ------------------------------------------------------------------------------------------------------

    def _file(self, kind: str) -> Path:
        parts = [self.settings.name, "qat" if self.qat else None, f"{kind}.pth.tar"]
        return self.log.folder / "_".join(part for part in parts if part)

    def _save(self, epoch: int, score: Score) -> None:
        """Write the checkpoint of a completed epoch, and copy it if the epoch is the best."""
        is_best = self.best is None or (score.top1, score.top5) >= (self.best.top1, self.best.top5)
        if is_best:
            self.best = Best(score.top1, score.top5, epoch)
        assert self.best is not None
        top5 = f"   Top5: {self.best.top5:.3f}" if self.classes > 5 else ""
        parameters = nonzero_weights(self.model)
        self.log.info(f"==> Best [Top1: {self.best.top1:.3f}{top5}   Params: {parameters} on epoch: {self.best.epoch}]")
        self.log.info(f"Saving checkpoint to: {self._file('checkpoint')}")
        data = self._checkpoint(epoch, score.top1)
        write_file(data, self._file("checkpoint"))
        self.saved = self._file("checkpoint")
        if is_best:
            write_file(data, self._file("best"))

    def _checkpoint(self, epoch: int, top1: float) -> bytes:
        best = self.best or Best(0.0, 0.0, 0)
        extras = {
            "current_top1": top1,
            "best_top1": best.top1,
            "current_mAP": 0,
            "best_mAP": 0,
            "best_epoch": best.epoch,
            "best_top5": best.top5,
            "seed": self.session.seed,
        }
        arch = self.session.arch
        return serialize(checkpoint_content(self.model, self.optimizer, arch=arch, epoch=epoch, extras=extras))

    def _take_over_best(self) -> None:
        """Continue the list of best epochs, so that the best file exists even if no later epoch is better."""
        if self.session.resumed_best is not None:
            self.best, source = self.session.resumed_best
            write_file(source.read_bytes(), self._file("best"))

    def _interrupted(self, epoch: int, path: Path, beginning: bytes) -> TrainingInterruptedError:
        """Leave a checkpoint of the last completed epoch; if there is none, of the beginning."""
        if self.saved is None:
            write_file(beginning, path)
        path = self.saved or path
        finished = self.session.first_epoch + len(self.history) == self.settings.epochs
        message = f"interrupted in epoch {epoch}; to continue: --resume-from {path}"
        if finished:
            message = f"interrupted in the final test; the trained model is {path}"
        self.log.record(message)
        return TrainingInterruptedError(message)

    # -- result -----------------------------------------------------------------------------------------------------

    def _result(self, test: Score, seconds: float) -> TrainResult:
        session = self.session
        assert self.best is not None
        return TrainResult(
            model=session.arch,
            dataset=session.entry.name,
            folder=self.log.folder,
            checkpoint=self._file("checkpoint"),
            best_checkpoint=self._file("best"),
            best=self.best,
            history=tuple(self.history),
            test=test,
            labels=tuple(session.entry.labels),
            note=session.entry.note,
            seed=session.seed,
            seconds=seconds,
        )

    def _finish(self, result: TrainResult) -> None:
        title = " – ".join(part for part in (result.model, result.dataset, result.note) if part)
        drawn = plot_history(result.history, result.folder / "training.png", title)
        drawn = drawn and plot_confusion(result.test.confusion, result.labels, result.folder / "confusion.png", title)
        if not drawn:
            self.log.info("no plots: matplotlib is not installed (pip install 'ai8x-tool[plots]')")
        self.log.info(f"Log file for this run: {self.log.file}")
        if self.settings.copy_output_folder is not None:
            self.log.copy_to(self.settings.copy_output_folder)
