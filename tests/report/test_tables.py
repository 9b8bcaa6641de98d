"""Tables at every width: nothing is cut, nothing is padded; what each command shows is compared with saved texts.

Set ``AI8X_UPDATE_SNAPSHOTS=1`` to write the texts anew, and read them before they are committed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ai8x_tool import api
from ai8x_tool.console import Console, PlainText
from ai8x_tool.firmware.image import Sizes
from ai8x_tool.firmware.phases import Phase
from ai8x_tool.firmware.result import FirmwareRun, MemoryUse
from ai8x_tool.report.analysis_text import AnalysisText
from ai8x_tool.report.catalogue import catalogue, resources_table
from ai8x_tool.report.columns import Column, Table
from ai8x_tool.report.explain import explain_table
from ai8x_tool.report.firmware import memory_table, phase_table
from ai8x_tool.report.synthesis import checkpoint_table, synthesis_table
from ai8x_tool.report.verification import verification_table
from ai8x_tool.verification.chain import LayerVerification, Verification
from ai8x_tool.verification.models import LayerDistance, LayerEquality

SNAPSHOTS = Path(__file__).parent / "snapshots"
WIDTHS = {"60": 60, "80": 80, "120": 120, "piped": None, "ascii": None}


class Stream(io.StringIO):
    """A text stream of an encoding."""

    def __init__(self, encoding):
        super().__init__()
        self.named = encoding

    @property
    def encoding(self):
        return self.named


def shown(table, width, encoding="utf-8"):
    """Return what the console writes on a terminal of `width`, or into a pipe."""
    stream = Stream(encoding)
    options = {"width": width or 40, "force_terminal": width is not None, "no_color": True}
    Console(out=PlainText(file=stream, legacy_windows=False, **options)).show(table)
    return stream.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.fixture(scope="module")
def synthesis(tmp_path_factory):
    from tests.cli.conftest import Workspace

    workspace = Workspace(tmp_path_factory.mktemp("network"))
    names = ("network", "checkpoint", "sample_input")
    files = dict(zip(names, (workspace.network, workspace.checkpoint, workspace.sample), strict=True))
    return api.synthesize(**files).synthesis


def run_result():
    uses = tuple(
        MemoryUse(core, Sizes(12_344, 1_046_528, 16, 1_232), 1_024, 524_288 * 2, 131_072) for core in ("arm", "riscv")
    )
    phases = (Phase("load weights", 1_234_567, 345_678, 12), Phase("load input", 3_456, 1_024, 0))
    firmware = SimpleNamespace(compiler="clang 20", device=SimpleNamespace(name="MAX78000"))
    return SimpleNamespace(firmware=firmware, run=FirmwareRun("", 0, "", phases, uses))


def verification(synthesis):
    layers = [
        LayerVerification(c.index, c.label, LayerDistance(23.456, 0.0123), LayerEquality(c.values, 0, None), c)
        for c in synthesis.check.layers
    ]
    return Verification(1, "the known-answer sample", tuple(layers), ())


@pytest.fixture(scope="module")
def tables(synthesis):
    """What commands show, by name."""
    torch.manual_seed(0)
    return {
        "synthesize": synthesis_table(synthesis.statistics, synthesis.mapping.device),
        "checkpoint": checkpoint_table(synthesis.network),
        "explain": explain_table(synthesis.program, synthesis.network.layers[0]),
        "verify": verification_table(verification(synthesis)),
        "run-phases": phase_table(run_result()),
        "run-memory": memory_table(run_result()),
        "list-devices": resources_table(catalogue("devices")),
        "list-operators": resources_table(catalogue("operators")),
        "analyze": AnalysisText(api.analyze("ai85net5", dataset="MNIST", device="both")),
    }


NAMES = (
    *("synthesize", "checkpoint", "explain", "verify", "run-phases", "run-memory"),
    *("list-devices", "list-operators", "analyze"),
)


@pytest.mark.parametrize("way", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_snapshots(tables, name, way):
    width = WIDTHS[way]
    text = shown(tables[name], width, "ascii" if way == "ascii" else "utf-8")
    file = SNAPSHOTS / f"{name}-{way}.txt"
    if os.environ.get("AI8X_UPDATE_SNAPSHOTS"):
        SNAPSHOTS.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")
    for line in text.splitlines():
        assert line == line.rstrip()
        assert width is None or len(line) <= width
    assert way != "ascii" or text.isascii()


words = st.text("abcdefg_.0123456789", min_size=1, max_size=30)


@given(
    rows=st.lists(st.tuples(words, words, st.integers(0, 10**9), st.integers(0, 10**7)), min_size=1, max_size=5),
    width=st.integers(24, 140),
    keep=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_nothing_is_cut(rows, width, keep):
    """What is shown is whole: all names and numbers of rank 0, each other column is or is named as left out."""
    names, texts, first, second = zip(*rows, strict=True)
    columns = (
        Column("layer", names, right=False),
        Column("output", tuple(f"{n:,}" for n in first)),
        Column("cycles", tuple(f"{n:,}" for n in second), rank=1),
        Column("meaning", texts, right=False, wrapped=True),
    )
    lines = [line.text for line in Table(columns, keep=keep).lines(width)]
    found = " ".join(lines).replace(":", " ").split()
    for name, text, number, other in rows:
        assert {name, text, f"{number:,}"} <= set(found)
        assert f"{other:,}" in found or "(no room for: cycles)" in lines
    assert all(line == line.rstrip() for line in lines)


def test_a_pipe_has_no_limit():
    """Without a terminal a row is a line, however long."""
    names = ("n" * 300, "b")
    table = Table((Column("name", names, right=False), Column("text", ("w " * 200, ""), right=False, wrapped=True)))
    assert len(shown(table, None).splitlines()) == 3
