"""The ``.onnx`` file: its message, and the weights that it keeps in files beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import external_data_helper, numpy_helper

from ellopt.core.errors import ModelFormatError
from ellopt.files.terminal import printable
from ellopt.frontends.onnx.branches import all_graphs

Array = npt.NDArray[Any]

#: The oldest version of the operators that is read.
OLDEST_OPSET = 7
#: What a file begins with that Git LFS has not fetched.
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A parsed file. ``message`` is as it was read, external weights not in it, and must not be changed.

    ``sha256`` is of the very bytes that were parsed and of the external files, in the order of their names;
    ``external`` are those, relative to the model's folder.
    """

    path: Path
    message: Any
    sha256: str
    opset: int
    external: tuple[str, ...] = ()
    format: str = field(default="onnx", init=False)


def read_file(path: Path) -> OnnxFile:
    """Read a file. Raises ModelFormatError, naming it, where it cannot be read, is no ONNX model or of an unknown
    version, or where one of its external files is missing, too short, or not in the model's folder."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise ModelFormatError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not stored:
        raise ModelFormatError(f"{path}: the file is empty")
    try:
        message = onnx.load_model_from_string(stored)
    except DecodeError as error:
        if stored.startswith(_POINTER):
            raise ModelFormatError(f"{path}: is Git LFS's pointer to a model; 'git lfs pull' fetches it") from error
        raise ModelFormatError(f"{path}: is no ONNX model, or truncated or damaged") from error
    if not message.HasField("graph") or not message.graph.node:
        raise ModelFormatError(f"{path}: holds no graph; it is no ONNX model, or damaged")
    external = tuple(sorted({_location(path, tensor) for tensor in external_tensors(message)}))
    digest = hashlib.sha256(stored)
    for name in external:
        try:
            with _inside(path, name).open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            where = f"its weights are in the file {printable(name)} beside it"
            raise ModelFormatError(f"{path}: {where}, which cannot be read: {error.strerror or error}") from error
    return OnnxFile(path, message, digest.hexdigest(), _opset(path, message), external)


def external_tensors(message: Any) -> list[Any]:
    """The tensors of the graph, and of those within it, whose values lie in other files."""
    found = []
    for graph in all_graphs(message.graph):
        attributes = [a.t for node in graph.node for a in node.attribute if a.HasField("t")]
        found += [t for t in (*graph.initializer, *attributes) if external_data_helper.uses_external_data(t)]
    return found


def _opset(path: Path, message: Any) -> int:
    versions = [entry.version for entry in message.opset_import if entry.domain in ("", "ai.onnx")]
    version = int(versions[0]) if versions else 1
    newest = int(onnx.defs.onnx_opset_version())
    if version < OLDEST_OPSET:
        raise ModelFormatError(
            f"{path}: its operators are of version {version}; {OLDEST_OPSET} and later are read. Export it anew, or "
            "convert it with onnx.version_converter"
        )
    if version > newest:
        raise ModelFormatError(
            f"{path}: its operators are of version {version}, and the onnx package that is installed knows {newest}; "
            "install a newer onnx, or export the model for an older version"
        )
    return version


def tensor_values(path: Path, tensor: Any, name: str = "") -> Array:
    """The values of a tensor of the file, which messages call ``name`` (default: its own). Raises ModelFormatError for
    a count that disagrees with its shape, and for NaN."""
    name = printable(name or tensor.name)
    if any(n < 0 for n in tensor.dims):
        raise ModelFormatError(f"{path}: the tensor {name} has the shape {list(tensor.dims)}")
    try:
        if external_data_helper.uses_external_data(tensor):
            values = _external_values(path, tensor)
        else:
            values = np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ModelFormatError(f"{path}: the tensor {name} of shape {list(tensor.dims)} is damaged: {error}") from error
    if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
        raise ModelFormatError(f"{path}: the tensor {name} holds NaN; export the model again")
    return values


def _external_values(path: Path, tensor: Any) -> Array:
    entries: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    name = _location(path, tensor)
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = prod(tensor.dims)
    offset = int(entries.get("offset", "0"))
    file = _inside(path, name)
    if offset < 0 or file.stat().st_size < offset + count * dtype.itemsize:
        raise ModelFormatError(
            f"{path}: the tensor {printable(tensor.name)} ends behind the end of {printable(name)}, the file of its "
            "values; the file is truncated or another model's"
        )
    return np.fromfile(file, dtype.newbyteorder("<"), count, offset=offset).reshape(tuple(tensor.dims))


def _location(path: Path, tensor: Any) -> str:
    for entry in tensor.external_data:
        if entry.key == "location":
            return str(entry.value)
    raise ModelFormatError(f"{path}: the tensor {printable(tensor.name)} does not say in which file its values are")


def _inside(path: Path, name: str) -> Path:
    """The external file ``name``. Raises ModelFormatError if it is not below the model's folder."""
    folder = path.parent.resolve()
    file = (folder / name.replace("\\", "/")).resolve()
    if "\0" in name or Path(name).is_absolute() or not file.is_relative_to(folder):
        raise ModelFormatError(
            f"{path}: its weights are said to be in {printable(name)}, which is outside the model's folder; the model "
            "is refused"
        )
    return file
