"""Why a model is refused, seen from the model in torch alone: the limits are written down here once more."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FLATTENED_PIXELS, _PROCESSORS = 256, 64
_SAMPLES = 3


def confirmed(model: Any, refusal: str) -> bool:
    """Return whether the model really is what `refusal` says of it; False for refusals that nobody knows of."""
    return any(holds(model) for pattern, holds in _LIMITS.items() if re.search(pattern, refusal))


def _nothing_is_computed(model: Any) -> bool:
    """Return whether all outputs are values of the input, at places that do not depend on them."""
    generator = torch.Generator().manual_seed(1)
    places = []
    for _ in range(_SAMPLES):
        values = torch.randperm(int(torch.Size(model.shape).numel()), generator=generator) + 1.0
        output = _tensors(model(values.reshape(1, *model.shape)))
        places.append([int((values == value).nonzero()) if value in values else -1 for value in output])
    return places[0] == places[1] == places[2] and min(places[0]) >= 0


class _Flattened(TorchFunctionMode):
    """Notes pixels and channels of all that is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels, self.channels = [0], [0]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function."""
        if func is Tensor.flatten and args[0].dim() > 2:
            self.pixels.append(args[0][0, 0].numel())
            self.channels.append(args[0].shape[1])
        return func(*args, **(kwargs or {}))


def _many_pixels(model: Any) -> bool:
    """Return whether a linear layer reads channels of more pixels than the accelerator flattens."""
    with _Flattened() as found:
        model(torch.zeros(1, *model.shape))
    return max(found.pixels) > _FLATTENED_PIXELS


def _uneven_passes(model: Any) -> bool:
    """Return whether a linear layer reads channels that no number of rounds over at most 64 processors divides evenly.

    Processors are a multiple of four, and as few rounds as possible are made.
    """
    with _Flattened() as found:
        model(torch.zeros(1, *model.shape))
    rounds = [(count, -(-count // _PROCESSORS)) for count in found.channels if count > _PROCESSORS]
    return any(count % n or count // n % 4 for count, n in rounds)


def _tensors(result: Any) -> list[float]:
    parts = result if isinstance(result, tuple) else (result,)
    return [float(value) for part in parts for value in part.flatten()]


_LIMITS: dict[str, Callable[[Any], bool]] = {
    r"the model's output does not come from a layer": _nothing_is_computed,
    r"flatten .*256 pixels": _many_pixels,
    r"With flatten, more than 64 channels .*divided evenly": _uneven_passes,
}
