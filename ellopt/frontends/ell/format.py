"""ELL's format as one of those that models are read from and written to; see ``frontends.base``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.plan import Plan
from ellopt.frontends.ell.archive import Archive, write_archive
from ellopt.frontends.ell.metadata import with_options
from ellopt.frontends.ell.read import read_model
from ellopt.model.graph import Model


def read(path: Path, input_shapes: Mapping[str, tuple[int, ...]]) -> Model:
    if input_shapes:
        raise ConfigurationError(f"--input_shape: {path} says itself what shape its input has; leave it out")
    return read_model(path)


def input_names(path: Path) -> tuple[str, ...]:
    return ()


def convert(model: Model, path: Path) -> None:
    """Write a model of another format."""
    from ellopt.frontends.ell.write import write_model

    write_model(model, path)


def write(
    model: Model,
    path: Path,
    plan: Plan,
    ell: Mapping[str, Mapping[str, str]],
    own: Mapping[str, Mapping[str, str]],
) -> None:
    write_archive(with_options(archive_of(model), ell, own), path)


def archive_of(model: Model) -> Archive:
    """What a model of this format was read from, with predictor nodes written out as layer nodes.

    Raises TypeError for a model of another format."""
    if not isinstance(model.source, Archive):
        raise TypeError(f"{model.path} was not read from ELL's format")
    return model.source
