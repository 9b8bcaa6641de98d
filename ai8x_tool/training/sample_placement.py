"""Placement of prepared samples: on the compute device if they fit, else in memory that it can read directly."""

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
"""Share of the free memory that samples may occupy: the network and its gradients need the rest."""


@dataclass(frozen=True)
class DeviceFacts:
    """Memory of a compute device: whether it has its own, and how many bytes of that are `free`."""

    own_memory: bool
    free: int = 0


def device_facts(device: torch.device) -> DeviceFacts:
    """Return the facts about a device."""
    if device.type == "cuda":
        return DeviceFacts(own_memory=True, free=torch.cuda.mem_get_info(device)[0])
    return DeviceFacts(own_memory=False)


def placed_splits(splits: Sequence[Split], device: torch.device, facts: DeviceFacts) -> list[Split]:
    """Return the splits, with the samples of the first ones moved to `device` as far as they fit, others unchanged.

    Only splits whose preparation and augmentation work on the device are moved; a split given twice is moved once.
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
    """Moves batches to a device, asynchronously if they were placed in pinned memory before."""

    device: torch.device | None
    pins: bool = False

    def prepared(self, batch: Batch) -> Batch:
        """Return a batch in memory from which it can be sent asynchronously."""
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
    """Return the way to move batches to a device."""
    return Transfer(device, pins=device is not None and device.type == "cuda")
