"""Operators of an ONNX file as nodes of a plot. Requires the package onnx."""

from __future__ import annotations

from typing import Any

import onnx

from ai8x_tool.report.graph_plot import GraphNode


def graph_nodes(content: bytes, *, parameters: bool = False) -> list[GraphNode]:
    """Return inputs, operators and outputs in the order of computation; with `parameters` also weights and biases."""
    graph = onnx.load_from_string(content).graph
    constants = {entry.name: tuple(entry.dims) for entry in graph.initializer}
    nodes = [GraphNode(f"{e.name} {_shape(e)}", (), (e.name,), plain=True) for e in graph.input]
    if parameters:
        sized = ((name, shape) for name, shape in constants.items() if shape)
        nodes += [GraphNode(f"{name}\n{'×'.join(map(str, shape))}", (), (name,), plain=True) for name, shape in sized]
    for node in graph.node:
        shapes = [constants[name] for name in node.input if constants.get(name)]
        size = f" {'×'.join(map(str, shapes[0]))}" if shapes and not parameters else ""
        nodes.append(GraphNode(node.op_type + size, tuple(node.input), tuple(node.output)))
    return nodes + [GraphNode(f"{e.name} {_shape(e)}", (e.name,), (), plain=True) for e in graph.output]


def _shape(entry: Any) -> str:
    sizes = entry.type.tensor_type.shape.dim
    return "×".join(size.dim_param or str(size.dim_value) for size in sizes)
