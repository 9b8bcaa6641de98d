"""Loading of a network and its placement from a description and a file of parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ai8x_tool.checkpoint import read_checkpoint
from ai8x_tool.console import Console
from ai8x_tool.device import Device
from ai8x_tool.errors import Ai8xError
from ai8x_tool.frontend.yaml.array_parameters import load_test_parameters
from ai8x_tool.frontend.yaml.checkpoint_parameters import ParameterOptions, load_parameters
from ai8x_tool.frontend.yaml.description import NetworkDescription
from ai8x_tool.frontend.yaml.parser import read_description
from ai8x_tool.frontend.yaml.resolve import PlacedDescription, ResolveOptions, resolve


@dataclass(frozen=True)
class LoadOptions:
    """Options for reading a description and its parameters.

    The first `skip_yaml_layers` layers are ignored. `weight_input` and `bias_input` are NumPy files for a description
    that reads its parameters from arrays; by default, those in ``tests/`` that it names are used.
    """

    parameters: ParameterOptions = field(default_factory=ParameterOptions)
    network: ResolveOptions = field(default_factory=ResolveOptions)
    skip_yaml_layers: int = 0
    weight_input: Path | None = None
    bias_input: Path | None = None


def load_network(
    description: Path,
    checkpoint: Path | None,
    input_shape: tuple[int, int, int],
    device: Device,
    console: Console,
    options: LoadOptions | None = None,
) -> PlacedDescription:
    """Return the network and the placement of a description and a quantized checkpoint. `input_shape` is (C, H, W).

    Raises Ai8xError, naming file, line, layer and rule, for errors in the files.
    """
    chosen = options or LoadOptions()
    parsed = read_description(description, device, console, skip_layers=chosen.skip_yaml_layers)
    if parsed.is_test:
        parameters = load_test_parameters(parsed, *array_files(parsed, chosen))
    elif checkpoint is None:
        raise Ai8xError("no checkpoint given", fix="add --checkpoint FILE with a quantized checkpoint")
    else:
        parameters = load_parameters(parsed, read_checkpoint(checkpoint), device, console, chosen.parameters)
    return resolve(parsed, parameters, input_shape, device, console, chosen.network)


def array_files(description: NetworkDescription, options: LoadOptions) -> tuple[Path, Path | None]:
    """Return the files of weights and biases of a description that reads them from arrays.

    These are the files given by `options`, or those in tests/ that the description names.
    """
    weights = Path("tests") / f"{description.test_weights or f'weights_{description.dataset.lower()}'}.npy"
    bias = Path("tests") / f"bias_{description.test_bias}.npy" if description.test_bias else None
    return options.weight_input or weights, options.bias_input or bias
