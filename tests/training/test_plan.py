"""Plans: batches, the shape of the learning rate, less time than epochs, an end without progress."""

from __future__ import annotations

import pytest

from ai8x_tool.training.metrics import Measured
from ai8x_tool.training.plan import Plan, automatic_batch, automatic_policy


@pytest.mark.parametrize(("samples", "size"), [(1, 16), (280, 16), (600, 32), (5000, 256), (1_000_000, 256)])
def test_batches(samples: int, size: int) -> None:
    assert automatic_batch(samples) == size


def test_qat_starts_before_the_end() -> None:
    for epochs in (1, 2, 10, 90):
        assert 0 <= automatic_policy(epochs).start_epoch < epochs
    assert automatic_policy(90).start_epoch == 54


def test_the_rate_rises_falls_and_begins_again() -> None:
    plan = Plan(10, 6, automatic=True)
    rates = [plan.factor(epoch, 0.0) for epoch in range(10)]
    assert max(rates) == pytest.approx(1, abs=0.1) and rates.index(max(rates)) in (1, 2)
    assert rates[5] < 0.2 and rates[6] == pytest.approx(0.15) and rates[9] < rates[6]
    assert 0 < plan.factor(9, 1.0) < 0.01


def test_time_limits_the_epochs() -> None:
    plan = Plan(90, 54, seconds=30)
    for epoch in range(90):
        if epoch >= plan.epochs:
            break
        qat = plan.qat_start is not None and epoch >= plan.qat_start
        plan.after_epoch(epoch, qat=qat, elapsed=epoch + 1.0, seconds=1.0)
    assert 20 <= plan.epochs <= 29 and plan.qat_start is not None and plan.qat_start < plan.epochs


def test_no_progress_ends_a_phase() -> None:
    plan, same = Plan(90, 54, patience=3), Measured(1.0, {"top1": 50.0})
    for epoch in range(10):
        plan.note(same, (50.0,), epoch, qat=False)
    assert plan.qat_start == 4 and plan.epochs == 40
    plan.start_qat()
    for epoch in range(4, 12):
        if epoch < plan.epochs:
            plan.note(same, (50.0,), epoch, qat=True)
    assert plan.epochs == 8
