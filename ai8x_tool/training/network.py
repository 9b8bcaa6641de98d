"""The model as it computes training batches: distributed, compiled, in lower precision. spec: training, section 4.4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings import TrainSettings
from ai8x_tool.training.world import World


@dataclass(frozen=True)
class Network:
    """Computes this process's inputs and returns the outputs of the whole batch, as float32."""

    compute: Callable[[Tensor], Any]
    world: World
    device: torch.device
    lower_precision: bool

    def __call__(self, inputs: Tensor, total: int) -> Any:
        """Return the outputs for a batch of `total` samples, of which `inputs` are this process's."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lower_precision):
            output = self.compute(inputs)
        return self.world.gather(_float32(output) if self.lower_precision else output, total)


def training_network(
    model: nn.Module, settings: TrainSettings, world: World, device: torch.device, *, qat: bool
) -> Network:
    """Wrap `model` as the options say. To be called again when its parameters or the way it computes have changed.

    The lower precision ends where quantization starts: bfloat16 has no more digits than the quantized values.
    """
    compute: Callable[[Tensor], Any] = model
    if world.size > 1:
        # Seeds and files are the same in all processes, and so are parameters and buffers from the beginning.
        devices = [device] if device.type == "cuda" else None
        compute = DistributedDataParallel(model, devices, broadcast_buffers=False, init_sync=False)
    if settings.compile and settings.compiler_mode != "none":
        compute = _compiled(compute, settings)
    return Network(compute, world, device, settings.precision == "bf16" and not qat)


def _compiled(compute: Callable[[Tensor], Any], settings: TrainSettings) -> Callable[[Tensor], Any]:
    mode = None if settings.compiler_mode == "default" else settings.compiler_mode
    options: dict[str, Any] = {"backend": settings.compiler_backend, "mode": mode}
    torch.compiler.reset()
    try:
        torch.compile(lambda value: value * 2 + 1, **options)(torch.zeros(2))
    except Exception as error:  # whatever the compiler behind it raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Ai8xError(f"torch.compile does not work here: {reason}", fix="leave out --compile") from None
    return torch.compile(compute, **options)


def _float32(output: Any) -> Any:
    return output.float() if isinstance(output, Tensor) else type(output)(_float32(part) for part in output)
