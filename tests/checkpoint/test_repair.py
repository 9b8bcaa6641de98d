"""Checkpoints of every age become alike, and each repair is one line."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ai8x_tool.checkpoint import Checkpoint, read_checkpoint, repair_checkpoint
from ai8x_tool.checkpoint.repair import missing_bookkeeping


class Listener:
    """Stands for a console and keeps what is said."""

    def __init__(self):
        self.lines = []

    def info(self, text, *, once=False):
        assert once
        self.lines.append(text)


def repaired(tmp_path, state, content=None, **options):
    path = tmp_path / "old.pth.tar"
    torch.save({"epoch": 1, "state_dict": OrderedDict(state), **(content or {})}, path)
    console = Listener()
    result = repair_checkpoint(read_checkpoint(path), console, **options)
    assert isinstance(result, Checkpoint)
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in console.lines)
    return result.state, [line.removeprefix(f"{path}: ") for line in console.lines]


ONE, TWO = torch.ones(2, 1, 3, 3), torch.full((2, 1, 3, 3), 2.0)


@pytest.mark.parametrize(
    ("stored", "name", "lines"),
    [
        ("a.op.weight", "a.op.weight", []),
        ("module.a.op.weight", "a.op.weight", ["prefix 'module' removed from 1 name"]),
        ("_orig_mod.a.op.weight", "a.op.weight", ["prefix '_orig_mod' removed from 1 name"]),
        ("a._orig_mod.op.weight", "a.op.weight", ["prefix '_orig_mod' removed from 1 name"]),
        ("a.module.op.weight", "a.module.op.weight", []),
        ("module", "module", []),
        ("anchors", "anchors", []),
    ],
)
def test_wrappers(tmp_path, stored, name, lines):
    state, said = repaired(tmp_path, {stored: ONE})
    assert (list(state), said) == ([name], lines)


@pytest.mark.parametrize("prefix", ["module._orig_mod.", "_orig_mod.module."])
def test_both_wrappers(tmp_path, prefix):
    state, said = repaired(tmp_path, {f"{prefix}a.op.weight": ONE, f"{prefix}a.op.bias": ONE})
    assert list(state) == ["a.op.weight", "a.op.bias"]
    assert said == ["prefix 'module' removed from 2 names", "prefix '_orig_mod' removed from 2 names"]


def test_names_that_the_model_has_stay(tmp_path):
    state, said = repaired(tmp_path, {"module.a.weight": ONE}, known={"module.a.weight"})
    assert (list(state), said) == (["module.a.weight"], [])


def test_prefix_that_others_read_can_stay(tmp_path):
    state, said = repaired(tmp_path, {"module.a.weight": ONE, "_orig_mod.module.b.weight": ONE}, names=False)
    assert list(state) == ["module.a.weight", "module.b.weight"]
    assert said == ["prefix '_orig_mod' removed from 1 name"]


def test_of_two_sets_the_later_is_taken(tmp_path):
    state, said = repaired(tmp_path, {"module.a.op.weight": ONE, "a.op.weight": TWO})
    np.testing.assert_array_equal(state["a.op.weight"], TWO)
    assert said[-1] == "1 tensor stored twice, with and without a prefix: the later ones are used"
    state, _ = repaired(tmp_path, {"a.op.weight": TWO, "module.a.op.weight": ONE})
    np.testing.assert_array_equal(state["a.op.weight"], ONE)


def test_operators_of_the_oldest_files(tmp_path):
    old = {"a.conv2d.weight": ONE, "a.conv2d.bias": ONE[:, 0, 0, 0], "a.output_shift": torch.zeros(1)}
    state, said = repaired(tmp_path, old)
    assert list(state) == ["a.op.weight", "a.op.bias", "a.output_shift"]
    assert said == ["2 operator tensors of old files renamed to 'op'"]
    assert list(repaired(tmp_path, old, names=False)[0]) == list(old)
    unfolded = old | {f"a.bn.{key}": torch.ones(2) for key in ("running_mean", "running_var")}
    assert list(repaired(tmp_path, unfolded, names=False)[0])[:2] == ["a.op.weight", "a.op.bias"]
    plain = {"block.conv2d.weight": ONE}  # a module of that name, not a fused one
    assert list(repaired(tmp_path, plain)[0]) == list(plain)


NORM = {"a.bn.running_mean": torch.zeros(2), "a.bn.running_var": torch.ones(2)}


def test_counters_of_batch_normalization(tmp_path):
    state, said = repaired(tmp_path, NORM)
    assert list(state) == [*NORM, "a.bn.num_batches_tracked"]
    assert state["a.bn.num_batches_tracked"].dtype == np.int64 and state["a.bn.num_batches_tracked"].shape == ()
    assert said == ["1 counter of batch normalization added"]
    state, said = repaired(tmp_path, {"a.op.weight": ONE, "a.bn.num_batches_tracked": torch.tensor(5)})
    assert list(state) == ["a.op.weight"]
    assert said == ["1 counter of already folded batch normalization removed"]
    whole = NORM | {"a.bn.num_batches_tracked": torch.tensor(5)}
    assert repaired(tmp_path, whole)[1] == []


def schedule(**masks):
    return {"compression_sched": {"masks_dict": {key.replace("__", "."): mask for key, mask in masks.items()}}}


def test_pruning_masks(tmp_path):
    mask = torch.ones(2, 1, 3, 3)
    mask[0] = 0
    masks = schedule(module__a__op__weight=mask, a__output_shift=torch.zeros(1), b__op__weight=None)
    state, said = repaired(tmp_path, {"module.a.op.weight": TWO}, masks)
    np.testing.assert_array_equal(state["a.op.weight"], TWO * mask)
    assert said[1:] == ["1 pruning mask of the compression schedule applied"]
    state, said = repaired(tmp_path, {"a.op.weight": TWO * mask}, masks)
    assert said == [], "nothing is changed where training has applied it"
    state, said = repaired(tmp_path, {"a.op.weight": TWO}, schedule(a__op__weight=torch.zeros(3), c__weight=mask))
    np.testing.assert_array_equal(state["a.op.weight"], TWO)
    assert said == ["2 pruning masks of the compression schedule that fit no weights ignored"]


@pytest.mark.parametrize("remains", [None, 7, {"masks_dict": None}, {"masks_dict": [1]}, {"other": {"x": 1}}], ids=str)
def test_other_remains_of_compression_schedules(tmp_path, remains):
    content = {"compression_sched": remains, "thinning_recipes": [1], "quantizer_metadata": {"type": "x"}}
    state, said = repaired(tmp_path, {"a.op.weight": ONE}, content)
    assert (list(state), said) == (["a.op.weight"], [])


def test_missing_bookkeeping():
    names = ["output_shift", "weight_bits", "bias_bits", "quantize_activation", "adjust_output_shift"]
    state = {f"a.{name}": 0 for name in names} | {"b.shift_quantile": 0}
    assert missing_bookkeeping(state, ["a"]) == {"shift_quantile": 1}
    assert missing_bookkeeping(state, ["a", "b"])["output_shift"] == 1


NAMES = st.lists(
    st.sampled_from(["module", "_orig_mod", "bn", "op", "conv2d", "a", "", "weight", "running_var", "output_shift"]),
    min_size=1,
    max_size=5,
).filter(lambda parts: [part for part in parts if part != "_orig_mod"][:2] != ["module"] * 2)
NAMES = NAMES.map(".".join)
"""One prefix ``module`` is removed: a module of the model may have this name, too."""


@given(st.lists(NAMES, max_size=8, unique=True), st.lists(NAMES, max_size=3), st.booleans())
def test_any_names(names, masked, present):
    """Nothing fails, no tensor is altered without a mask, and what is repaired needs no more repair."""
    state = {name: np.full(2, number, np.float32) for number, name in enumerate(names, 1)}
    masks = {name: np.array([0, 1]) for name in masked}
    content = {"compression_sched": {"masks_dict": masks}} if masked else {}
    given_file = Checkpoint(Path("x"), state, 1, None, {}, content)
    once = repair_checkpoint(given_file, Listener(), names=present)
    twice = repair_checkpoint(once, console := Listener(), names=present)
    assert list(once.state) == list(twice.state)
    assert [line for line in console.lines if "fit no weights" not in line] == []
    if not masked:
        assert all(value.shape == () or (value == value[0]).all() for value in once.state.values())


@pytest.mark.golden
def test_old_files_of_trained_networks(golden):
    """What is known about the files in circulation."""
    console = Listener()
    for path in sorted((golden / "checkpoints").glob("*.pth.tar")):
        state = repair_checkpoint(read_checkpoint(path), console).state
        assert not any(key.startswith("module.") for key in state)
    assert len([line for line in console.lines if "prefix 'module' removed" in line]) == 3
    assert len([line for line in console.lines if "63 tensors stored twice" in line]) == 1
    assert not any("pruning" in line or "batch" in line for line in console.lines)
