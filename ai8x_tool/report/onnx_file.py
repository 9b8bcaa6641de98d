"""Export of a trained model as an ONNX file."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ai8x_tool.errors import Ai8xError
from ai8x_tool.files import write_file
from ai8x_tool.nn.plain import plain_model

Array = npt.NDArray[Any]

OPSET = 18
"""The first operator set with bitwise operators."""
_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "onnxslim")


def require_packages() -> None:
    """Raise Ai8xError if packages that are needed to write ONNX files are missing."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        fix = "pip install 'ai8x-tool[onnx]'"
        raise Ai8xError(f"ONNX needs {', '.join(missing)}, which is not installed", fix=fix)


def export_onnx(
    model: nn.Module, sample: Tensor, *, simplified: bool = False, notes: Mapping[str, str] | None = None
) -> bytes:
    """Return `model` as the bytes of an ONNX file; `sample` (B, …) are inputs of the model, with B of at least 2.

    The file accepts batches of any size, or single samples if the model does not support batches of any size. `notes`
    become metadata. Raises Ai8xError if packages are missing, and for models whose operations depend on their data.
    """
    require_packages()
    plain = plain_model(model, simplified=simplified)
    with torch.no_grad():
        outputs = plain(sample)
    count = 1 if isinstance(outputs, Tensor) else len(outputs)
    names = ["output"] if count == 1 else [f"output_{number}" for number in range(count)]
    content = None
    with contextlib.suppress(Exception):  # the exporter can raise any exception
        content = _program(plain, sample, names, any_batch=True)
    if content is None or not content.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        try:
            content = _program(plain, sample[:1], names, any_batch=False)
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            raise Ai8xError(f"{type(model).__name__} cannot be written as ONNX: {reason}") from None
    return _finished(content, simplified, notes or {})


def _program(plain: nn.Module, sample: Tensor, names: list[str], *, any_batch: bool) -> Any:
    """Return the ONNX model as the exporter creates it."""
    with _silence():
        program = torch.onnx.export(
            plain,
            (sample,),
            input_names=["input"],
            output_names=names,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},) if any_batch else None,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _finished(content: Any, simplified: bool, notes: Mapping[str, str]) -> bytes:
    import onnx  # noqa: PLC0415  (optional)
    import onnxslim  # noqa: PLC0415

    if simplified:
        with _silence():
            content = onnxslim.slim(content)
    for node in content.graph.node:  # they contain paths of this computer, and take up most of the file
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*content.graph.value_info, *content.graph.input, *content.graph.output, *content.graph.initializer):
        del value.metadata_props[:]
    del content.graph.metadata_props[:]
    del content.metadata_props[:]
    onnx.helper.set_model_props(content, dict(notes))
    content.producer_name = "ai8x"
    onnx.checker.check_model(content)
    return bytes(content.SerializeToString())


def run_onnx(content: bytes | Path, inputs: Tensor | Array) -> tuple[Array, ...]:
    """Return the outputs of an ONNX model for `inputs` (B, …), computed by ONNX Runtime on the CPU."""
    require_packages()
    import onnxruntime  # noqa: PLC0415  (optional)

    source = str(content) if isinstance(content, Path) else content
    session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    values = np.ascontiguousarray(inputs, np.float32)
    single = isinstance(entry.shape[0], int)
    batches = np.split(values, len(values)) if single else [values]
    results = [session.run(None, {entry.name: batch}) for batch in batches]
    return tuple(np.concatenate(parts) for parts in zip(*results, strict=True))


def largest_difference(model: nn.Module, content: bytes, inputs: Tensor) -> float:
    """Return the largest difference of ONNX Runtime's outputs from those of `model`, which is on the CPU."""
    with torch.no_grad():
        outputs = model.eval()(inputs)
    expected = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    pairs = zip(expected, run_onnx(content, inputs), strict=True)
    return max(float(np.abs(wanted.double().numpy() - found).max()) for wanted, found in pairs)


def write_onnx(content: bytes, path: Path) -> None:
    """Write the file completely or not at all."""
    write_file(content, path)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress messages of the exporter that are meant for developers."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
