"""The keys of a network description."""

from __future__ import annotations

ALIASES = {
    "operation": ("operation", "op", "operator", "convolution"),
    "activate": ("activate", "activation"),
    "groups": ("groups", "conv_groups"),
    "read_gap": ("read_gap", "in_skip"),
    "bias_group": ("bias_group", "bias_quadrant"),
}
"""Keys with several spellings; the code uses the first one."""

LAYER_KEYS = [
    *(key for group in ALIASES.values() for key in group),
    *("name", "sequence", "in_sequences", "next_sequence", "simulated_sequence", "snoop_sequence"),
    *("output", "weight_source", "bypass", "eltwise", "operands", "pool_first"),
    *("kernel_size", "dilation", "stride", "pad", "output_pad"),
    *("max_pool", "avg_pool", "pool_stride", "pool_dilation"),
    *("quantization", "output_shift", "output_width", "data_format"),
    *("in_channels", "out_channels", "in_dim", "in_crop", "in_channel_skip", "flatten"),
    *("processors", "output_processors", "in_offset", "out_offset", "write_gap"),
    *("streaming", "readahead", "tcalc", "calcx4", "buffer_shift", "buffer_insert"),
]
GLOBAL_KEYS = ["arch", "dataset", "layers", "bias", "weights", "output_map", "unload", "data_buffer", "snoop"]
UNLOAD_KEYS = ["processors", "channels", "dim", "offset", "width", "write_gap"]
BUFFER_KEYS = ["name", "processors", "channels", "dim", "offset", "width"]
