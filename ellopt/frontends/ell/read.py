"""From a `.ell` file to a Model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ellopt.core.errors import ModelFormatError
from ellopt.core.plan import Plan
from ellopt.frontends.ell.archive import Archive, read_archive
from ellopt.frontends.ell.expand import expand_predictors
from ellopt.frontends.ell.fields import Fields
from ellopt.frontends.ell.metadata import read_options
from ellopt.frontends.ell.parse import parse_node
from ellopt.frontends.ell.ports import parse_port_elements, whole_output
from ellopt.frontends.ell.raw import RawNode, read_raw
from ellopt.model.graph import Model
from ellopt.model.layers import Convolution, Input, MemoryLayout, Node, Output
from ellopt.model.names import model_name

logger = logging.getLogger(__name__)


#: Of all buffers together: 8 GiB of float32, more than any board has.
MAX_MODEL_ELEMENTS = 1 << 31


def read_model(path: Path) -> Model:
    """Read a ``.ell`` or ``.ell.zip`` file.

    Raises ModelFormatError, naming the file and, where there is one, the node and its type: for a file that is not
    an ELL map, an unknown kind of node, a missing port, a cycle, weights whose count disagrees with their shape or
    that are not finite.
    """
    return build_model(expand_predictors(read_archive(path)))


def build_model(archive: Archive) -> Model:
    """The model that an archive describes. Raises ModelFormatError as ``read_model``."""
    path = archive.path
    raws: dict[str, RawNode] = {}
    for data in archive.nodes:
        raw = read_raw(path, data, archive.origins.get(str(data.get("id")), ""))
        if raw.node_id in raws:
            raw.fail("another node has the same id")
        raws[raw.node_id] = raw
    outputs: dict[str, MemoryLayout] = {}
    nodes = []
    elements = 0
    for raw in _in_order(raws):
        node = parse_node(raw, outputs)
        outputs[node.node_id] = node.output_layout
        elements += node.output_layout.elements
        if elements > MAX_MODEL_ELEMENTS:
            raw.fail(f"with this node the layers' results take more than {MAX_MODEL_ELEMENTS} elements together")
        nodes.append(node)
    _check_ends(archive, nodes)
    nodes = _needed(path, nodes)
    return Model(path, model_name(path), tuple(nodes), _options(archive, nodes), archive)


def _options(archive: Archive, nodes: list[Node]) -> Plan:
    """The options that convolution layers carry; winograd where it does not apply is passed over, as ELL does."""
    found = read_options(archive)
    chosen = {}
    for node in nodes:
        options = found.get(node.node_id)
        if options is None or not isinstance(node, Convolution):
            continue
        if options.method == "winograd" and (node.receptive_field, node.stride) != (3, 1):
            logger.warning("%s: node %s: winograd does not apply to it; passed over", archive.path, node.node_id)
            continue
        chosen[node.node_id] = options
    return Plan.of(chosen)


def _needed(path: Path, nodes: list[Node]) -> list[Node]:
    """The input and what the output depends on, as ELL's own compiler does. ``nodes`` follow those that they read."""
    wanted = {node.node_id for node in nodes if isinstance(node, Output)}
    for node in reversed(nodes):
        if node.node_id in wanted:
            wanted.update(node.inputs)
    kept = [node for node in nodes if node.node_id in wanted or isinstance(node, Input)]
    if len(kept) < len(nodes):
        logger.info("%s: the output does not depend on %d nodes; left out", path, len(nodes) - len(kept))
    return kept


def _in_order(raws: Mapping[str, RawNode]) -> list[RawNode]:
    """Topological order that keeps the file's order wherever it can (depth first, without recursion)."""
    ordered: dict[str, RawNode] = {}
    open_: dict[str, None] = {}
    for root in raws:
        stack = [root]
        while stack:
            node_id = stack[-1]
            if node_id in ordered:
                stack.pop()
                continue
            raw = raws[node_id]
            open_[node_id] = None
            waiting = []
            for source in sorted(raw.reads):
                if source not in raws:
                    raw.fail(f"it reads node {source}, which does not exist")
                if source in open_:
                    raw.fail(f"it reads node {source}, which depends on this node: the model has a cycle")
                if source not in ordered:
                    waiting.append(source)
            if waiting:
                stack.append(waiting[0])
            else:
                ordered[node_id] = raw
                del open_[node_id]
                stack.pop()
    return list(ordered.values())


def _check_ends(archive: Archive, nodes: list[Node]) -> None:
    """One input and one output, those that the map names. A map may name another node's output as its own."""
    path, fields = archive.path, Fields(archive.data, str(archive.path))
    inputs = [node.node_id for node in nodes if isinstance(node, Input)]
    if len(inputs) != 1:
        raise ModelFormatError(f"{path}: the model has {len(inputs)} input nodes; exactly one is supported")
    if "inputIds" in fields and fields.value("inputIds") != inputs:
        fields.fail(f"inputIds {fields.value('inputIds')} is not the input node {inputs[0]}")
    elements = fields.value("outputElements")
    if not isinstance(elements, list) or len(elements) != 1 or not isinstance(elements[0], str):
        fields.fail("outputElements must name exactly one output")
    by_id = {node.node_id: node for node in nodes}
    try:
        ranges = parse_port_elements(elements[0])
    except ValueError as error:
        fields.fail(f"outputElements: {error}")
    node = by_id.get(ranges[0].node_id)
    if node is None:
        fields.fail(f"outputElements names node {ranges[0].node_id}, which does not exist")
    if whole_output(ranges, node.output_layout.elements) is None:
        fields.fail(f"outputElements {elements[0]} is not the whole output of one node, which is not supported")
    others = [n.node_id for n in nodes if isinstance(n, Output) and n is not node]
    if others:
        fields.fail(f"the model has more outputs than the map names: nodes {', '.join(others)}")
    if not isinstance(node, Output):
        output = Output(
            f"{node.node_id}.output", "OutputNode<float>", (node.node_id,), (node.output_layout,), node.output_layout
        )
        nodes.append(output)
