"""Stand-ins for ELL's compile and print: the same options, files and faults, our own code."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from ellopt.core.errors import ModelFormatError
from ellopt.frontends.ell.archive import Archive, read_archive
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model
from ellopt.targets import TARGETS
from tests.support.ell_standin import code as standin_code
from tests.support.ell_standin.llvm import BITCODE
from tests.support.ell_standin.options import CompileOptions, UsageError, parse


def compile_(arguments: list[str]) -> int:
    try:
        options = parse(arguments)
        if options is None:
            print("Usage: compile -imap MODEL [options]")
            return 0
        archive, model = read_archive(Path(options.model)), read_model(Path(options.model))
        _write(options, archive, model)
    except UsageError as error:
        print(f"Command line parse error:\n{error}", file=sys.stderr)
        return 1
    except ModelFormatError as error:
        print(f"exception: {error}", file=sys.stderr)
        return 1
    return 0


def _write(options: CompileOptions, archive: Archive, model: Model) -> None:
    directory = Path(options.directory)
    directory.mkdir(parents=True, exist_ok=True)
    base = options.base or Path(options.model).name.partition(".")[0]
    if "mapWithOptions" in options.flags:
        given = bool(options.node_options or options.model_options)
        (directory / f"{base}_options.ell").write_text(json.dumps(map_with_options(archive, options, given)))
    if "header" in options.flags:
        (directory / f"{base}.h").write_text(standin_code.header("profile" in options.flags))
    if not options.flags & {"objectCode", "bitcode"}:
        return
    target = next(target for target in TARGETS.values() if target.ell_name == options.target)
    values = {
        node.node_id: options.of_node(node.node_id, _own_options(archive, node.node_id)) for node in model.convolutions
    }
    ancestors = {node.node_id: node.metadata.get("ancestor", node.node_id) for node in model.nodes}
    code = standin_code.make_object(
        model,
        ancestors,
        values,
        target,
        options.threads,
        "profile" in options.flags,
        first_id=max(int(node["id"]) for node in archive.nodes) + 600,
        cache=Path(os.environ["ELL_STANDIN_CACHE"]),
    )
    if "objectCode" in options.flags:
        (directory / f"{base}.o").write_bytes(code)
    if "bitcode" in options.flags:
        (directory / f"{base}.bc").write_bytes(BITCODE + code)


def _own_options(archive: Archive, node_id: str) -> dict[str, str]:
    """The compile options that a node of the model carries itself."""
    node = next((node for node in archive.nodes if node["id"] == node_id), {})
    for entry in node.get("metadata", {}).get("data", ()):
        if entry["k"] == "compileOptions":
            return {item["k"]: item["v"]["value"] for item in entry["v"]["value"]["data"]}
    return {}


def map_with_options(archive: Archive, options: CompileOptions, renumber: bool) -> dict[str, Any]:
    """The map with options in its metadata. Giving any option renumbers all nodes; ancestors are kept."""
    data: dict[str, Any] = json.loads(json.dumps(archive.data))
    nodes = data["model"]["nodes"]
    for node in nodes:
        entries = node.setdefault("metadata", {"_type": "PropertyBag", "_version": "0", "data": []})["data"]
        given = options.model_options | options.node_options.get(node["id"], {})
        if given and "Convolution" in node["_type"]:
            bag = {
                "_type": "PropertyBag",
                "_version": "0",
                "data": [_entry(k, "std::string", v) for k, v in given.items()],
            }
            entries[:] = [_entry("compileOptions", "PropertyBag", bag)] + [
                e for e in entries if e["k"] != "compileOptions"
            ]
        if not any(entry["k"] == "ancestor" for entry in entries):
            entries.append(_entry("ancestor", "std::string", node["id"]))
    if not renumber:
        return data
    first = max(int(node["id"]) for node in nodes) + 1
    new = {node["id"]: str(first + i) for i, node in enumerate(nodes)}

    def renamed(text: str) -> str:
        return re.sub(r"\d+(?=\.)", lambda match: new.get(match[0], match[0]), text)

    for node in nodes:
        node["id"] = new[node["id"]]
        for port in (value for value in node.values() if isinstance(value, dict) and "nodeId" in value):
            port["nodeId"] = node["id"]
            if "input" in port:
                port["input"] = renamed(port["input"])
    data["inputIds"] = [new[node_id] for node_id in data["inputIds"]]
    data["outputElements"] = [renamed(text) for text in data["outputElements"]]
    return data


def _entry(key: str, kind: str, value: Any) -> dict[str, Any]:
    variant = {"_type": "Variant", "_version": "0", "type": kind, "value": value}
    return {"_type": "PropertyBag::KeyValue", "_version": "0", "k": key, "v": variant}


def print_(arguments: list[str]) -> int:
    if not arguments or arguments[0] == "--help":
        print("Usage: print -imap MODEL [options]")
        return 0
    path = Path(arguments[arguments.index("-imap") + 1]) if "-imap" in arguments else Path(arguments[0])
    try:
        archive, model = read_archive(path), read_model(path)
    except ModelFormatError as error:
        print(f"exception: {error}", file=sys.stderr)
        return 1
    for data in archive.nodes:
        node = model.by_id.get(data["id"])
        if node is None:  # a predictor: its layers do not show
            print(f"<id:{data['id']}> {data['_type']}()")
            continue
        read = ", ".join(f"{source}.output[{_size(model, source)}]" for source in node.inputs)
        label = f"<id:{node.node_id}> " if "--includeNodeId" in arguments else ""
        print(f"{label}{node.type_name}({read}) -> output[{_size(model, node.node_id)}]")
    return 0


def _size(model: Model, node_id: str) -> str:
    return " x ".join(map(str, model.by_id[node_id].output_layout.size))


TOOLS = {"compile": compile_, "print": print_}

if __name__ == "__main__":
    sys.exit(TOOLS[sys.argv[1]](sys.argv[2:]))
