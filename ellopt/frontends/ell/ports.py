"""What an input port reads: the text form of ELL's port elements."""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"(?P<node>[^.\[\]{},\s]+)\.(?P<port>\w+)(?:\[(?P<start>\d+)(?:\s*:\s*(?P<end>\d+))?\])?")


@dataclass(frozen=True)
class PortRange:
    """Elements ``start`` up to ``end`` (None: to the last one) of a node's output port."""

    node_id: str
    port: str
    start: int = 0
    end: int | None = None


def parse_port_elements(text: str) -> tuple[PortRange, ...]:
    """Read ``1033.output``, ``1033.output[4]``, ``1033.output[0:16]`` or several of them joined: ``{a, b}``.

    Raises ValueError for any other text.
    """
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    ranges: list[PortRange] = []
    for part in inner.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"cannot read the port reference {text!r}")
        start, end = match["start"], match["end"]
        if start is None:
            ranges.append(PortRange(match["node"], match["port"]))
        else:
            first = int(start)
            ranges.append(PortRange(match["node"], match["port"], first, int(end) if end else first + 1))
    return tuple(ranges)


def whole_output(ranges: tuple[PortRange, ...], elements: int) -> str | None:
    """The id of the node whose whole output of ``elements`` the ranges name, one after the other; else None."""
    position = 0
    for part in ranges:
        end = elements if part.end is None else part.end
        if part.node_id != ranges[0].node_id or part.port != "output" or part.start != position or end <= part.start:
            return None
        position = end
    return ranges[0].node_id if position == elements else None
