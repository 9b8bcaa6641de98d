"""Insertion of an identity layer: the entries that are written, and that it passes values on unchanged."""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run as run_engine
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.load import load_network
from ai8x_tool.quantization import quantize
from ai8x_tool.quantization.identity import IdentityLayer, insert_identity

CHANNELS = 6


def quantized_state(prefix="", measured=False):
    generator = torch.Generator().manual_seed(3)
    state = OrderedDict()
    for name, shape in (("one", (CHANNELS, 3, 3, 3)), ("two", (4, CHANNELS, 1, 1))):
        layer = prefix + name
        state[f"{layer}.output_shift"] = torch.tensor([-1.0])
        if measured:
            state[f"{layer}.activation_threshold"] = torch.tensor(1.0)
            state[f"{layer}.final_scale"] = torch.tensor(2.0 if name == "two" else 0.0)
        state[f"{layer}.weight_bits"] = torch.tensor([8.0])
        state[f"{layer}.op.weight"] = torch.randint(-128, 128, shape, generator=generator).float()
        state[f"{layer}.op.bias"] = 128 * torch.randint(-128, 128, shape[:1], generator=generator).float()
    return state


def save(path, state, **content):
    torch.save({"epoch": 3, "arch": "net", "extras": {"best_top1": 1.5}, "state_dict": state, **content}, path)
    return path


@pytest.fixture
def inserted(tmp_path):
    """Return a function that inserts a layer by way of files and returns what was written."""

    def function(state, **options):
        layer = IdentityLayer(**({"name": "pt", "channels": CHANNELS, "before": "two"} | options))
        insert_identity(save(tmp_path / "q.pth.tar", state), tmp_path / "out" / "i.pth.tar", layer)
        return torch.load(tmp_path / "out" / "i.pth.tar", weights_only=True)

    return function


@pytest.mark.parametrize(("low_memory", "bits", "weight"), [(False, 8, 64), (True, 2, 1)])
def test_what_is_written(inserted, low_memory, bits, weight):
    """Names, order, types, shapes and values; everything else stays."""
    state = quantized_state()
    content = inserted(state, low_memory=low_memory)
    result = content.pop("state_dict")
    assert content == {"epoch": 3, "arch": "net", "extras": {"best_top1": 1.5}}
    values = {
        **{"output_shift": [1], "weight_bits": [bits], "bias_bits": [8], "quantize_activation": [1]},
        **{"adjust_output_shift": [0], "shift_quantile": [1]},
    }
    keys = [*(f"pt.{key}" for key in values), "pt.op.weight"]
    assert list(result) == [*list(state)[:4], *keys, *list(state)[4:]]
    assert all(result[key].dtype == torch.float32 for key in keys)
    assert {key: result[f"pt.{key}"].tolist() for key in values} == values
    assert result["pt.op.weight"].shape == (CHANNELS, CHANNELS, 1, 1)
    assert torch.equal(result["pt.op.weight"][:, :, 0, 0], weight * torch.eye(CHANNELS))
    assert all(torch.equal(result[key], value) for key, value in state.items())


def test_prefixes_are_removed(inserted):
    plain, parallel = quantized_state(), quantized_state("module.")
    assert list(inserted(parallel)["state_dict"]) == list(inserted(plain)["state_dict"])
    nested = OrderedDict((key.replace("one.", "one.module."), value) for key, value in plain.items())
    assert list(inserted(nested)["state_dict"]) == list(inserted(plain)["state_dict"])


def test_the_name_is_the_whole_name(inserted):
    """`two` is in front of `two`, not of `twofold`."""
    state = quantized_state()
    longer = OrderedDict((key.replace("one.", "twofold."), value) for key, value in state.items())
    assert list(inserted(longer)["state_dict"])[4] == "pt.output_shift"


DESCRIPTION = """
arch: net
dataset: none
layers:
  - {op: Conv2d, pad: 1, activate: ReLU, processors: 7, output_processors: 0x3f, out_offset: 0x1000}
  - {%s, processors: 0x3f, output_processors: 0x3f00, out_offset: 0x2000}
  - {op: Conv2d, kernel_size: 1x1, pad: 0, processors: 0x3f00, out_offset: 0x1000}
"""
PASSTHROUGH, CONVOLUTION = "op: none", "op: Conv2d, kernel_size: 1x1, pad: 0"


@pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)
@pytest.mark.parametrize("measured", [False, True], ids=["fixed ranges", "measured ranges"])
@pytest.mark.parametrize("low_memory", [False, True])
def test_it_computes_what_a_passthrough_does(tmp_path, console, device, measured, low_memory):
    """In the integer engine, for every value of an activation; the other layers keep widths, shifts and scales."""
    source = save(tmp_path / "q.pth.tar", quantized_state(measured=measured))
    target = tmp_path / "i.pth.tar"
    insert_identity(source, target, IdentityLayer("pt", CHANNELS, "two", low_memory))
    sample = np.random.default_rng(1).integers(-128, 128, (1, 3, 5, 7))
    results, scales = [], []
    for file, operator in ((source, PASSTHROUGH), (target, CONVOLUTION)):
        (tmp_path / "net.yaml").write_text(DESCRIPTION % operator)
        network = load_network(tmp_path / "net.yaml", file, (3, 5, 7), device, console).network
        results.append(run_engine(network, sample))
        scales.append(network.layers[-1].final_scale)
    for index in range(3):
        np.testing.assert_array_equal(results[1].outputs[index], results[0].outputs[index])
    np.testing.assert_array_equal(results[1].outputs[1], results[1].outputs[0])
    assert len(np.unique(results[1].outputs[1])) > 50
    assert scales == [2 if measured else 0] * 2


def invoke(*words):
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)


def test_from_the_command_line_to_a_proved_project(tmp_path, monkeypatch):
    """Synthesis runs the program on the virtual device."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "q.pth.tar", quantized_state())
    words = ("--layer-name", "fakepass", "--layer-depth", CHANNELS, "--insert-before", "two", "--low-memory", "--json")
    result = invoke("insert-identity", "q.pth.tar", "i.pth.tar", *words)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert document == {"schema": "ai8x-insert-identity/1", "output": "i.pth.tar", "layer": "fakepass"}
    (tmp_path / "net.yaml").write_text(DESCRIPTION % CONVOLUTION)
    np.save(tmp_path / "sample.npy", np.random.default_rng(0).integers(-128, 128, (3, 4, 4)))
    files = ("--config-file", "net.yaml", "--checkpoint-file", "i.pth.tar", "--sample-input", "sample.npy")
    result = invoke("synthesize", *files, "--output", "out")
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "out" / "cnn.c").is_file()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"before": "tow"}, "the checkpoint does not contain the layer 'tow'; did you mean 'two'?"),
        ({"name": "one"}, "the checkpoint already contains a layer 'one'"),
        ({"name": ""}, "'' is not a valid layer name"),
        ({"name": "a..b"}, "'a..b' is not a valid layer name"),
        ({"name": "a\nb"}, "is not a valid layer name"),
        ({"channels": 0}, "'pt' must have 1 to 1024 channels, not 0"),
        ({"channels": 10**9}, "'pt' must have 1 to 1024 channels, not 1000000000"),
    ],
)
def test_what_cannot_be_inserted(inserted, tmp_path, options, text):
    with pytest.raises(Ai8xError) as caught:
        inserted(quantized_state(), **options)
    assert text in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_only_into_quantized_files(inserted):
    state = quantized_state()
    state["one.op.weight"] = state["one.op.weight"] / 100
    with pytest.raises(
        Ai8xError, match=r"q\.pth\.tar: an identity layer can be inserted into quantized checkpoints only"
    ):
        inserted(state)


def test_the_source_is_never_overwritten(tmp_path):
    path = save(tmp_path / "q.pth.tar", quantized_state())
    before = path.read_bytes()
    with pytest.raises(Ai8xError, match="the output file must not be the input file"):
        insert_identity(path, tmp_path / "." / "q.pth.tar", IdentityLayer("pt", CHANNELS, "two"))
    assert path.read_bytes() == before


def test_it_is_not_quantized_again(inserted, tmp_path):
    """Files that do not name a method are recognized by their weights."""
    inserted(quantized_state(measured=True))
    target = tmp_path / "again.pth.tar"
    for kind in (torch.float32, torch.float16, torch.int8):
        state = OrderedDict(
            (key, value.to(kind) if key.endswith("weight") else value) for key, value in quantized_state().items()
        )
        source = save(tmp_path / "x.pth.tar", state)
        with pytest.raises(Ai8xError, match="already quantized"):
            quantize(source, target, MAX78000, Console(verbosity=-1))
    with pytest.raises(Ai8xError, match="already quantized"):
        quantize(tmp_path / "out" / "i.pth.tar", target, MAX78000, Console(verbosity=-1))
    assert not target.exists()


def test_a_name_with_bookkeeping_only(inserted):
    """A pooling or element-wise module of that name has no weights: its entries are replaced."""
    state = quantized_state()
    state["pt.output_shift"], state["pt.quantize_activation"] = torch.tensor([3.0]), torch.tensor([1.0])
    written = inserted(state)["state_dict"]
    names = list(written)
    assert names.index("pt.output_shift") < names.index("pt.op.weight") < names.index("two.output_shift")
    assert written["pt.output_shift"].item() == 1
