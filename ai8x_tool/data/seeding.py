"""Seeds for the purposes of a run, each independent of the others."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derived_seed(seed: int, epoch: int, purpose: str) -> int:
    """Return the seed for one purpose of one epoch, so that an epoch does not depend on those before it."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def normal_numbers(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Return normally distributed numbers on `device`, drawn there; `generator`, on the CPU, decides which."""
    if device.type == "cpu":
        return torch.randn(*shape, generator=generator)
    own = torch.Generator(device).manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    return torch.randn(*shape, generator=own, device=device)


def generator_for(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Return a generator started with :func:`derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(seed, epoch, purpose))


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of Python, NumPy and torch that models and datasets may use without being given one."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # for other devices, too, where they are not used, is slow
    else:
        torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
