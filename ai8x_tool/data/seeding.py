"""Independent seeds for the purposes of a run."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derived_seed(seed: int, epoch: int, purpose: str) -> int:
    """Return the seed for one purpose in one epoch, so that an epoch does not depend on previous epochs."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def normal_numbers(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Return normally distributed numbers generated on `device`, seeded by `generator`, which is on the CPU."""
    if device.type == "cpu":
        return torch.randn(*shape, generator=generator)
    own = torch.Generator(device).manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
    return torch.randn(*shape, generator=own, device=device)


def generator_for(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Return a generator seeded with :func:`derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(seed, epoch, purpose))


def seed_global_generators(seed: int, device: torch.device) -> None:
    """Seed the global generators of Python, NumPy and PyTorch, which models and datasets may use."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # seeding unused devices would be slow
    else:
        torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
