"""Reading network descriptions: values, names, and messages that say file, line, rule and remedy."""

from __future__ import annotations

import textwrap

import pytest

from ai8x_tool.device import MAX78000, MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.description import BUFFER, INPUT, STOP
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.network.layer import BINARY

HEAD = "arch: net\ndataset: set\nlayers:\n"


@pytest.fixture
def read(tmp_path, console):
    """Return a function that reads a description from text."""

    def function(text, device=MAX78000, **options):
        path = tmp_path / "net.yaml"
        path.write_text(textwrap.dedent(text))
        return read_description(path, device, console, **options)

    return function


@pytest.fixture
def fails(read):
    """Return a function that expects one line of error and returns what follows the file name."""

    def function(text, device=MAX78000):
        with pytest.raises(Ai8xError) as caught:
            read(text, device)
        message = str(caught.value)
        assert "net.yaml" in message
        assert "\n" not in message
        return message.partition("net.yaml")[2]

    return function


def layer(*lines, head="  - processors: 1\n    out_offset: 0\n"):
    return HEAD + head + "".join(f"    {line}\n" for line in lines)


def test_yaml_1_1_scalars(read):
    (parsed,) = read(layer("in_offset: 0x2000", "in_channels: 0100", "streaming: on", "flatten: No")).layers
    assert (parsed.in_offset, parsed.in_channels, parsed.streaming, parsed.flatten) == (0x2000, 64, True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("0xffff", 0xFFFF),
        ("0x0000_00ff", 0xFF),
        ("0x0000.0000.0000.ffff", 0xFFFF),
        ("0xffff.ffff.ffff.ffff", (1 << 64) - 1),
        ("'ffff'", 0xFFFF),
        ("'ff_ff.00'", 0xFFFF00),
        (str((1 << 64) - 1), (1 << 64) - 1),
    ],
)
def test_processor_maps(read, text, expected):
    description = read(HEAD + f"  - {{processors: {text}, output_processors: {text}, out_offset: 0}}\n")
    assert description.layers[0].processors == expected
    assert description.layers[0].output_processors == expected
    assert description.layers[0].line == 4


@pytest.mark.parametrize("text", ["0", "-1", "0x1ffffffffffffffff", "hello", "1.5", "true", "[1]", str(1 << 64)])
def test_processor_maps_that_are_none(fails, text):
    assert "processors" in fails(HEAD + f"  - {{processors: {text}, out_offset: 0}}\n")


def test_dotted_map_of_the_output(read):
    assert read("output_map: 0x0000.0000.0000.03ff\n" + layer()).output_map == 0x3FF


def test_syntax_error_with_line(fails):
    assert fails(HEAD + "  - processors: 1\n    pad: [1, 2\n    op: none\n").startswith(":6: YAML syntax error")
    assert fails("arch: a\n\tdataset: b\n").startswith(":2: YAML syntax error")


def test_duplicate_keys(fails):
    message = fails(HEAD + "  - processors: 1\n    pad: 1\n    out_offset: 0\n    pad: 2\n")
    assert message.startswith(":7: ")
    assert "'pad'" in message
    assert "line 5" in message
    assert fails("arch: a\narch: b\n").startswith(":2: duplicate key 'arch'")


@pytest.mark.parametrize(
    ("line", "hint"),
    [("procesors: 3", "processors"), ("max_pol: 2", "max_pool"), ("Pad: 1", "pad"), ("out_ofset: 0", "out_offset")],
)
def test_unknown_layer_keys(fails, line, hint):
    message = fails(layer("op: none", line))
    assert message.startswith(":7: layer 0: ")
    assert repr(line.partition(":")[0]) in message
    assert f"did you mean {hint!r}?" in message


def test_unknown_keys_elsewhere(fails):
    assert "did you mean 'dataset'?" in fails("dataste: x\n" + layer())
    item = "unload:\n  - {processors: 1, channels: 1, dim: 1, offset: 0, widht: 8}\n"
    assert "did you mean 'width'?" in fails(item + layer())
    item = "data_buffer:\n  - {name: b, processors: 1, channels: 1, dim: 1, ofset: 0}\n"
    assert "did you mean 'offset'?" in fails(item + layer())


@pytest.mark.parametrize("key", ["arch", "dataset", "layers"])
def test_missing_global_keys(fails, key):
    lines = [line for line in ("arch: a", "dataset: b", "layers: [{processors: 1}]") if not line.startswith(key)]
    assert f"the key {key!r} is missing" in fails("\n".join(lines))


@pytest.mark.parametrize("text", ["", "[1, 2]", "just words", HEAD, HEAD + "  - 5\n", "arch: a\ndataset: b\nlayers: 3"])
def test_other_contents(fails, text):
    assert fails(text)


def test_missing_file(tmp_path, console):
    with pytest.raises(Ai8xError, match=r"nothing\.yaml: file not found"):
        read_description(tmp_path / "nothing.yaml", MAX78000, console)


def test_binary_file(tmp_path, console):
    path = tmp_path / "binary.yaml"
    path.write_bytes(bytes(range(128, 256)))
    with pytest.raises(Ai8xError, match=r"binary\.yaml"):
        read_description(path, MAX78000, console)


def test_tags_construct_nothing(fails, tmp_path):
    marker = tmp_path / "marker"
    assert fails(HEAD + f"  - processors: !!python/object/apply:os.system ['touch {marker}']\n")
    assert not marker.exists()


def test_alias_bombs_end_soon(fails):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]" for i in range(1, 12)]
    assert fails("\n".join(lines))


def test_processors_of_some_layers(read):
    """What a description leaves open is found automatically."""
    open_layer, placed_layer = "  - {op: none, out_offset: 0}\n", "  - {op: none, out_offset: 0, processors: 1}\n"
    some = read(HEAD + open_layer + placed_layer)
    assert [layer.processors for layer in some.layers] == [None, 1]
    assert not some.is_placed
    assert read(HEAD + placed_layer).is_placed


@pytest.mark.parametrize(
    ("group", "attribute", "value"),
    [
        (("op", "operation", "operator", "convolution"), "operator", "none"),
        (("activate", "activation"), "activation", "relu"),
        (("groups", "conv_groups"), "groups", 3),
        (("read_gap", "in_skip"), "read_gap", 2),
    ],
)
def test_aliases(read, fails, group, attribute, value):
    text = value.upper() if isinstance(value, str) else value
    for key in group:
        assert getattr(read(layer(f"{key}: {text}"), MAX78002).layers[0], attribute) == value
    for other in group[1:]:
        message = fails(layer(f"{group[0]}: {text}", f"{other}: {text}"))
        assert group[0] in message
        assert other in message


def test_bias_group_aliases(read, fails):
    assert read(layer("bias_group: 2")).layers[0].bias_groups == (2,)
    assert read(layer("bias_quadrant: [2, 1]")).layers[0].bias_groups == (2, 1)
    assert fails(layer("bias_quadrant: 1", "bias_group: 1"))
    assert fails(layer("bias_group: 4"))


@pytest.mark.parametrize(
    ("operation", "operator", "eltwise", "kernel", "pad", "stride", "output_pad"),
    [
        ("Conv1d", "conv1d", None, (9, 1), (1, 0), (1, 1), (0, 0)),
        ("CONV2D", "conv2d", None, (3, 3), (1, 1), (1, 1), (0, 0)),
        ("ConvTranspose2d", "convtranspose2d", None, (3, 3), (1, 1), (2, 2), (1, 1)),
        ("none", "none", None, (1, 1), (0, 0), (1, 1), (0, 0)),
        ("Passthrough", "none", None, (1, 1), (0, 0), (1, 1), (0, 0)),
        *((op, "linear", None, (1, 1), (0, 0), (1, 1), (0, 0)) for op in ("Linear", "FC", "mlp")),
        ("add", "none", "add", (1, 1), (0, 0), (1, 1), (0, 0)),
        ("sub", "none", "sub", (1, 1), (0, 0), (1, 1), (0, 0)),
        *((op, "none", "xor", (1, 1), (0, 0), (1, 1), (0, 0)) for op in ("xor", "BitwiseXor", "bitwise_xor")),
        *((op, "none", "or", (1, 1), (0, 0), (1, 1), (0, 0)) for op in ("or", "bitwiseor", "bitwise_or")),
    ],
)
def test_operations_and_their_defaults(read, operation, operator, eltwise, kernel, pad, stride, output_pad):
    (parsed,) = read(layer(f"op: {operation}")).layers
    assert (parsed.operator, parsed.eltwise, parsed.kernel) == (operator, eltwise, kernel)
    assert (parsed.pad, parsed.stride, parsed.output_pad) == (pad, stride, output_pad)
    assert parsed.operands == (2 if eltwise else 1)
    assert parsed.activation == "none"


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (["op: multiply"], "operation"),
        (["op: Conv2d", "kernel_size: 5x5"], "kernel_size"),
        (["op: Conv2d", "kernel_size: 3"], "kernel_size"),
        (["op: ConvTranspose2d", "kernel_size: 1x1"], "kernel_size"),
        (["op: Conv1d", "kernel_size: 10"], "kernel_size"),
        (["op: Linear", "kernel_size: 1x1"], "kernel_size"),
        (["op: none", "dilation: 1"], "dilation"),
        (["op: Conv2d", "operands: 2"], "operands"),
        (["op: add", "operands: 17"], "operands"),
        (["op: add", "operands: 1"], "operands"),
        (["op: Conv2d", "stride: [1, 2]"], "stride"),
        (["op: ConvTranspose2d", "stride: 1"], "stride"),
        (["op: Conv2d", "stride: 2", "max_pool: 2", "pool_stride: 2"], "stride"),
        (["op: Conv2d", "max_pool: 2", "avg_pool: 2"], "avg_pool"),
        (["op: Conv2d", "max_pool: 17"], "max_pool"),
        (["op: Conv2d", "max_pool: 0"], "max_pool"),
        (["op: Conv2d", "pool_dilation: 2"], "pool_dilation"),
        (["op: add", "pool_first: false"], "pool_first"),
        (["op: Conv2d", "max_pool: 2", "pool_first: false"], "pool_first"),
        (["op: Conv2d", "pad: -1"], "pad"),
        (["op: Conv2d", "output_pad: -1"], "output_pad"),
        (["op: Conv2d", "activate: sigmoid"], "activate"),
        (["op: Conv2d", "eltwise: bitwise_xor"], "eltwise"),
        (["op: Conv2d", "data_format: CHWC"], "data_format"),
        (["op: Conv2d", "quantization: 3"], "quantization"),
        (["op: Conv2d", "output_width: 16"], "output_width"),
        (["op: Conv2d", "in_dim: [1, 2, 3]"], "in_dim"),
        (["op: Conv2d", "in_dim: wide"], "in_dim"),
        (["op: Conv2d", "in_offset: 2"], "in_offset"),
        (["op: Conv2d", "streaming: 'false'"], "streaming"),
        (["op: none", "buffer_shift: 0"], "buffer_shift"),
        (["op: none", "buffer_shift: 1"], "buffer_shift"),
    ],
    ids=lambda value: "; ".join(value) if isinstance(value, list) else value,
)
def test_values_that_cannot_be(fails, lines, rule):
    message = fails(layer(*lines))
    assert "layer 0" in message
    assert rule in message


def test_buffer_insert_needs_an_offset(fails):
    assert "buffer_insert" in fails(HEAD + "  - {processors: 1, op: none, buffer_insert: 1}\n")


def test_offsets_are_multiples_of_four(fails):
    assert "multiples of 4" in fails(HEAD + "  - {processors: 1, op: none, out_offset: 6}\n")


@pytest.mark.parametrize(
    ("text", "bits"), [("1", 1), ("2", 2), ("4", 4), ("8", 8), ("bin", BINARY), ("Binary", BINARY)]
)
def test_weight_widths(read, text, bits):
    assert read(layer(f"quantization: {text}")).layers[0].quantization == bits


def test_pairs(read):
    (parsed,) = read(layer("op: none", "max_pool: [2, 3]", "pool_stride: 2", "in_dim: 7")).layers
    assert (parsed.pool, parsed.pool_stride, parsed.in_dim) == ((2, 3), (2, 2), (7, 1))
    (parsed,) = read(layer("op: Conv1d", "max_pool: 2", "pool_stride: 2", "pad: 2", "dilation: 2")).layers
    assert (parsed.pool, parsed.pool_stride, parsed.pad, parsed.dilation) == ((2, 1), (2, 1), (2, 0), (2, 1))


def test_warnings(read, console):
    """Documented defaults, such as `op: Conv2d` and offset 0, are no reason to warn."""
    read(HEAD + "  - {processors: 1, max_pool: 2}\n")
    (warning,) = console.warnings
    assert "pool_stride" in warning and "net.yaml:4" in warning


NAMED = """
arch: net
dataset: set
layers:
  - {name: First, processors: 1, op: none, out_offset: 0}
  - {name: second, processors: 1, op: none, out_offset: 0, in_sequences: input}
  - {name: third, processors: 1, op: add, out_offset: 0, in_sequences: [FIRST, Second], next_sequence: stop}
  - {processors: 1, op: none, out_offset: 0, in_sequences: -1, weight_source: second}
"""


def test_references_by_name(read):
    layers = read(NAMED).layers
    assert [x.in_sequences for x in layers] == [None, (INPUT,), (0, 1), (INPUT,)]
    assert layers[2].next_sequence == STOP
    assert layers[3].weight_source == 1
    assert layers[0].label == "layer 0 (First)"


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("[FIRST, Second]", "[FIRST, Secnd]", "second"),
        ("next_sequence: stop", "next_sequence: thrd", "third"),
        ("weight_source: second", "weight_source: secont", "second"),
    ],
)
def test_unknown_names(fails, old, new, word):
    message = fails(NAMED.replace(old, new))
    assert f"did you mean {word!r}?" in message
    assert "layer" in message


@pytest.mark.parametrize("name", ["FIRST", "input", "Stop"])
def test_names_are_unique_and_not_reserved(fails, name):
    assert "name" in fails(NAMED.replace("name: second", f"name: {name}"))


def test_empty_sources(fails):
    assert "in_sequences" in fails(NAMED.replace("in_sequences: input", "in_sequences: []"))


SEQUENCES = """
arch: net
dataset: set
layers:
  - {sequence: 5, processors: 5, op: none, out_offset: 0, in_sequences: 2}
  - {processors: 6, op: none, out_offset: 0, next_sequence: 9}
  - {sequence: 2, processors: 2, op: none, out_offset: 0}
  - {sequence: 9, processors: 9, op: add, out_offset: 0, in_sequences: [2, 5]}
"""


def test_sequence_numbers_with_holes(read):
    """Layers are sorted by number and renumbered; references follow."""
    layers = read(SEQUENCES).layers
    assert [x.processors for x in layers] == [2, 5, 6, 9]
    assert [x.index for x in layers] == [0, 1, 2, 3]
    assert layers[1].in_sequences == (0,)
    assert layers[2].next_sequence == 3
    assert layers[3].in_sequences == (0, 1)


def test_sequence_numbers_that_cannot_be(fails, read):
    assert "number 5 is already used" in fails(SEQUENCES.replace("sequence: 2", "sequence: 5"))
    message = fails(SEQUENCES.replace("sequence: 9, p", "sequence: 32, p"))
    assert "32 layers" in message
    assert read(SEQUENCES.replace("sequence: 9, p", "sequence: 32, p").replace("nce: 9", "nce: 32"), MAX78002)


def test_too_many_layers(fails, read):
    many = HEAD + 33 * "  - {processors: 1, op: none, out_offset: 0}\n"
    assert "the MAX78000 has 32 layers" in fails(many)
    assert len(read(many, MAX78002).layers) == 33


def test_skipping_layers_moves_references(read):
    text = NAMED.replace("[FIRST, Second]", "[1, 1]")
    layers = read(text, skip_layers=1).layers
    assert [x.name for x in layers] == ["second", "third", None]
    assert layers[1].in_sequences == (0, 0)


BUFFER_TEXT = """
arch: net
dataset: set
data_buffer:
  - {name: History, processors: 0xff, channels: 8, dim: 15, offset: 0x7000, width: 8}
layers:
  - {processors: 0xff, op: none, out_offset: 0x7000, in_offset: 0x7004, in_dim: 14, in_channels: 8,
     in_sequences: history, buffer_shift: 1}
  - {processors: 0xff, op: none, out_offset: 0x7038, in_offset: 0, in_sequences: input, buffer_insert: 1}
"""


def test_rolling_buffer(read, fails):
    description = read(BUFFER_TEXT)
    assert description.data_buffer.dim == (15, 1)
    assert description.layers[0].in_sequences == (BUFFER,)
    assert (description.layers[0].buffer_shift, description.layers[1].buffer_insert) == (1, 1)
    for key in ("in_offset: 0x7004, ", "in_dim: 14, ", "in_channels: 8,"):
        assert key.partition(":")[0] in fails(BUFFER_TEXT.replace(key, ""))
    assert "the key 'offset' is missing" in fails(BUFFER_TEXT.replace(" offset: 0x7000,", ""))
    clash = BUFFER_TEXT.replace("in_sequences: input", "name: HISTORY, in_sequences: input")
    assert "reserved" in fails(clash)


def test_unload_items(read, fails):
    item = "unload:\n  - {processors: 0x0.f, channels: 4, dim: [2, 3], offset: 0x100, width: 32, write_gap: 1}\n"
    (parsed,) = read(item + layer()).unload
    assert (parsed.processors, parsed.channels, parsed.size, parsed.offset) == (0xF, 4, (2, 3), 0x100)
    assert (parsed.width, parsed.write_gap) == (32, 1)
    assert "width" in fails(item.replace("32", "16") + layer())
    for key in ("processors: 0x0.f, ", "channels: 4, ", "dim: [2, 3], ", "offset: 0x100, "):
        assert f"the key {key.partition(':')[0]!r} is missing" in fails(item.replace(key, "") + layer())


def test_snoop_values(read, fails):
    values = list(range(32))
    assert read(f"snoop: {values}\n" + layer(), MAX78002).snoop == tuple(values)
    assert "32" in fails(f"snoop: {values[1:]}\n" + layer(), MAX78002)


def test_kernels_of_one_dimension_have_one_size(read):
    with pytest.raises(Ai8xError, match=r"kernel_size = '3x1': must be one number for a 1D layer, for example 3"):
        read(layer("op: Conv1d", "kernel_size: 3x1"))
