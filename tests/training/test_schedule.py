"""Learning-rate schedules."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ai8x_tool import resources
from ai8x_tool.errors import Ai8xError
from ai8x_tool.training.schedule import Schedule, read_schedule

POLICY = (
    "policies:\n  - lr_scheduler: {instance_name: a}\n    starting_epoch: 0\n    ending_epoch: %d\n    frequency: 1\n"
)


def rates(path: Path, epochs: int, first: int = 0) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    schedule = Schedule(read_schedule(path), optimizer, [None] * first)
    result = []
    for epoch in range(first, epochs):
        result.append(round(optimizer.param_groups[0]["lr"], 6))
        optimizer.step()
        schedule.end_epoch(epoch)
    return result


@pytest.mark.parametrize(
    ("component", "end", "expected"),
    [
        ("class: MultiStepLR, milestones: [2, 4], gamma: 0.5", 10, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ("class: MultiStepLR, milestones: [2, 4], gamma: 0.5", 3, [1, 1, 0.5, 0.5, 0.5, 0.5]),
        ("class: PolynomialLR, T_max: 4, power: 2", 10, [1, 0.5625, 0.25, 0.0625, 0, 0]),
        ("class: PolynomialLR, total_iters: 4, power: 1", 10, [1, 0.75, 0.5, 0.25, 0, 0]),
        ("class: MultiStepMultiGammaLR, milestones: [1, 3], gammas: [0.5, 0.1]", 9, [1, 0.5, 0.5, 0.05, 0.05, 0.05]),
        ("class: CosineAnnealingWarmRestarts, T_0: 2", 9, [1, 0.5, 1, 0.5, 1, 0.5]),
        ("class: CosineAnnealingLR, T_max: 4, eta_min: 0.2", 9, [1, 0.882843, 0.6, 0.317157, 0.2, 0.317157]),
        ("class: ExponentialLR, gamma: 0.5", 9, [1, 0.5, 0.25, 0.125, 0.0625, 0.03125]),
        ("class: StepLR, step_size: 2, gamma: 0.1", 9, [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ("class: ConstantLR, factor: 0.25, total_iters: 2", 9, [0.25, 0.25, 1, 1, 1, 1]),
        ("class: LinearLR, start_factor: 0.25, total_iters: 3", 9, [0.25, 0.5, 0.75, 1, 1, 1]),
        ("class: CosineAnnealingLR, T_max: 4", 9, [1, 0.853553, 0.5, 0.146447, 0, 0.146447]),
        ("class: CyclicLR, base_lr: 0.1, max_lr: 0.5, step_size_up: 2", 9, [0.1, 0.3, 0.5, 0.3, 0.1, 0.3]),
        ("class: OneCycleLR, max_lr: 1, total_steps: 10, pct_start: 0.5", 9, None),
    ],
)
def test_rates_and_resuming(tmp_path: Path, component: str, end: int, expected: list[float] | None) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"lr_schedulers:\n  a: {{{component}}}\n" + POLICY % end)
    expected = expected or rates(path, 6)
    assert rates(path, 6) == expected
    assert all(rates(path, 6, first) == expected[first:] for first in range(6))


def test_frequency_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    head = "lr_schedulers: {a: {class: ExponentialLR, gamma: 0.5}}\npolicies:\n  - lr_scheduler: {instance_name: a}\n"
    path.write_text(head + "    starting_epoch: 1\n    ending_epoch: 5\n    frequency: 2\n")
    assert rates(path, 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    path.write_text(head + "    epochs: [0, 4]\n")
    assert rates(path, 6, 2) == [0.5, 0.5, 0.5, 0.25]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr_schedulers: {a: {class: ReduceLROnPlateau, mode: down}}", "'a': mode down is unknown"),
        ("lr_schedulers: [1]", "'lr_schedulers' must be a mapping"),
        ("policies: 3", "'policies' must be a list"),
        ("lr_schedulers: {a: {class: MultiStepLr, gamma: 1}}", "did you mean 'MultiStepLR'"),
        ("lr_schedulers: {a: {class: MultiStepLR, milestone: [1]}}", "unexpected keyword argument 'milestone'"),
        ("lr_schedulers: {a: {class: MultiStepMultiGammaLR, milestones: [1], gammas: []}}", "as many gammas"),
        ("lr_schedulers: {a: {gamma: 1}}", "must have a 'class'"),
        ("policies: [{lr_scheduler: {instance_name: b}, epochs: [1]}]", "undefined scheduler 'b'"),
        ("policies: [{pruner: {instance_name: b}}]", "other kinds are not supported"),
        ("lr_schedulers: {a: {class: StepLR, step_size: 2, last_epoch: 3}}", "'last_epoch' must not be given"),
        ("lr_schedulers: {a: {class: OneCycleLR, max_lr: 1, total_steps: 3}}\n" + POLICY % 9, "'a': Tried to step 4"),
        ("lr_schedulers: {a: {class: StepLR, step_size: 0}}\n" + POLICY % 9, "'a': .*zero"),
        (
            "lr_schedulers: {a: {class: SequentialLR, schedulers: [1, 2], milestones: [1]}}",
            "unknown or unsupported|'a': ",
        ),
        ("lr_schedulers: {a: {class: StepLR, step_size: 2}}\n" + POLICY.replace("lr_s", "loss_lr_s") % 9, "undefined"),
        ("pruners: {}", "'pruners' are not supported"),
        ("lr_scheduler: {}", "unknown section 'lr_scheduler'; did you mean 'lr_schedulers'"),
        ("lr_schedulers: {b: {class: ConstantLR}}\npolicies: [{lr_scheduler: {instance_name: b}}]", "missing"),
        (
            "lr_schedulers: {b: {class: ConstantLR}}\n"
            "policies: [{lr_scheduler: {instance_name: b}, starting_epoch: 3, ending_epoch: 2, frequency: 1}]",
            "starting_epoch 3, ending_epoch 2",
        ),
        (
            "lr_schedulers: {b: {class: ConstantLR}}\n"
            "policies: [{lr_scheduler: {instance_name: b}, starting_epoch: 0, ending_epoch: 1000000000, frequency: 1}]",
            "≤ 100,000",
        ),
        ("policies: [{lr_scheduler: {instance_name: [b]}, epochs: [1]}]", "undefined scheduler"),
        ("a: [", ":2: YAML syntax error"),
        ("3", "a schedule must be a mapping"),
    ],
)
def test_faults(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(Ai8xError, match=words) as caught:
        read_schedule(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_warming_up_and_decaying(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("lr_schedulers:\n  a: {class: MultiStepLR, milestones: [1, 3], gamma: 0.5}\n" + POLICY % 9)
    for first in range(4):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        schedule = Schedule(read_schedule(path), optimizer, [None] * first, warmup_epochs=2)
        used, scheduled = [], []
        for epoch in range(first, 4):
            scheduled.append(optimizer.param_groups[0]["lr"])
            with schedule.epoch(epoch, 2) as begin:
                for step in (1, 2):
                    begin(step)
                    used.append(optimizer.param_groups[0]["lr"])
                    optimizer.step()
            assert optimizer.param_groups[0]["lr"] == scheduled[-1]
            schedule.end_epoch(epoch)
        assert used == [0.25, 0.5, 0.375, 0.5, 0.5, 0.5, 0.25, 0.25][2 * first :]
        assert scheduled == [1, 0.5, 0.5, 0.25][first:]


def test_the_loss_has_a_schedule_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "loss_lr_schedulers:\n  a: {class: ExponentialLR, gamma: 0.5}\n" + POLICY.replace("lr_s", "loss_lr_s") % 9
    )
    model, loss = (torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0) for _ in range(2))
    schedule = Schedule(read_schedule(path), model, [None], loss_optimizers=[loss])
    schedule.end_epoch(1)
    assert model.param_groups[0]["lr"] == 1 and loss.param_groups[0]["lr"] == 0.25
    with pytest.raises(Ai8xError, match="'loss_lr_scheduler' requires a loss with parameters"):
        Schedule(read_schedule(path), model)


def test_every_shipped_file_is_valid() -> None:
    from ai8x_tool.nn import read_policy

    assert len([read_schedule(path) for path in resources.list_configs("schedules").values()]) >= 20
    policies = {name: read_policy(path) for name, path in resources.list_configs("qat").items()}
    assert (
        policies["faceid_112"].choose("feature_stage.4.0.conv2") == (2, 0.6) and policies["default"].start_epoch == 30
    )
