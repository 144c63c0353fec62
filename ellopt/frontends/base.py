"""The file formats that models are read from, one row each, and which of them a file has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError, ModelFormatError
from ellopt.core.plan import Plan
from ellopt.files.kinds import kind_by_content, kind_of_file
from ellopt.model.graph import Model
from ellopt.model.names import safe_name

Shapes = Mapping[str, tuple[int, ...]]
#: What the nodes of a file carry: node id -> option -> value.
NodeOptions = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Frontend:
    """A format. ``suffixes`` in lower case, the longest first; tuned models are written with the last one.

    ``module`` is imported when such a file is read or written. It has ``read(path, input_shapes)``, which gives a Model
    or raises ModelFormatError, and ``write(model, path, plan, ell, own)``: the file of ``model`` with ``plan``; ``ell``
    is what ELL is told of it, ``own`` what ELL's options cannot say. ``input_names(path)`` gives the
    inputs that can be given a shape; none of a file that cannot be read. ``convert(model, path)`` writes a model
    of another format.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str

    @property
    def suffix(self) -> str:
        return self.suffixes[-1]

    def load(self) -> Any:
        return import_module(self.module)


FRONTENDS = (
    Frontend("ELL", (".ell.zip", ".ell"), "ellopt.frontends.ell.format"),
    Frontend("ONNX", (".onnx",), "ellopt.frontends.onnx.format"),
)
#: For messages.
SUFFIXES = ", ".join(suffix for frontend in FRONTENDS for suffix in reversed(frontend.suffixes))


def no_model(path: Path) -> str:
    """Why a file that is there is no model: what it is, and what can be done with it."""
    kind = kind_of_file(path)
    if kind is None:
        return f"{path} is no model file ({SUFFIXES})"
    advice = f": {kind.advice}" if kind.advice else ""
    return f"{path} is {kind.name}, no model file ({SUFFIXES}){advice}"


def frontend_of(name: str) -> Frontend | None:
    """The format of a file of that name; None if it has no model's ending."""
    return next((row for row in FRONTENDS if name.lower().endswith(row.suffixes)), None)


def base_name(path: Path) -> str:
    """The name of a model file without the ending of its format, as it is."""
    frontend = frontend_of(path.name)
    ending = next((e for e in frontend.suffixes if path.name.lower().endswith(e)), "") if frontend else ""
    return path.name[: len(path.name) - len(ending)]


def model_name(path: Path) -> str:
    """The name of the model in a file: its ``base_name``, as ``safe_name`` makes it."""
    return safe_name(base_name(path))


def read_model(path: Path, input_shapes: Shapes | None = None) -> Model:
    """Read a model file. ``input_shapes``: for which sizes of its inputs, by name, where the format leaves them open.

    A file of an ending that says nothing is read as ELL's. Raises ModelFormatError, naming the file; ConfigurationError
    for shapes where a format has its own.
    """
    frontend = frontend_of(path.name)
    if path.is_file() and (kind_by_content(path) or (frontend is None and kind_of_file(path))):
        raise ModelFormatError(no_model(path))
    frontend = frontend or FRONTENDS[0]
    model = frontend.load().read(path, input_shapes or {})
    assert isinstance(model, Model)
    return model


def input_names(path: Path) -> tuple[str, ...]:
    """The inputs of a model file that can be given a shape; none of one that cannot be read."""
    frontend = frontend_of(path.name) or FRONTENDS[0]
    return tuple(frontend.load().input_names(path))


def write_model(model: Model, path: Path, plan: Plan, ell: NodeOptions, own: NodeOptions) -> None:
    """Write the file that ``model`` was read from with the options of ``plan``; see ``Frontend``. Raises OSError."""
    frontend = frontend_of(model.path.name) or FRONTENDS[0]
    frontend.load().write(model, path, plan, ell, own)


def convert_model(model: Model, path: Path) -> None:
    """Write ``model`` in the format of ``path``'s ending.

    Raises ConfigurationError for an ending of no other format than the model's own, ModelFormatError with everything
    that the format has nothing for, OSError.
    """
    own, other = frontend_of(model.path.name) or FRONTENDS[0], frontend_of(path.name)
    endings = " or ".join(row.suffix for row in FRONTENDS if row is not own)
    if other is None or path.name.lower().endswith(".zip"):
        raise ConfigurationError(f"--output: {path} must end in {endings}, the format to convert to")
    if other is own:
        raise ConfigurationError(f"--output: {model.path} is an {own.name} model already; convert it to {endings}")
    other.load().convert(model, path)


def tuned_suffix(model: Model) -> str:
    """The ending of a tuned model's file."""
    return (frontend_of(model.path.name) or FRONTENDS[0]).suffix


def require_convolutions(model: Model) -> None:
    """Raise ModelFormatError if the model has no convolution layer: there is nothing to tune then."""
    if not model.convolutions:
        raise ModelFormatError(f"{model.path}: the model has no convolution layers; there is nothing to tune")
