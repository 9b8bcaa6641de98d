"""Projects of models without a network description: it is found, written, and describes the same program."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from ai8x_tool import api, resources
from ai8x_tool.cli.main import app
from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.write import write_description
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.resources import find_config

MODEL = {"dataset": "MNIST", "checkpoint": "ai85net5-q.pth.tar", "device": "MAX78000"}
PLACES = r"\n +(processors|output_processors|in_offset|out_offset|data_format): .*"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "mnist"
    written = folder.parent / "written.yaml"
    result = api.synthesize("ai85net5", output=folder, write_network=written, **MODEL)
    return result.synthesis, folder, written


def test_the_project_contains_its_description(project):
    synthesis, folder, written = project
    text = (folder / "network.yaml").read_text()
    assert text == written.read_text()
    keys = {key for layer in yaml.safe_load(text)["layers"] for key in layer}
    assert {"name", "op", "processors", "out_offset"} <= keys
    assert synthesis.network.input_shape == (1, 28, 28)
    by_hand = api.synthesize(network="mnist", **MODEL).synthesis
    assert synthesis.statistics.cycles <= by_hand.statistics.cycles


def test_the_description_is_that_of_the_same_program(project):
    synthesis, folder, _ = project
    assert api.synthesize(settings=folder / "ai8x.yaml", check=folder).different == ()
    again = api.synthesize(network=folder / "network.yaml", prefix="mnist", test_dir=folder.parent / "again", **MODEL)
    first, second = (each.program.stores(each.program_sample) for each in (synthesis, again.synthesis))
    np.testing.assert_array_equal(first.addresses, second.addresses)
    np.testing.assert_array_equal(first.values, second.values)


def test_description_without_places(project, tmp_path):
    text = re.sub(PLACES, "", find_config("networks", "mnist").read_text())
    bare = tmp_path / "bare.yaml"
    bare.write_text(text)
    assert "processors" not in text
    found = api.synthesize(bare, output=tmp_path / "project", **MODEL).synthesis
    assert found.statistics.cycles == project[0].statistics.cycles
    assert api.synthesize(settings=tmp_path / "project" / "ai8x.yaml", check=tmp_path / "project").different == ()


def test_description_with_some_places(tmp_path):
    text = find_config("networks", "mnist").read_text()
    first = re.search(r"    processors: .*\n", text)
    some = tmp_path / "some.yaml"
    kept = text[first.start() : first.end()]
    some.write_text(re.sub(PLACES, "", text[: first.start()]) + kept + re.sub(PLACES, "", text[first.end() :]))
    found = api.synthesize(some, **MODEL).synthesis
    given = yaml.safe_load(some.read_text())["layers"]
    assert [("processors" in layer) for layer in given] == [True] + [False] * (len(given) - 1)
    assert found.mapping.start.own_processors == int(str(given[0]["processors"]).replace(".", ""), 0)


def test_random_sample(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    console = Console(0)
    bare = tmp_path / "bare.yaml"
    bare.write_text((project[1] / "network.yaml").read_text().replace("dataset: MNIST", "dataset: CIFAR10"))
    said = []
    monkeypatch.setattr(console, "info", lambda text, **_: said.append(text))
    sample = api.synthesize(bare, console=console, **MODEL | {"dataset": "MNIST"}).synthesis.sample
    assert sample.shape == (1, 28, 28)
    assert any("random input of 1×28×28" in text for text in said)


def test_what_is_missing():
    with pytest.raises(Ai8xError, match="needs a quantized checkpoint"):
        api.synthesize("ai85net5", dataset="MNIST")
    with pytest.raises(Ai8xError, match=r"no file, and no recipe, network description or model named 'ai85net'; did"):
        api.synthesize("ai85net")


def test_shipped_descriptions_are_products_of_the_mapper():
    path = Path(__file__).parents[2] / "scripts" / "generate_networks.py"
    spec = importlib.util.spec_from_file_location("generate_networks", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.DESCRIPTIONS.keys() == resources.list_configs("networks").keys()
    for name in ("mnist", "kws20_v3", "ai87_kws20_v3", "catsdogs", "cifar10"):  # --check makes all of them again
        written = script.description(name, *script.DESCRIPTIONS[name])
        assert find_config("networks", name).read_text() == written, "generate_networks.py"


def test_template_of_a_model_that_is_yet_to_be_trained(project, tmp_path):
    template = tmp_path / "template.yaml"
    result = CliRunner().invoke(app, ["train", "mnist", "--yaml-template", str(template), "--out-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert list(tmp_path.iterdir()) == [template]
    again = api.synthesize(template, **MODEL).synthesis
    assert again.mapping.placement == project[0].mapping.placement


def test_options_that_a_placement_needs(project):
    mapping = project[0].mapping
    options = MappingOptions(fifo=True, overlap_data=True)
    text = write_description(mapping.network, mapping.placement, mapping.device, options=options)
    assert text.splitlines()[1] == "# Options of the generator: --fifo --overlap-data"
    assert yaml.safe_load(text)["arch"] == "ai85net5"
