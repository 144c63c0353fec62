"""From a ``.onnx`` file to a Model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ellopt.core.errors import ConfigurationError, ModelFormatError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.files.terminal import printable
from ellopt.frontends.base import model_name
from ellopt.frontends.onnx.branches import is_place, node_at
from ellopt.frontends.onnx.builder import Builder
from ellopt.frontends.onnx.file import OnnxFile, read_file
from ellopt.frontends.onnx.fold import Graph, Operator, Shape, fold
from ellopt.frontends.onnx.held import Held, flat, identity
from ellopt.frontends.onnx.operators.movement import joined_flat
from ellopt.frontends.onnx.operators.table import OPERATORS
from ellopt.frontends.onnx.patterns import with_whole_functions
from ellopt.frontends.onnx.refusals import Refusals, Refused
from ellopt.frontends.onnx.tuned_shapes import kept_shapes
from ellopt.model import layers
from ellopt.model.graph import Model, Port
from ellopt.model.layers import Node

logger = logging.getLogger(__name__)

#: Of all results together: 8 GiB of float32, more than any board has.
MAX_MODEL_ELEMENTS = 1 << 31
#: In the metadata of a node: the options that were chosen for it.
OPTIONS_KEY = "ellopt.convolution"


def read_model(path: Path, input_shapes: Mapping[str, Shape] | None = None) -> Model:
    """Read a ``.onnx`` file for inputs of ``input_shapes``, by name; where none is given, for those that it was tuned
    for, or that it says itself.

    Raises ModelFormatError, naming the file: for a damaged file, and with everything in it that is not supported.
    """
    file = read_file(path)
    refusals = Refusals()
    graph = fold(file, kept_shapes(file.message) | dict(input_shapes or {}), OPERATORS.keys(), refusals)
    refusals.raise_any(path)
    builder = Builder(graph)
    inputs = _inputs(builder, graph)
    for operator in graph.operators:
        _translate(builder, operator, refusals)
    refusals.raise_any(path)
    outputs = _outputs(builder, graph)
    nodes = with_whole_functions(_needed(builder.nodes))
    if sum(node.output_layout.elements for node in nodes) > MAX_MODEL_ELEMENTS:
        raise ModelFormatError(f"{path}: the layers' results take more than {MAX_MODEL_ELEMENTS} elements together")
    options = _options(file, nodes)
    return Model(path, model_name(path), tuple(nodes), options, file, inputs, outputs)


def _translate(builder: Builder, operator: Operator, refusals: Refusals) -> None:
    """Make the nodes of an operator. Where it is refused, its results become constants, so that what follows is
    looked at, too."""
    builder.begin(operator)
    try:
        OPERATORS[operator.kind](builder, operator)
    except Refused as reason:
        refusals.add(operator.label, str(reason))
        for name in filter(None, operator.outputs):
            builder.stand_in(name)
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise ModelFormatError(
            f"{builder.graph.file.path}: {operator.label} has attributes or inputs that do not go together: {error}"
        ) from error


def _inputs(builder: Builder, graph: Graph) -> tuple[Port, ...]:
    """The one input node, and each input of the file as a part of it."""
    ports = _ports([(name, graph.shapes[name]) for name in graph.inputs])
    layout = flat(ports[-1].offset + ports[-1].elements)
    builder.begin(Operator("input", "Input", "", (), graph.inputs, {}))
    node = layers.Input("input", "Input", (), (), layout)
    whole = builder.add(node, (layout.size[2],), (0,))
    for port in ports:
        builder.hold(port.name, builder.part(whole, port.offset, port.shape) if len(ports) > 1 else _as(whole, port))
    return ports


def _as(whole: Held, port: Port) -> Held:
    return Held(whole.node_id, whole.layout, port.shape, identity(port.shape))


def _outputs(builder: Builder, graph: Graph) -> tuple[Port, ...]:
    builder.begin(Operator("output", "Output", "", graph.outputs, (), {}))
    helds = [builder.dense(builder.held(name)) for name in graph.outputs]
    whole = helds[0] if len(helds) == 1 else joined_flat(builder, helds)
    if whole.layout.size[:2] != (1, 1):
        whole = builder.arranged(whole, whole.order, flat(whole.elements))
    builder.nodes.append(layers.Output("output", "Output", (whole.node_id,), (whole.layout,), whole.layout))
    return _ports([(name, held.shape) for name, held in zip(graph.outputs, helds, strict=True)])


def _ports(named: list[tuple[str, Shape]]) -> tuple[Port, ...]:
    ports: list[Port] = []
    offset = 0
    for name, shape in named:
        ports.append(Port(name, shape, offset))
        offset += ports[-1].elements
    return tuple(ports)


def _needed(nodes: list[Node]) -> list[Node]:
    """The input and what the output depends on."""
    wanted = {"input", "output"}
    for node in reversed(nodes):
        if node.node_id in wanted:
            wanted.update(node.inputs)
    return [node for node in nodes if node.node_id in wanted]


def _options(file: OnnxFile, nodes: list[Node]) -> Plan:
    """The options that convolution layers carry; those that cannot be read are passed over with a warning."""
    chosen: dict[str, ConvolutionOptions] = {}
    graph = file.message.graph
    for node in nodes:
        if not isinstance(node, layers.Convolution) or not is_place(node.node_id):
            continue
        for entry in node_at(graph, node.node_id).metadata_props:
            if entry.key == OPTIONS_KEY:
                try:
                    chosen[node.node_id] = ConvolutionOptions.parse(entry.value)
                except ConfigurationError as error:
                    logger.warning(
                        "%s: node %s: its metadata %s: %s; passed over", file.path, node.node_id, OPTIONS_KEY,
                        printable(str(error)),
                    )  # fmt: skip
    return Plan.of(chosen)
