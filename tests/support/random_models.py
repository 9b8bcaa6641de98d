"""Random models of fused modules: residuals, concatenations, shared weights, reshapes, several outputs."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ai8x_tool import nn as ai8x

Run = Callable[[list[Tensor]], Tensor]
Shape = tuple[int, ...]

_ACTIVATIONS = ("", "ReLU", "ReLU", "Abs")


class RandomModel(nn.Module):
    """A model drawn from `seed`; its `shape` is that of a sample, `features` what it has, by name."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = Random(seed)
        self.features: list[str] = []
        self.shapes: list[Shape] = [self._input()]
        self.shape = self.shapes[0]
        self.runs: list[Run] = []
        while not self.runs:
            for _ in range(self.random.randint(2, 9)):
                self._grow()
        self._finish()

    def forward(self, x: Tensor) -> Any:
        """Return the output, or a tuple of several."""
        values = [x]
        for run in self.runs:
            values.append(run(values))
        chosen = tuple(values[index] for index in self.outputs)
        return chosen[0] if len(chosen) == 1 else chosen

    # -- drawing ----------------------------------------------------------------------------------------------------

    def _input(self) -> Shape:
        r = self.random
        if r.random() < 0.25:
            return r.randint(1, 70), r.randint(8, 40)
        return r.choice((1, 3, 4, 16, 20)), r.randint(6, 18), r.randint(6, 18)

    def _grow(self) -> None:
        kinds = (self._convolution,) * 5 + (self._pool, self._eltwise, self._eltwise, self._eltwise, self._cat)
        kinds += (self._cat, self._reshape, self._crop, self._shared, self._relu, self._nothing, self._residual)
        self.random.choice(kinds)()

    def _pick(self, dimensions: int | None = None) -> int | None:
        fitting = [i for i, s in enumerate(self.shapes) if dimensions in (None, len(s)) and len(s) > 1]
        if not fitting:
            return None
        return fitting[-1] if self.random.random() < 0.7 else self.random.choice(fitting)

    def _add(self, feature: str, shape: Shape, run: Run) -> int:
        self.features.append(feature)
        self.shapes.append(shape)
        self.runs.append(run)
        return len(self.shapes) - 1

    def _module(self, feature: str, module: nn.Module, source: int) -> int:
        name = f"m{len(self.runs)}"
        self.add_module(name, module)
        return self._add(
            feature, self._probe(module, self.shapes[source]), lambda v: self.get_submodule(name)(v[source])
        )

    @staticmethod
    def _probe(module: nn.Module, shape: Shape) -> Shape:
        with torch.no_grad():
            return tuple(module(torch.zeros(1, *shape)).shape[1:])

    def _convolution(self, source: int | None = None, **fixed: Any) -> int | None:
        r = self.random
        source = self._pick() if source is None else source
        assert source is not None
        shape = self.shapes[source]
        two = len(shape) == 3
        kinds = ("Conv2d", "Conv2d", "Conv2d", "DepthwiseConv2d", "ConvTranspose2d") if two else ("Conv1d",)
        kind = fixed.get("kind", r.choice(kinds))
        activation = fixed.get("activation", r.choice(_ACTIVATIONS))
        pool = fixed.get("pool", r.choice(("", "", "MaxPool", "AvgPool")))
        name = f"Fused{pool}{kind}{activation}"
        name = name if hasattr(ai8x, name) else kind
        options: dict[str, Any] = {"bias": r.random() < 0.5}
        if name.startswith("Fused") and pool:
            options |= {"pool_size": r.randint(2, 3), "pool_stride": r.randint(1, 3)}
        kernel = r.choice((1, 3)) if kind != "ConvTranspose2d" else 3
        options["padding"] = r.randint(0, kernel // 2)
        if kind == "Conv1d":
            options["dilation"] = r.choice((1, 1, 2))
        elif kind == "ConvTranspose2d":
            options |= {"stride": 2, "padding": 1}
        elif not pool and r.random() < 0.15 and kind == "Conv2d":
            options["stride"] = r.randint(2, 3)
        options |= fixed.get("options", {})
        outputs = shape[0] if kind.startswith("Depthwise") else fixed.get("outputs", r.choice((1, 4, 8, 13, shape[0])))
        try:
            module = getattr(ai8x, name)(shape[0], outputs, fixed.get("kernel", kernel), **options)
            result = self._probe(module, shape)
        except (ValueError, RuntimeError):
            return None
        if max(result[1:]) > 40 or min(result) < 1:
            return None
        return self._module(name, module, source)

    def _pool(self) -> int | None:
        source = self._pick()
        assert source is not None
        shape = self.shapes[source]
        size = self.random.randint(1, 3)
        if min(shape[1:]) < size:
            return None
        kind = self.random.choice(("MaxPool", "AvgPool")) + f"{len(shape) - 1}d"
        return self._module(kind, getattr(ai8x, kind)(size, self.random.randint(1, 3)), source)

    def _eltwise(self) -> int | None:
        r = self.random
        first = self._pick()
        assert first is not None
        same = [i for i, s in enumerate(self.shapes) if s == self.shapes[first] and i != first]
        if not same:
            return None
        operands = [first, *r.sample(same, min(len(same), r.choice((1, 1, 2))))]
        kind = r.choice(("Add", "Add", "Sub", "BitwiseOr", "BitwiseXor"))
        name = f"m{len(self.runs)}"
        self.add_module(name, getattr(ai8x, kind)())
        index = self._add(kind, self.shapes[first], lambda v: self.get_submodule(name)(*(v[i] for i in operands)))
        if r.random() < 0.6:
            self._convolution(index)
        return index

    def _residual(self) -> int | None:
        source = self._pick(3)
        if source is None:
            return None
        channels = self.shapes[source][0]
        fixed = {"kind": "Conv2d", "pool": "", "kernel": 3, "outputs": channels}
        inner = self._convolution(source, **fixed, options={"padding": 1, "stride": 1})
        if inner is None:
            return None
        name = f"m{len(self.runs)}"
        self.add_module(name, ai8x.Add())
        index = self._add("residual", self.shapes[source], lambda v: self.get_submodule(name)(v[source], v[inner]))
        self._convolution(index)
        return index

    def _cat(self) -> int | None:
        first = self._pick()
        assert first is not None
        same = [i for i, s in enumerate(self.shapes) if s[1:] == self.shapes[first][1:] and i != first]
        if not same or self.shapes[first][0] > 100:
            return None
        parts = [first, *self.random.sample(same, min(len(same), self.random.choice((1, 1, 2))))]
        shape = (sum(self.shapes[i][0] for i in parts), *self.shapes[first][1:])
        index = self._add("cat", shape, lambda v: torch.cat([v[i] for i in parts], 1))
        self._convolution(index)
        return index

    def _reshape(self) -> int | None:
        source = self._pick()
        assert source is not None
        shape = self.shapes[source]
        if len(shape) == 3:
            return self._add(
                "2D to 1D", (shape[0], shape[1] * shape[2]), lambda v: v[source].reshape(len(v[source]), shape[0], -1)
            )
        rows = next((d for d in (4, 3, 2, 5) if shape[1] % d == 0), 1)
        new = (shape[0], rows, shape[1] // rows)
        return self._add("1D to 2D", new, lambda v: v[source].view(v[source].size(0), *new))

    def _crop(self) -> int | None:
        source = self._pick()
        assert source is not None
        rows = self.shapes[source][1]
        if rows < 5:
            return None
        first, last = self.random.randint(0, 2), rows - self.random.randint(0, 2)
        shape = (self.shapes[source][0], last - first, *self.shapes[source][2:])
        index = self._add("crop", shape, lambda v: v[source][:, :, first:last])
        self._convolution(index)
        return index

    def _shared(self) -> int | None:
        source = self._pick(3)
        if source is None:
            return None
        channels = self.shapes[source][0]
        fixed = {"kind": "Conv2d", "pool": "", "kernel": 3, "outputs": channels}
        once = self._convolution(source, **fixed, options={"padding": 1, "stride": 1})
        if once is None:
            return None
        name = f"m{len(self.runs) - 1}"
        return self._add("shared", self.shapes[once], lambda v: self.get_submodule(name)(v[once]))

    def _relu(self) -> int | None:
        source = self._convolution(activation="", pool="")
        if source is None:
            return None
        return self._add("relu", self.shapes[source], lambda v: F.relu(v[source]))

    def _nothing(self) -> int | None:
        source = self._pick()
        assert source is not None
        return self._module("dropout", self.random.choice((nn.Dropout(0.3), nn.Identity(), ai8x.Empty())), source)

    def _finish(self) -> None:
        """End in a classifier, in the last value, or in several."""
        r = self.random
        last = len(self.shapes) - 1
        self.outputs = [last]
        inputs = int(torch.Size(self.shapes[last]).numel())
        if r.random() < 0.5 and inputs <= 1024:
            flat = self._add("flatten", (inputs,), lambda v: v[last].flatten(1))
            hidden = self._module("Linear", ai8x.FusedLinearReLU(inputs, 9, bias=r.random() < 0.5), flat)
            self.outputs = [self._module("Linear", ai8x.Linear(9, 5, bias=True, wide=r.random() < 0.5), hidden)]
        if r.random() < 0.2:
            self.features.append("outputs")
            self.outputs.append(r.randrange(1, len(self.shapes)))
