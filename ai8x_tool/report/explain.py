"""Table of a layer's registers with their fields and the function that computes each value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai8x_tool.device.registers import registers
from ai8x_tool.errors import Ai8xError, nearest
from ai8x_tool.lowering.configure import LAYER_REGISTERS, layer_writes
from ai8x_tool.lowering.program import Program
from ai8x_tool.network.network import Layer
from ai8x_tool.report.columns import Table, table_of
from ai8x_tool.text import decode_surrogates


def find_layer(program: Program, name: str) -> Layer:
    """Return the layer with this number or name. Raises Ai8xError if there is none."""
    layers, name = program.mapping.network.layers, decode_surrogates(name)
    for layer in layers:
        if name == str(layer.index) or (layer.name or "").lower() == name.lower():
            return layer
    known = [layer.name or str(layer.index) for layer in layers]
    hint = nearest(name, known) or f"; layers are {layers[0].index} … {layers[-1].index}"
    raise Ai8xError(f"no layer {name!r}{hint}")


def explain_rows(program: Program, layer: Layer) -> list[dict[str, Any]]:
    """Return one row per register and distinct value: quadrants, address, value, and fields with their meanings."""
    context, mapped = program.context, program.mapping[layer.index]
    table = registers(program.mapping.device)
    functions = dict(LAYER_REGISTERS)
    merged: dict[tuple[str, int, int], dict[str, Any]] = {}
    for quadrant in program.mapping.quadrants:
        for write in layer_writes(mapped, context, quadrant):
            key = (write.register, write.value, int(bool(write.note)))
            if key in merged:
                merged[key]["quadrants"].append(quadrant)
                continue
            register = table[write.register]
            meanings = {field.name: field.meaning for field in register.fields}
            function = functions[write.register]
            merged[key] = {
                "register": write.register,
                "title": write.note or register.title,
                "quadrants": [quadrant],
                "address": write.address,
                "value": write.value,
                "written": bool(write.value) or program.options.write_zero_registers,
                "source": f"lowering/{function.__module__.rpartition('.')[2]}.py: {function.__name__}",
                "fields": [
                    {"name": name, "value": value, "meaning": meanings[name]} for name, value in write.fields.items()
                ],
            }
    return list(merged.values())


def explain_table(program: Program, layer: Layer) -> Table:
    """Return the rows as a table."""
    mapped = program.mapping[layer.index]
    title = f"{layer.label.capitalize()}, hardware layer {mapped.hardware_index}, {program.mapping.device.name}"
    cells = [cells for row in explain_rows(program, layer) for cells in _table_rows(row)]
    headings = ("register", "quadrants", "address", "value", "meaning – function")
    return table_of(headings, cells, title=title, wrapped=True, ranks={"quadrants": 1})


def _table_rows(row: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield a row for a register, followed by one for each of its fields that is not zero."""
    value = f"{row['value']:08x}" if row["written"] else "not written"
    quadrants = ", ".join(map(str, row["quadrants"]))
    function = row["source"].rpartition(" ")[2]
    yield row["register"], quadrants, f"{row['address']:08x}", value, f"{row['title']} – {function}"
    for field in row["fields"]:
        if field["value"]:
            yield f"  {field['name']}", "", "", f"{field['value']}", field["meaning"]
