"""Which nodes of a model are computed in one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ellopt.codegen.convolution.kernel import FUSED
from ellopt.model.graph import Model
from ellopt.model.layers import Activation, BinaryOperation, Convolution, FullyConnected, MemoryLayout, Node, PerChannel


@dataclass(frozen=True, eq=False)
class Group:
    """Nodes that follow each other and are computed in one step; the first decides its kind."""

    nodes: tuple[Node, ...]
    residual: tuple[str, MemoryLayout] | None = None  # the node that a fused sum adds, and how it reads it

    @property
    def first(self) -> Node:
        return self.nodes[0]

    @property
    def last(self) -> Node:
        return self.nodes[-1]

    @property
    def node_ids(self) -> tuple[str, ...]:
        return tuple(node.node_id for node in self.nodes)

    @property
    def activation(self) -> tuple[str, float, float]:
        """Its function, "none" where there is none, and its two numbers: the leaky factor is the first."""
        for node in self.nodes:
            if isinstance(node, Activation):
                return node.function, node.leaky_factor, node.beta
        return "none", 0.0, 0.0

    @property
    def residual_last(self) -> bool:
        """Whether the sum is behind the activation."""
        return self.residual is not None and any(isinstance(node, Activation) for node in self.nodes[:-1])


def same_reading(written: MemoryLayout, read: MemoryLayout) -> bool:
    """Whether reading with one layout what was written with another finds every element at its own place."""
    return (written.size, written.extent, written.offset, written.order) == (
        read.size,
        read.extent,
        read.offset,
        read.order,
    )


def fuse(model: Model) -> tuple[Group, ...]:
    """The groups of a model, in an order in which each follows those that it reads.

    A convolution and a fully connected layer take the per-channel sums and products behind them, a convolution
    then a residual sum, and every group one activation, as long as nobody else reads what lies between. A sum that no
    convolution can take before its activation is taken behind it.
    """
    return _Fusion(model).groups()


class _Fusion:
    def __init__(self, model: Model) -> None:
        self._nodes = model.nodes
        self._position = {node.node_id: i for i, node in enumerate(model.nodes)}
        self._consumers: dict[str, list[Node]] = {node.node_id: [] for node in model.nodes}
        for node in model.nodes:
            for source in node.inputs:
                self._consumers[source].append(node)
        self._by_id: Mapping[str, Node] = model.by_id

    def groups(self) -> tuple[Group, ...]:
        # Backwards, so that of two convolutions that a sum joins the later one takes the sum: the other result is
        # ready by then, and nothing has to be kept for longer.
        taken: set[str] = set()
        groups: list[Group] = []
        for node in reversed(self._nodes):
            if isinstance(node, Convolution):
                groups.append(self._convolution(node, taken))
                taken.update(n.node_id for n in groups[-1].nodes)
        for k, group in enumerate(groups):
            groups[k] = self._with_sum(group, taken)
            taken.add(groups[k].last.node_id)
        for node in self._nodes:
            if node.node_id not in taken:
                groups.append(self._other(node, taken))
                taken.update(n.node_id for n in groups[-1].nodes)
        return tuple(sorted(groups, key=lambda group: self._position[group.last.node_id]))

    def _next(self, node: Node, taken: set[str]) -> Node | None:
        """The only reader of a node's output, if it reads it element by element."""
        readers = self._consumers[node.node_id]
        if len(readers) != 1 or readers[0].node_id in taken:
            return None
        reader = readers[0]
        layout = reader.input_layouts[reader.inputs.index(node.node_id)]
        return reader if same_reading(node.output_layout, layout) else None

    def _convolution(self, node: Convolution, taken: set[str]) -> Group:
        nodes: list[Node] = [node]
        residual: tuple[str, MemoryLayout] | None = None
        while (reader := self._next(nodes[-1], taken)) is not None:
            if isinstance(reader, PerChannel) and (residual is None or reader.only_adds):
                nodes.append(reader)
            elif residual is None and (summand := self._summand(reader, nodes[-1])) is not None:
                residual = summand
                nodes.append(reader)
            else:
                if _fusible_activation(reader):
                    nodes.append(reader)
                break
        return Group(tuple(nodes), residual)

    def _with_sum(self, group: Group, taken: set[str]) -> Group:
        """``group`` with the sum that follows its activation, if nobody took it."""
        if group.residual is None and isinstance(group.last, Activation):
            reader = self._next(group.last, taken)
            summand = None if reader is None else self._summand(reader, group.last)
            if reader is not None and summand is not None:
                return Group((*group.nodes, reader), summand)
        return group

    def _summand(self, node: Node, before: Node) -> tuple[str, MemoryLayout] | None:
        """What ``node`` adds to the result of ``before``, if it does just that, and how it reads it."""
        if not isinstance(node, BinaryOperation) or node.operation != "add":
            return None
        other = node.inputs[1 - node.inputs.index(before.node_id)]
        layout = node.input_layouts[node.inputs.index(other)]
        written = self._by_id[other].output_layout
        return (other, layout) if same_reading(written, layout) and written.size == node.output_layout.size else None

    def _other(self, node: Node, taken: set[str]) -> Group:
        nodes = [node]
        if isinstance(node, FullyConnected | PerChannel):
            while isinstance(reader := self._next(nodes[-1], taken), PerChannel):
                nodes.append(reader)
        if isinstance(node, FullyConnected | PerChannel | BinaryOperation):
            reader = self._next(nodes[-1], taken)
            if reader is not None and (
                _fusible_activation(reader) or (isinstance(reader, Activation) and isinstance(node, PerChannel))
            ):
                nodes.append(reader)
        return Group(tuple(nodes))


def _fusible_activation(node: Node) -> bool:
    return isinstance(node, Activation) and node.function in FUSED
