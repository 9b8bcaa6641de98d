"""Hidden layers count towards the layers of the MAX78002."""

import pytest

from ai8x_tool.codegen import ProjectOptions
from ai8x_tool.device import MAX78002
from ai8x_tool.errors import Ai8xError
from ai8x_tool.synthesis.synthesize import SynthesisOptions
from tests.support.networks import QUIET, build, random_sample, synthesized


@pytest.mark.parametrize("layers", [127, 128])
def test_hidden_layers_count(layers):
    passing = {"op": "none", "processors": 0xF, "output_processors": 0xF}
    rest = [{**passing, "out_offset": 0x100 * (i % 2)} for i in range(layers - 2)]
    first = [
        {"op": "add", "processors": 0xF, "out_offset": 0x200, "output_processors": 0xF},
        {**passing, "out_offset": 0x100, "avg_pool": 2, "pool_stride": 1},
    ]
    network = build(first + rest, [], (8, 4, 4), MAX78002)
    arguments = network, random_sample((8, 4, 4)), ProjectOptions("a", "b", "c"), SynthesisOptions(), QUIET
    if layers == 127:
        program = synthesized(*arguments).program
        assert max(mapped.hardware_index for mapped in program.mapping.layers) == 127
    else:
        with pytest.raises(Ai8xError, match="128 layers"):
            synthesized(*arguments)
