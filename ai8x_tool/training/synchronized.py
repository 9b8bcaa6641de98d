"""Batch normalization over the batch of all processes, with the result of a single process."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ai8x_tool.training.world import ALONE, World


class _Synchronized(nn.modules.batchnorm._BatchNorm):
    """Normalizes by mean and variance of the samples of all processes, on any device (PyTorch's own requires GPUs)."""

    world: World = ALONE

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (PyTorch's name)
        """Return the plain module's result for this process's share of the whole batch."""
        if not self.training:
            return super().forward(input)
        values, axes = input.float(), [axis for axis in range(input.dim()) if axis != 1]
        shape = [1, -1, *[1] * (input.dim() - 2)]
        present = float(self.world.counts)  # a substitute for a missing sample does not count
        own = torch.cat((values.sum(axes), values.new_tensor([values.numel() / values.shape[1]])))
        sums = self.world.sum(own * present)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centered = values - mean.view(shape)
        variance = self.world.sum(centered.square().sum(axes) * present) / count
        self._follow(mean.detach(), variance.detach() * (count / (count - 1).clamp(min=1)))
        scale = torch.rsqrt(variance + self.eps) * (1 if self.weight is None else self.weight)
        result = centered * scale.view(shape)
        return (result if self.bias is None else result + self.bias.view(shape)).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics with those of a batch, as PyTorch's module does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        rate = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, rate)
        self.running_var.lerp_(variance, rate)


class _SynchronizedBatchNorm1d(_Synchronized, nn.BatchNorm1d): ...


class _SynchronizedBatchNorm2d(_Synchronized, nn.BatchNorm2d): ...


_SYNCHRONIZED: dict[type, type[_Synchronized]] = {
    nn.BatchNorm1d: _SynchronizedBatchNorm1d,
    nn.BatchNorm2d: _SynchronizedBatchNorm2d,
}


def synchronize_batchnorm(model: nn.Module, world: World) -> None:
    """Make batch normalization use the batch of all processes. Parameters and their names are unchanged."""
    if world.size == 1:
        return
    for module in model.modules():
        if type(module) in _SYNCHRONIZED:
            module.__class__ = _SYNCHRONIZED[type(module)]
            assert isinstance(module, _Synchronized)
            module.world = world
