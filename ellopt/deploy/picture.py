"""Pictures as inputs of a model, and what its output says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ellopt.core.errors import ConfigurationError
from ellopt.deploy.preprocess import Preprocess
from ellopt.files.kinds import kind_of_file
from ellopt.model.layers import FloatArray


def picture_input(path: Path, shape: Sequence[int], preprocess: Preprocess) -> FloatArray:
    """The picture in a file as an input of ``shape``: rows x columns x channels, or with channels first as in ONNX.

    Raises ConfigurationError for a file that is no picture, and for a shape that no picture has.
    """
    sizes = tuple(shape[1:]) if len(shape) == 4 and shape[0] == 1 else tuple(shape)
    if len(sizes) != 3 or not {1, 3} & {sizes[0], sizes[-1]}:
        taken = "x".join(map(str, shape))
        raise ConfigurationError(f"--image: the model takes {taken}, which is no picture of one or three channels")
    first = sizes[-1] not in (1, 3)
    rows, columns, channels = (*sizes[1:], sizes[0]) if first else sizes
    values = _pixels(path, rows, columns, channels, preprocess)
    for name in ("mean", "scale"):
        if len(getattr(preprocess, name)) > channels:
            raise ConfigurationError(f"--{name}: the model takes {channels} channel, give one number")
    found = (values - np.array(preprocess.mean, np.float32)) * np.array(preprocess.scale, np.float32)
    return np.ascontiguousarray(found.transpose(2, 0, 1) if first else found, np.float32).reshape(tuple(shape))


def _pixels(path: Path, rows: int, columns: int, channels: int, preprocess: Preprocess) -> FloatArray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file).convert("RGB" if channels == 3 else "L")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise ConfigurationError(f"--image: {path} cannot be read: {error.strerror}") from None
        kind = kind_of_file(path)
        what = f" but {kind.name}" if kind is not None and kind.of != "picture" else ""
        why = f" ({error})" if kind is not None and kind.of == "picture" else ""
        raise ConfigurationError(f"--image: {path} is no picture that can be read{what}{why}") from None
    width, height = picture.size
    factor = max(rows / height, columns / width)
    if preprocess.size is not None:
        factor = preprocess.size / min(width, height)
        if round(height * factor) < rows or round(width * factor) < columns:
            raise ConfigurationError(f"--size: {preprocess.size} is less than the model's input, {rows}x{columns}")
    scaled = (max(columns, round(width * factor)), max(rows, round(height * factor)))
    left, top = (scaled[0] - columns) // 2, (scaled[1] - rows) // 2
    cut = picture.resize(scaled, Image.Resampling.BILINEAR).crop((left, top, left + columns, top + rows))
    values = np.asarray(cut, np.float32).reshape(rows, columns, channels)
    return values[..., ::-1] if preprocess.channel_order == "bgr" else values


@dataclass(frozen=True)
class Ranked:
    """One of the largest values of an output: where it stands, what it means (empty without labels), its size."""

    index: int
    label: str
    value: float


def ranked(output: FloatArray, labels: Sequence[str], count: int) -> tuple[Ranked, ...]:
    """The ``count`` largest values, the largest first. Raises ConfigurationError for another number of labels."""
    values = output.reshape(-1)
    if labels and len(labels) != len(values):
        raise ConfigurationError(f"--labels: there are {len(labels)} labels, but the output has {len(values)} values")
    best = np.argsort(-values, kind="stable")[:count].tolist()
    return tuple(Ranked(index, labels[index] if labels else "", float(values[index])) for index in best)


def read_labels(path: Path | None) -> tuple[str, ...]:
    """A label a line, in the order of the output's values; none without a file. Raises ConfigurationError."""
    if path is None:
        return ()
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--labels: {path} cannot be read: {error}") from error


def only_output(outputs: Mapping[str, FloatArray]) -> FloatArray:
    """The output of a model that has one. Raises ConfigurationError where it has several."""
    if len(outputs) != 1:
        raise ConfigurationError(f"--image: the model has {len(outputs)} outputs; give --output to keep them")
    return next(iter(outputs.values()))
