"""The records of one model's run, on disk before anybody is asked to deliver them: which outbox they go to, and how."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from ellopt.files.locks import FileLock
from ellopt.files.redaction import Redactor
from ellopt.tracking.events import ModelStart, end_record, texts
from ellopt.tracking.outbox import FILES, FOLDER, Journal, Outbox, guard_of, outboxes_of
from ellopt.tracking.record import Attachment, Destination, Record, has_ended

_LOG = logging.getLogger(__name__)

#: the record that ends a run whose model is tuned
FINISH = "finish"
#: files of this kind are logged with a secret cut out; any other that holds one is not logged at all
_TEXTS = (".json", ".txt", ".md", ".html", ".csv", ".log")


class ModelRecords:
    """Records of the run that ``start`` begins, which goes on with those of an interrupted run of the same work.

    Everything is written without secrets. ``on_news`` is called after each record. A disk that takes none is warned of
    once; then ``outbox`` is None, or what is appended is lost. ``earlier``: trials of the same work, logged with a
    run that was finished. ``older``: outboxes of other runs in the same directory of which something waits.
    """

    def __init__(
        self, start: ModelStart, destination: Destination, redactor: Redactor, began_ms: int,
        on_news: Callable[[], None],
    ) -> None:  # fmt: skip
        self._start, self._redactor, self._began_ms, self._on_news = start, redactor, began_ms, on_news
        self.lock = threading.RLock()
        self._warned = False
        self.outbox: Outbox | None = None
        self._guard: FileLock | None = None
        self.earlier: dict[str, Record] = {}
        self.older: tuple[Path, ...] = ()
        try:
            self.outbox = self._open_outbox(destination)
            self.older = self._close_older()
        except OSError as error:
            self.cannot_write(error)

    @property
    def path(self) -> Path | None:
        return None if self.outbox is None else self.outbox.path

    def known(self, key: str) -> bool:
        """Whether there is a record of this key."""
        return self.outbox is not None and key in self.outbox.records

    def undelivered(self) -> int:
        """How many records wait."""
        if self.outbox is None:
            return 0
        done = Journal(self.outbox.path).done
        return sum(key not in done for key in self.outbox.records)

    def release(self) -> None:
        """Nothing more comes: another run may have the outbox."""
        if self._guard is not None:
            self._guard.release()

    def append(self, record: Record) -> None:
        """Keep ``record`` and say that there is one."""
        if self.outbox is None:
            return
        clean = self._redactor.json(record.to_json())
        clean |= {"key": record.key, "kind": record.kind}  # our own words, not the user's
        with self.lock:
            try:
                self.outbox.append(Record.from_json(clean))
            except OSError as error:
                self.cannot_write(error)
                return
        self._on_news()

    def cannot_write(self, error: OSError) -> None:
        """Warn of it, once."""
        if not self._warned:
            self._warned = True
            where = self._start.output_dir / FOLDER / FILES
            _LOG.warning("records for MLflow cannot be written to %s (%s); tuning goes on without", where, error)

    def attach_text(self, stored_as: str, name: str, text: str) -> Attachment | None:
        """``text`` as a file of that name, kept in the outbox. Raises OSError."""
        if self.outbox is None:
            return None
        return Attachment.of(name, self.outbox.store_text(stored_as, self._redactor.text(text)), self.outbox.path)

    def attach_file(self, path: Path) -> Attachment | None:
        """The file as an attachment; where it holds a secret, a copy without it, or nothing. Raises OSError."""
        if self.outbox is None:
            return None
        if not self._redactor.found_in(path):
            return Attachment.of(path.name, path, self.outbox.path)
        if path.suffix not in _TEXTS:
            _LOG.warning("%s holds a secret and is not logged in MLflow", path)
            return None
        _LOG.warning("%s holds a secret; it is cut out of the copy in MLflow", path)
        return self.attach_text(f"output/{path.name}", path.name, path.read_text(encoding="utf-8", errors="replace"))

    def _open_outbox(self, destination: Destination) -> Outbox:
        """The outbox of the interrupted run of the same work, or a new one."""
        identity = self._redactor.text(self._start.full_identity)
        trials_of = ""
        for path in reversed(outboxes_of(self._start.output_dir)):
            outbox = Outbox(path)
            opening = outbox.records.get("model")
            if opening is None or opening.identity != identity or opening.destination is None:
                continue
            journal = Journal(path)
            here = not journal.experiment or journal.tracking_uri == destination.tracking_uri
            if here and opening.destination.same_store(destination):
                if FINISH in outbox.records:
                    trials_of = trials_of or journal.runs.get("model", "")
                    self.earlier = outbox.records | self.earlier
                    continue
                self._hold(outbox)
                count = sum(record.kind == "resumed" for record in outbox.records.values())
                self.append(
                    Record(
                        key=f"resumed/{count + 1}",
                        kind="resumed",
                        start_ms=self._began_ms,
                        tags={"state": "running"},
                        destination=destination,
                    )
                )
                return outbox
        outbox = self._hold(Outbox.create(self._start.output_dir))
        self.append(
            Record(
                key="model",
                kind="model",
                name=self._start.run_name,
                status="RUNNING",
                start_ms=self._began_ms,
                params=texts(self._start.params),
                tags=texts(self._start.tags() | {"kind": "model", "state": "running", "earlier_trials_in": trials_of}),
                destination=destination,
                identity=identity,
            )
        )
        return outbox

    def _hold(self, outbox: Outbox) -> Outbox:
        """Take an outbox for as long as this run lasts."""
        self.outbox = outbox
        self._guard = guard_of(outbox.path)
        self._guard.try_acquire()
        return outbox

    def _close_older(self) -> tuple[Path, ...]:
        """Earlier runs in this directory are over, since this one holds it: say so in those that were killed."""
        waiting = []
        for path in outboxes_of(self._start.output_dir):
            if path == self.path:
                continue
            outbox = Outbox(path)
            if not has_ended(outbox.records.values()):
                why = "The run was killed; another followed it."
                outbox.append(end_record(len(outbox.records), "KILLED", "interrupted", why, self._began_ms))
            if outbox.records.keys() - Journal(path).done:
                waiting.append(path)
        return tuple(waiting)
