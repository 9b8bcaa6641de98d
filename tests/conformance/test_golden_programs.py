"""Every store of the reference generator, in order, for golden networks; and the networks that must be refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.errors import Ai8xError
from ai8x_tool.synthesis.synthesize import SynthesisOptions, synthesize
from tests.support.golden_cases import ENABLE, entries, golden_folder, read_case
from tests.support.networks import QUIET

pytestmark = pytest.mark.golden

# One network for each distinctive feature, beside every eighth of the list.
DISTINCTIVE = (
    *("demo-kws20", "demo-mnist", "demo-cats-dogs", "demo-svhn", "demo-cifar", "energy", "layers"),
    *("conv1d-dilation13", "conv1d-dilation8", "conv1d-multilayer-q1248", "conv1d-abs", "conv2dk1x1", "conv2d-id"),
    *("pooldilation-mixed", "depthwise-big", "depthwise-mixed", "depthwise1d", "depthwise17x5x7-move-more"),
    *(
        "eltwiseadd-combined-conv",
        "eltwiseadd-5op",
        "eltwiseor",
        "eltwisesub",
        "eltwiseaddconv2d",
        "mpadd3-256-convpad2",
    ),
    *("ffsx4readahead-nopad", "readahead-x4-multipass5m32", "x4-multipass5m8", "quad0-readahead", "fifostream-16ch"),
    *("fifostream-640-small__fifo", "fifostream-group", "fifo-hwc-nonsquare", "streaming-group0", "stream-transition"),
    *("mlpflatten768to100", "mpflatten-256", "flatten-fc-quant4", "mppool-1x1", "negate-binary", "outputshift"),
    *("pooling13x1", "pooling16x16s4wide", "passthroughmultipass", "snoop2-skip", "snoop-stop", "tfrock-bias"),
    *("upsample-nonsquare-pad2", "upscale-pro", "wide3to508to3", "wide512in-bias-q2", "widein-bias-binary", "chan1024"),
)


STARVED = "fifostream-group"
"""Programs that put one channel into the first FIFO, while a processor of each of three quadrants waits for one. They
are wrong by themselves, and are made only where that is accepted."""


def pytest_generate_tests(metafunc):
    """Every eighth golden case and those above, all with --all-golden."""
    if "accepted" in metafunc.fixturenames:
        cases = entries("accept")
        if not metafunc.config.getoption("--all-golden"):
            names = {e for e in cases if any(text in e.rpartition("/")[2] for text in DISTINCTIVE)}
            cases = [e for i, e in enumerate(cases) if i % 8 == 0 or e in names]
        metafunc.parametrize("accepted", cases or [absent()])
    if "rejected" in metafunc.fixturenames:
        metafunc.parametrize("rejected", entries("reject") or [absent()])


def absent():
    reason = f"no shared reference data at {golden_folder()} (set AI8X_SHARED)"
    return pytest.param("absent", marks=pytest.mark.skip(reason=reason))


def synthesized(case, *, accept_wrong_data=False):
    """Run the whole synthesis of a case; rules, replay and rendering included."""
    options = SynthesisOptions(
        network=case.resolve_options(),
        mapping=case.mapping_options(),
        lowering=case.lowering_options(),
        accept_wrong_data=accept_wrong_data,
    )
    project = ProjectOptions(
        "golden", "network.yaml", "checkpoint", softmax="--softmax" in case.options, riscv="--riscv" in case.options
    )
    return synthesize(case.network_file, case.checkpoint, case.sample, case.device, project, options, QUIET)


def test_accepted_network(accepted):
    case = read_case(golden_folder() / accepted)
    if STARVED in accepted:
        with pytest.raises(Ai8xError, match="channel 1 of the input lies at processor 1"):
            synthesized(case)
    result = synthesized(case, accept_wrong_data=STARVED in accepted)
    program = result.program
    golden = np.load(case.folder / "golden.npz")
    stores = program.stores(result.program_sample)
    actual = list(zip(stores.addresses.tolist(), stores.values.tolist(), stores.sizes.tolist(), strict=True))
    made = golden["phase"] != ENABLE
    expected = list(zip(*(golden[key][made].tolist() for key in ("addr", "value", "width")), strict=True))
    different = [(i, a, b) for i, (a, b) in enumerate(zip(expected, actual, strict=False)) if a != b][:3]
    assert (different, len(actual)) == ([], len(expected))
    answers = [
        (b.address + 4 * i, b.mask, v) for b in result.program_sample.answers for i, v in enumerate(b.values.tolist())
    ]
    if "out_addr" in golden:
        expected = zip(*(golden[key].tolist() for key in ("out_addr", "out_mask", "out_value")), strict=True)
        assert sorted(answers) == sorted(expected)


def test_rejected_network(rejected):
    """One line that names file, line and layer."""
    case = read_case(golden_folder() / rejected)
    topic = json.loads((case.folder / "case.json").read_text())["topic"]
    with pytest.raises(Ai8xError) as caught:
        synthesized(case)
    message = str(caught.value)
    assert "\n" not in message
    assert "network.yaml:" in message, topic
    assert "layer " in message, topic
