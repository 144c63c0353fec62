"""What the same command has finished before: it is shown, not tuned again, unless that is asked for."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ellopt import __version__
from ellopt.app.config import TuningConfig
from ellopt.core.errors import ElloptError
from ellopt.files.atomic import write_text
from ellopt.files.json_values import decode, encode, parse_object
from ellopt.files.sealed import digest_of_file
from ellopt.frontends.base import Shapes, read_model
from ellopt.frontends.discover import REPORT_NAME, ModelFile
from ellopt.report.document import TuningReport
from ellopt.space.space import SearchSpace
from ellopt.toolchains.base import Toolchain

_LOG = logging.getLogger(__name__)

#: below the model's output directory: what an interrupted run goes on from
STATE_DIRECTORY = ".ellopt"
FINISHED_FILE = "finished.json"
_AGAIN_FILE = "again"
_REDRAWN = ".html"  # by 'ellopt report', from the report


@dataclass(frozen=True)
class _Finished:
    """What ``FINISHED_FILE`` holds: digests of the command, the model and the files that were written."""

    version: Literal[1]
    command: str
    model: str
    files: Mapping[str, str]


#: inside another run of MLflow the whole is to be shown there
_ENVIRONMENT = ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI")


def command_digest(config: TuningConfig, space: SearchSpace, toolchain: Toolchain, shapes: Shapes) -> str:
    """A digest of all that was asked for but the model: what is the same for the same command."""
    groups = (
        config.target, config.devices, config.measure, config.search, config.build, config.toolchains, config.tracking,
    )  # fmt: skip
    said = [
        __version__, toolchain.name, toolchain.version, *map(repr, groups), repr(space), repr(sorted(shapes.items())),
        *(os.environ.get(name, "") for name in _ENVIRONMENT),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode("utf-8")).hexdigest()


def keep_finished(state: Path, directory: Path, report: TuningReport, command: str) -> None:
    """Remember in ``state`` that ``command`` has written ``report``, and all files, to ``directory``."""
    files = {name: digest_of_file(directory / name) for name in report.files if not name.endswith(_REDRAWN)}
    finished = _Finished(1, command, report.model_sha256, files)
    write_text(state / FINISHED_FILE, json.dumps(encode(finished), indent=1) + "\n")


def begin(state: Path, again: bool) -> str:
    """Forget the end that is noted in ``state``: a tuning begins that may change what was vouched for.

    Returns how often tuning has begun anew there, empty for never; ``again``: now it does, if there was an end. So
    ``--again`` after an interruption goes on with what it had begun.
    """
    counter, ended = state / _AGAIN_FILE, state / FINISHED_FILE
    try:
        times = counter.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        times = ""
    if again and ended.exists():
        times = str(int(times) + 1) if times.isdigit() else "1"
        write_text(counter, times)
    ended.unlink(missing_ok=True)
    return times


def finished_before(state: Path, directory: Path, file: ModelFile, shapes: Shapes, command: str) -> TuningReport | None:
    """The report of ``file`` that the same command has left in ``directory``, with every file as it was written.

    None if it has not come to its end, if the model, a file or what is asked for is another.
    """
    try:
        finished = decode(_Finished, parse_object((state / FINISHED_FILE).read_bytes()))
        if finished.command != command:
            return None
        if any(digest_of_file(directory / name) != digest for name, digest in finished.files.items()):
            return None
        if read_model(file.path, shapes).source.sha256 != finished.model:
            return None
        return TuningReport.load(directory / REPORT_NAME)
    except (OSError, ValueError, ElloptError) as error:
        _LOG.debug("%s: nothing finished is known: %s", directory, error)
        return None
