"""``--input_shape``: shapes of inputs that files leave open, and which of several models each is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.files.terminal import printable
from ellopt.frontends.base import Shapes, input_names


def parse_shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """``NAME=1,3,224,224`` for each input. Raises ConfigurationError for anything else."""
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        numbers = sizes.replace("x", ",").split(",")
        if not equals or not name or not all(n.isascii() and n.isdigit() and 0 < len(n) < 8 for n in numbers):
            raise ConfigurationError(f"--input_shape: {text!r} is not of the form NAME=1,3,224,224")
        shape = tuple(map(int, numbers))
        if 0 in shape:
            raise ConfigurationError(f"--input_shape: {text!r}: dimensions are at least 1")
        found[name] = shape
    return found


def shared_out(shapes: Shapes, models: Sequence[tuple[str, Path]]) -> list[dict[str, tuple[int, ...]]]:
    """The ``shapes`` that are meant for each of ``models``, which are (name, file).

    ``INPUT`` is meant for every model with such an input, ``MODEL:INPUT`` for one, and goes before the other. A lone
    model gets whatever is not meant for one of another name, so that its reader can refuse it. Raises
    ConfigurationError for a shape that is meant for none of several.
    """
    if not shapes:
        return [{} for _ in models]
    inputs = [input_names(path) for _, path in models]
    found: list[dict[str, tuple[int, ...]]] = [{} for _ in models]
    used: set[str] = set()
    for k, ((model, _), names) in enumerate(zip(models, inputs, strict=True)):
        for given in shapes:
            own = given.removeprefix(f"{model}:")
            if given in names:
                found[k].setdefault(given, shapes[given])
            elif own != given:
                found[k][own] = shapes[given]
            else:
                continue
            used.add(given)
    unused = [given for given in shapes if given not in used]
    if len(models) == 1:
        return [found[0] | {given: shapes[given] for given in unused}]
    if unused:
        there = "; ".join(
            f"{model}: {', '.join(map(printable, names)) or 'none'}"
            for (model, _), names in zip(models, inputs, strict=True)
        )
        raise ConfigurationError(
            f"--input_shape: none of the models has an input {printable(unused[0])}; inputs that can be given a shape "
            f"are: {there}"
        )
    return found
