"""Graphs in graphs: the branch that an ``If`` of known condition takes, as a part of the graph around it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import onnx

_PLACE = re.compile(r"\d+(\.(then|else)\.\d+)*")


def subgraphs(node: Any) -> list[Any]:
    """The graphs that a node has as attributes."""
    return [graph for a in node.attribute for graph in (*([a.g] if a.HasField("g") else ()), *a.graphs)]


def all_graphs(graph: Any) -> Iterator[Any]:
    """``graph`` and those within it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def read_by(node: Any) -> set[str]:
    """The tensors that a node reads; its graphs may read any of the graph around them."""
    return {name for name in node.input if name}.union(*map(_read_around, subgraphs(node)))


def _read_around(graph: Any) -> set[str]:
    read = {value.name for value in graph.output}.union(*map(read_by, graph.node))
    return read - _made(graph) - {value.name for value in graph.input}


def _made(graph: Any) -> set[str]:
    computed = {name for node in graph.node for name in node.output}
    return (computed | {tensor.name for tensor in graph.initializer}) - {""}


def taken_branch(node: Any, condition: bool, names: Collection[str]) -> Any | None:
    """The branch of an ``If``; what it makes is called otherwise than anything in ``names``. None if there is none."""
    wanted = "then_branch" if condition else "else_branch"
    branch = next((a.g for a in node.attribute if a.name == wanted and a.HasField("g")), None)
    if branch is None:
        return None
    graph = onnx.GraphProto()
    graph.CopyFrom(branch)
    made = _made(graph)
    new: dict[str, str] = {}
    for name in sorted(made):
        number = 0
        while (found := f"{name}_{number}" if number else name) in names or (number and found in made):
            number += 1
        new[name] = found
    _rename(graph, new)
    return graph


def _rename(graph: Any, new: Mapping[str, str]) -> None:
    for named in (*graph.initializer, *graph.output):
        named.name = new.get(named.name, named.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
        for inner in subgraphs(node):
            hidden = _made(inner) | {value.name for value in inner.input}
            _rename(inner, {name: other for name, other in new.items() if name not in hidden})


def branch_place(place: str, condition: bool, index: int) -> str:
    """How a node of a branch is called by its place: 12.then.3 is the fourth of the node 12's."""
    return f"{place}.{'then' if condition else 'else'}.{index}"


def is_place(node_id: str) -> bool:
    return _PLACE.fullmatch(node_id) is not None


def node_at(graph: Any, place: str) -> Any:
    """The node of a file at a place."""
    first, *rest = place.split(".")
    node = graph.node[int(first)]
    for branch, index in zip(rest[::2], rest[1::2], strict=True):
        node = next(a.g for a in node.attribute if a.name == f"{branch}_branch").node[int(index)]
    return node
