"""A node's metadata: a PropertyBag of texts and of nested bags; compile options live in it.

ELL's own options stand under ``compileOptions``, ours (which ELL ignores) under ``ellopt``. Both hold texts only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ellopt.core.errors import ConfigurationError, ModelFormatError
from ellopt.core.methods import method_row
from ellopt.core.options import ELL_DEFAULT, ELL_DEPTH_NAMES, ConvolutionOptions
from ellopt.frontends.ell.archive import Archive
from ellopt.frontends.ell.fields import Fields

logger = logging.getLogger(__name__)

ELL_KEY = "compileOptions"
OWN_KEY = "ellopt"
#: The key within our own bag.
CONVOLUTION_KEY = "convolution"
#: ... and there, by what simulated processor the options were chosen, where no board measured them.
ESTIMATED_KEY = "estimated"

Options = Mapping[str, Mapping[str, str | int]]


def with_options(archive: Archive, ell_options: Options, own: Options) -> Archive:
    """A copy of ``archive`` whose nodes carry the given options; ``archive`` itself is left as it is.

    Both mappings go from node id to option name to value; values are written as texts. The options that a named node
    carried before are replaced, all other metadata is kept, and a node that gains metadata gains the version that goes
    with it. Raises ValueError for a node that does not exist, and for ``winograd`` as ELL's option of a depthwise
    layer: ELL computes wrong values there.
    """
    wanted = {*ell_options, *own}
    unknown = wanted - {node.get("id") for node in archive.nodes}
    if unknown:
        raise ValueError(f"no such node in {archive.path}: {', '.join(sorted(unknown))}")
    nodes = []
    for node in archive.nodes:
        node_id = node.get("id", "")
        if node_id in wanted:
            bags = {ELL_KEY: ell_options.get(node_id), OWN_KEY: own.get(node_id)}
            if is_depthwise(node) and (bags[ELL_KEY] or {}).get("preferredConvolutionMethod") == "winograd":
                raise ValueError(f"node {node_id} is depthwise: ELL's winograd computes wrong values there")
            node = _with_bags(node, bags)
        nodes.append(node)
    return archive.with_nodes(nodes)


def own_options(options: ConvolutionOptions) -> dict[str, str]:
    """What stands under ``ellopt`` for a layer that is computed with ``options``."""
    return {CONVOLUTION_KEY: str(options)}


def read_options(archive: Archive) -> dict[str, ConvolutionOptions]:
    """The options that nodes carry, by node id in the order of the file; our own key wins over ELL's.

    Options that name no method that ellopt knows (``auto``, ``diagonal``) are passed over with a warning. Raises
    ModelFormatError for metadata that is no PropertyBag or options that cannot be read.
    """
    result = {}
    for node in archive.nodes:
        if not isinstance(node.get("metadata"), dict):
            continue
        fields = Fields(node, f"{archive.path}: node {node.get('id')} ({node.get('_type')})")
        options = _node_options(fields)
        if options is not None:
            result[fields.text("id")] = options
    return result


def text_properties(node: Fields) -> dict[str, str]:
    """The properties of a node that are plain texts (name, ancestor, GroupId, ...)."""
    return _texts(node.object("metadata")) if "metadata" in node else {}


def is_depthwise(node: Mapping[str, Any]) -> bool:
    """Whether a node of the archive is a depthwise convolution layer."""
    layer, shape = node.get("layer"), node.get("inputShape")
    return (
        isinstance(layer, dict)
        and str(layer.get("_type", "")).startswith("ConvolutionalLayer")
        and layer.get("weights_channels") == 1
        and isinstance(shape, list)
        and bool(shape)
        and shape[-1] > 1
    )


def _texts(bag: Fields) -> dict[str, str]:
    result = {}
    for entry in bag.objects("data"):
        value = entry.object("v")
        if value.text("type") == "std::string":
            result[entry.text("k")] = value.text("value")
    return result


def _bag(node: Fields, key: str) -> dict[str, str] | None:
    """The texts of a bag within the node's metadata; None if it has no such bag."""
    for entry in node.object("metadata").objects("data"):
        if entry.text("k") == key:
            value = entry.object("v")
            if value.text("type") != "PropertyBag":
                node.fail(f"its metadata {key} is no PropertyBag")
            return _texts(value.object("value"))
    return None


def _node_options(node: Fields) -> ConvolutionOptions | None:
    own = _bag(node, OWN_KEY)
    if own is not None and CONVOLUTION_KEY in own:
        try:
            return ConvolutionOptions.parse(own[CONVOLUTION_KEY])
        except ConfigurationError as error:
            raise ModelFormatError(f"{node.where}: its metadata {OWN_KEY}: {error}") from error
    ell = _bag(node, ELL_KEY)
    if not ell:
        return None
    method = ell.get("preferredConvolutionMethod", ELL_DEFAULT.method)
    row = method_row(method)
    if row is None:
        logger.warning("%s: the convolution method %s is not one that ellopt knows; passed over", node.where, method)
        return None
    parallelize = ell.get("parallelize", "false")
    if parallelize not in ("true", "false"):
        node.fail(f"its option parallelize is {parallelize!r}, not true or false")
    options: dict[str, Any] = {"method": method, "parallelize": parallelize == "true"}
    if row.tiled:
        for name, ell_name in ELL_DEPTH_NAMES.items():
            if ell_name in ell:
                if not (ell[ell_name].isascii() and ell[ell_name].isdigit() and len(ell[ell_name]) < 10):
                    node.fail(f"its option {ell_name} is {ell[ell_name]!r}, not a number")
                options[name] = int(ell[ell_name])
    return ConvolutionOptions.from_json(options)


def _with_bags(node: dict[str, Any], bags: Mapping[str, Mapping[str, str | int] | None]) -> dict[str, Any]:
    """``node`` with these bags in its metadata; a bag of None is taken out."""
    metadata = node.get("metadata") or {"_type": "PropertyBag", "_version": "0", "data": []}
    kept = [entry for entry in metadata["data"] if entry.get("k") not in bags]
    added = [_key_value(key, "PropertyBag", _property_bag(bag)) for key, bag in bags.items() if bag]
    if not kept and not added:
        return node
    new_metadata = {**metadata, "data": [*added, *kept]}
    result: dict[str, Any] = {}
    for key, value in node.items():
        if key != "metadata":
            result[key] = value
        if key == "id":
            result["metadata"] = new_metadata
    result["_version"] = _version_with_metadata(node)
    return result


def _version_with_metadata(node: Mapping[str, Any]) -> str:
    """Nodes carry metadata from archive version 3 on; output nodes always have their own."""
    version = str(node.get("_version", "0"))
    if str(node["_type"]).startswith("OutputNode") or not version.isdecimal():
        return version
    return str(max(int(version), 3))


def _property_bag(texts: Mapping[str, str | int]) -> dict[str, Any]:
    data = [_key_value(key, "std::string", str(value)) for key, value in texts.items()]
    return {"_type": "PropertyBag", "_version": "0", "data": data}


def _key_value(key: str, type_name: str, value: Any) -> dict[str, Any]:
    variant = {"_type": "Variant", "_version": "0", "type": type_name, "value": value}
    return {"_type": "PropertyBag::KeyValue", "_version": "0", "k": key, "v": variant}
