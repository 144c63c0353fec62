"""Results of tasks as texts, which name no code: what comes from a worker is read like a stranger's file."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from ellopt.core.errors import ElloptError
from ellopt.core.options import ConvolutionOptions
from ellopt.devices.bundle import Bundle
from ellopt.files.json_values import Form, Forms, decode, encode
from ellopt.measure.executors.base import Task
from ellopt.space.forms import OPTION_FORMS
from ellopt.targets import Target

#: a result may have so many numbers in an array
_LARGEST = 1 << 27


def result_kind(task: Task[Any, Any]) -> Any:
    """The type of what ``task`` yields, as its ``run`` declares it."""
    return get_type_hints(type(task).run)["return"]


def to_json(result: object) -> Any:
    """``result`` as what JSON knows."""
    return encode(result, _forms(None))


def from_json(kind: Any, value: object, target: Target | None = None) -> Any:
    """The result of type ``kind``; bundles are for ``target``. Raises ValueError for what is none."""
    return decode(kind, value, forms=_forms(target))


def _forms(target: Target | None) -> Forms:
    return {
        **OPTION_FORMS,
        float: Form(lambda number: number.hex(), _read_float),
        np.ndarray: Form(_write_array, _read_array),
        Bundle: Form(_write_bundle, lambda value, where: _read_bundle(value, where, target)),
        **{kind: Form(_write_error, partial(_read_error, kind)) for kind in _errors()},
    }


def _errors() -> Iterator[type[ElloptError]]:
    """Every kind of error that is raised on purpose, and is known here."""
    todo: list[type[ElloptError]] = [ElloptError]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        yield kind


def _write_error(error: ElloptError) -> dict[str, Any]:
    reduced: Any = error.__reduce__()
    more = {name: value for name, value in vars(error).items() if isinstance(value, (str, bool))}
    return {"kind": type(error).__name__, "words": list(reduced[1]), "more": more}


def _read_error(base: type[ElloptError], value: object, where: str) -> ElloptError:
    kinds = {kind.__name__: kind for kind in _errors() if issubclass(kind, base)}
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str) or value["kind"] not in kinds:
        raise ValueError(f"{where}: an error of ellopt expected")
    words, more = value.get("words"), value.get("more")
    plain = (str, bool)
    if not isinstance(words, list) or not isinstance(more, dict):
        raise ValueError(f"{where}: an error's words expected")
    if not all(isinstance(word, plain) for word in (*words, *more.values())):
        raise ValueError(f"{where}: an error's words are texts")
    try:
        error = kinds[value["kind"]](*words)
    except TypeError as wrong:
        raise ValueError(f"{where}: an error that nobody raises") from wrong
    vars(error).update({name: more[name] for name in more if name in vars(error)})
    return error


def _read_float(value: object, where: str) -> float:
    """Hexadecimal, so that nothing is lost; what is no number may stand where a check failed."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{where}: a number expected")
    try:
        return float.fromhex(value)
    except OverflowError as error:
        raise ValueError(f"{where}: {error}") from error


def _write_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    data = np.ascontiguousarray(array, "<f4").tobytes()
    return {"shape": list(array.shape), "data": base64.b64encode(data).decode()}


def _read_array(value: object, where: str) -> np.ndarray[Any, Any]:
    if not isinstance(value, dict) or not isinstance(value.get("data"), str):
        raise ValueError(f"{where}: an array expected")
    shape = decode(tuple[int, ...], value.get("shape"), where)
    if any(length < 0 for length in shape) or math.prod(shape) > _LARGEST:
        raise ValueError(f"{where}: an array of shape {shape}")
    data = base64.b64decode(value["data"], validate=True)
    if len(data) != 4 * math.prod(shape):
        raise ValueError(f"{where}: {len(data)} bytes are no array of shape {shape}")
    return np.frombuffer(data, "<f4").reshape(shape).astype(np.float32)


def _write_bundle(bundle: Bundle) -> dict[str, Any]:
    return {
        "digest": bundle.digest,
        "files": bundle.files,
        "toolchain": bundle.toolchain,
        "choices": {node_id: sorted(map(str, some)) for node_id, some in bundle.choices.items()},
        "code_bytes": bundle.code_bytes,
    }


def _read_bundle(value: object, where: str, target: Target | None) -> Bundle:
    if not isinstance(value, dict) or target is None:
        raise ValueError(f"{where}: a bundle expected")
    kind = dict[str, tuple[ConvolutionOptions, ...]]
    choices = decode(kind, value.get("choices"), where, OPTION_FORMS)
    return Bundle(
        Path(),
        decode(str, value.get("digest"), where),
        decode(tuple[str, ...], value.get("files"), where),
        decode(str, value.get("toolchain"), where),
        target,
        {node_id: frozenset(some) for node_id, some in choices.items()},
        decode(int, value.get("code_bytes"), where),
    )
