"""Engine ≡ virtual device: equal for right programs; wrong ones are caught, with the layer named."""

from dataclasses import replace

import numpy as np
import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.device.registers import registers
from ai8x_tool.engine import run
from ai8x_tool.lowering import LoweringOptions
from ai8x_tool.mapping import MappingOptions
from ai8x_tool.synthesis.hardware_check import compare_run
from ai8x_tool.virtual import VirtualDevice
from tests.support.networks import Weights, build, changed, checked, mapped, random_sample, sampled

DEVICES = pytest.mark.parametrize("device", [MAX78000, MAX78002], ids=lambda device: device.name)


def lowered(device, last_width=8, **mapping):
    """Return program and tensors of three layers: 3×3, 3×3 with pooling, flattened."""
    layers = [
        {"op": "Conv2d", "pad": 1, "processors": 0x7, "out_offset": 0x2000, "activate": "ReLU"},
        {
            **{"op": "Conv2d", "pad": 1, "processors": 0xFF0, "out_offset": 0x800},
            **{"max_pool": [2, 3], "pool_stride": 2, "activate": "Abs"},
        },
        {"op": "Linear", "flatten": True, "processors": 0x1F, "out_offset": 0x1000, "output_width": last_width},
    ]
    weights = [
        Weights((8, 3, 3, 3), range(-40, 40, 10), shift=-2),
        Weights((5, 8, 3, 3), range(0, 100, 20), shift=-3),
        Weights((7, 5 * 4 * 4, 1, 1), range(7), shift=-2),
    ]
    network = build(layers, weights, (3, 8, 9), device)
    sample = random_sample((3, 8, 9))
    tensors = run(network, sample[None])
    return sampled(mapped(network, MappingOptions(**mapping)), LoweringOptions(), sample, tensors), tensors


@DEVICES
@pytest.mark.parametrize("width", [8, 32])
def test_right_program(device, width):
    check = checked(*lowered(device, width), strict=True)
    assert check.equal
    assert [layer.index for layer in check.layers] == [0, 1, 2]
    assert [layer.values for layer in check.layers] == [8 * 8 * 9, 5 * 4 * 4, 7]
    assert "3 layers, 663 values, all equal" in check.text()


def test_tensors_can_be_read_back_by_layer():
    program, tensors = lowered(MAX78000)
    device = VirtualDevice(MAX78000).load(program).run()
    for index, channels in ((0, 8), (1, 5), (2, 7)):
        assert np.array_equal(device.layers[index].tensor, tensors.outputs[index][0].reshape(channels, -1))


def broken(check, index):
    """Assert that layer `index` is the first that differs, and return the line that says so."""
    assert not check.equal
    first = next(layer for layer in check.layers if layer.different)
    assert first.index == index
    assert check.text().startswith(f"layer {index}: ")
    return check.text()


def with_register(program, name, layer, change):
    """Return the program with a register's fields of one layer changed, as a wrong register function would."""
    table = registers(program.mapping.device)

    def rewrite(write):
        if write.register != name or write.layer != layer:
            return write
        fields = change(dict(write.fields))
        return replace(write, value=table[name].encode(fields), fields=fields)

    assert any(w.register == name and w.layer == layer for w in program.configure)
    return changed(program, configure=tuple(rewrite(write) for write in program.configure))


def swapped(a, b):
    return lambda fields: {**fields, a: fields[b], b: fields[a]}


def test_swapped_fields_of_a_register():
    program, tensors = lowered(MAX78000)
    wrong = with_register(program, "MCNT", 1, swapped("start", "end"))
    assert "MCNT" in broken(checked(wrong, tensors), 1)


@DEVICES
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_wrong_shift(device, layer):
    program, tensors = lowered(device)
    wrong = with_register(program, "POST", layer, lambda fields: {**fields, "shift": fields["shift"] ^ 1})
    broken(checked(wrong, tensors), layer)


@DEVICES
def test_swapped_registers(device):
    """Pooling windows of 2×3 and 3×2 are not the same."""
    program, tensors = lowered(device)
    rows, columns = ({w.layer: w for w in program.configure if w.register == name} for name in ("PRCNT", "PCCNT"))
    values = {"PRCNT": columns[1], "PCCNT": rows[1]}
    configure = [
        replace(w, value=values[w.register].value) if w.layer == 1 and w.register in values else w
        for w in program.configure
    ]
    broken(checked(changed(program, configure=tuple(configure)), tensors), 1)


@DEVICES
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_dropped_bias(device, layer):
    program, tensors = lowered(device)
    wrong = with_register(program, "POST", layer, lambda fields: {**fields, "bias_enable": 0})
    broken(checked(wrong, tensors), layer)


@DEVICES
def test_bias_that_is_never_loaded(device):
    program, tensors = lowered(device)
    check = checked(changed(program, bias={}), tensors)
    broken(check, 0)
    assert any("bias entry" in str(d) and d.layer == 0 for d in check.problems)


@DEVICES
def test_output_that_is_never_written(device):
    program, tensors = lowered(device)
    wrong = with_register(program, "WPTR", 1, lambda fields: {"address": fields["address"] + 8})
    check = checked(wrong, tensors)
    line = broken(check, 1)
    assert "never wrote it" in line
    assert "WPTR" in line


def test_first_difference_is_exact():
    """The line gives the engine's value and the device's at the first place that differs."""
    program, tensors = lowered(MAX78000, 32)
    tensors.outputs[2] = tensors.outputs[2].copy()
    tensors.outputs[2][0, 3, 0, 0] += 5
    first = checked(program, tensors).layers[2].first
    value = int(tensors.outputs[2][0, 3, 0, 0])
    assert (first.channel, first.row, first.column, first.expected, first.actual) == (3, 0, 0, value, value - 5)


def test_every_value_counts():
    """Each single value of an intermediate layer, changed in the engine's tensors, is noticed."""
    program, tensors = lowered(MAX78002)
    original = tensors.outputs[1]
    for place in np.ndindex(original.shape):
        tensors.outputs[1] = original.copy()
        tensors.outputs[1][place] ^= 1
        check = checked(program, tensors)
        assert check.layers[1].different == 1
        first = check.layers[1].first
        assert (0, first.channel, first.row, first.column) == place


# -- What memory holds at the end --------------------------------------------------------------------------------------


def copying(*layers, device=MAX78000, shape=(4, 4, 4), weights=(), **top):
    """Return program and tensors of layers that mostly copy four channels; nobody has checked where they write."""
    base = {"op": "none", "processors": 0xF, "output_processors": 0xF}
    network = build([{**base, **layer} for layer in layers], list(weights), shape, device, **top)
    sample = random_sample(shape)
    tensors = run(network, sample[None])
    return sampled(mapped(network, MappingOptions()), LoweringOptions(), sample, tensors), tensors


OUTPUT = {"out_offset": 0x1000, "output": True}


@DEVICES
def test_output_that_a_later_layer_overwrites(device):
    """Every layer computes what it should; of the first output, two rows are gone at the end."""
    last = {"in_offset": 0x2000, "out_offset": 0x1020, "output": True}
    check = checked(*copying(OUTPUT, {"in_offset": 0x1000, "out_offset": 0x2000}, last, device=device))
    assert not check.equal
    assert [layer.different for layer in check.layers] == [32, 0, 0]
    first = check.layers[0].first
    assert (first.channel, first.row, first.column, first.lost) == (0, 2, 0, True)
    assert "wrote this value, but memory holds" in check.text()
    assert check.document()["layers"][0]["first"]["lost"]


@DEVICES
def test_output_that_is_overwritten_by_the_same_values(device):
    """The copies in between change nothing: the result is right, for this sample or for all."""
    last = {"in_offset": 0x2000, "out_offset": 0x1000, "output": True}
    check = checked(*copying(OUTPUT, {"in_offset": 0x1000, "out_offset": 0x2000}, last, device=device))
    assert check.equal
    (found,) = (d for d in check.problems if "at the end" in d.message)
    assert (found.severity, found.layer) == ("warning", 0)
    assert "64 values that must be in memory at the end, by chance with equal values" in found.message


@DEVICES
@pytest.mark.parametrize("offset", [0x1040, 0xFC0])
def test_output_that_is_kept(device, offset):
    last = {"in_offset": 0x2000, "out_offset": offset, "output": True}
    assert checked(*copying(OUTPUT, {"in_offset": 0x1000, "out_offset": 0x2000}, last, device=device)).equal


@DEVICES
def test_listed_data_that_a_later_layer_overwrites(device):
    """What the list of unloaded data names is kept, be it an output layer's or not."""
    item = {"processors": 0xF, "channels": 4, "dim": [4, 4], "offset": 0x1000}
    layers = ({"out_offset": 0x1000}, {"in_offset": 0x1000, "out_offset": 0x2000})
    for offset, lost in ((0x1040, False), (0x103C, True)):
        last = {"in_offset": 0x2000, "out_offset": offset}
        check = checked(*copying(*layers, last, device=device, unload=[item]))
        assert check.equal != lost
        assert (check.layers[0].first is not None and check.layers[0].first.lost) == lost


def test_data_that_are_no_output_may_go():
    layers = ({**OUTPUT, "output": False}, {"in_offset": 0x1000, "out_offset": 0x2000})
    assert checked(*copying(*layers, {"in_offset": 0x2000, "out_offset": 0x1000})).equal


@pytest.mark.parametrize("width", [8, 32])
def test_last_byte_of_an_output(width):
    """Whatever byte of a kept output changes after the run: exactly one value differs."""
    program, tensors = lowered(MAX78000, width)
    count = 0
    for address in (block.address + 4 * i for block in program.answers for i in range(len(block.values))):
        device = VirtualDevice(MAX78000).load(program)
        device.write(address, device.read(address) ^ 0x80)
        layers = compare_run(program, tensors, device).layers
        count += sum(layer.different for layer in layers)
        assert all(layer.first.lost for layer in layers if layer.different)
    assert count == (2 if width == 8 else 7)


def test_data_buffer_is_kept_for_the_next_inference():
    """What the buffer's layers wrote must be there at the end, unless another of them replaced it."""
    buffer = {"name": "past", "processors": 0xF, "channels": 4, "dim": 4, "offset": 0x100}
    ring = {"in_sequences": "past", "in_channels": 4}
    layers = [
        {"out_offset": 0x800, "in_dim": [1, 1]},
        {**ring, "in_dim": 3, "in_offset": 0x104, "out_offset": 0x100, "buffer_shift": 1},
        {"in_sequences": [0], "in_offset": 0x800, "out_offset": 0x10C, "buffer_insert": 1},
        {**ring, "op": "Conv1d", "kernel_size": 1, "pad": 0, "in_dim": 4, "in_offset": 0x100, "out_offset": 0x200},
    ]
    given = {"shape": (4, 1, 1), "weights": [(4, 4, 1, 1)], "data_buffer": [buffer]}
    assert checked(*copying(*layers, **given)).equal
    sample = {"in_sequences": [0], "in_offset": 0x800, "in_dim": [1, 1]}
    zeros = {"in_offset": 0x200, "in_dim": [4, 1]}
    for last, lost in (({**sample, "out_offset": 0x104}, 1), ({**zeros, "out_offset": 0x10C}, 2)):
        check = checked(*copying(*layers, last, **given))
        assert [(layer.index, layer.first.lost) for layer in check.layers if layer.different] == [(lost, True)]
