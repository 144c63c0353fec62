"""NumPy's files: what ``predict`` is given and what it leaves."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ellopt.core.errors import ConfigurationError
from ellopt.files.atomic import write_bytes
from ellopt.files.kinds import kind_by_content, kind_of_file
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray


def read(path: Path) -> Any:
    """The array of a .npy file, or the arrays of a .npz file by their names. Raises ConfigurationError."""
    kind = kind_by_content(path)
    if path.is_file() and (kind is None or kind.of != "array"):
        kind = kind or kind_of_file(path)
        what = f" but {kind.name}" if kind is not None and kind.of != "array" else ""
        advice = "write one by numpy.save (.npy) or numpy.savez (.npz)"
        if kind is not None and kind.of == "picture":
            advice = "give a picture by --image"
        raise ConfigurationError(f"--input: {path} is not a NumPy file{what}; {advice}")
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            return {name: found[name] for name in found.files}
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise ConfigurationError(f"--input: {path} cannot be read as a NumPy array: {error}") from error
        raise ConfigurationError(
            f"--input: {path} holds Python objects instead of numbers, and such a file can run programs when it is "
            "read: save numpy.asarray(values, dtype='float32')"
        ) from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigurationError(f"--input: {path} cannot be read as a NumPy array: {error}") from error


def check_output(path: Path, model: Model) -> None:
    """Raise ConfigurationError if a file of that ending cannot hold all outputs of ``model``."""
    count = len(model.output_ports)
    if count > 1 and not _is_archive(path):
        raise ConfigurationError(f"--output: {model.path} has {count} outputs; {path} must be a .npz file to hold all")


def write(path: Path, outputs: Mapping[str, FloatArray]) -> None:
    """Write the outputs to a .npz file, or the only one to a .npy file. Raises ConfigurationError."""
    buffer = BytesIO()
    if _is_archive(path):
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, values in outputs.items():
                single = BytesIO()
                np.save(single, values)
                archive.writestr(f"{name}.npy", single.getvalue())
    else:
        np.save(buffer, next(iter(outputs.values())))
    try:
        write_bytes(path, buffer.getvalue())
    except OSError as error:
        raise ConfigurationError(f"--output: {path} cannot be written: {error.strerror}") from error


def _is_archive(path: Path) -> bool:
    return path.suffix.lower() == ".npz"
