"""``ellopt sync``: delivers records that wait on disk."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.files.redaction import without_credentials
from ellopt.tracking.events import end_record
from ellopt.tracking.outbox import Journal, Outbox, OutboxBusy, Reader, find_outboxes, guard_of, redirect
from ellopt.tracking.process import WriterProcess
from ellopt.tracking.record import Destination, has_ended

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SyncResult:
    """``outboxes``: how many were found; ``delivered`` and ``waiting`` count records; ``runs`` are the parent runs by
    outbox; ``problems`` say why something still waits."""

    outboxes: int = 0
    delivered: int = 0
    waiting: int = 0
    runs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    registered: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def sync(
    directory: Path,
    seconds: float = 600.0,
    progress: Callable[[Path, int], None] | None = None,
    to: str = "",
    experiment: str = "",
) -> SyncResult:
    """Deliver what waits anywhere below ``directory``, each outbox to the store it was meant for.

    With ``to``, an address, or ``experiment``, a name, the runs of which something waits are logged there as a whole.

    ``MLFLOW_TRACKING_URI`` in the environment lends its credentials if it is the same address. ``progress`` is called
    with each outbox and how many records wait in it. Raises ConfigurationError if there is no such directory.
    """
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: no such directory; give the --output_path of a tuning run")
    collected: dict[str, Any] = {"runs": {}, "registered": [], "problems": []}
    delivered = waiting = 0
    outboxes = find_outboxes(directory)
    for path in outboxes:
        _end_if_killed(path)
        before = _waiting(path)
        if before:
            if progress is not None:
                progress(path, before)
            if to or experiment:
                _redirect(path, seconds, collected, to, experiment)
            else:
                _deliver(path, seconds, collected)
            left = _waiting(path)
            delivered += max(0, before - left)
            waiting += left
    return SyncResult(
        len(outboxes),
        delivered,
        waiting,
        collected["runs"],
        tuple(collected["registered"]),
        tuple(dict.fromkeys(collected["problems"])),
    )


def _end_if_killed(path: Path) -> None:
    """No run stays "running" for ever: that its process was killed, and its writer too, nobody else will say.

    The same command opens the run again.
    """
    guard = guard_of(path)
    try:
        if guard.try_acquire():
            outbox = Outbox(path)
            if not has_ended(outbox.records.values()):
                why = "The run was killed; the same command continues it."
                now = time.time_ns() // 1_000_000
                outbox.append(end_record(len(outbox.records), "KILLED", "interrupted", why, now))
    except OSError as error:
        _LOG.warning("%s: cannot be written: %s", path, error)
    finally:
        guard.release()


def _redirect(path: Path, seconds: float, collected: dict[str, Any], to: str, experiment: str) -> None:
    """Deliver a run to another place. Given twice, it goes on; if that place has gone, the run is logged anew."""
    journal = Journal(path)
    uri = without_credentials(to) or journal.tracking_uri
    name = experiment or destination_of(path).experiment
    if (journal.tracking_uri, journal.experiment) == (uri, name):
        if not _deliver(path, seconds, collected, to):
            return
        collected["problems"].clear()
    try:
        redirect(path, uri, name)
    except OutboxBusy as error:
        collected["problems"].append(f"{path}: {error}")
        return
    _deliver(path, seconds, collected, to)


def _deliver(path: Path, seconds: float, collected: dict[str, Any], to: str = "") -> bool:
    """Deliver one outbox; True if that can never be."""
    stuck: list[str] = []

    def on_event(event: Mapping[str, Any]) -> None:
        text = str(event.get("text", ""))
        if event["event"] == "run":
            collected["runs"][str(path)] = event["run"]
        elif event["event"] == "notice" and event.get("name") == "registered":
            collected["registered"].append(text)
        elif event["event"] == "stuck":
            stuck.append(text)
            advice = "mend that, or send them elsewhere with --to URI --experiment NAME"
            collected["problems"].append(f"{path}: MLflow will not take these records ({text}); {advice}")
        elif event["event"] in ("trouble", "gone", "notice"):
            collected["problems"].append(f"{path}: {text}")

    destination = destination_of(path)
    environment = dict(os.environ)
    uri = Journal(path).tracking_uri or destination.tracking_uri
    if to and "@" in to:
        environment["MLFLOW_TRACKING_URI"] = to
    elif uri and without_credentials(environment.get("MLFLOW_TRACKING_URI", "")) != uri:
        environment["MLFLOW_TRACKING_URI"] = uri
    elif not uri:
        environment.pop("MLFLOW_TRACKING_URI", None)  # it was meant for the default store of its directory
    cwd = Path.cwd() if to else Path(destination.directory)
    writer = WriterProcess(on_event, environment, cwd if cwd.is_dir() else Path.cwd())
    writer.send(open=str(path.resolve()))
    writer.close(seconds)
    return bool(stuck)


def destination_of(path: Path) -> Destination:
    """Where the outbox's records were last meant to go."""
    found = [record.destination for record in Reader(path).read() if record.destination is not None]
    return found[-1] if found else Destination()


def _waiting(path: Path) -> int:
    done = Journal(path).done
    return sum(record.key not in done for record in Reader(path).read())
