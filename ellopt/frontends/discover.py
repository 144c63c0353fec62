"""Which model files there are below a path."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.nearest import did_you_mean
from ellopt.frontends.base import SUFFIXES, base_name, frontend_of, model_name, no_model

logger = logging.getLogger(__name__)

#: What ellopt leaves beside the models that it writes.
REPORT_NAME = "tuning_report.json"
OUTPUT_SUFFIX = "_options"


@dataclass(frozen=True)
class ModelFile:
    """A model file. ``name`` is made of its base name (``names.safe_name``), ``tag`` is distinct among all that were
    found and names folders."""

    path: Path
    name: str
    tag: str


def discover(model_path: Path, names: Sequence[str] = ()) -> list[ModelFile]:
    """The model files (``frontends.base``) at or below ``model_path``, in the order of their paths.

    ``names`` picks by base name; empty picks all. Files that ellopt wrote itself (``X_options.ell`` and the like,
    beside a tuning report) are passed over, unless ``model_path`` is such a file. Two models of one base name get the
    tags ``name`` and ``name_1``; tags do not depend on ``names``. Raises ConfigurationError if the path does not exist,
    holds no model, or has none of a wanted name.
    """
    if model_path.is_file():
        if not _is_model(model_path.name):
            raise ConfigurationError(f"--model_path: {no_model(model_path)}")
        paths = [model_path]
    elif model_path.is_dir():
        paths = list(_walk(model_path))
    else:
        raise ConfigurationError(f"--model_path: {model_path} does not exist")
    if not paths:
        raise ConfigurationError(f"--model_path: no model files ({SUFFIXES}) in {model_path}")
    files = _tagged(paths)
    wanted = [model_name(Path(name)) for name in names]
    known = {file.name for file in files}
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, sorted(known)) or f"; there are: {', '.join(sorted(known))}"
            raise ConfigurationError(f"--models: no model called {name!r} in {model_path}{hint}")
    return [file for file in files if not wanted or file.name in wanted]


def tuned_model(directory: Path) -> Path:
    """The tuned model in a folder that a tuning wrote. Raises ConfigurationError if there is none, or several."""
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    found = [name for name in names if _is_model(name) and base_name(Path(name)).endswith(OUTPUT_SUFFIX)]
    if len(found) == 1:
        return directory / found[0]
    below = sorted(path.parent.name for path in directory.glob(f"*/{REPORT_NAME}"))
    if below:
        raise ConfigurationError(f"{directory} is no model; there are tuned ones in {directory}/: {', '.join(below)}")
    what = "several tuned models" if found else "no tuned model"
    raise ConfigurationError(
        f"{directory} has {what} (NAME{OUTPUT_SUFFIX} and one of {SUFFIXES}); name the model's file"
    )


def _is_model(name: str) -> bool:
    return frontend_of(name) is not None


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if not _is_model(name):
                continue
            if REPORT_NAME in names and base_name(Path(name)).endswith(OUTPUT_SUFFIX):
                logger.info("%s was written by ellopt and is passed over", Path(folder, name))
                continue
            yield Path(folder, name)


def _tagged(paths: Sequence[Path]) -> list[ModelFile]:
    files = []
    taken: set[str] = set()  # folded: some file systems do not tell A from a
    for path in paths:
        name = tag = model_name(path)
        if name != base_name(path):
            logger.info("%s is called %s: names have letters, digits, '_', '-' and '.'", path, name)
        number = 0
        while tag.casefold() in taken:
            number += 1
            tag = f"{name}_{number}"
        taken.add(tag.casefold())
        files.append(ModelFile(path, name, tag))
    return files
