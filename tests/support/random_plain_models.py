"""Random models of plain torch layers: normalization, activations, poolings, residuals, concatenations."""

from __future__ import annotations

from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RandomPlainModel(nn.Module):
    """A plain model drawn from `seed`; its `shape` is that of a sample."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        r = self.random = Random(seed)
        self.flat = r.random() < 0.3
        self.shape = (r.choice((1, 3, 4)), 16) if self.flat else (r.choice((1, 3, 4)), 16, 16)
        self.blocks = nn.ModuleList()
        self.plans: list[dict[str, Any]] = []
        channels, size = self.shape[0], 16
        for _ in range(r.randint(1, 5)):
            channels, size = self._block(channels, size)
        inputs = channels * size ** (len(self.shape) - 1)
        self.averages = r.random() < 0.5 or inputs > 1024
        self.fc = nn.Linear(channels if self.averages else inputs, 4)

    def _block(self, channels: int, size: int) -> tuple[int, int]:
        r = self.random
        conv, norm = (nn.Conv1d, nn.BatchNorm1d) if self.flat else (nn.Conv2d, nn.BatchNorm2d)
        plan: dict[str, Any] = {"kind": r.choice(("plain", "plain", "residual", "cat")), "act": r.choice(_ACTIVATIONS)}
        outputs = channels if plan["kind"] == "residual" else r.choice((4, 6, 8))
        groups = 2 if channels % 2 == 0 and outputs % 2 == 0 and r.random() < 0.2 else 1
        kernel = r.choice((1, 3))
        layer = conv(channels, outputs, kernel, padding=kernel // 2, bias=r.random() < 0.5, groups=groups)
        block = nn.ModuleDict({"conv": layer, "drop": nn.Dropout(0.1)})
        if r.random() < 0.5:
            block["norm"] = norm(outputs, affine=r.random() < 0.7)
        if plan["act"] == "module":
            block["act"] = nn.ReLU(inplace=r.random() < 0.5)
        plan["pool"] = r.choice(("", "max", "avg")) if size >= 4 else ""
        self.blocks.append(block)
        self.plans.append(plan)
        result = channels + outputs if plan["kind"] == "cat" else outputs
        return result, size // 2 if plan["pool"] else size

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4)."""
        for block, plan in zip(self.blocks, self.plans, strict=True):
            x = self._run(block, plan, x)
        if self.averages:
            x = x.mean(2) if self.flat else F.adaptive_avg_pool2d(x, 1)
        scores: Tensor = self.fc(x.flatten(1))
        return scores

    def _run(self, block: Any, plan: dict[str, Any], x: Tensor) -> Tensor:
        y = block["conv"](x)
        y = block["norm"](y) if "norm" in block else y
        y = y + x if plan["kind"] == "residual" else y
        y = block["act"](y) if "act" in block else {"relu": F.relu, "abs": torch.abs}.get(plan["act"], lambda v: v)(y)
        y = torch.cat((block["drop"](y), x), 1) if plan["kind"] == "cat" else y
        pools = (F.max_pool1d, F.avg_pool1d) if self.flat else (F.max_pool2d, F.avg_pool2d)
        return pools[plan["pool"] == "avg"](y, 2) if plan["pool"] else y


_ACTIVATIONS = ("", "module", "relu", "abs")
