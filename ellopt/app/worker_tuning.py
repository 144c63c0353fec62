"""The tuning of a model as one piece of work for a worker of a fleet: what is done there, what it says meanwhile."""

from __future__ import annotations

import base64
import json
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ellopt.app.config import TuningConfig
from ellopt.app.find import SEARCH_DIRECTORY, Subject, find_best, measurer_of
from ellopt.app.output import report_of, write_checked
from ellopt.app.shared import SharedParts
from ellopt.core.errors import InfrastructureError
from ellopt.core.plan import Plan
from ellopt.core.settings import OwnGroups
from ellopt.core.trial import Trial
from ellopt.files.json_values import parse_object
from ellopt.frontends.base import Shapes
from ellopt.measure.executors.dask.pool import open_pool
from ellopt.measure.executors.dask.stopping import current
from ellopt.measure.executors.dask.talk import News, Talk
from ellopt.measure.executors.dask.values import to_json
from ellopt.measure.executors.dask.work import Place
from ellopt.search.observer import SearchProgress
from ellopt.search.record import LOG_FILE
from ellopt.search.study import STUDY_FILE
from ellopt.space.space import SearchSpace
from ellopt.targets import Target
from ellopt.toolchains.base import Toolchain
from ellopt.tracking import NullTracker

#: what a search keeps, from which it goes on elsewhere: files that grow at their end
KEPT = (LOG_FILE, STUDY_FILE)
#: seconds between two reports of progress
_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class WorkerTuned:
    """What came of it: the report as its document, what the model tells ELL, and the last that was said."""

    report: str
    ell_plan: Plan
    news: News


@dataclass(frozen=True)
class WorkerTuning:
    """Tunes ``subject`` at a worker, on boards of the fleet. ``work`` names it in what it says to its client.

    Nothing of ``config`` says where the client's files, boards or databases are.
    """

    work: str
    subject: Subject
    config: TuningConfig
    space: SearchSpace
    target: Target
    toolchain: Toolchain
    shapes: Mapping[str, Shapes]

    def run(self, place: Place) -> WorkerTuned:
        """Raises as ``tune_model``."""
        with (
            place.talks.about(self.work) as talk,
            tempfile.TemporaryDirectory(dir=place.directory, ignore_cleanup_errors=True) as name,
        ):
            try:
                return self._run(place, talk, Path(name))
            except OSError as error:
                raise InfrastructureError(f"the worker {place.name}: {error}") from error

    def _run(self, place: Place, talk: Talk, directory: Path) -> WorkerTuned:
        mirror = Mirror(directory / SEARCH_DIRECTORY, talk)
        mirror.begin(talk.hear())
        fleet = replace(place.fleet, board_kind=self.subject.board)
        config = replace(self.config, measure=replace(self.config.measure, own=OwnGroups(fleet)))
        with (
            open_pool(fleet, self.target, config.devices.board_timeout) as pool,
            current().ending(threading.Thread(target=pool.close, daemon=True).start),
        ):
            shared = SharedParts(
                config, self.space, self.target, self.toolchain, pool, NullTracker(), None, self.shapes
            )
            measurer = measurer_of(self.subject.model, shared, directory, self.subject.samples)
            saying = Saying(talk, mirror)
            tuned = find_best(self.subject, shared, measurer, saying, directory, time.monotonic())
            # The client writes this anew. Only here are boards on which what is read from a file can be checked.
            write_checked(tuned, shared, directory / "out", directory / "bundles")
        mirror.look()
        return WorkerTuned(report_of(tuned, shared).to_json(), tuned.ell_plan, talk.news(0))


class Mirror:
    """Says how the files grow that a search keeps, so that the client has them, too."""

    def __init__(self, directory: Path, talk: Talk) -> None:
        self._directory, self._talk = directory, talk
        self._known: dict[str, tuple[int, int]] = {}  # file -> inode and size of what the client has

    def begin(self, data: bytes) -> None:
        """Write what the client has."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for name, text in parse_object(data).items():
            if name in KEPT:
                path = self._directory / name
                path.write_bytes(base64.b64decode(text))
                self._known[name] = (path.stat().st_ino, path.stat().st_size)

    def look(self) -> None:
        """Say what is new; of a file that was begun anew, all."""
        for name in KEPT:
            path = self._directory / name
            try:
                with path.open("rb") as file:
                    inode = path.stat().st_ino
                    before, size = self._known.get(name, (inode, 0))
                    size = size if before == inode else 0
                    file.seek(size)
                    data = file.read()
            except FileNotFoundError:
                continue
            data = data[: data.rfind(b"\n") + 1]
            if data:
                self._known[name] = (inode, size + len(data))
                self._talk.say(json.dumps({"file": name, "at": size, "data": base64.b64encode(data).decode()}))


class Saying:
    """Says what a search tells, see ``SearchObserver``. What was measured is said before the trial that it is of."""

    def __init__(self, talk: Talk, mirror: Mirror) -> None:
        self._talk, self._mirror = talk, mirror
        self._phase, self._last = "", 0.0

    def trial_finished(self, trial: Trial) -> None:
        self._say("trial", trial)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self._say("resumed", tuple(trials))

    def state_changed(self, progress: SearchProgress) -> None:
        now = time.monotonic()
        if progress.phase != self._phase or now - self._last > _PROGRESS_SECONDS:
            self._phase, self._last = progress.phase, now
            self._say("progress", progress)

    def _say(self, kind: str, what: Any) -> None:
        self._mirror.look()
        self._talk.say(json.dumps({kind: to_json(what)}))
