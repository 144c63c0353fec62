"""A node's metadata: a PropertyBag of texts and of nested bags."""

from __future__ import annotations

from ellopt.model.fields import Fields


def text_properties(node: Fields) -> dict[str, str]:
    """The properties of a node that are plain texts (name, ancestor, GroupId, ...)."""
    if "metadata" not in node:
        return {}
    result = {}
    for entry in node.object("metadata").objects("data"):
        value = entry.object("v")
        if value.text("type") == "std::string":
            result[entry.text("k")] = value.text("value")
    return result
