"""Joins the times of a profile report to the nodes of the model that was profiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ellopt.core.errors import ConfigurationError
from ellopt.frontends.ell.profile import NodeTime, ProfileReport, convolution_nodes, method_of
from ellopt.model.graph import Model


@dataclass(frozen=True)
class LayerTime:
    """What a convolution layer took, in milliseconds a pass, and the method it was computed by; empty if unknown."""

    ms: float
    method: str


def join(report: ProfileReport, model: Model) -> dict[str, float]:
    """Node id -> milliseconds a pass.

    With ancestors: every node of the model that the report says something of, summed over the nodes it was refined
    into. Without: the convolution layers, in order. A report whose ids are those of the model itself (as ellopt
    writes it) is read by id. Raises ConfigurationError, naming the file, if report and model do not fit.
    """
    if report.has_ancestors:
        times: dict[str, float] = {}
        for node_id, nodes in _by_ancestor(report, model).items():
            times[node_id] = sum(node.ms for node in nodes)
        return times
    if _same_graph(report, model):
        return {node.node_id: node.ms for node in report.nodes}
    return {node_id: layer.ms for node_id, layer in layer_times(report, model).items()}


def layer_times(report: ProfileReport, model: Model) -> dict[str, LayerTime]:
    """The convolution layers of ``model`` by node id, in its order. Raises as ``join``."""
    layers = [node.node_id for node in model.convolutions]
    if report.has_ancestors:
        found = _by_ancestor(report, model)
        if missing := [node_id for node_id in layers if node_id not in found]:
            raise ConfigurationError(
                f"{report.path}: no node of the report was made of convolution layer {', '.join(missing)} of "
                f"{model.path}: it is the report of another model"
            )
        return {node_id: LayerTime(sum(n.ms for n in found[node_id]), _method(found[node_id])) for node_id in layers}
    if _same_graph(report, model):
        times = {node.node_id: node.ms for node in report.nodes}
        if set(layers) <= set(times):
            return {node_id: LayerTime(times[node_id], "") for node_id in layers}
    try:
        convolutions = convolution_nodes(report.nodes)
    except ConfigurationError as error:
        raise ConfigurationError(f"{report.path}: {error}") from error
    if len(convolutions) != len(layers):
        raise ConfigurationError(
            f"{report.path}: the report has {len(convolutions)} convolutions, {model.path} has {len(layers)}: it is "
            "the report of another model"
        )
    return {
        node_id: LayerTime(sum(node.ms for node in nodes), method)
        for node_id, (method, nodes) in zip(layers, convolutions, strict=True)
    }


def _same_graph(report: ProfileReport, model: Model) -> bool:
    types = {node.node_id: node.type_name for node in model.nodes}
    return all(types.get(node.node_id) == node.type_name for node in report.nodes)


def _method(nodes: list[NodeTime]) -> str:
    methods = [method for node in nodes if (method := method_of(node.type_name))]
    return methods[0] if methods else ""


def _by_ancestor(report: ProfileReport, model: Model) -> Mapping[str, list[NodeTime]]:
    """Node id -> the nodes of the report that were made of it.

    ELL passes an ancestor on from model to model: where a model's node names one itself, the report names that one,
    else the node's id.
    """
    names = {node.metadata.get("ancestor", node.node_id): node.node_id for node in model.nodes}
    layers = {node.node_id for node in model.convolutions}
    ids = {node.node_id: node.node_id for node in model.nodes}
    if _known(report, ids) & layers > _known(report, names) & layers:
        names = ids
    found: dict[str, list[NodeTime]] = {}
    for node in report.nodes:
        if (name := names.get(node.ancestor or "")) is not None:
            found.setdefault(name, []).append(node)
    return found


def _known(report: ProfileReport, names: Mapping[str, str]) -> set[str]:
    return {names[ancestor] for node in report.nodes if (ancestor := node.ancestor or "") in names}
