"""Values far from every network: refused by name, never a traceback, never taken silently."""

import numpy as np
import pytest
import torch

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.engine import run
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.checkpoint_parameters import load_parameters
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.quantization import quantize
from tests.support.networks import QUIET, build, describe, examined, mapped, program


def passing(p=0xF, **k):
    return {"op": "none", "processors": p, "out_offset": 0x100, "output_processors": p, **k}


def conv(p=7, **k):
    return {"op": "Conv2d", "pad": 1, "out_offset": 0x100, "processors": p, **k}


def test_buffer_insert_without_buffer():
    with pytest.raises(Ai8xError):
        program(build([passing(buffer_insert=1)], [], (4, 1, 1)))


def test_snoop_sequence_of_no_layer():
    with pytest.raises(Ai8xError):
        program(build([passing(snoop_sequence=9), passing(out_offset=0)], [], (4, 2, 2), MAX78002))


def test_simulated_sequence_of_no_layer():
    with pytest.raises(Ai8xError):
        build([passing(simulated_sequence=9), passing(out_offset=0)], [], (4, 2, 2), MAX78002)


@pytest.mark.parametrize("keys", [{"write_gap": 2**63}, {"read_gap": 2**63}], ids=str)
def test_huge_gaps(keys):

    with pytest.raises(Ai8xError):
        n = build([passing(**keys)], [], (4, 2, 2), MAX78002)
        mapped(n, MappingOptions())


@pytest.mark.parametrize(
    "item",
    [
        {"processors": 0x7, "channels": 100, "dim": 4, "offset": 0},  # 3 bits for 52 processors
        {"processors": 0xF, "channels": 4, "dim": 4, "offset": 17},  # not a multiple of 4
        {"processors": 0xF, "channels": 4, "dim": 4, "offset": 0x8000},  # beyond the instance
        {"processors": 0xF, "channels": 4, "dim": 2**63, "offset": 0},  # traceback
        {"processors": 0xF, "channels": 2000, "dim": 2**64, "offset": 0},
    ],
    ids=str,
)
def test_unload_items(item):
    from ai8x_tool.codegen import ProjectOptions, render_project

    with pytest.raises(Ai8xError):
        made = program(build([passing()], [], (4, 2, 2), unload=[item]))
        render_project(made.program, made.sample, ProjectOptions("a", "b", "c"))


def test_huge_data_buffer():
    with pytest.raises(Ai8xError):
        n = build(
            [passing()],
            [],
            (4, 2, 2),
            data_buffer=[{"name": "b", "processors": 1, "channels": 1024, "dim": 2**31, "offset": 0}],
        )
        run(n, np.zeros((1, 4, 2, 2), int))


def test_calcx4_needs_multiples_of_four_for_flattened_layers_too():
    layer = {"op": "Linear", "flatten": True, "processors": 7, "out_offset": 0x100, "calcx4": True}
    with pytest.raises(Ai8xError):
        mapped(build([layer], [(5, 12, 1, 1)], (3, 2, 2), MAX78002), MappingOptions())


@pytest.mark.parametrize("epoch", [float("nan"), float("inf"), torch.tensor([1, 2])], ids=str)
def test_epoch_that_is_no_number(tmp_path, epoch):
    torch.save({"epoch": epoch, "state_dict": {}}, tmp_path / "a")
    assert read_checkpoint(tmp_path / "a").epoch is None


CONV = {"op": "Conv2d", "processors": 1, "out_offset": 0}


def load(state):
    from pathlib import Path

    from ai8x_tool.checkpoint import Checkpoint

    arrays = {k: np.asarray(v, np.float32) for k, v in state.items()}
    return load_parameters(describe([CONV]), Checkpoint(Path("q"), arrays, 1, "test_net", {}, {}), MAX78000, QUIET)


@pytest.mark.parametrize("key", ["output_shift", "weight_bits"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_undefined_numbers(key, value):
    with pytest.raises(Ai8xError):
        load({f"conv.{key}": [value], "conv.op.weight": np.ones((4, 2, 3, 3))})


def test_bias_of_two_dimensions():
    with pytest.raises(Ai8xError):
        p = load({"conv.op.weight": np.ones((4, 2, 3, 3)), "conv.op.bias": np.full((4, 1), 128)})
        from ai8x_tool.frontend.yaml.resolve import resolve

        resolve(describe([CONV | {"processors": 3}]), p, (2, 4, 4), MAX78000, QUIET)


def test_no_outputs_at_all():
    with pytest.raises(Ai8xError, match="empty"):
        load({"conv.op.weight": np.zeros((0, 3, 3, 3))})


@pytest.mark.parametrize(
    "state",
    [
        {"a.op.weight": torch.zeros(0)},
        {"a.op.weight": torch.zeros(4, 0)},
        {"a.op.weight": torch.ones(4, 4), "a.shift_quantile": torch.zeros(0)},
        {"a.op.weight": torch.ones(4, 4), "a.shift_quantile": torch.tensor([-1.0])},
        {"a.op.weight": torch.ones(4, 4), "a.weight_bits": torch.zeros(0)},
    ],
    ids=str,
)
def test_quantize(tmp_path, state):
    torch.save({"epoch": 0, "state_dict": state}, tmp_path / "a")
    with pytest.raises(Ai8xError):
        quantize(tmp_path / "a", tmp_path / "b", MAX78000, QUIET)


def test_readahead_streaming_buffers_in_one_block():
    """memory 8.3: with read-ahead, two streaming buffers must not start in the same 16384-byte sub-instance."""

    layers = [
        conv(7, streaming=True, readahead=True, out_offset=0x1000),
        conv(0xF, streaming=True, readahead=True, out_offset=0x8000, output_processors=0xF0),
    ]
    n = build(layers, [(4, 3, 3, 3), (4, 4, 3, 3)], (3, 16, 16), MAX78002)
    with pytest.raises(Ai8xError):
        examined(n, QUIET, MappingOptions(fifo=True))


def test_weight_range_of_bias_groups_boolean():
    with pytest.raises(Ai8xError):
        describe([conv(bias_group=False)])
