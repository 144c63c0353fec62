"""The writer process: delivers outboxes to MLflow so that the tuning process never waits for it.

It reads commands, one JSON object a line, from standard input and writes events to standard output:

    {"open": path}              deliver the outbox at this path, now and whenever told of news
    {"news": true}              something was appended
    {"quiet": n} {"go": n}      a measurement begins or ends on this machine: do nothing in between
    {"close": seconds}          deliver what is left, for at most so long, then end

When its input ends without a ``close``, the tuning process was killed: the writer delivers what is left for some
seconds, marks runs that did not end as killed, and ends. What still waits is delivered when the tuning goes on or by
``ellopt sync``. An outbox that another process is delivering is tried again until that one is done.
"""

from __future__ import annotations

import importlib.abc
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from ellopt.tracking.outbox import OutboxBusy, delivering
from ellopt.tracking.reasons import reason_of

if TYPE_CHECKING:
    from ellopt.tracking.delivery import Delivery

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds between tries while the store cannot be reached
_ORPHAN_SECONDS = 8.0  # for what is left when the tuning process was killed
_BUSY_SECONDS = 12.0  # an orphan has ended by then
_BUSY_PAUSE = 0.3


class Orders:
    """What the tuning process told the writer. Filled by a thread, waited on by the one that delivers."""

    def __init__(self, events: IO[str]) -> None:
        self._events = events
        self._changed = threading.Condition()
        self._quiet = 0  # number of the running measurement, 0 for none
        self._news = False
        self._opened: list[Path] = []
        self.close_at: float | None = None
        self.orphaned = False

    def read(self, commands: IO[str]) -> None:
        """Take in commands until the input ends."""
        for line in commands:
            try:
                self._take(json.loads(line))
            except ValueError:
                continue
        with self._changed:
            self._quiet = 0
            self._orphan()
            self._changed.notify_all()

    def _orphan(self) -> None:
        if self.close_at is None:
            self.orphaned = True
            self.close_at = time.monotonic() + _ORPHAN_SECONDS

    def _take(self, command: dict[str, Any]) -> None:
        with self._changed:
            if "open" in command:
                self._opened.append(Path(command["open"]))
            elif "quiet" in command:
                self._quiet = int(command["quiet"])
            elif "go" in command:
                self._quiet = 0
            elif "close" in command:
                self._quiet = 0
                self.close_at = time.monotonic() + float(command["close"])
            self._news = True
            self._changed.notify_all()

    def checkpoint(self) -> None:
        """Wait here while a measurement runs, having said that nothing goes on any more."""
        if not self._quiet:
            return
        with self._changed:
            while number := self._quiet:
                self.say("idle", n=number)
                while self._quiet == number:
                    self._changed.wait()

    def wait_for_news(self) -> None:
        """Wait until something was appended, or an end was ordered."""
        with self._changed:
            self._idle_until(lambda: self._news, None)
            self._news = False

    def pause(self, seconds: float) -> None:
        """Wait so long, whatever is appended, or until an end is ordered."""
        with self._changed:
            self._idle_until(lambda: False, time.monotonic() + seconds)

    def rest(self, seconds: float) -> None:
        """Wait so long, or until there is a command; an end that is ordered is no reason not to."""
        with self._changed:
            if number := self._quiet:
                self.say("idle", n=number)
            self._changed.wait(seconds)

    def _idle_until(self, reached: Callable[[], bool], deadline: float | None) -> None:
        while not (reached() or self.ending):
            if number := self._quiet:
                self.say("idle", n=number)
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            self._changed.wait(left)

    @property
    def ending(self) -> bool:
        return self.close_at is not None

    @property
    def out_of_time(self) -> bool:
        return self.close_at is not None and time.monotonic() >= self.close_at

    def opened(self) -> list[Path]:
        """The outboxes named since the last call."""
        with self._changed:
            paths, self._opened = self._opened, []
            return paths

    def say(self, event: str, **data: object) -> None:
        """Tell the tuning process; when it is gone nobody listens, and that is no error."""
        try:
            self._events.write(json.dumps({"event": event, **data}) + "\n")
            self._events.flush()
        except (OSError, ValueError):
            self._orphan()


class _PausingFinder(importlib.abc.MetaPathFinder):
    """Finds nothing. Importing mlflow takes seconds; between two of its modules this waits while a measurement runs."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if threading.current_thread() is threading.main_thread():
            self._orders.checkpoint()
        return None


class Writer:
    """Delivers all opened outboxes until told to end."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._deliveries: dict[Path, Delivery] = {}
        self._announced: dict[Path, str] = {}
        self._troubled = False
        self._busy: list[Path] = []  # held by another process, to be tried again
        self._stuck: set[Path] = set()  # whose records will never be taken

    def run(self) -> None:
        orders = self._orders
        pause = _FIRST_PAUSE
        busy_until: float | None = None
        with ExitStack() as locks:
            while True:
                closing = orders.ending  # what is appended before a close is read in the round that begins after it
                self._open_outboxes(locks)
                delivered = self._round()
                if closing and not self._worth_waiting(busy_until):
                    break
                if closing and busy_until is None:
                    busy_until = time.monotonic() + _BUSY_SECONDS
                if self._busy:
                    orders.rest(_BUSY_PAUSE)
                elif delivered:
                    pause = _FIRST_PAUSE
                    orders.wait_for_news()
                else:
                    orders.pause(pause)
                    pause = min(_LONGEST_PAUSE, 2 * pause)
            if orders.orphaned:
                self._mark_killed()
        for path in self._busy:
            orders.say("notice", name="busy", path=str(path), text="another process delivers these records")
        waiting = {str(path): delivery.waiting for path, delivery in self._deliveries.items()}
        orders.say("closed", waiting=waiting)

    def _open_outboxes(self, locks: ExitStack) -> None:
        from ellopt.tracking.delivery import Delivery

        paths, self._busy = [*self._busy, *self._orders.opened()], []
        for path in paths:
            try:
                locks.enter_context(delivering(path))
            except OutboxBusy:
                self._busy.append(path)
                continue
            self._deliveries[path] = Delivery(path, partial(self._notice, path))

    def _worth_waiting(self, until: float | None) -> bool:
        """Whether, at the end, it is worth waiting for who holds an outbox."""
        late = self._orders.orphaned or self._orders.out_of_time
        return bool(self._busy) and not late and (until is None or time.monotonic() < until)

    def _mark_killed(self) -> None:
        """No run stays "running" for ever: that a killed process began it, nobody else will say."""
        for path, delivery in self._deliveries.items():
            try:
                if path not in self._stuck:
                    delivery.mark_killed()
            except Exception:  # whatever a store raises; who goes on with the work sets it right
                _LOG.debug("marking failed", exc_info=True)

    def _notice(self, path: Path, name: str, text: str) -> None:
        self._orders.say("notice", name=name, path=str(path), text=text)

    def _round(self) -> bool:
        """Deliver what waits; False if the store could not take it."""
        for path, delivery in self._deliveries.items():
            if path in self._stuck:
                continue
            try:
                if not self._deliver(path, delivery):
                    return True
            except Exception as error:  # whatever a store, its driver or the network raises: the records wait
                _LOG.debug("delivery failed", exc_info=True)
                reason = reason_of(error)
                if reason.lasting:
                    self._stuck.add(path)
                    self._orders.say("stuck", path=str(path), text=reason.text)
                    continue
                if not self._troubled:
                    self._orders.say("trouble", text=reason.text)
                self._troubled = True
                return False
        if self._troubled:
            self._orders.say("recovered")
        self._troubled = False
        return True

    def _deliver(self, path: Path, delivery: Delivery) -> bool:
        """Deliver what waits in one outbox; False if there is no time left."""
        delivery.read()
        for record in delivery.pending():
            self._orders.checkpoint()
            if self._orders.out_of_time:
                return False
            delivery.deliver(record)
            self._announce(path, delivery)
        delivery.flush()
        return True

    def _announce(self, path: Path, delivery: Delivery) -> None:
        """Say where the parent run is, once it is known and whenever it changes."""
        run_id = delivery.parent_run_id
        if run_id and self._announced.get(path) != run_id:
            self._announced[path] = run_id
            self._orders.say("run", path=str(path), run=delivery.where(), params=dict(delivery.parent_params()))


def _environment() -> None:
    """Settings of MLflow's own: fail soon rather than try for minutes (records wait here), and phone nobody."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")


def main() -> int:
    # Events have the real standard output to themselves; whatever a library prints goes to standard error.
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _environment()
    orders = Orders(events)
    threading.Thread(target=orders.read, args=(sys.stdin,), daemon=True).start()
    sys.meta_path.insert(0, _PausingFinder(orders))
    try:
        Writer(orders).run()
    except ImportError as error:
        orders.say("trouble", text=f"MLflow cannot be loaded: {error}")
        return 1
    return 0


if __name__ == "__main__":
    # All is on the disk or in the store. What libraries do on the way out takes seconds, and someone waits.
    os._exit(main())
