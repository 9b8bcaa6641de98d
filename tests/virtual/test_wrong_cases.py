"""Networks that are wrong although every layer computes what it should: the device, or the comparison, says so."""

from __future__ import annotations

import pytest

from ai8x_tool.synthesis.hardware_check import check_program
from tests.support.case_folders import cases_folder, command_options, synthesized

REPORTED = {
    "after-stream-in-place": (2, "WPTR", "its own input"),
    "concat-overwrites-older": (2, "WPTR", "its own input"),
    "control-adjacent": (2, "WPTR", "its own input"),
    "control-nofifo-inplace": (0, "WPTR", "its own input"),
    "databuffer-overwritten-after-read": (4, "WPTR", "of the state that layer 3 read"),
    "fifo-nostream-inplace": (0, "WPTR", "its own input"),
    "input-offset-misaligned-1": (None, None, "not a multiple of 4"),
    "own-input-passthrough": (2, "WPTR", "its own input"),
    "own-input-transposed": (2, "WPTR", "its own input"),
    "readahead-gap-same-block": (1, "LCTL", "reads ahead"),
    "stream-last-multipass-over-rings": (1, "WPTR", "rolling buffer of layer 0"),
}
COMPARED = {
    "databuffer-overwritten-after-read": (2, True),
    "output-overwritten-overlapdata": (0, True),
}
"""Layer that differs, and whether only at the end."""


@pytest.fixture(scope="module")
def cases():
    folder = cases_folder()
    if not folder.is_dir():
        pytest.skip(f"no cases at {folder} (set AI8X_SHARED)")
    return folder


def checked(folder, options=None):
    result = synthesized(folder, options or command_options(folder))
    return check_program(result.program, result.program_sample, result.tensors)


def test_every_case_is_tried(cases):
    """The others: code in a name, and a network that is right."""
    names = {folder.name for folder in (cases / "trust").iterdir()}
    assert names <= {*REPORTED, *COMPARED, "dedup-different-out", "inject-layer-name", "legal-78002-large-processor"}


@pytest.mark.parametrize("name", REPORTED)
def test_reported_by_the_device(cases, name):
    layer, register, text = REPORTED[name]
    (found,) = checked(cases / "trust" / name).problems
    assert (found.severity, found.layer, found.register) == ("error", layer, register)
    assert text in found.message


@pytest.mark.parametrize("name", [*REPORTED, *COMPARED])
def test_comparison(cases, name):
    check = checked(cases / "trust" / name)
    assert check.equal == (name not in COMPARED)
    if name in COMPARED:
        layer, lost = COMPARED[name]
        (wrong,) = (c for c in check.layers if c.different)
        assert (wrong.index, wrong.first.lost) == (layer, lost)
        assert ("at the end" in check.text()) == lost


def test_residual_network(cases):
    """A layer writes over rows of its own input, which comes from the layer before the one before."""
    options = {"network": "i3.yaml", "checkpoint": "q.pth.tar", "sample_input": "sample_shapes32.npy"}
    check = checked(cases / "residual", options)
    assert check.equal
    (found,) = check.problems
    assert (found.severity, found.register) == ("error", "WPTR")
    assert "its own input" in found.message
