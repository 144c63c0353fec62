"""The nodes of a graph in an order in which each follows those that it reads."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ellopt.core.errors import ModelFormatError
from ellopt.files.terminal import printable
from ellopt.frontends.onnx.branches import read_by


def is_standard(node: Any) -> bool:
    """Whether a node's operator is one of ONNX's own."""
    return node.domain in ("", "ai.onnx")


def node_label(place: str | int, name: str, kind: str) -> str:
    """How messages call a node: its place in the file, its name where it has one, its operator."""
    return f"node {place}{f' {printable(name)}' if name else ''} ({printable(kind)})"


def where(path: Path, label: str, what: str) -> ModelFormatError:
    """An error of a node."""
    return ModelFormatError(f"{path}: {label}: {' '.join(what.split())}")


def in_order(path: Path, graph: Any, given: Collection[str]) -> list[int]:
    """The places of the nodes that the outputs depend on. ``given`` are the tensors that no node makes.

    Raises ModelFormatError for a tensor that two nodes make or none, and for a cycle.
    """
    makers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in makers or name in given:
                raise where(path, _label(graph, index), f"makes {printable(name)}, which is there already")
            makers[name] = index
    done: set[int] = set()
    ordered: list[int] = []
    for root in (makers[value.name] for value in graph.output if value.name in makers):
        stack, open_ = [root], dict[int, None]()
        while stack:
            index = stack[-1]
            if index in done:
                stack.pop()
                continue
            open_[index] = None
            waiting = []
            for name in sorted(read_by(graph.node[index])):
                source = makers.get(name)
                if source is None:
                    if name not in given:
                        raise where(path, _label(graph, index), f"reads {printable(name)}, which nothing makes")
                elif source in open_:
                    raise where(path, _label(graph, index), "depends on itself: the graph has a cycle")
                elif source not in done:
                    waiting.append(source)
            if waiting:
                stack.append(waiting[0])
            else:
                done.add(index)
                ordered.append(index)
                open_.pop(index)
                stack.pop()
    return sorted(ordered) if _is_sorted(graph, makers, done) else ordered


def _is_sorted(graph: Any, makers: dict[str, int], nodes: Collection[int]) -> bool:
    """Whether the file has the nodes in order, as it should."""
    return all(makers.get(name, -1) < index for index in nodes for name in read_by(graph.node[index]))


def _label(graph: Any, index: int) -> str:
    node = graph.node[index]
    return node_label(index, node.name, node.op_type)
