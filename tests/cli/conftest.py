"""A folder with everything that `ai8x synthesize` needs."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ai8x_tool.cli.main import app

NETWORK = """\
arch: tiny
dataset: Toy
layers:
  - name: first
    op: Conv2d
    pad: 1
    activate: ReLU
    processors: 0x0000.0000.0000.0007
    out_offset: 0x2000
  - name: last
    op: Linear
    flatten: true
    activate: None
    output_width: 32
    processors: 0x00000000000000ff
    out_offset: 0x1000
"""


def trained_state():
    generator = torch.Generator().manual_seed(1)
    state = OrderedDict()
    for name, shape in (("first", (8, 3, 3, 3)), ("last", (5, 128))):
        state[f"{name}.output_shift"] = torch.tensor([0.0])
        state[f"{name}.weight_bits"] = torch.tensor([8.0])
        state[f"{name}.op.weight"] = torch.rand(shape, generator=generator) - 0.5
        state[f"{name}.op.bias"] = torch.rand(shape[0], generator=generator) - 0.5
    return state


def quantized_state():
    state = trained_state()
    for key in [k for k in state if ".op." in k]:
        state[key] = torch.floor(state[key] * 200)
        if key.endswith("bias"):
            state[key] *= 128
    return state


class Workspace:
    """Files of a small network, and the command line."""

    def __init__(self, folder):
        self.folder = folder
        self.network = folder / "net.yaml"
        self.checkpoint = folder / "net-q.pth.tar"
        self.sample = folder / "sample.npy"
        self.output = folder / "out"
        self.network.write_text(NETWORK)
        self.save(quantized_state())
        np.save(self.sample, np.random.default_rng(0).integers(-128, 128, (3, 4, 4)))

    def save(self, state, arch="tiny", path=None):
        torch.save({"epoch": 3, "arch": arch, "state_dict": state, "extras": {}}, path or self.checkpoint)

    def save_pickle(self, content):
        """Write `content` as a checkpoint in the old format."""
        parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, content, []]
        self.checkpoint.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))

    def edit(self, old, new):
        text = self.network.read_text()
        assert old in text
        self.network.write_text(text.replace(old, new))

    @property
    def arguments(self):
        """Options of a synthesis that works."""
        return {
            "--config-file": self.network,
            "--checkpoint-file": self.checkpoint,
            "--sample-input": self.sample,
            "--output": self.output,
        }

    def synthesize(self, *more, **replaced):
        """Run the command; replaced options are given as ``checkpoint_file=…``, None leaves one out."""
        options = self.arguments | {"--" + key.replace("_", "-"): value for key, value in replaced.items()}
        words = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
        return run("synthesize", *words, *map(str, more))


def run(*words):
    """Run `ai8x` in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def ai8x():
    """The command line."""
    return run


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


@pytest.fixture
def states():
    """State dicts of the small network: trained, quantized."""
    return trained_state(), quantized_state()
