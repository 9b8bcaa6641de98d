"""Models whose data must be moved: the project has a checkpoint with the layers that do it."""

from __future__ import annotations

import pytest
import torch

from ai8x_tool import api
from ai8x_tool.plugins.find import model_in_file
from tests.support.traced_models import randomize, simulated

MODEL = '''"""A model."""
import torch
import torch.nn.functional as F
from torch import nn
from ai8x_tool import nn as ai8x

class Model(nn.Module):
    def __init__(self, num_classes=10, num_channels=1, dimensions=(28, 28), bias=False, **kwargs):
        super().__init__()
        self.a = ai8x.FusedMaxPoolConv2dReLU(num_channels, 6, 3, pool_size=4, pool_stride=4, padding=1, **kwargs)
        self.b = ai8x.Conv2d(6, 6, 1, **kwargs)
        self.c = ai8x.FusedMaxPoolConv2dReLU(12, 4, 3, pool_size=2, pool_stride=2, **kwargs)
        self.add = ai8x.Add()
        self.fc = ai8x.Linear(4, num_classes, bias=True, wide=True, **kwargs)

    def forward(self, x):
        a = self.a(x)
        b = F.relu(self.add(self.b(a), a))
        return self.fc(self.c(torch.cat((b, a), 1)).flatten(1))

def model(pretrained=False, **kwargs):
    return Model(**kwargs)

models = [{"name": "model", "min_input": 1, "dim": 2}]
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moves")
    (folder / "models").mkdir()
    (folder / "models" / "model.py").write_text(MODEL)
    with simulated():
        model = randomize(model_in_file(folder / "models" / "model.py", None).build(), 1, (8,))
    torch.save({"arch": "model", "epoch": 0, "state_dict": model.state_dict()}, folder / "q.pth.tar")
    given = {"dataset": "MNIST", "checkpoint": folder / "q.pth.tar", "device": "MAX78000"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = api.synthesize("model", output=folder / "project", **given)
        return result, folder, api.verify(model="model", firmware=False, **given)


def test_the_project_is_verified(project):
    result, _, verification = project
    assert verification.passed
    names = [layer.name for layer in result.synthesis.network.layers]
    assert {"relu", "c_part0", "c_joined"} <= set(names)


def test_the_project_can_be_made_again(project):
    folder = project[1]
    assert (folder / "project" / "checkpoint.pth.tar").is_file()
    assert api.synthesize(settings=folder / "project" / "ai8x.yaml", check=folder / "project").different == ()


def test_the_project_s_own_checkpoint_is_one_of_the_model(project, monkeypatch):
    monkeypatch.chdir(project[1])
    verification = api.verify(settings=project[1] / "project" / "ai8x.yaml", model="model", firmware=False)
    assert verification.passed
    assert any(layer.equality is not None for layer in verification.layers)


def test_the_analysis_agrees(project):
    result, folder, _ = project
    analysis = api.analyze(folder / "models" / "model.py", dataset="MNIST", device="MAX78000")
    assert analysis.devices[0].cycles == result.synthesis.statistics.cycles
