"""What ``ellopt show`` says of a model: a row a node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby

from ellopt.files.terminal import shortened
from ellopt.model import layers
from ellopt.model.graph import Model
from ellopt.model.layers import Node, Shape3

#: so many inputs of one shape, one after the other, are counted in a table
_MANY = 3


@dataclass(frozen=True)
class NodeRow:
    """One node. ``parameters`` and ``multiply_adds`` are counts; ``variants`` says what can be tried on a convolution
    layer and is empty for other nodes."""

    node_id: str
    type_name: str
    name: str
    input: str
    output: str
    padding: str
    parameters: int
    multiply_adds: int
    options: str
    variants: str


def describe(model: Model) -> tuple[NodeRow, ...]:
    """A row for every node, in the order of computation."""
    return tuple(_row(model, node) for node in model.nodes)


@dataclass(frozen=True)
class Column:
    """A column of a table of nodes. The last of the cells is of the line of totals."""

    title: str
    cells: tuple[str, ...]
    numeric: bool


def table_columns(rows: Sequence[NodeRow]) -> tuple[Column, ...]:
    """The rows as columns; those that are empty everywhere are left out. What would make one very wide is shortened."""
    titles = {
        "node_id": "id",
        "type_name": "type",
        "name": "name",
        "input": "input",
        "output": "output",
        "padding": "padding",
        "parameters": "parameters",
        "multiply_adds": "multiply-adds",
        "options": "options",
        "variants": "can be tried",
    }
    totals = {
        "node_id": "total",
        "parameters": f"{sum(row.parameters for row in rows):,}",
        "multiply_adds": f"{sum(row.multiply_adds for row in rows):,}",
    }
    columns = []
    for field in fields(NodeRow):
        values = [getattr(row, field.name) for row in rows]
        if shorter := _SHORTER.get(field.name):
            values = list(map(shorter, values))
        numeric = field.type == "int"
        cells = [f"{value:,}" if numeric and value else "" if numeric else str(value) for value in values]
        if any(cells):
            columns.append(Column(titles[field.name], (*cells, totals.get(field.name, "")), numeric))
    return tuple(columns)


def format_table(rows: Sequence[NodeRow]) -> str:
    """The rows as plain text, with a line of totals."""
    columns = []
    for column in table_columns(rows):
        cells = (column.title, *column.cells)
        width = max(map(len, cells))
        columns.append([cell.rjust(width) if column.numeric else cell.ljust(width) for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))


def _counted(inputs: str) -> str:
    """Shapes joined by ``+``, with those that follow each other and are the same said once, where they are many."""
    parts = []
    for shape, same in groupby(inputs.split(" + ")):
        count = len(list(same))
        parts += [f"{shape} ({count} times)"] if count >= _MANY else [shape] * count
    return " + ".join(parts)


#: how a column's cells become shorter
_SHORTER: Mapping[str, Callable[[str], str]] = {"name": shortened, "input": _counted}


def _row(model: Model, node: Node) -> NodeRow:
    return NodeRow(
        node_id=node.node_id,
        type_name=node.type_name,
        name=node.name,
        input=" + ".join(_shape(layout.size) for layout in node.input_layouts),
        output=_shape(node.output_layout.size),
        padding=_padding(node),
        parameters=node.parameters,
        multiply_adds=node.multiply_adds,
        options=str(model.options.get(node.node_id, "")),
        variants=_variants(node),
    )


def _shape(size: Shape3) -> str:
    return "x".join(map(str, size))


def _padding(node: Node) -> str:
    """Borders of what is read and written, such as ``in 1, out 1``."""
    parts = []
    if node.input_layouts and node.input_layouts[0].offset != (0, 0, 0):
        parts.append(f"in {_border(node.input_layouts[0].offset)}")
    if not isinstance(node, layers.Output) and node.output_layout.offset != (0, 0, 0):
        value = {0.0: "", -1.0: " of -1"}.get(node.padding_value, " of min" if node.padding_value < 0 else " of max")
        parts.append(f"out {_border(node.output_layout.offset)}{value}")
    return ", ".join(parts)


def _border(offset: Shape3) -> str:
    return str(offset[0]) if offset[0] == offset[1] and not offset[2] else _shape(offset)


def _variants(node: Node) -> str:
    if not isinstance(node, layers.Convolution):
        return ""
    kind = "depthwise: " if node.depthwise else ""
    return kind + "simple, unrolled" + (", winograd" if node.minimal_filtering else "")
