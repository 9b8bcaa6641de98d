"""Where prepared samples are kept: on the accelerator where they fit, otherwise in memory that it can read itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ai8x_tool.data.dataset import Split

Batch = TypeVar("Batch")
_SHARE = 0.4
"""Share of the free memory that samples may take: the network and its gradients need the rest."""


@dataclass(frozen=True)
class DeviceFacts:
    """What is known of a compute device: whether it has memory of its own, of which so many bytes are `free`."""

    own_memory: bool
    free: int = 0


def device_facts(device: torch.device) -> DeviceFacts:
    """Return the facts about a device."""
    if device.type == "cuda":
        return DeviceFacts(own_memory=True, free=torch.cuda.mem_get_info(device)[0])
    return DeviceFacts(own_memory=False)


def placed_splits(splits: Sequence[Split], device: torch.device, facts: DeviceFacts) -> list[Split]:
    """Return splits with their samples on `device`, the first ones as far as they fit; the others as they are.

    Only those are moved whose preparation and augmentation work there. A split that is given twice is moved once.
    """
    room = int(_SHARE * facts.free) if facts.own_memory else 0
    moved: dict[int, Split] = {}
    for split in splits:
        size = sum(tensor.numel() * tensor.element_size() for tensor in (split.raw, split.targets))
        if id(split) not in moved:
            fits = split.on_any_device and size <= room
            room -= size if fits else 0
            moved[id(split)] = _moved(split, device) if fits else split
    return [moved[id(split)] for split in splits]


def _moved(split: Split, device: torch.device) -> Split:
    return replace(split, raw=split.raw.to(device), targets=split.targets.to(device))


@dataclass(frozen=True)
class Transfer:
    """Moves batches to a device: without waiting where they have been put into pinned memory before."""

    device: torch.device | None
    pins: bool = False

    def prepared(self, batch: Batch) -> Batch:
        """Return a batch in memory from which it can be sent without waiting."""
        return (
            self._each(batch, lambda tensor: tensor if tensor.is_cuda else tensor.pin_memory()) if self.pins else batch
        )

    def sent(self, batch: Batch) -> Batch:
        """Return a batch on the device."""
        return self._each(batch, lambda tensor: tensor.to(self.device, non_blocking=self.pins))

    @staticmethod
    def _each(batch: Batch, change: Any) -> Batch:
        found: Batch = tree_map(lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf, batch)
        return found


def transfer_to(device: torch.device | None) -> Transfer:
    """Return how batches come to a device."""
    return Transfer(device, pins=device is not None and device.type == "cuda")
