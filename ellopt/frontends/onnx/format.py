"""ONNX as one of the formats that models are read from and written to; see ``frontends.base``."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import onnx

from ellopt.core.errors import ModelFormatError
from ellopt.core.plan import Plan
from ellopt.files.atomic import write_bytes
from ellopt.frontends.onnx.branches import node_at
from ellopt.frontends.onnx.file import OnnxFile, read_file
from ellopt.frontends.onnx.read import OPTIONS_KEY, read_model
from ellopt.frontends.onnx.tuned_shapes import keep_shapes
from ellopt.model.graph import Model

_PREFIX = OPTIONS_KEY.partition(".")[0] + "."


def read(path: Path, input_shapes: Mapping[str, tuple[int, ...]]) -> Model:
    return read_model(path, input_shapes)


def input_names(path: Path) -> tuple[str, ...]:
    try:
        graph = read_file(path).message.graph
    except ModelFormatError:
        return ()
    constants = {tensor.name for tensor in graph.initializer}
    return tuple(value.name for value in graph.input if value.name not in constants)


def convert(model: Model, path: Path) -> None:
    """Write a model of another format."""
    from ellopt.frontends.onnx.write.writer import write_model

    write_model(model, path)


def write(
    model: Model,
    path: Path,
    plan: Plan,
    ell: Mapping[str, Mapping[str, str]],
    own: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the file as it was read, with the options of ``plan`` in the metadata of its nodes, and in its own the
    shapes of inputs that it leaves open. Files with its weights are copied beside it. Raises OSError."""
    file = model.source
    assert isinstance(file, OnnxFile)
    message = onnx.ModelProto()
    message.CopyFrom(file.message)
    for node_id, options in plan.items():
        node = node_at(message.graph, node_id)
        kept = [entry for entry in node.metadata_props if not entry.key.startswith(_PREFIX)]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
        remarks = {f"{_PREFIX}{key}": text for key, text in own.get(node_id, {}).items()}
        for key, text in (remarks | {OPTIONS_KEY: str(options)}).items():
            node.metadata_props.add(key=key, value=text)
    for name in file.external:
        source, target = file.path.parent / name, path.parent / name
        if source.resolve() != target.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    keep_shapes(message, model)
    write_bytes(path, message.SerializeToString())
