"""Seeds for the purposes of a run, each independent of the others."""

from __future__ import annotations

import hashlib

import torch


def derived_seed(seed: int, epoch: int, purpose: str) -> int:
    """Return the seed for one purpose of one epoch, so that an epoch does not depend on those before it."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Return a generator started with :func:`derived_seed`."""
    return torch.Generator().manual_seed(derived_seed(seed, epoch, purpose))
