"""Folding batch normalization: in a state dict as in the model, and as part of quantization."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from ai8x_tool import nn
from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.model.batchnorm_folding import BatchNormFacts, fold_batchnorm, normalized_layers
from ai8x_tool.quantization import quantize
from ai8x_tool.quantization.rules import Clipping

QUIET = Console(verbosity=-1)
CONTEXT = nn.BuildContext(MAX78002)
BUILDERS = {
    "1d": lambda: nn.FusedConv1dBNReLU(6, 4, 3, bias=True, context=CONTEXT),
    "2d": lambda: nn.FusedMaxPoolConv2dBNReLU(6, 4, 3, padding=1, context=CONTEXT),
    "square": lambda: nn.FusedConv2dBN(4, 4, 3, context=CONTEXT),
    "depthwise": lambda: nn.FusedDepthwiseConv2dBNReLU(6, 6, 3, context=CONTEXT),
    "no affine": lambda: nn.Conv2d(6, 4, 1, batchnorm="NoAffine", context=CONTEXT),
    "transposed": lambda: nn.FusedConvTranspose2dBNReLU(6, 4, 3, stride=2, padding=1, context=CONTEXT),
    "square transposed": lambda: nn.FusedConvTranspose2dBNReLU(4, 4, 3, stride=2, padding=1, context=CONTEXT),
    "depthwise transposed": lambda: nn.FusedDepthwiseConvTranspose2dBNReLU(
        6, 6, 3, stride=2, padding=1, context=CONTEXT
    ),
}
INPUTS = {"1d": (2, 6, 12), "square": (2, 4, 7, 7), "square transposed": (2, 4, 7, 7)}


def trained(name, seed=0):
    """Return a model with plausible statistics, as `layer`."""
    generator = torch.Generator().manual_seed(seed)
    model = torch.nn.Sequential(OrderedDict(layer=BUILDERS[name]()))
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if ".op." in key or (".bn." in key and value.dim()):
                value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
            if key.endswith(("running_var", "bn.weight")):
                value.abs_().add_(0.05)
    return model.eval()


def inputs_of(name):
    shape = INPUTS.get(name, (2, 6, 7, 7))
    return torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(1)) / 128


@pytest.mark.parametrize("name", BUILDERS)
def test_as_the_model_folds_itself(name):
    """Equal to the last bit, so that the integers are, too."""
    model = trained(name)
    facts = BatchNormFacts(transposed={"layer": True}) if name == "square transposed" else BatchNormFacts()
    state = model.state_dict()
    assert normalized_layers(state) == ["layer"]
    folded = fold_batchnorm(state, ["layer"], QUIET, "file", facts)
    nn.fuse_batchnorm(model)
    expected = model.state_dict()
    assert list(folded) == list(expected)
    for key, value in expected.items():
        torch.testing.assert_close(folded[key], value, rtol=0, atol=0)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_function_stays(name):
    model, x = trained(name), inputs_of(name)
    with torch.no_grad():
        before = model(x)
        facts = BatchNormFacts(transposed={"layer": "transposed" in name})
        folded = fold_batchnorm(model.state_dict(), ["layer"], QUIET, "file", facts)
        model.layer.bn = None
        nn.load_state(model, folded)
        after = model(x)
    assert before.std() > 0.01
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


def test_other_conditions():
    """Epsilon and factor can be told, biases are made, other layers stay; what was not asked for stays unfolded."""
    model = trained("2d")
    model.layer.bn.eps = 1e-3
    state = {key: value.clone() for key, value in model.state_dict().items()}
    del state["layer.op.bias"]
    model.layer.op.bias.data.zero_()
    expected = nn.fuse_batchnorm(model) or model.state_dict()
    state["anchors"] = torch.ones(2)
    folded = fold_batchnorm(state, ["layer"], QUIET, "file", BatchNormFacts({"layer": 1e-3}))
    keys = list(folded)
    assert keys[keys.index("layer.op.weight") + 1] == "layer.op.bias"
    assert torch.equal(folded["layer.op.weight"], expected["layer.op.weight"])
    assert torch.equal(folded["layer.op.bias"], expected["layer.op.bias"])
    assert torch.equal(folded["anchors"], torch.ones(2))
    whole = fold_batchnorm(state, ["layer"], QUIET, "file", BatchNormFacts({"layer": 1e-3}, factor=1.0))
    assert torch.equal(whole["layer.op.weight"], 4 * folded["layer.op.weight"])
    assert list(fold_batchnorm(state, [], QUIET, "file")) == list(state)


def test_the_rule_by_hand():
    """Weights w·γ/(4σ), biases (b − μ)/σ·γ/4 + β/4."""
    state = {
        "a.op.weight": torch.tensor([[[[2.0]]]]),
        "a.op.bias": torch.tensor([0.5]),
        "a.bn.weight": torch.tensor([3.0]),
        "a.bn.bias": torch.tensor([0.8]),
        "a.bn.running_mean": torch.tensor([0.1]),
        "a.bn.running_var": torch.tensor([0.25 - 1e-5]),
    }
    folded = fold_batchnorm(state, ["a"], QUIET, "file")
    assert folded["a.op.weight"].item() == pytest.approx(2 * 3 / 4 / 0.5)
    assert folded["a.op.bias"].item() == pytest.approx((0.5 - 0.1) / 0.5 * 3 / 4 + 0.8 / 4)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"layer.op.weight": None}, "there is no 'layer.op.weight'"),
        ({"layer.bn.running_var": None}, "there is no 'layer.bn.running_var'"),
        ({"layer.bn.bias": torch.zeros(3)}, "its tensors differ in size"),
        ({"layer.op.weight": torch.zeros(5, 3, 3, 3)}, "weights 5×3×3×3, 4 channels"),
        ({"layer.op.weight": torch.zeros(3)}, "its tensors differ in size"),
        ({"layer.bn.running_mean": torch.zeros(4, 4)}, "its tensors differ in size"),
    ],
)
def test_what_does_not_fit(change, text):
    state = dict(trained("2d").state_dict())
    state |= {key: value for key, value in change.items() if value is not None}
    state = {key: value for key, value in state.items() if change.get(key, 0) is not None}
    with pytest.raises(Ai8xError, match=f"^file: .*'layer'.*{text}") as caught:
        fold_batchnorm(state, ["layer"], QUIET, "file")
    assert "\n" not in str(caught.value)


def save(path, state, **content):
    torch.save({"epoch": 3, "arch": "net", "extras": {}, "state_dict": state, **content}, path)
    return path


class Recorder(Console):
    """A console that keeps its messages."""

    def __init__(self):
        super().__init__(verbosity=-1)
        self.lines = []

    def info(self, text, *, once=False):
        self.lines.append(text)


@pytest.mark.parametrize("clipping", [None, Clipping("AVGMAX"), Clipping("MAX"), Clipping("STDDEV"), Clipping("SCALE")])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_quantize_folds_and_says_so(tmp_path, clipping, prefix):
    """The same file as after folding in the model."""
    model = torch.nn.Sequential(OrderedDict((f"c{i}", trained(name).layer) for i, name in enumerate(("1d", "2d"))))
    unfolded = {f"{prefix}{key}": value.clone() for key, value in model.state_dict().items()}
    nn.fuse_batchnorm(model)
    folded = {f"{prefix}{key}": value for key, value in model.state_dict().items()}
    console, results = Recorder(), []
    for name, state in (("a", unfolded), ("b", folded)):
        source = save(tmp_path / f"{name}.pth.tar", OrderedDict(state))
        quantize(source, tmp_path / f"{name}-q.pth.tar", MAX78000, console, clipping=clipping)
        results.append(read_checkpoint(tmp_path / f"{name}-q.pth.tar"))
    one, two = results
    assert list(one.state) == list(two.state)
    for key, value in two.state.items():
        assert (one.state[key] == value).all() and one.state[key].dtype == value.dtype, key
    assert one.extras == two.extras
    told = [line for line in console.lines if "folded" in line]
    assert told == [f"{tmp_path / 'a.pth.tar'}: batch normalization of 2 layers folded into weights and biases"]


@pytest.mark.parametrize("measured", [False, True], ids=["fixed ranges", "measured ranges"])
@pytest.mark.parametrize("completed", [False, True])
def test_the_division_by_4_belongs_to_fixed_ranges(tmp_path, measured, completed):
    """qatv2, sections 2.3, 4.2 and 8.3: a file that a newer tool has only completed is an old one."""
    with nn.build_context(MAX78002, measured_ranges=measured):
        layer = nn.FusedConv2dBNReLU(6, 4, 3)
    torch.nn.init.uniform_(layer.bn.weight, 0.5, 2)
    torch.nn.init.uniform_(layer.bn.bias, -1, 1)
    model = torch.nn.Sequential(OrderedDict(layer=layer)).eval()
    state = OrderedDict((key, value.clone()) for key, value in model.state_dict().items())
    if completed:
        new = [f"layer.{key}" for key in ("activation_threshold", "final_scale", "clamp_activation")]
        state |= {key: state.pop(key, torch.tensor(0.0)) for key in new}
    console = Recorder()
    quantize(save(tmp_path / "a.pth.tar", state), tmp_path / "q.pth.tar", MAX78002, console)
    found = read_checkpoint(tmp_path / "q.pth.tar").state
    factor = 1.0 if measured and not completed else 0.25
    gain = layer.bn.weight.detach() / (1 + 1e-5) ** 0.5 * factor
    real = layer.op.weight.detach() * gain.view(-1, 1, 1, 1)
    scale = 2.0 ** float(found["layer.output_shift"][0])
    steps = torch.from_numpy(found["layer.op.weight"]) * scale / 128 - real
    assert steps.abs().max() <= scale / 128 and real.abs().max() > 8 * scale / 128


def test_trained_with_quantization_but_not_folded(tmp_path):
    """Its integers are not those of the folded weights: only methods that ignore QAT may fold it."""
    model = trained("2d")
    state = model.state_dict()
    state["layer.weight_bits"] = torch.tensor([8])
    source, target = save(tmp_path / "a.pth.tar", state), tmp_path / "q.pth.tar"
    with pytest.raises(Ai8xError, match=r"a\.pth\.tar: 'layer\.bn'.*was not folded.*resume training"):
        quantize(source, target, MAX78000, QUIET)
    assert not target.exists()
    quantize(source, target, MAX78000, QUIET, clipping=Clipping("MAX"))
    assert not any(".bn." in key for key in read_checkpoint(target).state)


NETWORK = """
arch: net
dataset: set
layers:
  - {op: Conv2d, processors: 0xf, out_offset: 0}
  - {op: ConvTranspose2d, processors: 0xf, out_offset: 0x2000}
"""


def test_square_transposed_convolutions_are_known_from_the_description(tmp_path, console):
    names = ("square", "square transposed")
    model = torch.nn.Sequential(OrderedDict((f"c{i}", trained(name).layer) for i, name in enumerate(names)))
    source = save(tmp_path / "a.pth.tar", {key: value.clone() for key, value in model.state_dict().items()})
    (tmp_path / "net.yaml").write_text(NETWORK)
    quantize(source, tmp_path / "one.pth.tar", MAX78000, console, network=tmp_path / "net.yaml")
    nn.fuse_batchnorm(model)
    quantize(save(tmp_path / "b.pth.tar", model.state_dict()), tmp_path / "two.pth.tar", MAX78000, console)
    one, two = (read_checkpoint(tmp_path / f"{name}.pth.tar").state for name in ("one", "two"))
    assert all((one[key] == value).all() for key, value in two.items())
    quantize(source, tmp_path / "three.pth.tar", MAX78000, console)
    three = read_checkpoint(tmp_path / "three.pth.tar").state
    assert (three["c1.op.weight"] != two["c1.op.weight"]).any()
    assert not console.warnings, "no layer says that this network has transposed convolutions"


def test_square_layers_beside_transposed_ones_are_named(tmp_path, console):
    names = ("square", "transposed")
    model = torch.nn.Sequential(OrderedDict((f"c{i}", trained(name).layer) for i, name in enumerate(names)))
    quantize(save(tmp_path / "a.pth.tar", model.state_dict()), tmp_path / "q.pth.tar", MAX78000, console)
    assert len(console.warnings) == 1
    assert "treated as ordinary convolutions: c0; if they are transposed" in console.warnings[0]


def test_negative_variance_is_refused(tmp_path):
    state = trained("2d").state_dict()
    state["layer.bn.running_var"] = -torch.ones(4)
    with pytest.raises(Ai8xError, match=r"a\.pth\.tar: 'layer\.op\.weight' must not hold infinite or undefined values"):
        quantize(save(tmp_path / "a.pth.tar", state), tmp_path / "q.pth.tar", MAX78000, QUIET)
