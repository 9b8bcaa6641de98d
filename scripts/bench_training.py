#!/usr/bin/env python3
"""Cost of quantization-aware training: ratios to the same networks built of plain torch layers.

Usage: OMP_NUM_THREADS=2 bench_training.py [--rounds N] [--model NAME] [--cpu-time] [--gpus N]. For each model it
measures, alternately in one run and with batches of 256,

* a training step in float and in QAT next to one of the same network of torch.nn layers, without limits and rounding;
* an epoch of QAT with the dataset's augmentation next to as many steps on one batch;
* a forward pass of the integer evaluation (-8) next to the plain network's.

With --gpus N it measures instead how many samples a second are trained with on one GPU and on N, each with a process of
its own, in float and in QAT; the batches of all GPUs together have 256 samples for each.

The best of all rounds is compared, as other programs on the computer only ever add time; medians are printed too. On a
busy computer set OMP_WAIT_POLICY=PASSIVE as well: threads that wait actively take the time of those they wait for.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool import nn as ai8x
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000
from ai8x_tool.model.memory_format import channels_last
from ai8x_tool.nn.fused import FusedModule
from ai8x_tool.plugins.find import find_model
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.trainer import train

Clock = Callable[[], float]
BATCH = 256
STEPS = 54  # as an epoch of KWS_20_TTS has
SHAPES = {"ai85kws20netv3": (128, 128), "ai85net5": (1, 28, 28)}
DATASETS = {"ai85kws20netv3": "BenchSpeech", "ai85net5": "BenchDigits"}
LIMITS = {"QAT step": 1.25, "QAT epoch": 1.1, "-8 forward": 1.2}
PLUGIN = f"""
import torch
from ai8x_tool.plugins.find import load_plugin
from ai8x_tool.resources import shipped
from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split, first_sample
from ai8x_tool.data.speech import SAMPLES, shift_limits, speech_split
from ai8x_tool.data.stock_inputs import LABELS_20

COUNT = {BATCH * STEPS}

def speech(*_):
    limits = torch.tensor([shift_limits(16000)], dtype=torch.int16).expand(COUNT, 2)
    raw = torch.randint(0, 256, (COUNT, SAMPLES), dtype=torch.uint8)
    part = speech_split(raw, torch.randint(0, 21, (COUNT,)), limits)
    return Dataset(part, first_sample(part), first_sample(part))

def digits(*_):
    mnist = load_plugin(shipped("datasets") / "mnist.py")
    raw = torch.randint(0, 256, (COUNT, 1, 28, 28), dtype=torch.uint8)
    part = Split(raw, torch.randint(0, 10, (COUNT,)), mnist.normalize, mnist.augment)
    return Dataset(part, first_sample(part), first_sample(part))

datasets = [
    DatasetEntry(name="BenchSpeech", input=(128, 128), labels=LABELS_20, load=speech, description="random"),
    DatasetEntry(name="BenchDigits", input=(1, 28, 28), labels=tuple("0123456789"), load=digits, description="random"),
]
"""


def plain_layers(module: FusedModule) -> nn.Sequential:
    """Return pooling, operator and activation of a fused module as layers of torch, with the same weights."""
    layers: list[nn.Module] = []
    pooling = module.pooling
    if pooling is not None:
        kind = {"Max": (nn.MaxPool1d, nn.MaxPool2d), "Avg": (nn.AvgPool1d, nn.AvgPool2d)}[pooling.kind]
        one = len(pooling.size) == 1
        layers.append(kind[len(pooling.size) - 1](*(v[0] if one else v for v in (pooling.size, pooling.stride))))
    if module.op is not None:
        layers.append(copy.deepcopy(module.op))
    return nn.Sequential(*layers, *([nn.ReLU()] if module.activation == "ReLU" else []))


def plain(model: nn.Module) -> nn.Module:
    """Return the same network built of torch.nn layers only."""
    model = copy.deepcopy(model)
    for name, module in list(model.named_modules()):
        parent = model.get_submodule(name.rpartition(".")[0])
        if isinstance(module, FusedModule):
            setattr(parent, name.rpartition(".")[2], plain_layers(module))
        elif isinstance(module, ai8x.Dropout):
            setattr(parent, name.rpartition(".")[2], nn.Dropout(module.p))
    return model


def training_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> Callable[[], None]:
    """Return a function that takes one step of Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(inputs), targets))
        optimizer.step()

    return step


def forward_pass(model: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """Return a function that computes one batch without gradients."""

    @torch.no_grad()
    def run() -> None:
        model(inputs)

    model.eval()
    return run


def measured(runs: Mapping[str, Callable[[], None]], rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Return the seconds of each run, taken in turn; the first round only warms up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started = clock()
            run()
            if number:
                times[name].append(clock() - started)
    return times


def report(times: Mapping[str, list[float]]) -> None:
    """Print times and their ratios to the first one."""
    base = min(next(iter(times.values())))
    for name, values in times.items():
        best, middle = min(values), statistics.median(values)
        limit = f"   (at most {LIMITS[name]})" if name in LIMITS else ""
        print(f"  {name:14s} {1e3 * best:8.2f} ms, median {1e3 * middle:8.2f} ms   {best / base:5.2f} ×{limit}")


def built(name: str, *, simulate: bool = False) -> nn.Module:
    """Return the model, with channels last as in training."""
    torch.manual_seed(0)
    arguments = {"weight_bits": 8, "bias_bits": 8, "quantize_activation": True} if simulate else {}
    with ai8x.build_context(MAX78000, simulate=simulate):
        return find_model(name).build(**arguments)


def quantized(model: nn.Module) -> nn.Module:
    """Return the model after the QAT switch."""
    ai8x.start_qat(model, ai8x.QatPolicy(0, 8))
    return model


def integers(name: str) -> nn.Module:
    """Return the model of the 8-bit mode with random integer weights of all magnitudes."""
    model = built(name, simulate=True)
    for key, value in model.state_dict().items():
        if key.endswith((".weight", ".bias")):
            value.copy_(torch.randn_like(value).mul_(30).round_().clamp_(-128, 127))
    ai8x.update_model(model)
    return model


def epochs_of_training(name: str) -> Callable[[], float]:
    """Return a function that trains on random samples and returns the seconds of its fastest epoch.

    To be called in a folder that has a dataset file of :data:`PLUGIN`.
    """
    settings = TrainSettings(
        model=name,
        dataset=DATASETS[name],
        epochs=2,
        batch_size=BATCH,
        optimizer="Adam",
        learning_rate=1e-4,
        qat_policy="at_once.yaml",
        cpu=True,
        seed=0,
    )

    def run() -> float:
        # One validation batch of one sample is included; loading, checkpoints and plots are not.
        return min(record.seconds for record in train(settings, Console(verbosity=-1)).history)

    return run


def gpu_rates(name: str, gpus: int, policy: str | None) -> float:
    """Return the samples a second of the fastest of three epochs on so many GPUs."""
    settings = TrainSettings(
        model=name,
        dataset=DATASETS[name],
        epochs=3,
        batch_size=BATCH * gpus,
        optimizer="Adam",
        learning_rate=1e-4,
        qat_policy=policy,
        gpus=tuple(range(gpus)),
        distributed=gpus > 1,
        processes=gpus if gpus > 1 else None,
        seed=0,
    )
    return BATCH * STEPS / min(record.seconds for record in train(settings, Console(verbosity=-1)).history)


def measure_gpus(name: str, gpus: int) -> None:
    """Print the rates of one GPU and of several."""
    print(f"{name}, {torch.cuda.get_device_name(0)}")
    for phase, policy in (("float", None), ("QAT", "at_once.yaml")):
        rates = {count: gpu_rates(name, count, policy) for count in sorted({1, gpus})}
        shown = "   ".join(f"{count} GPUs {rate:9,.0f} samples/s" for count, rate in rates.items())
        print(f"  {phase:5s} {shown}   {rates[gpus] / rates[1]:5.2f} ×")


def require_gpus(gpus: int, present: int) -> None:
    """End with a line unless there are so many GPUs."""
    if not 1 <= gpus <= present:
        raise SystemExit(
            f"--gpus {gpus}: this computer has {present or 'no'} GPUs that PyTorch can use; nothing measured"
        )


def measure_epoch(name: str, step: Callable[[], None], rounds: int) -> None:
    """Print the time of an epoch per step, next to a step on a prepared batch."""
    epoch = epochs_of_training(name)
    times: dict[str, list[float]] = {"step on a prepared batch": [], "QAT epoch": []}
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(STEPS):
            step()
        times["step on a prepared batch"].append((time.perf_counter() - started) / STEPS)
        times["QAT epoch"].append(epoch() / STEPS)
    report(times)


def measure_model(name: str, rounds: int, clock: Clock) -> None:
    """Measure and print everything about one model."""
    shape = SHAPES[name]
    inputs, targets = channels_last(torch.randint(-128, 128, (BATCH, *shape)) / 128), torch.randint(0, 10, (BATCH,))
    models = {"plain step": plain(built(name)), "float step": built(name), "QAT step": quantized(built(name))}
    steps = {key: training_step(model, inputs, targets) for key, model in models.items()}
    print(f"{name}, {torch.get_num_threads()} threads")
    report(measured(steps, rounds, clock))
    if clock is time.perf_counter:
        measure_epoch(name, steps["QAT step"], max(2, rounds // 8))
    passes = {
        "plain forward": forward_pass(plain(built(name)), inputs),
        "-8 forward": forward_pass(integers(name), inputs * 128),
    }
    report(measured(passes, rounds, clock))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true", help="on a busy computer; no epochs, use OMP_NUM_THREADS=1")
    parser.add_argument("--model", choices=SHAPES, action="append")
    parser.add_argument("--gpus", type=int, help="measure training on so many GPUs instead")
    arguments = parser.parse_args()
    if arguments.gpus is not None:
        require_gpus(arguments.gpus, torch.cuda.device_count() if torch.cuda.is_available() else 0)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("datasets").mkdir()
        Path("datasets/bench.py").write_text(PLUGIN, encoding="utf-8")
        Path("at_once.yaml").write_text("start_epoch: 0\nweight_bits: 8\n", encoding="utf-8")
        for name in arguments.model or SHAPES:
            if arguments.gpus is not None:
                measure_gpus(name, arguments.gpus)
                continue
            measure_model(name, arguments.rounds, time.process_time if arguments.cpu_time else time.perf_counter)


if __name__ == "__main__":
    main()
