"""The network as a diagram: a column of blocks, what joins them, each with its winner and share of the time."""

from __future__ import annotations

from ellopt.report.charts import method_class
from ellopt.report.document import TuningReport
from ellopt.report.network import Block, blocks_of
from ellopt.report.svg import element, label, number, picture
from ellopt.report.words import milliseconds, percent
from ellopt.select.decisions import LayerReport

WIDTH = 880
GAP = 12
TALL, LOW, LINE = 46, 24, 16
BOX_WIDTH = 330
WINNER_X = 18
BAR_WIDTH = 110
LANE = 11


def network_diagram(report: TuningReport, identity: str = "network") -> str:
    """SVG of the network from the input (top) to the output (bottom)."""
    blocks = blocks_of(report)
    layers = {layer.node_id: layer for layer in report.layers}
    order = {layer.node_id: index for index, layer in enumerate(report.layers)}
    lanes = _lanes(blocks)
    left = 12 + LANE * (max(lanes.values(), default=-1) + 1)
    tops: list[float] = []
    heights: list[float] = []
    y = 26.0
    for block in blocks:
        tops.append(y)
        extra = LINE if block.followers else 0
        heights.append(TALL + extra if block.head.node_id in layers else LOW)
        y += heights[-1] + GAP
    winner_x = left + BOX_WIDTH + WINNER_X
    bar_x = WIDTH - BAR_WIDTH - 140
    largest = max((block.share for block in blocks), default=0.0) or 1.0
    body = [
        label(left, 14, "layer", class_="axis"),
        label(winner_x, 14, "winner", class_="axis"),
        label(bar_x, 14, "share of the model's time", class_="axis"),
    ]
    centre = left + BOX_WIDTH / 2
    for target, block in enumerate(blocks):
        for source in block.inputs:
            if source == target - 1:
                path = f"M{number(centre)} {number(tops[source] + heights[source])}V{number(tops[target] - 1)}"
            else:
                x = left - 8 - LANE * lanes[source, target]
                start, end = tops[source] + 0.7 * heights[source], tops[target] + 0.3 * heights[target]
                path = f"M{number(left)} {number(start)}H{number(x + 5)}q-5 0 -5 5"
                path += f"V{number(end - 5)}q0 5 5 5H{number(left - 1)}"
            body.append(element("path", d=path, class_="edge", marker_end="url(#arrow)"))
    for block, top, height in zip(blocks, tops, heights, strict=True):
        layer = layers.get(block.head.node_id)
        if layer:
            body += _layer(block, layer, f"#layer-{order[layer.node_id]}", left, top, height, winner_x)
        else:
            body += _plain(block, left, top)
        if block.share > 0 or layer:
            middle = top + height / 2
            class_ = method_class(layer.winner.method) if layer else "m-other"
            width = BAR_WIDTH * block.share / largest
            body.append(
                element("rect", x=bar_x, y=middle - 7, width=max(width, 1), height=14, rx=2, class_=f"bar {class_}")
            )
            body.append(label(bar_x + width + 6, middle + 4, percent(block.share), class_="figure"))
            body.append(label(WIDTH - 4, middle + 4, milliseconds(block.milliseconds), text_anchor="end"))
    arrow = element(
        "defs",
        element(
            "marker",
            element("path", d="M0 0L6 3L0 6z", class_="arrowhead"),
            id="arrow", viewBox="0 0 6 6", refX=5, refY=3, markerWidth=6, markerHeight=6, orient="auto",
        ),
    )  # fmt: skip
    return picture(identity, WIDTH, y, f"The network {report.model}", _said(blocks, layers), [arrow, *body], "group")


def _layer(
    block: Block, layer: LayerReport, target: str, left: float, top: float, height: float, winner_x: float
) -> list[str]:
    name = block.head.label + (f" “{layer.name}”" if layer.name else "")
    shape = layer.shape.removeprefix("depthwise ") if "depthwise" in name else layer.shape
    class_ = method_class(layer.winner.method)
    link = [
        element("rect", x=left, y=top, width=BOX_WIDTH, height=height, rx=7, class_=f"layer {class_}"),
        label(left + 14, top + 19, _fit(name, 38), class_="strong"),
        label(left + 14, top + 19 + LINE, _fit(f"node {layer.node_id} · {shape}", 48), class_="faded"),
    ]
    if block.followers:
        link.append(label(left + 14, top + 19 + 2 * LINE, _fit(f"+ {block.followers}", 48), class_="faded"))
    remark = "as ELL's default" if layer.winner == layer.default else ""
    if layer.tie:
        remark = f"tie with {layer.runner_up}"
    middle = top + height / 2 - (LINE / 2 if remark else 0)
    return [
        element("a", *link, href=target),
        element("circle", cx=winner_x + 5, cy=middle, r=5, class_=f"swatch {class_}"),
        label(winner_x + 16, middle + 4, _fit(str(layer.winner), 30), class_="strong"),
        label(winner_x + 16, middle + 4 + LINE, _fit(remark, 32), class_="faded") if remark else "",
    ]


def _plain(block: Block, left: float, top: float) -> list[str]:
    text = block.head.label + (f" + {block.followers}" if block.followers else "")
    return [
        element("rect", x=left, y=top, width=BOX_WIDTH, height=LOW, rx=7, class_="plain"),
        label(left + 14, top + 16, _fit(text, 36), class_="small"),
        label(left + BOX_WIDTH - 12, top + 16, _fit(block.shape, 18), class_="small faded", text_anchor="end"),
    ]


def _fit(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _lanes(blocks: list[Block]) -> dict[tuple[int, int], int]:
    """For every edge that passes blocks by: its lane, 0 being next to the boxes. Edges that overlap keep apart."""
    edges = sorted(
        ((s, t) for t, block in enumerate(blocks) for s in block.inputs if s != t - 1), key=lambda e: (e[1] - e[0], e)
    )
    lanes: dict[tuple[int, int], int] = {}
    for source, target in edges:
        taken = {lane for (s, t), lane in lanes.items() if s < target and source < t}
        lanes[source, target] = next(lane for lane in range(len(edges)) if lane not in taken)
    return lanes


def _said(blocks: list[Block], layers: dict[str, LayerReport]) -> str:
    """The diagram in words, for those who do not see it."""
    parts = []
    for block in blocks:
        layer = layers.get(block.head.node_id)
        if layer:
            parts.append(f"{block.head.label} {layer.node_id}: {layer.winner}, {percent(block.share)} of the time")
        elif block.share > 0:
            parts.append(f"{block.head.label}: {percent(block.share)}")
        else:
            parts.append(block.head.label)
    return "From input to output: " + "; ".join(parts) + "."
