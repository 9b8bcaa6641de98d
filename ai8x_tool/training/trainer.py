"""Training loop: float epochs, switch to QAT, validation, checkpoints, test."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console, json_text
from ai8x_tool.data.seeding import derived_seed, generator_for, seed_global_generators
from ai8x_tool.errors import located
from ai8x_tool.files import write_file
from ai8x_tool.model.build import count_nonzero_weights, is_in_qat
from ai8x_tool.nn import fuse_batchnorm, load_state, start_qat
from ai8x_tool.nn.transform import drop_parameters
from ai8x_tool.plugins.load import without_exit
from ai8x_tool.settings.files import save
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.activation_ranges import has_measured_ranges, set_ranges, training_inputs, with_measured_ranges
from ai8x_tool.training.batches import batch_count, batch_total, batches
from ai8x_tool.training.batchnorm import refresh_batchnorm
from ai8x_tool.training.checkpoints import MEASURED, checkpoint_content, described_data, result_extras, serialize
from ai8x_tool.training.clipping import ClippingMeter, LayerClipping
from ai8x_tool.training.compiled_model import compile_model
from ai8x_tool.training.divergence import checked_loss
from ai8x_tool.training.logs import RunLog, open_run_log
from ai8x_tool.training.metrics import Meter, Score, TrainingMeter, mean, progress_line
from ai8x_tool.training.passes import BatchResult, Evaluator, Selection
from ai8x_tool.training.plan import LARGEST_BATCH, chosen_schedule
from ai8x_tool.training.plots import draw_training
from ai8x_tool.training.processes import is_launched, join_world, launch
from ai8x_tool.training.results import BestEpoch, EpochRecord, TrainingInterruptedError, TrainResult
from ai8x_tool.training.setup import TrainingSetup, prepare
from ai8x_tool.training.shown_samples import ShownSample, WorstSamples, has_wrong_samples
from ai8x_tool.training.tensorboard import open_monitor
from ai8x_tool.training.world import World


def train(settings: TrainSettings, console: Console) -> TrainResult:
    """Train a model, like ``ai8x train``.

    Raises Ai8xError for conditions the user can fix, and TrainingInterruptedError on Ctrl-C, after writing a checkpoint
    of the last completed epoch.
    """
    if settings.distributed and not is_launched():
        return launch(train_in, settings, console)
    with without_exit(), join_world(settings, settings.batch_size or LARGEST_BATCH) as world:
        return train_in(settings, console if world.is_first else Console(-1, muted=True), world)


def train_in(settings: TrainSettings, console: Console, world: World) -> TrainResult:
    """Train as one of the processes of `world`; the first process writes the files."""
    setup = prepare(settings, console, world)
    with open_run_log(settings, console, world) as log, world.answered():
        trainer = Trainer(setup, log)
        try:
            return trainer.run()
        finally:
            trainer.monitor.close()


class Trainer:
    """One training run in progress."""

    def __init__(self, setup: TrainingSetup, log: RunLog) -> None:
        self.setup, self.log = setup, log
        self.settings, self.model, self.optimizer = setup.settings, setup.model, setup.optimizer
        self.task, self.world = setup.task, setup.world
        self.evaluator = Evaluator(
            *(self.model, self.task, setup.device, setup.batch_size, log.console),
            line=self._batch_line,
            where=setup.where,
            every=self.settings.print_freq,
            world=self.world,
        )
        self.plan, self.schedule, self.measured = setup.plan, chosen_schedule(setup), list(setup.measured)
        self.plan.resume(self.measured, self.task.rank)
        self.history: list[EpochRecord] = []
        self.best: BestEpoch | None = None
        self.best_weights: Mapping[str, Any] = {}
        self.qat = is_in_qat(self.model)
        self._wrap()
        self.saved: Path | None = None
        self.clipping: list[LayerClipping] = []
        self.wrong: tuple[ShownSample, ...] = ()
        self.monitor = open_monitor(setup, log.folder, log.console)
        self._take_over_best()

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> TrainResult:
        """Train all epochs and evaluate the result."""
        started = time.monotonic()
        self._introduce()
        self.monitor.start()
        epoch = self.setup.first_epoch
        beginning = (self._file("checkpoint"), self._checkpoint(epoch - 1, None))
        try:
            while epoch < self.plan.epochs:
                self._run_epoch(epoch)
                self._follow_plan(epoch, time.monotonic() - started)
                epoch += 1
            last, best = self._tests() if self.task.has_final_test else (None, None)
        except KeyboardInterrupt:
            raise self._interrupted(epoch, *beginning) from None
        result = self._result(last, best, time.monotonic() - started)
        self._finish(result)
        return result

    def _introduce(self) -> None:
        setup, log = self.setup, self.log
        if self.world.is_first:
            save(self.settings, log.folder / "settings.yaml")
        log.keep(*setup.config_files)
        log.record(f"Settings: {asdict(self.settings)}")
        log.info(f"Training {setup.arch} on {setup.entry.name} for {self.settings.device}, seed {setup.seed}")
        if setup.entry.note:
            log.info(f"note: {setup.entry.note}")
        group = {k: v for k, v in self.optimizer.param_groups[0].items() if k in ("lr", "momentum", "weight_decay")}
        log.info(f"Optimizer: {type(self.optimizer).__name__} {group}")
        sizes = (("training", setup.training), ("validation", setup.validation), ("test", setup.test))
        log.info("Dataset sizes:\n" + "\n".join(f"\t{name}={len(samples)}" for name, samples in sizes))

    def _run_epoch(self, epoch: int) -> None:
        started = time.monotonic()
        start = self.plan.qat_start
        if start is not None and not self.qat and epoch >= start:
            self._switch_to_qat(epoch)
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.task.start_epoch(epoch)
        meter = self._train_epoch(epoch)
        score = self._validate(epoch)
        record = EpochRecord(
            loss=score.loss,
            metrics=score.metrics,
            epoch=epoch,
            phase="qat" if self.qat else "float",
            learning_rate=rate,
            training_loss=mean(meter.overall),
            training_metrics=self._training_metrics(meter.accuracy),
            seconds=round(time.monotonic() - started, 3),
        )
        self.history.append(record)
        self.measured.append({"loss": score.loss, **score.metrics})
        self._save(epoch, score)
        self.schedule.end_epoch(epoch, self.measured[-1])

    def _follow_plan(self, epoch: int, elapsed: float) -> None:
        """Adapt the rest of the run if the time or the patience is exhausted, identically in all processes."""
        record, plan = self.history[-1], self.plan
        before = (plan.epochs, plan.qat_start)
        plan.note(record, self.task.rank(record), epoch, qat=self.qat)
        plan.after_epoch(epoch, qat=self.qat, elapsed=elapsed, seconds=record.seconds)
        plan.epochs, plan.qat_start = self.world.broadcast((plan.epochs, plan.qat_start))
        if (plan.epochs, plan.qat_start) != before and plan.epochs > epoch + 1:
            self.log.record(f"the plan is now {plan.text()}")

    def _switch_to_qat(self, epoch: int) -> None:
        assert self.setup.policy is not None
        self.log.info("Initiating quantization aware training (QAT)...")
        if self.plan.automatic:
            refresh_batchnorm(self.model, training_inputs(self.setup, epoch))
        fuse_batchnorm(self.model)
        drop_parameters(self.optimizer, self.model)
        if has_measured_ranges(self.model):
            set_ranges(self.setup, epoch, self.log)
            self.world.broadcast_model(self.model)
        for name in start_qat(self.model, self.setup.policy):
            self.log.console.warn(f"the QAT policy overrides {name!r}, which the model does not contain")
        self.qat, self.best = True, None
        self.plan.start_qat()
        self._wrap()

    def _wrap(self) -> None:
        """Wrap the model again after its parameters or its computation have changed."""
        example = torch.zeros(1, *self.setup.entry.sample, device=self.setup.device)
        self.compiled = compile_model(self.model, self.settings, self.world, example, qat=self.qat)

    def _train_epoch(self, epoch: int) -> TrainingMeter:
        """Train on all samples once; return the losses, and the metrics of the batches that are measured."""
        setup, size = self.setup, self.setup.batch_size
        samples, seed = setup.training, setup.seed
        self._seed_everything(epoch)
        order = torch.randperm(len(samples), generator=generator_for(seed, epoch, "order"))
        augmentation = generator_for(seed, epoch, "augmentation")
        steps = batch_count(len(samples), size)
        self.log.info(f"Training epoch: {len(samples)} samples ({size} per mini-batch, world size: {self.world.size})")
        self.model.train()
        meter = TrainingMeter(self.task.meter())
        started = time.monotonic()
        options: dict[str, Any] = {"augmentation": augmentation, "device": setup.device, "world": self.world}
        stream = batches(samples.split, samples.indices[order], size, **options)
        title = f"epoch {epoch}"
        with self.log.console.progress(title, steps) as progress, self.schedule.epoch(epoch, steps) as begin:
            for step, (inputs, own_targets) in enumerate(stream, 1):
                begin(step)
                total = batch_total(len(samples), size, step)
                with located(str(setup.entry.file or setup.entry.name)):
                    targets = self.task.gathered_targets(own_targets, total, self.world)
                shown = self.world.gather(inputs, total) if self.task.reads_inputs else inputs
                with located(f"{setup.where}: epoch {epoch}, batch {step} of {steps}"):
                    output, losses = self._train_batch(inputs, targets, shown, total)
                meter.add(losses)
                if self._counts_for_accuracy(step, steps):
                    meter.accuracy.add(output, targets, shown)
                progress.advance(note=f"loss {losses['overall']:.4f}")
                if step % self.settings.print_freq == 0 or step == steps:
                    seconds = (time.monotonic() - started) / step
                    items = self._training_items(meter, seconds, last=step == steps)
                    self._batch_line(progress_line(f"Epoch: [{epoch}]", step, steps, items))
                    self.monitor.batch(steps * epoch + step, items)
        return meter

    def _train_batch(self, inputs: Tensor, targets: Any, shown: Tensor, total: int) -> tuple[Any, dict[str, float]]:
        """Compute one batch and update the model; return the outputs in real numbers and the losses by name.

        `inputs` are those of this process, `targets` and outputs those of the whole batch of `total` samples, as is
        `shown`, the inputs for the loss, if the task needs them.
        """
        output = self.task.real_outputs(self.world.outputs(self.compiled, inputs, total))
        loss = self.task.training_loss(output, targets, shown)
        overall = checked_loss(loss.overall, self.model, inputs, targets, output)
        optimizers = (self.optimizer, *self.task.optimizers)
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss.overall)
        for optimizer in optimizers:
            optimizer.step()
        objective = overall if loss.objective is loss.overall else loss.objective.item()
        parts = {name: value.item() for name, value in loss.components.items()}
        return output, {"overall": overall, "objective": objective, **parts}

    def _counts_for_accuracy(self, step: int, steps: int) -> bool:
        wanted = self.settings.show_train_accuracy if self.task.measures_training else "none"
        return wanted == "full" or (wanted == "last_batch" and step > steps - 2)

    def _training_items(self, meter: TrainingMeter, seconds: float, *, last: bool) -> dict[str, float | None]:
        items = meter.items()
        if self.task.measures_training and self.settings.show_train_accuracy != "none":
            items |= self.task.items(meter.accuracy, last=last)
        return items | {"LR": float(self.optimizer.param_groups[0]["lr"]), "Time": seconds}

    def _training_metrics(self, accuracy: Meter) -> dict[str, float | None]:
        key = self.task.main_metric.key
        return {key: accuracy.metrics()[key] if accuracy.samples else None}

    def _seed_everything(self, epoch: int) -> None:
        """Seed all global generators, so that a run resumed at this epoch has the same results."""
        seed_global_generators(derived_seed(self.setup.seed, epoch, self._own("model")), self.setup.device)

    def _own(self, purpose: str) -> str:
        """Return the purpose of random numbers that must differ between processes."""
        return purpose if self.world.is_first else f"{purpose}/{self.world.rank}"

    # -- evaluation -------------------------------------------------------------------------------------------------

    def _validate(self, epoch: int) -> Score:
        self.log.info(f"--- validate (epoch={epoch})-----------")
        results: list[BatchResult] | None = [] if self.monitor.wants_outputs else None
        score = self._evaluate(self.setup.validation, "validate", None if results is None else results.append)
        self.monitor.validation(epoch, score, self.clipping, results)
        return score

    def _tests(self) -> tuple[Score, Score]:
        """Test the weights of the last epoch and, if it is another one, of the best epoch."""
        assert self.best is not None
        self.log.info("--- test (ckpt) ---------------------")
        last = self._test()
        if self.best.epoch == self.plan.epochs - 1:
            self.log.info("The last epoch is the best one; there is no second test.")
            return last, last
        self.log.info(f"--- test (best) ---------------------\nepoch {self.best.epoch}")
        load_state(self.model, self.best_weights)
        return last, self._test()

    def _test(self) -> Score:
        """Test the model; collect the samples with the largest errors if they are needed for a report."""
        if self.settings.html is None or not has_wrong_samples(self.task):
            return self._evaluate(self.setup.test, "test")
        worst = WorstSamples(self.task, self.setup.test)
        score = self._evaluate(self.setup.test, "test", worst.add)
        self.wrong = worst.result()
        return score

    def _evaluate(self, samples: Selection, title: str, keep: Callable[[BatchResult], None] | None = None) -> Score:
        self.log.info(f"{len(samples)} samples ({self.setup.batch_size} per mini-batch)")
        clipping = ClippingMeter(self.model, self.world)
        with clipping.watching():
            score = self.evaluator.measure(samples, title, keep)
        self.clipping = clipping.result()
        for text in (self.task.summary_line(score), *self.task.report(score)):
            self.log.info(text)
        return score

    def _batch_line(self, line: str) -> None:
        if self.log.console.err.is_terminal:  # the progress bar shows it
            self.log.record(line)
        else:
            self.log.info(line)

    # -- files ------------------------------------------------------------------------------------------------------

    def _file(self, kind: str) -> Path:
        parts = [self.settings.name, "qat" if self.qat else None, f"{kind}.pth.tar"]
        return self.log.folder / "_".join(part for part in parts if part)

    def _save(self, epoch: int, score: Score) -> None:
        """Write the checkpoint of a completed epoch, and a copy if the epoch is the best."""
        is_best = self.best is None or self.task.rank(score) >= self.task.rank(self.best)
        if is_best:
            self.best = BestEpoch(score.loss, score.metrics, epoch)
            self.best_weights = {name: value.clone() for name, value in self.model.state_dict().items()}
        assert self.best is not None
        self.log.info(self.task.best_line(self.best, self.best.epoch, count_nonzero_weights(self.model)))
        self.log.info(f"Saving checkpoint to: {self._file('checkpoint')}")
        data = self._checkpoint(epoch, score)
        self.log.write(data, self._file("checkpoint"))
        self.saved = self._file("checkpoint")
        if is_best:
            self.log.write(data, self._file("best"))

    def _checkpoint(self, epoch: int, score: Score | None) -> bytes:
        """Return the checkpoint's bytes."""
        extras = result_extras(self.task, score, self.best) | {"seed": self.setup.seed, MEASURED: self.measured}
        extras |= self.task.state() | described_data(self.setup.entry, self.task, self.setup.preprocessing)
        content = checkpoint_content(self.model, self.optimizer, arch=self.setup.arch, epoch=epoch, extras=extras)
        return serialize(content)

    def _take_over_best(self) -> None:
        """Take over the best epoch of a resumed run, so that its file exists even if no later epoch is better."""
        if self.setup.resumed_best is not None:
            self.best, source = self.setup.resumed_best
            stored = read_checkpoint(source)
            measured = has_measured_ranges(self.model)
            self.best_weights = (with_measured_ranges(stored, self.log.console) if measured else stored).state
            self.log.write(source.read_bytes(), self._file("best"))

    def _interrupted(self, epoch: int, path: Path, beginning: bytes) -> TrainingInterruptedError:
        """Write a checkpoint of the last completed epoch or, if there is none, of the initial state."""
        if self.saved is None:
            self.log.write(beginning, path)
        path = self.saved or path
        finished = self.setup.first_epoch + len(self.history) == self.plan.epochs
        message = f"interrupted in epoch {epoch}; to continue: --resume-from {path}"
        if finished:
            message = f"interrupted in the final test; the trained model is {path}"
        self.log.record(message)
        return TrainingInterruptedError(message)

    # -- result -----------------------------------------------------------------------------------------------------

    def _result(self, test: Score | None, test_of_best: Score | None, seconds: float) -> TrainResult:
        setup = self.setup
        assert self.best is not None
        return TrainResult(
            model=setup.arch,
            dataset=setup.entry.name,
            task=self.task.name,
            folder=self.log.folder,
            checkpoint=self._file("checkpoint"),
            best_checkpoint=self._file("best"),
            best=self.best,
            best_headline=self.task.main_metric.text(self.best),
            history=tuple(self.history),
            test=test,
            test_of_best=test_of_best,
            test_headline=None if test is None else self.task.main_metric.text(test),
            test_of_best_headline=None if test_of_best is None else self.task.main_metric.text(test_of_best),
            labels=tuple(setup.entry.labels),
            note=setup.entry.note,
            metric=self.task.main_metric,
            seed=setup.seed,
            seconds=seconds,
            clipping=tuple(self.clipping),
            wrong=self.wrong,
        )

    def _finish(self, result: TrainResult) -> None:
        if self.world.is_first:
            write_file(json_text(result.document()).encode(), result.folder / "result.json")
            self._draw(result)
        self.log.info(f"Log file for this run: {self.log.file}")
        if self.settings.copy_output_folder is not None:
            self.log.copy_to(self.settings.copy_output_folder)

    def _draw(self, result: TrainResult) -> None:
        if importlib.util.find_spec("matplotlib") is None:
            self.log.info("no plots: matplotlib is not installed (pip install 'ai8x-tool[plots]')")
            return
        draw_training(result, self.task)
