"""Preparation of a training run: checks, and creation of everything needed, before the first epoch."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from ai8x_tool import resources
from ai8x_tool.analysis import require_fit
from ai8x_tool.checkpoint import Checkpoint, read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.data.dataset import Dataset, DatasetEntry, first_sample
from ai8x_tool.data.own.entry import fitting_model
from ai8x_tool.data.seeding import derived_seed, generator_for
from ai8x_tool.data.stock_inputs import stock_input
from ai8x_tool.device import find_device
from ai8x_tool.errors import Ai8xError, located
from ai8x_tool.frontend.torch import model_network
from ai8x_tool.model.build import (
    build_model,
    check_architecture,
    compute_device,
    is_in_qat,
    load_weights,
    require_trainable,
)
from ai8x_tool.model.memory_format import use_channels_last
from ai8x_tool.nn import QatPolicy, read_policy
from ai8x_tool.plugins.find import ModelEntry, find_dataset, find_model, places
from ai8x_tool.settings.files import FITTING_MODEL
from ai8x_tool.settings.model import ComputerSettings, DataSettings
from ai8x_tool.settings.training import (
    AUTOMATIC,
    EpochSettings,
    QatSettings,
    ScheduleSettings,
    SeedSettings,
    StartSettings,
    TrainSettings,
)
from ai8x_tool.text import counted
from ai8x_tool.training.activation_ranges import check_measurable, uses_measured_ranges, with_measured_ranges
from ai8x_tool.training.checkpoints import measured_before, restore_optimizer
from ai8x_tool.training.optimizers import check_optimizer, new_optimizer
from ai8x_tool.training.passes import Selection, whole
from ai8x_tool.training.plan import (
    Plan,
    automatic_batch,
    automatic_policy,
    check_qat_start,
    chooses_optimizer,
    is_automatic,
)
from ai8x_tool.training.results import BestEpoch
from ai8x_tool.training.sample_placement import device_facts, placed_splits
from ai8x_tool.training.schedule import LearningRatePolicy, named_schedule, read_schedule
from ai8x_tool.training.synchronized import synchronize_batchnorm
from ai8x_tool.training.tasks import Task, TaskContext, choose_task
from ai8x_tool.training.tensorboard import check_tensorboard_options
from ai8x_tool.training.world import ALONE, World

_AUTOMATIC_RATE = 0.004
_LARGEST_SEED = 0xFFFF_FFFF
_Samples: TypeAlias = tuple[Selection, Selection, Selection]
"""Training, validation and test samples."""
INITIAL = -1
"""The "epoch" whose seeds are used for initialization and for splitting the data."""


@dataclass
class TrainingSetup:
    """Prepared objects of one training run. `settings` include the batch size.

    `resumed_best` is the best epoch of a resumed run, with its file; `measured` are the validation results of the
    completed epochs, None where they are unknown; `where` names the files of model and dataset, for error messages.
    """

    settings: TrainSettings
    arch: str
    entry: DatasetEntry
    task: Task
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: list[LearningRatePolicy]
    policy: QatPolicy | None
    device: torch.device
    seed: int
    first_epoch: int
    training: Selection
    validation: Selection
    test: Selection
    config_files: list[Path]
    resumed_best: tuple[BestEpoch, Path] | None
    measured: list[Mapping[str, float] | None]
    plan: Plan
    preprocessing: Mapping[str, Any] | None
    where: str
    world: World = ALONE

    @property
    def batch_size(self) -> int:
        """Number of samples in a mini-batch."""
        assert self.settings.batch_size is not None
        return self.settings.batch_size


def prepare(settings: TrainSettings, console: Console, world: World = ALONE) -> TrainingSetup:
    """Read configuration, checkpoint and dataset, build model and optimizer. Raises Ai8xError; writes nothing."""
    entry = find_dataset(settings.dataset, settings, console)
    settings = replace(settings, model=fitting_model(entry) if settings.model == FITTING_MODEL else settings.model)
    found = find_model(settings.model, console)
    arch, files = found.name, places(found, entry)
    check_optimizer(settings)
    policy, policy_file = _policy(settings, settings.epochs)
    schedule, schedule_file = _schedule(settings)
    checkpoint = _starting_checkpoint(settings, arch)
    resumed = _resumed(settings, checkpoint, console)
    first_epoch = _first_epoch(settings, settings.epochs, resumed)
    seed = world.broadcast(_seed(settings, resumed))
    _set_determinism(settings)
    device = compute_device(cpu=settings.cpu, gpus=_own_gpus(settings, world), console=console)
    task = choose_task(TaskContext(settings, entry, device, console, training=True))
    check_tensorboard_options(settings, task)
    schedule += named_schedule(settings, settings.epochs, ["loss", *task.meter().metrics()])
    torch.default_generator.manual_seed(derived_seed(seed, INITIAL, "weights"))
    measured = uses_measured_ranges(settings, checkpoint, resumes=settings.resume_from is not None)
    checkpoint = with_measured_ranges(checkpoint, console) if checkpoint and measured else checkpoint
    model = _build(settings, found, entry, task, checkpoint, console, measured=measured)
    if settings.check:
        _require_fit(settings, found, model, entry, policy, console)
    synchronize_batchnorm(model, world)
    use_channels_last(model, entry.sample)
    model.to(device)
    if measured and policy is not None and not is_in_qat(model):
        check_measurable(model, entry.sample, device)
    task.attach(model)
    _check_outputs(task, model, entry, device, files)
    continued = resumed if resumed and not settings.reset_optimizer else None
    task.start_training(derived_seed(seed, INITIAL, "task"), continued.extras if continued else None)
    optimizer = _optimizer(settings, model, continued, console)
    measured_so_far = _measured(continued, first_epoch, schedule, console)
    with world.first_process_first():
        data = entry.load(settings.data, console)
        samples = _samples(settings, settings, data, seed)
    return TrainingSetup(
        _with_batch_size(settings, len(samples[0]), console),
        arch,
        entry,
        task,
        model,
        optimizer,
        schedule,
        policy,
        device,
        seed,
        first_epoch,
        *_placed(samples, device),
        [file for file in (schedule_file, policy_file) if file],
        _resumed_best(continued, task) if continued else None,
        measured_so_far,
        _plan(settings, policy),
        _preprocessing(entry, data),
        files,
        world,
    )


def _preprocessing(entry: DatasetEntry, data: Dataset) -> Mapping[str, Any] | None:
    """Return the preprocessing of files into inputs: as declared by the data, or as known for a shipped dataset."""
    stock = stock_input(entry.name, entry.input)
    return data.preprocessing if data.preprocessing is not None or stock is None else stock.document()


def _plan(settings: TrainSettings, policy: QatPolicy | None) -> Plan:
    seconds = None if settings.minutes is None else 60 * settings.minutes
    start = None if policy is None else policy.start_epoch
    return Plan(settings.epochs, start, seconds, settings.patience, is_automatic(settings))


def _measured(
    continued: Checkpoint | None, epochs: int, schedule: list[LearningRatePolicy], console: Console
) -> list[Mapping[str, float] | None]:
    """Return the validation results so far; older checkpoints do not contain them."""
    measured = measured_before(continued, epochs)
    if continued is not None and None in measured and any(policy.follows_results for policy in schedule):
        console.warn(f"{continued.path}: results of earlier epochs are unknown; ReduceLROnPlateau is reset")
    return measured


def _check_outputs(task: Task, model: nn.Module, entry: DatasetEntry, device: torch.device, where: str) -> None:
    """Check, before data are loaded, that the task has a loss for the outputs; the first batch shows other errors."""
    training = model.training
    try:
        with torch.no_grad():
            output = model.eval()(torch.zeros(2, *entry.sample, device=device))
    except Exception:  # models can raise anything; the error of the first batch names the line
        return
    finally:
        model.train(training)
    with located(where):
        task.real_outputs(output)


def _with_batch_size(settings: TrainSettings, samples: int, console: Console) -> TrainSettings:
    """Return the settings with a batch size; warn about too few steps for the requested one, or for the warm-up."""
    size = settings.batch_size
    if size is not None and size > samples:
        text = f"--batch-size {size}: there are {samples} training samples, so each epoch is a single step"
        console.warn(f"{text} (reduce --batch-size)")
    if settings.warmup_epochs >= settings.epochs:
        text = f"--warmup-epochs {settings.warmup_epochs}: {counted(settings.epochs, 'epoch')} of training"
        console.warn(f"{text} never reach the full learning rate (reduce it, or raise --epochs)")
    return settings if size else replace(settings, batch_size=automatic_batch(samples))


def build_untrained(settings: TrainSettings, arch: str, entry: DatasetEntry, task: Task, console: Console) -> nn.Module:
    """Return the initial model of a run, on the CPU."""
    torch.default_generator.manual_seed(derived_seed(settings.seed or 0, INITIAL, "weights"))
    checkpoint = _starting_checkpoint(settings, arch)
    measured = uses_measured_ranges(settings, checkpoint, resumes=settings.resume_from is not None)
    return _build(settings, arch, entry, task, checkpoint, console, measured=measured)


def _build(
    settings: TrainSettings,
    arch: str | ModelEntry,
    entry: DatasetEntry,
    task: Task,
    checkpoint: Checkpoint | None,
    console: Console,
    *,
    measured: bool,
) -> nn.Module:
    model = build_model(
        arch,
        entry,
        device=settings.device,
        use_bias=settings.use_bias,
        round_avg=settings.avg_pool_rounding,
        arguments=task.model_arguments(),
        measured_ranges=measured,
        adapt=settings.adapt,
        console=console,
    )
    if checkpoint is not None:
        load_weights(model, checkpoint, console)
    return model


def _require_fit(
    settings: TrainSettings,
    found: ModelEntry,
    model: nn.Module,
    entry: DatasetEntry,
    policy: QatPolicy | None,
    console: Console,
) -> None:
    """Raise Ai8xError if the model cannot run on its device, because training cannot change that."""
    device = find_device(settings.device)
    name = f"{found.file}: {settings.model}"
    network = model_network(model, entry.input, device, policy=policy, name=name)
    require_fit(network, device, console, fix="--no-check trains it nevertheless")


def _policy(settings: QatSettings, epochs: int) -> tuple[QatPolicy | None, Path | None]:
    if settings.qat_policy is None:
        return None, None
    if settings.qat_policy == AUTOMATIC:
        return automatic_policy(epochs), None
    path = resources.find_config("qat", settings.qat_policy, prefix="qat_policy")
    policy = read_policy(path)
    check_qat_start(policy, epochs, str(path))
    return policy, path


def _schedule(settings: ScheduleSettings) -> tuple[list[LearningRatePolicy], Path | None]:
    if settings.compress is None:
        return [], None
    path = resources.find_config("schedules", settings.compress, prefix="schedule-")
    return read_schedule(path), path


def _starting_checkpoint(settings: StartSettings, arch: str) -> Checkpoint | None:
    path = settings.resume_from or settings.exp_load_weights_from
    if path is None:
        return None
    checkpoint = read_checkpoint(path)
    if settings.resume_from:
        check_architecture(arch, checkpoint)
    require_trainable(checkpoint)
    return checkpoint


def _resumed(settings: StartSettings, checkpoint: Checkpoint | None, console: Console) -> Checkpoint | None:
    """Return the checkpoint if its run is to be resumed, else None."""
    if settings.resume_from is None and settings.reset_optimizer:
        console.warn("without effect: --reset-optimizer (it requires --resume-from)")
    return checkpoint if settings.resume_from else None


def _first_epoch(settings: StartSettings, epochs: int, resumed: Checkpoint | None) -> int:
    first = 0
    if resumed is not None and not settings.reset_optimizer:
        if resumed.epoch is None:
            fix = "use --exp-load-weights-from, or --reset-optimizer"
            raise Ai8xError("the checkpoint does not contain its epoch", where=str(resumed.path), fix=fix)
        first = resumed.epoch + 1
    if first >= epochs:
        done = counted(first, "epoch")
        raise Ai8xError(f"nothing to do: {done} completed, {epochs} requested", fix="increase --epochs")
    return first


def _seed(settings: SeedSettings, resumed: Checkpoint | None) -> int:
    stored = resumed.extras.get("seed") if resumed else None
    if settings.seed is not None:
        return settings.seed
    if isinstance(stored, int) and 0 <= stored <= _LARGEST_SEED:
        return stored
    return 0 if settings.deterministic else secrets.randbelow(2**31)


def _own_gpus(settings: ComputerSettings, world: World) -> tuple[int, ...] | None:
    """Return the GPU of this process if there are several processes."""
    if world.size == 1 or not torch.cuda.is_available():
        return settings.gpus
    chosen = settings.gpus or tuple(range(torch.cuda.device_count()))
    if world.local_rank >= len(chosen):
        raise Ai8xError(
            f"there must not be more processes than GPUs ({len(chosen)})",
            fix="start one process per GPU, or pass --cpu",
        )
    return chosen[world.local_rank : world.local_rank + 1]


def _set_determinism(settings: SeedSettings) -> None:
    torch.backends.cudnn.deterministic = settings.deterministic
    torch.backends.cudnn.benchmark = not settings.deterministic


def _optimizer(
    settings: TrainSettings, model: nn.Module, continued: Checkpoint | None, console: Console
) -> torch.optim.Optimizer:
    if continued is not None:
        restored = restore_optimizer(continued, model)
        if restored is not None:
            return restored
        console.warn(f"{continued.path}: the file has no optimizer that fits the model; a new one is used")
    if chooses_optimizer(settings):
        return torch.optim.AdamW(model.parameters(), lr=_AUTOMATIC_RATE, weight_decay=settings.weight_decay)
    if settings.optimizer is None or settings.learning_rate is None:
        console.warn("--optimizer or --lr is missing: the defaults are SGD and 0.1")
    rate = 0.1 if settings.learning_rate is None else settings.learning_rate
    name = settings.optimizer or "SGD"
    return new_optimizer(settings, model.parameters(), name, rate)


def _samples(settings: DataSettings, epochs: EpochSettings, data: Dataset, seed: int) -> _Samples:
    """Return the training, validation and test samples; validation samples are never augmented."""
    test = whole(first_sample(data.test) if settings.truncate_testset else data.test)
    count = len(data.train)
    order = torch.randperm(count, generator=generator_for(seed, INITIAL, "split"))
    held_back = 0 if data.validation is not None else int(epochs.validation_split * count)
    used = max(1, round(epochs.sample_fraction * (count - held_back)))
    training = Selection(data.train, order[held_back : held_back + used])
    if data.validation is not None:
        return whole(data.train) if used == count else training, whole(data.validation), test
    return training, Selection(data.held_back, order[:held_back]) if held_back else test, test


def _placed(samples: _Samples, device: torch.device) -> _Samples:
    """Return the same samples, on `device` if they fit."""
    splits = placed_splits([each.split for each in samples], device, device_facts(device))
    training, validation, test = (Selection(split, each.indices) for split, each in zip(splits, samples, strict=True))
    return training, validation, test


def _resumed_best(checkpoint: Checkpoint, task: Task) -> tuple[BestEpoch, Path] | None:
    """Return the best epoch of the resumed run, if its file is still next to the checkpoint."""
    # without links: `latest` will soon point to another run
    path = checkpoint.path.with_name(checkpoint.path.name.replace("checkpoint.pth.tar", "best.pth.tar")).resolve()
    loss, metrics, epoch = (checkpoint.extras.get(key) for key in ("best_loss", "best_metrics", "best_epoch"))
    if not (isinstance(loss, float) and isinstance(metrics, dict) and isinstance(epoch, int)):
        return None
    best = BestEpoch(loss, metrics, epoch)
    try:
        _ = task.rank(best), task.best_line(best, epoch, 0), task.main_metric.text(best)
        return (best, path) if path.is_file() and read_checkpoint(path).epoch == epoch else None
    except (Ai8xError, KeyError, TypeError, ValueError):  # results of another task, or no numbers
        return None
