"""The whole chain on a network of the user's own: train → quantize → evaluate → synthesize."""

import json

import pytest
from typer.testing import CliRunner

from ai8x_tool.cli.main import app

MODEL = '''
from torch import nn
import ai8x


class Small(nn.Module):
    """Two layers."""

    def __init__(self, num_classes=3, num_channels=2, dimensions=(8, 8), bias=False, **kwargs):
        super().__init__()
        self.conv1 = ai8x.FusedConv2dBNReLU(num_channels, 8, 3, padding=1, bias=True, **kwargs)
        self.conv2 = ai8x.FusedMaxPoolConv2dReLU(8, 6, 3, padding=1, bias=True, **kwargs)
        self.fc = ai8x.Linear(6 * 4 * 4, num_classes, wide=True, bias=True, **kwargs)

    def forward(self, x):
        x = self.conv2(self.conv1(x))
        return self.fc(x.view(x.size(0), -1))


def smallnet(pretrained=False, **kwargs):
    """Build it."""
    assert not pretrained
    return Small(**kwargs)


models = [{"name": "smallnet", "min_input": 1, "dim": 2}]
'''

DATASET = '''
import torch

from ai8x_tool.data.dataset import Dataset, DatasetEntry, Split


def _split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, (count,), generator=generator)
    raw = torch.randint(96, 160, (count, 2, 8, 8), generator=generator).to(torch.uint8)
    for row, target in zip(raw, targets.tolist()):
        row[:, target * 2 : target * 2 + 2] += 90
    return Split(raw, targets, lambda batch: batch.float() - 128)


def load(data_dir, console):
    """Stripes at one of three heights."""
    return Dataset(_split(400, 0), None, _split(100, 1))


datasets = [DatasetEntry("STRIPES", (2, 8, 8), ("low", "middle", "high"), load)]
'''

RECIPE = """
description: stripes
model: smallnet
dataset: STRIPES
network: smallnet
device: MAX78000
train: {epochs: 4, optimizer: Adam, learning_rate: 0.005, weight_decay: 0, batch_size: 50, qat_policy: early}
synthesize: {prefix: stripes, softmax: true}
"""

NETWORK = """
arch: smallnet
dataset: STRIPES
layers:
  - {name: conv1, op: Conv2d, kernel_size: 3x3, pad: 1, activate: ReLU, processors: 0x3, out_offset: 0x1000}
  - {name: conv2, op: Conv2d, kernel_size: 3x3, pad: 1, activate: ReLU, max_pool: 2, pool_stride: 2, processors: 0xff,
     out_offset: 0}
  - {name: fc, op: Linear, flatten: true, activate: None, output_width: 32, processors: 0x3f, out_offset: 0x1000}
"""


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder with the user's own model, dataset, recipe and network description."""
    files = {
        "models/smallnet.py": MODEL,
        "datasets/stripes.py": DATASET,
        "configs/recipes/stripes.yaml": RECIPE,
        "configs/networks/smallnet.yaml": NETWORK,
        "configs/qat/early.yaml": "start_epoch: 2\nweight_bits: 8\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_own_network_from_training_to_project(own_folder):
    result = CliRunner().invoke(app, ["demo", "stripes", "--output", "out", "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["test_samples"] == 100
    assert document["agreement"]["different_samples"] == 0
    assert document["agreement"]["values"] == 300
    assert document["quantized_top1"] > 80
    project = own_folder / "out" / "project"
    assert {"cnn.c", "cnn.h", "weights.h", "main.c", "Makefile"} <= {path.name for path in project.iterdir()}


def test_difference_is_named(own_folder):
    """An engine that is wrong in one place must be noticed, with the place."""
    import numpy as np
    import torch

    from ai8x_tool.checkpoint import read_checkpoint
    from ai8x_tool.console import Console
    from ai8x_tool.device import MAX78000
    from ai8x_tool.frontend.yaml.checkpoint_parameters import load_parameters
    from ai8x_tool.frontend.yaml.parser import read_description
    from ai8x_tool.frontend.yaml.resolve import resolve
    from ai8x_tool.plugins.find import find_dataset
    from ai8x_tool.training.agreement import compare_outputs

    console = Console(verbosity=-1)
    weights = {
        "conv1": np.ones((8, 2, 3, 3)),
        "conv2": np.ones((6, 8, 3, 3)),
        "fc": np.arange(3 * 96).reshape(3, 96) % 7,
    }
    state = {f"{name}.op.weight": torch.tensor(values, dtype=torch.float32) for name, values in weights.items()}
    torch.save({"state_dict": state, "epoch": 0, "arch": "smallnet"}, "q.pth.tar")
    description = read_description(own_folder / "configs/networks/smallnet.yaml", MAX78000, console)
    parameters = load_parameters(description, read_checkpoint("q.pth.tar"), MAX78000, console)
    network = resolve(description, parameters, (2, 8, 8), MAX78000, console).network
    test = find_dataset("STRIPES").load(own_folder, console).test

    from ai8x_tool.engine import run

    samples = test.batch(torch.arange(100))[0].numpy().astype(np.int8)
    outputs = torch.from_numpy(run(network, samples).last.reshape(100, 3).astype(np.float32))
    assert compare_outputs(network, test, outputs, console).complete
    outputs[41, 2] += 1
    wrong = compare_outputs(network, test, outputs, console)
    assert wrong.different_samples == 1
    assert wrong.first is not None
    assert wrong.first.startswith("sample 41, channel 2, row 0, column 0")
