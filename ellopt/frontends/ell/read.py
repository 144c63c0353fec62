"""From a `.ell` file to a Model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ellopt.core.plan import Plan
from ellopt.frontends.base import model_name
from ellopt.frontends.ell.archive import Archive, read_archive
from ellopt.frontends.ell.ends import end_names, with_ends
from ellopt.frontends.ell.expand import expand_predictors
from ellopt.frontends.ell.metadata import read_options
from ellopt.frontends.ell.parse import parse_node
from ellopt.frontends.ell.raw import RawNode, read_raw
from ellopt.frontends.ell.references import resolved
from ellopt.model.graph import Model
from ellopt.model.layers import Convolution, Input, MemoryLayout, Node, Output

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
    nodes: list[Node] = []
    elements = 0
    for raw in _in_order(raws):
        raw, made = resolved(raw, outputs)
        outputs.update((node.node_id, node.output_layout) for node in made)
        for node in (*made, *parse_node(raw, outputs)):
            outputs[node.node_id] = node.output_layout
            elements += node.output_layout.elements
            if elements > MAX_MODEL_ELEMENTS:
                raw.fail(f"with this node the layers' results take more than {MAX_MODEL_ELEMENTS} elements together")
            nodes.append(node)
    nodes, inputs, outs = with_ends(archive, nodes)
    nodes = _needed(path, nodes)
    return Model(
        path, model_name(path), tuple(nodes), _options(archive, nodes), archive, inputs, outs, end_names(archive)
    )


def _options(archive: Archive, nodes: list[Node]) -> Plan:
    """The options that convolution layers carry; winograd where it does not apply is passed over."""
    found = read_options(archive)
    chosen = {}
    for node in nodes:
        options = found.get(node.node_id)
        if options is None or not isinstance(node, Convolution):
            continue
        if options.method == "winograd" and not node.minimal_filtering:
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
