"""Datasets written for the reference trainer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ai8x_tool.console import Console
from ai8x_tool.errors import Ai8xError
from ai8x_tool.plugins.find import find_dataset
from ai8x_tool.settings.evaluation import EvaluateSettings
from ai8x_tool.settings.training import TrainSettings
from ai8x_tool.training.batches import batches

EVALUATE = EvaluateSettings(dataset="SQUARES", checkpoint=Path("x"))


def test_the_entry(squares: Path) -> None:
    entry = find_dataset("SQUARES")
    assert (entry.input, entry.labels[1], entry.class_weights) == ((1, 12, 12), "northeast", (1, 1, 1, 0.5))
    assert [find_dataset(name).task for name in ("SQUARES", "BOXES")] == [None, "detection"]
    path = squares / "datasets" / "ours.py"
    path.write_text(path.read_text().replace("'name': 'TONES',", "'name': 'TONES', 'task': 'segmentation',"))
    assert find_dataset("TONES").task == "segmentation"


def test_inputs_are_integers_and_targets_class_numbers(squares: Path, console: Console) -> None:
    part = find_dataset("SQUARES", EVALUATE).load(squares / "data", console).test
    inputs, targets = part.batch(torch.tensor([3, 0]))
    assert len(part) == 40 and inputs.shape == (2, 1, 12, 12) and targets.dtype == torch.int64
    assert torch.equal(inputs, inputs.round()) and inputs.min() >= -128 and 60 < inputs.max() <= 127
    for simulate, scale in ((True, 1), (False, 128)):
        stream = list(batches(part, torch.tensor([3, 0, 5]), 2, simulate=simulate))
        assert [len(y) for _, y in stream] == [2, 1] and torch.equal(stream[0][0] * scale, inputs)
        assert torch.equal(stream[0][1], targets)


def test_evaluation_loads_the_test_part_only(squares: Path, console: Console) -> None:
    (squares / "data" / "SQUARES" / "raw" / "train.npy").unlink()
    assert len(find_dataset("SQUARES", EVALUATE).load(squares / "data", console).test) == 40
    with pytest.raises(Ai8xError, match=r"called sys\.exit"):
        _ = find_dataset("SQUARES", TrainSettings(model="m", dataset="SQUARES")).load(squares / "data", console).test


def test_validation_samples_are_not_augmented(squares: Path, console: Console) -> None:
    data = find_dataset("SQUARES").load(squares / "data", console)
    rows = torch.arange(4)
    plain = data.held_back.batch(rows)[0]
    augmented = [data.train.batch(rows, torch.Generator().manual_seed(seed))[0] for seed in (1, 2, 1)]
    assert not torch.equal(plain, augmented[0]) and not torch.equal(augmented[0], augmented[1])
    assert torch.equal(augmented[0], augmented[2])
    stored = np.load(squares / "data" / "SQUARES" / "raw" / "train.npy")[:4, :-1].reshape(4, 1, 12, 12)
    expected = ((torch.from_numpy(stored).float() / 255 - 0.5) * 256).round().clamp(-128, 127)
    assert torch.equal(plain, expected)


def test_listed_validation_samples_are_split_off(workspace: Path, console: Console) -> None:
    data = find_dataset("TONES").load(workspace, console)
    assert data.validation is not None and (len(data.train), len(data.validation)) == (80, 10)
    assert data.validation.batch(torch.tensor([1]))[1].item() == 9 % 3
    assert data.train.batch(torch.tensor([0, 7, 8]))[1].tolist() == [1, 8 % 3, 10 % 3]


def test_collate_functions_and_targets_of_any_kind_are_kept(workspace: Path, console: Console) -> None:
    part = find_dataset("BOXES").load(workspace, console).train
    ((inputs, targets),) = batches(part, torch.tensor([0, 1, 2]), 3, device=torch.device("cpu"))
    assert inputs.shape == (3, 1, 4, 4) and [len(boxes) for boxes, _ in targets] == [1, 2, 3]
    assert isinstance(targets, list) and targets[2][1].tolist() == [1, 1, 1]


def loaded(workspace: Path, console: Console, text: str, entry: str) -> Any:
    entries = f"datasets = [{{'name': 'D', 'input': (1, 2), 'output': ('a', 'b'){entry}}}]\n"
    (workspace / "datasets" / "d.py").write_text(f"import torch\n{text}\n{entries}")
    return find_dataset("D", TrainSettings(model="m", dataset="D", learning_rate=0.5)).load(workspace, console).train


LOADER = "def load(data, load_train, load_test):\n    d, args = data\n    {body}\n"


@pytest.mark.parametrize(
    ("body", "entry", "words"),
    [
        ("pass", "", "must contain 'loader'"),
        ("pass", ", 'loader': 3", "'loader' must be a function, not 3"),
        ("pass", ", 'loader': load, 'input': 4", "'input' must be"),
        ("pass", ", 'loader': load, 'weight': (1,)", "one weight for each of the 2 labels, not 1"),
        ("pass", ", 'loader': load", r"must return two datasets"),
        ("return [], []", ", 'loader': load", "returned no training samples"),
        ("return args.nothing, 1", ", 'loader': load", r"d\.py:4: AttributeError: .*'nothing'"),
        ("raise ValueError('a\\nb')", ", 'loader': load", r"d\.py:4: ValueError: a b"),
    ],
)
def test_faults_name_file_and_rule(workspace: Path, console: Console, body: str, entry: str, words: str) -> None:
    with pytest.raises(Ai8xError, match=words) as caught:
        loaded(workspace, console, LOADER.format(body=body), entry)
    assert "\n" not in str(caught.value) and "d.py" in str(caught.value)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("torch.zeros(1, 2)", "must be a tuple"),
        ("('x', 1)", "must be a tensor of real numbers"),
        ("(torch.zeros(number + 1), 1)", "stack"),
    ],
)
def test_items_that_make_no_batch(workspace: Path, console: Console, item: str, words: str) -> None:
    text = LOADER.format(body=f"items = [{item} for number in range(2)]; return items, items")
    part = loaded(workspace, console, text, ", 'loader': load")
    with pytest.raises(Ai8xError, match=words):
        part.batch(torch.tensor([0, 1]))


@pytest.mark.skipif(sys.platform != "linux", reason="samples are prepared in the main process")
def test_a_killed_worker_is_one_line(workspace: Path, console: Console) -> None:
    text = "class D(list):\n    def __getitem__(self, i):\n        import os\n        os._exit(3)\n"
    text += LOADER.format(body="return D([1]), D([1])")
    part = loaded(workspace, console, text, ", 'loader': load")
    with pytest.raises(Ai8xError, match=r"a worker process that prepares samples failed: .*exited") as caught:
        list(batches(part, torch.tensor([0]), 1))
    assert "\n" not in str(caught.value)


def test_inputs_that_are_not_normalized_are_clipped_with_a_warning(workspace: Path, console: Console) -> None:
    item = "(torch.tensor([[100.0, args.lr]], dtype=torch.float64), 0.25)"
    text = LOADER.format(body=f"return [{item}], [{item}]")
    inputs, targets = loaded(workspace, console, text, ", 'loader': load, 'regression': True").batch(torch.tensor([0]))
    assert inputs.tolist() == [[[127, 64]]] and inputs.dtype == targets.dtype == torch.float32
    assert len(console.warnings) == 1 and "are clipped (normalize them" in console.warnings[0]
