"""The user's own inputs, on which tuned models are checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ellopt.core.errors import ConfigurationError
from ellopt.deploy.ports import joined
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray

#: each is computed by the reference, and by every plan whose output is checked
MOST_SAMPLES = 100


def read_samples(path: Path | None, model: Model) -> tuple[FloatArray, ...]:
    """The samples at ``path`` as ``model`` takes them, [row, column, channel] each; none without a path.

    ``path`` is a .npy file or a folder of such: each has one input, of the shape that the model's file says, or several
    with one more axis before. Raises ConfigurationError, naming the file.
    """
    if path is None:
        return ()
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files:
        raise ConfigurationError(f"--samples: {path} has no .npy files; write some by numpy.save")
    found: list[FloatArray] = []
    for file in files:
        found += [_sample(file, model, one) for one in _each(model, _load(file))]
        if len(found) > MOST_SAMPLES:
            raise ConfigurationError(
                f"--samples: {path} has more than {MOST_SAMPLES} inputs; give some of them, as each is computed often"
            )
    if not found:
        raise ConfigurationError(f"--samples: {path} has no inputs in it")
    return tuple(found)


def _load(file: Path) -> FloatArray:
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(f"--samples: {file} cannot be read as a NumPy array: {error}") from error
    if not isinstance(found, np.ndarray):
        raise ConfigurationError(f"--samples: {file} is an archive of arrays; save each input by numpy.save")
    return found


def _each(model: Model, values: FloatArray) -> FloatArray:
    """The inputs in an array: itself, or along its first axis where it has one more than an input."""
    [first, *others] = model.input_ports
    return values if not others and values.shape[1:] == first.shape else values[np.newaxis]


def _sample(file: Path, model: Model, values: FloatArray) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # what is too large is infinite, which is said below
            sample = joined(model, values).reshape(model.input.output_layout.size)
    except ConfigurationError as error:
        raise ConfigurationError(f"--samples: {file}: {error}") from error
    if not np.isfinite(sample).all():
        raise ConfigurationError(f"--samples: {file}: not all of its numbers are finite in float32")
    return sample
