"""Wrapping of the model for training: compiled, distributed, in lower precision."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map

from ai8x_tool.errors import Ai8xError
from ai8x_tool.settings.training import CompilerSettings
from ai8x_tool.training.world import World


@dataclass(frozen=True)
class CompiledModel:
    """A wrapped model whose outputs are always float32."""

    compute: Callable[[Tensor], Any]
    device: torch.device
    lower_precision: bool

    def __call__(self, inputs: Tensor) -> Any:
        """Return the outputs of a batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.lower_precision):
            output = self.compute(inputs)
        return _float32(output) if self.lower_precision else output


def compile_model(
    model: nn.Module, settings: CompilerSettings, world: World, example: Tensor, *, qat: bool
) -> CompiledModel:
    """Wrap `model` according to the options. Call again after the parameters or the computation have changed.

    `example` is a batch of one sample, on the model's device.

    Lower precision is not used with QAT: bfloat16 is no more precise than the quantized values.
    """
    compute = _compiled(model, settings) if settings.compile and settings.compiler_mode != "none" else model
    if world.size > 1:
        devices = [example.device] if example.is_cuda else None
        compute = DistributedDataParallel(compute, devices, find_unused_parameters=_has_unused(model, example))
    return CompiledModel(compute, example.device, settings.precision == "bf16" and not qat)


def _has_unused(model: nn.Module, example: Tensor) -> bool:
    """Return whether some parameters do not affect the outputs, so that they get no gradient."""
    parameters, training = [p for p in model.parameters() if p.requires_grad], model.training
    with torch.enable_grad():
        outputs = tree_leaves(model.eval()(example))
    model.train(training)
    total = torch.stack([output.float().sum() for output in outputs]).sum()
    return any(gradient is None for gradient in torch.autograd.grad(total, parameters, allow_unused=True))


def _compiled(model: nn.Module, settings: CompilerSettings) -> nn.Module:
    mode = None if settings.compiler_mode == "default" else settings.compiler_mode
    options: dict[str, Any] = {"backend": settings.compiler_backend, "mode": mode}
    torch.compiler.reset()
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)  # its warnings concern speed
    try:
        torch.compile(lambda value: value * 2 + 1, **options)(torch.zeros(2))
    except Exception as error:  # the compiler can raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Ai8xError(f"torch.compile failed: {reason}", fix="leave out --compile") from None
    return cast(nn.Module, torch.compile(model, **options))


def _float32(output: Any) -> Any:
    return tree_map(lambda part: part.float() if isinstance(part, Tensor) else part, output)
