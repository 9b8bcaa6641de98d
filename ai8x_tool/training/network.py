"""The model as it computes training batches: compiled, in lower precision. spec: training, section 4.4."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings import TrainSettings


@dataclass(frozen=True)
class Network:
    """Computes outputs, always as float32."""

    compute: Callable[[Tensor], Any]
    device: torch.device
    lower_precision: bool

    def __call__(self, inputs: Tensor) -> Any:
        """Return the outputs of a batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lower_precision):
            output = self.compute(inputs)
        return _float32(output) if self.lower_precision else output


def training_network(model: nn.Module, settings: TrainSettings, device: torch.device, *, qat: bool) -> Network:
    """Wrap `model` as the options say. To be called again when the way it computes has changed.

    The lower precision ends where quantization starts: bfloat16 has no more digits than the quantized values.
    """
    compute: Callable[[Tensor], Any] = model
    if settings.compile and settings.compiler_mode != "none":
        compute = _compiled(model, settings)
    return Network(compute, device, settings.precision == "bf16" and not qat)


def _compiled(compute: Callable[[Tensor], Any], settings: TrainSettings) -> Callable[[Tensor], Any]:
    mode = None if settings.compiler_mode == "default" else settings.compiler_mode
    options: dict[str, Any] = {"backend": settings.compiler_backend, "mode": mode}
    torch.compiler.reset()
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # its warnings are about speed
    try:
        torch.compile(lambda value: value * 2 + 1, **options)(torch.zeros(2))
    except Exception as error:  # whatever the compiler behind it raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Ai8xError(f"torch.compile does not work here: {reason}", fix="leave out --compile") from None
    return torch.compile(compute, **options)


def _float32(output: Any) -> Any:
    return output.float() if isinstance(output, Tensor) else type(output)(_float32(part) for part in output)
