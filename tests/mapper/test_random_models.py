"""Random PyTorch models: each is placed and right on the virtual device, or refused for what torch confirms.

AI8X_RANDOM_MODELS sets how many, AI8X_SEED the first.
"""

from __future__ import annotations

import os

import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import DEVICES
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.torch import legalize
from ai8x_tool.frontend.yaml.load import load_network
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.mapper import map_automatically
from ai8x_tool.network.device_rules import require_device
from ai8x_tool.nn import BuildContext
from ai8x_tool.quantization.added import for_network
from tests.mapper.test_small_networks import verified
from tests.support.confirmed_refusals import confirmed
from tests.support.described_alike import misread
from tests.support.random_models import RandomModel
from tests.support.random_plain_models import RandomPlainModel
from tests.support.traced_models import agree, randomize, simulated, traced

COUNT, FIRST = int(os.environ.get("AI8X_RANDOM_MODELS", "25")), int(os.environ.get("AI8X_SEED", "0"))


def built(seed, device):
    """Return a model in 8-bit mode: of fused modules, or every fourth of plain ones."""
    if seed % 4 < 3:
        with simulated(device):
            return RandomModel(seed)
    torch.manual_seed(seed)
    model = RandomPlainModel(seed).eval()
    legalize(model, model.shape, BuildContext(device, simulate=True))
    return model


def read_back(found, model, device, folder):
    """Return the network and the placement of the description and the checkpoint that a project would contain."""
    file, description = folder / "q.pth.tar", folder / "network.yaml"
    torch.save({"epoch": 0, "state_dict": model.state_dict()}, file)
    stored = read_checkpoint(file)
    if (completed := for_network(stored, found.network)) is not None:
        file.write_bytes(completed)
    description.write_text(write_description(found.network, found.placement, device, options=found.options))
    assert misread(description.read_text(), file.read_bytes(), found.network, found.placement, device) == []
    return load_network(description, file, found.network.input_shape, device, Console(-1, muted=True))


def test_random_models(tmp_path):
    refused = 0
    for seed in range(FIRST, FIRST + COUNT):
        device = list(DEVICES)[seed % 2]
        print("seed", seed, device.name)
        model = randomize(built(seed, device), seed)
        try:
            network = traced(model, model.shape, device)
            require_device(network, device)
            found = map_automatically(network, device, moves=True)
        except Ai8xError as error:
            assert confirmed(model, str(error)), error
            refused += 1
            continue
        agree(model, model.shape, device, seed=seed)
        verified(found, device)
        network, placement = read_back(found, model, device, tmp_path)
        assert placement == found.placement
        for have, want in zip(network.layers, found.network.layers, strict=True):
            assert (have.bits, have.shift, have.inputs) == (want.bits, want.shift, want.inputs)
    print(f"{refused} of {COUNT} refused")
    assert refused <= 0.1 * COUNT
