"""Where samples are kept, decided by free memory; batches are the same wherever they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ai8x_tool.data.dataset import Split
from ai8x_tool.training import sample_placement
from ai8x_tool.training.batches import batches
from ai8x_tool.training.sample_placement import DeviceFacts, device_facts, placed_splits, transfer_to

CPU = torch.device("cpu")


def split(samples: int, **more: object) -> Split:
    raw = torch.arange(samples * 100, dtype=torch.uint8).view(samples, 1, 10, 10)
    return Split(raw, torch.zeros(samples, dtype=torch.int64), lambda part: part.float() - 128, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("free", "moved"),
    [(0, ""), (2500, ""), (3000, "v"), (25_000, "tv"), (33_000, "tve")],
)
def test_what_fits_is_moved(free: int, moved: str) -> None:
    """108 bytes a sample: 80 for training, 10 for validation and 30 for the test; 40 % of the free memory."""
    given = [split(count, on_any_device=True) for count in (80, 10, 30)]
    found = placed_splits(given, CPU, DeviceFacts(own_memory=True, free=free))
    assert "".join(name for name, old, new in zip("tve", given, found, strict=True) if old is not new) == moved


def test_what_must_stay() -> None:
    plain, movable = split(10), split(10, on_any_device=True)
    facts = DeviceFacts(own_memory=True, free=10**6)
    first, second, third = placed_splits([plain, movable, movable], CPU, facts)
    assert first is plain and second is third is not movable
    assert placed_splits([movable], CPU, replace(facts, own_memory=False)) == [movable]
    assert device_facts(CPU) == DeviceFacts(own_memory=False) and not transfer_to(CPU).pins


def test_batches_are_pinned_before_they_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of what happens to each batch where the device reads pinned memory."""
    happened: list[str] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: happened.append("pinned") or tensor)
    monkeypatch.setattr(sample_placement, "Transfer", lambda device, pins: _Noting(device, happened))
    inputs = [each for each, _ in batches(split(4), torch.arange(4), 2, simulate=True, device=CPU)]
    assert torch.cat(inputs).flatten().tolist() == split(4).prepare(split(4).raw).flatten().tolist()
    assert happened.count("pinned") == 4 and happened.count("sent") == 2 and happened[:2] == ["pinned", "pinned"]


class _Noting(sample_placement.Transfer):
    def __init__(self, device: torch.device | None, happened: list[str]) -> None:
        super().__init__(device, pins=True)
        object.__setattr__(self, "happened", happened)

    def sent(self, batch):  # type: ignore[no-untyped-def]
        self.happened.append("sent")
        return super().sent(batch)


def test_the_benchmark_says_when_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts import bench_training

    monkeypatch.setattr("sys.argv", ["bench_training.py", "--gpus", "2"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="this computer has no GPUs that PyTorch can use"):
        bench_training.main()
