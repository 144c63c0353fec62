"""The `.ell` file as JSON: read whole, never changed in place, written back value for value and in field order."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from ellopt.core.errors import ModelFormatError
from ellopt.files.atomic import write_bytes
from ellopt.files.json_text import MODEL_LIMITS, JsonLimitError, parse_json
from ellopt.frontends.ell.zipped import read_zipped

#: Numbers that some versions of ELL write though JSON has no word for them.
_NOT_FINITE = re.compile(r"-?\b(nan|inf)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Archive:
    """A parsed `.ell` file. ``data`` is shared between archives and must not be changed in place.

    ``sha256`` is of the very bytes that were parsed, of the zip where it is one: whatever becomes of the file later,
    it names what was read.
    """

    path: Path
    data: Mapping[str, Any]
    #: for nodes that are not in the file: where they came from, by id
    origins: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The node objects, in the order of the file."""
        nodes: list[dict[str, Any]] = self.data["model"]["nodes"]
        return nodes

    def with_nodes(self, nodes: list[dict[str, Any]], **fields: Any) -> Archive:
        """The same archive with other nodes (and other fields of the map); all else is shared, nothing is copied."""
        model = {**self.data["model"], "nodes": nodes}
        return replace(self, data={**self.data, "model": model, **fields})


def read_archive(path: Path) -> Archive:
    """Read a `.ell` or `.ell.zip` file. A zip is read in memory: nothing is unpacked.

    Raises ModelFormatError, naming the file, if it cannot be read or is not an ELL map.
    """
    try:
        stored = path.read_bytes()
        content = read_zipped(path, stored=stored) if path.suffix.lower() == ".zip" else stored
    except OSError as error:
        raise ModelFormatError(f"{path}: cannot be read: {error.strerror or error}") from error
    data = _parse(path, content)
    if not isinstance(data, dict) or data.get("_type") != "Map":
        raise ModelFormatError(f"{path}: is not an ELL map (its top level must be an object with _type Map)")
    model = data.get("model")
    if not isinstance(model, dict) or model.get("_type") != "Model":
        raise ModelFormatError(f"{path}: the map holds no model (a field model with _type Model)")
    nodes = model.get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise ModelFormatError(f"{path}: the model has no list of nodes")
    return Archive(path, data, sha256=hashlib.sha256(stored).hexdigest())


def _parse(path: Path, content: bytes | bytearray) -> Any:
    if not content.strip():
        raise ModelFormatError(f"{path}: the file is empty")
    try:
        return parse_json(content, MODEL_LIMITS)
    except JsonLimitError as error:
        raise ModelFormatError(f"{path}: {error}") from error
    except orjson.JSONDecodeError as error:
        number = _NOT_FINITE.search(error.doc[max(0, error.pos - 2) : error.pos + 8])
        if number or "infinity" in error.msg:
            what = number.group() if number else "a number beyond the range of a double"
            raise ModelFormatError(
                f"{path}: line {error.lineno}: {what} is not a finite number; export the model again"
            ) from error
        raise ModelFormatError(
            f"{path}: line {error.lineno}: not valid JSON, truncated or damaged: {error.msg}"
        ) from error


def write_archive(archive: Archive, path: Path) -> None:
    """Write ``archive`` to ``path`` atomically: a reader sees the old file or the whole new one.

    Every value is written so that it reads back equal; objects keep the order of their fields.
    """
    write_bytes(path, orjson.dumps(archive.data))
