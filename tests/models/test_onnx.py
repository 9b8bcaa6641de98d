"""All models can be written as ONNX, for batches of any size, and compute the same there."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from ai8x_tool.device import MAX78000
from ai8x_tool.nn import QatPolicy, build_context, fuse_batchnorm, start_qat
from ai8x_tool.plugins.find import find_model
from ai8x_tool.report.onnx_file import export_onnx, run_onnx
from tests.support.turns import in_turn

pytestmark = [
    pytest.mark.usefixtures("onnx_operators"),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime", "onnxslim")),
        reason="needs the extra 'onnx'",
    ),
]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("ai85tinierssd", (3, 74, 74), marks=pytest.mark.slow),
        *in_turn(
            [
                ("ai85autoencoder", (256, 3)),
                ("bayer2rgbnet", (4, 64, 64)),
                ("ai85unetsmall", (3, 80, 80)),
                ("ai85kws20netv3", (128, 128)),
            ],
            4,
        ),
    ],
)
def test_quantization_aware_models(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    with build_context(MAX78000):
        model = find_model(name).build().eval()
    fuse_batchnorm(model)
    start_qat(model, QatPolicy(start_epoch=0, weight_bits=8))
    inputs = torch.randint(-128, 128, (3, *shape)) / 128
    with torch.no_grad():
        expected = model(inputs)
    found = run_onnx(export_onnx(model, inputs[:2]), inputs)
    for wanted, value in zip(expected if isinstance(expected, tuple) else (expected,), found, strict=True):
        assert len(wanted.unique()) > 3
        np.testing.assert_allclose(value, wanted.numpy(), rtol=0, atol=1e-6)
