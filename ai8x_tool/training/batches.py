"""Batches of a split in a seeded order, each prepared while the preceding one is processed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ai8x_tool.data.dataset import Split
from ai8x_tool.plugins.reference_data import TorchSplit
from ai8x_tool.training.sample_placement import transfer_to
from ai8x_tool.training.world import ALONE, World

Batch = tuple[Tensor, Any]


def batch_count(samples: int, batch_size: int) -> int:
    """Return the number of batches; the last one may be smaller."""
    return -(-samples // batch_size)


def batch_total(samples: int, batch_size: int, step: int) -> int:
    """Return the number of samples in the batch of a step, counted from 1."""
    return min(batch_size, samples - (step - 1) * batch_size)


def batches(
    split: Split,
    indices: Tensor,
    batch_size: int,
    *,
    augmentation: torch.Generator | None = None,
    simulate: bool = False,
    device: torch.device | None = None,
    world: World = ALONE,
) -> Iterator[Batch]:
    """Yield batches of inputs and targets at `indices` of `split`, augmented if a generator is given.

    Inputs are float32: integers −128…127 with `simulate`, else divided by 128. A background thread prepares one batch
    ahead, in order, so that random numbers do not depend on timing. With several processes, each prepares its share
    with its own random numbers, unless the random numbers of a sample are independent of other samples. If the device
    has its own memory, a batch is copied while the preceding one is processed, unless the split is on the device
    already.
    """
    own = augmentation
    if augmentation is not None and world.rank > 0:
        own = torch.Generator().manual_seed(augmentation.initial_seed() + world.rank)

    def prepare(chosen: Tensor) -> Batch:
        inputs, targets = split.batch(world.share(chosen), own)
        return transfer.prepared((inputs if simulate else inputs.div_(128), targets))

    transfer = transfer_to(device)
    chunks = torch.split(indices, batch_size)
    if isinstance(split, TorchSplit):
        stream: Iterator[Batch] = (
            (x if simulate else x / 128, y) for x, y in split.stream([world.share(c) for c in chunks], augmentation)
        )
    else:
        stream = _one_ahead(prepare, chunks)
    yield from map(transfer.sent, stream)


def _one_ahead(prepare: Callable[[Tensor], Batch], chunks: Sequence[Tensor]) -> Iterator[Batch]:
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as background:
        coming = background.submit(prepare, chunks[0])
        for following in [*chunks[1:], None]:
            batch = coming.result()
            if following is not None:
                coming = background.submit(prepare, following)
            yield batch
