"""Trained checkpoints of the reference in the zoo's models: all their tensors fit, and the answers are those known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.engine import run
from ai8x_tool.model.build import load_weights
from ai8x_tool.model.loading import fitting_state
from ai8x_tool.nn import named_fused_modules, update_model
from tests.support.golden_cases import read_case
from tests.support.zoo import zoo

pytestmark = pytest.mark.golden

CLASSES = {"ai85nascifarnet": 10}
"""Classes of checkpoints that have not as many as the published table."""
STORED = [
    "checkpoints/ai85-catsdogs-qat8-q.pth.tar",
    "checkpoints/ai85-cifar10-qat8-q.pth.tar",
    "checkpoints/ai85-kws20_v3-qat8-q.pth.tar",
    "checkpoints/ai85-mnist-qat8-q.pth.tar",
    "checkpoints/ai85-svhn-tinierssd-qat8-q.pth.tar",
    "checkpoints/ai87-kws20_v3-qat8-q.pth.tar",
    "checkpoints/test-catsdogs-qat8-q.pth.tar",
    "evaluate/ai85-mnist-qat8.pth.tar",
    "evaluate/ai85-mnist-qat8-q.pth.tar",
    *(
        f"quantize/{case}/{kind}.pth.tar"
        for case in ("ai85-camvid-unet-large", "ai85-catsdogs-qat8", "ai85-kws20_v3-qat8", "ai87-kws20_v3-qat8")
        for kind in ("trained", "quantized")
    ),
]


def built_for(checkpoint, *, simulate=True, bias=None, device=None):
    published = zoo()[checkpoint.arch]
    classes = CLASSES.get(checkpoint.arch)
    given = {} if classes is None else {"num_classes": classes}
    given |= {} if bias is None else {"bias": bias}
    return published.build(simulate=simulate, device=device, **given)


@pytest.mark.parametrize("path", STORED)
def test_all_tensors_of_a_checkpoint_fit(path, golden, console):
    checkpoint = read_checkpoint(golden / path)
    bias = True if checkpoint.arch == "ai85kws20netv3" else None  # trained with, though published without
    model = built_for(checkpoint, simulate=False, bias=bias)
    state = fitting_state(model, checkpoint, console)
    weights = [key for key in state if key.endswith("op.weight")]
    assert [key for key in model.state_dict() if key.endswith("op.weight")] == weights  # also in this order
    assert set(state) <= set(model.state_dict())
    assert set(model.state_dict()) - set(state) <= {f"{name}.shift_quantile" for name, _ in named_fused_modules(model)}
    load_weights(model, checkpoint, console, complete=True)
    assert not console.warnings
    for key, value in state.items():
        assert torch.equal(model.state_dict()[key].double(), value.reshape(model.state_dict()[key].shape).double()), key


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("max78000", "demo-cats-dogs"),
        ("max78002", "demo-cats-dogs"),
        ("max78000", "demo-cifar-10"),
        ("max78002", "demo-cifar-10"),
        ("max78000", "demo-kws20_v3"),
        ("max78002", "demo-kws20_v3_87"),
        ("max78000", "demo-mnist"),
        ("max78002", "demo-mnist"),
    ],
)
def test_known_answers(device, name, golden, console):
    """The reference generator leaves out the biases of the first of these checkpoints of keyword spotting."""
    case = read_case(golden / "accept" / device / name)
    checkpoint = read_checkpoint(case.checkpoint)
    model = built_for(checkpoint, device=case.device)
    load_weights(model, checkpoint, console)
    _round_biases(model)
    answers = np.load(case.folder / "golden.npz")["out_value"].astype(np.uint32).view(np.int32)
    with torch.no_grad():
        scores = model(_sample(case, checkpoint))
    assert scores[0].to(torch.int64).tolist() == answers.tolist()


@pytest.mark.parametrize("device", ["max78000", "max78002"])
def test_known_answers_of_the_detector(device, golden, console):
    """Its outputs lie in several memories; the engine, which the known answers verify, has them by layer."""
    case = read_case(golden / "accept" / device / "demo-svhn_tinierssd")
    checkpoint = read_checkpoint(case.checkpoint)
    model = built_for(checkpoint, device=case.device)
    load_weights(model, checkpoint, console, complete=True)
    with torch.no_grad():
        found = model(_sample(case, checkpoint))
    network = case.network()
    tensors = run(network, case.sample[None].astype(np.int8))
    maps = [tensors.outputs[layer.index] for layer in network.layers if layer.output]
    for values, prediction, heads in ((4, found[0], maps[:4]), (11, found[1], maps[4:])):
        expected = [head.transpose(0, 2, 3, 1).reshape(1, -1, values) for head in heads]
        assert np.array_equal(prediction.numpy(), np.concatenate(expected, axis=1))


def _sample(case, checkpoint):
    return torch.from_numpy(case.sample.astype(np.float32)).reshape(1, *zoo()[checkpoint.arch].shape)


def _round_biases(model):
    """Round biases down to what the accelerator holds: 8 bits, times 128."""
    for _, module in named_fused_modules(model):
        if module.op is not None and module.op.bias is not None:
            module.op.bias.data = (module.op.bias.data / 128).floor() * 128
    update_model(model)
