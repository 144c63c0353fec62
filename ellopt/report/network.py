"""The nodes of a model as the report keeps them, and their grouping into the blocks of a diagram."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ellopt.model import layers as kinds
from ellopt.model.graph import Model
from ellopt.report.document import NodeReport, TuningReport

#: Kinds that belong to the block before them when nothing else reads that block.
FOLLOWERS = frozenset({"bias", "scaling", "batch normalization", "activation", "reorder", "reinterpret"})
#: Kinds that only move or hold data: not named in a block.
SILENT = frozenset({"reorder", "reinterpret", "constant"})

_ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "leaky ReLU",
    "parametric_relu": "parametric ReLU",
    "hard_sigmoid": "hard sigmoid",
    "hard_tanh": "hard tanh",
}
_OPERATIONS = {"add": "sum", "subtract": "difference", "coordinatewiseMultiply": "product", "divide": "quotient"}
_PLAIN = {
    kinds.Input: "input",
    kinds.Output: "output",
    kinds.Reorder: "reorder",
    kinds.Reinterpret: "reinterpret",
    kinds.Constant: "constant",
    kinds.Bias: "bias",
    kinds.Scaling: "scaling",
    kinds.BatchNormalization: "batch normalization",
    kinds.FullyConnected: "fully connected",
    kinds.Softmax: "softmax",
}


def describe(node: kinds.Node) -> tuple[str, str]:
    """The kind of a node and what a reader calls it."""
    if isinstance(node, kinds.Convolution):
        size = f"{node.receptive_field}x{node.receptive_field}" + (f"/{node.stride}" if node.stride > 1 else "")
        return "convolution", f"{'depthwise ' if node.depthwise else ''}convolution {size}"
    if isinstance(node, kinds.Pooling):
        return "pooling", f"{node.function} pooling {node.pooling_size}x{node.pooling_size}"
    if isinstance(node, kinds.Activation):
        return "activation", _ACTIVATIONS.get(node.function, node.function)
    if isinstance(node, kinds.BinaryOperation):
        return "binary operation", _OPERATIONS.get(node.operation, node.operation)
    for kind, name in _PLAIN.items():
        if isinstance(node, kind):
            return name, name
    return "other", node.type_name


def network_of(
    model: Model, medians_ms: Mapping[str, float], fused_into: Mapping[str, str] | None = None
) -> tuple[NodeReport, ...]:
    """The report's nodes of a (prepared) model: ``medians_ms`` by node id, ``fused_into`` node id -> node id."""
    total = sum(medians_ms.values())
    fused = fused_into or {}
    result = []
    for node in model.nodes:
        kind, label = describe(node)
        spent = medians_ms.get(node.node_id)
        result.append(
            NodeReport(
                node_id=node.node_id,
                kind=kind,
                label=label,
                inputs=node.inputs,
                shape="x".join(str(n) for n in node.output_layout.size),
                median_ms=spent,
                share_of_model=spent / total if spent and total > 0 else 0.0,
                fused_into=fused.get(node.node_id, ""),
            )
        )
    return tuple(result)


@dataclass
class Block:
    """What the diagram draws as one box: a node and those that merely finish its output."""

    head: NodeReport
    parts: list[NodeReport] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)  # indices of the blocks that it reads

    @property
    def share(self) -> float:
        return self.head.share_of_model + sum(part.share_of_model for part in self.parts)

    @property
    def milliseconds(self) -> float | None:
        times = [n.median_ms for n in (self.head, *self.parts) if n.median_ms is not None]
        return sum(times) if times else None

    @property
    def shape(self) -> str:
        return (self.parts[-1] if self.parts else self.head).shape

    @property
    def followers(self) -> str:
        """What comes behind the head, named: "batch normalization, ReLU"."""
        return ", ".join(part.label for part in self.parts if part.kind not in SILENT)


def blocks_of(report: TuningReport) -> list[Block]:
    """Blocks in order of computation. A report without nodes shows its convolution layers as a chain.

    Nodes that only move data and take no time of their own have no block: those that read them read their source.
    """
    nodes = report.nodes
    if not nodes:
        return [
            Block(
                NodeReport(layer.node_id, "convolution", "convolution", (), "", layer.winner_ms, layer.share_of_model),
                inputs=[index - 1] if index else [],
            )
            for index, layer in enumerate(report.layers)
        ]
    readers = Counter(source for node in nodes for source in set(node.inputs))
    blocks: list[Block] = []
    place: dict[str, int] = {}  # node id -> block
    for node in nodes:
        sources = [s for s in dict.fromkeys(node.inputs) if s in place]
        host = place.get(node.fused_into) if node.fused_into else None
        if host is None and node.kind in FOLLOWERS and len(sources) == 1 and readers[sources[0]] == 1:
            index = place[sources[0]]
            tail = blocks[index].parts[-1] if blocks[index].parts else blocks[index].head
            if tail.node_id == sources[0]:
                host = index
        if host is None and node.kind in SILENT and not node.share_of_model:
            if len(sources) == 1:  # what only reads or arranges differently is seen through
                place[node.node_id] = place[sources[0]]
            continue
        if host is None:
            host = len(blocks)
            blocks.append(Block(node))
        else:
            blocks[host].parts.append(node)
        place[node.node_id] = host
        for source in sources:
            if place[source] != host and place[source] not in blocks[host].inputs:
                blocks[host].inputs.append(place[source])
    return blocks
