"""What this process holds elsewhere (locks of boards, files on boards), written down so that it is never forgotten.

Every process that holds something keeps one file in the user's state directory and a lock of the operating system
on it. The system drops that lock when the process ends, however it ends; so a file that can be locked belongs to a
dead process, and what it lists is to be released by whoever finds it. No process ids are compared: they are reused.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from ellopt.core.errors import ConfigurationError
from ellopt.devices.settings import Address
from ellopt.files.atomic import make_directory, replace, write_text
from ellopt.files.disk import disk
from ellopt.files.json_values import decode, parse_object
from ellopt.files.locks import FileLock
from ellopt.files.user_dirs import state_directory

_LOG = logging.getLogger(__name__)
_VERSION = 1
_OWNER = re.compile("[0-9a-f]{32}")
_FORGOTTEN_SECONDS = 30 * 86_400


@dataclass(frozen=True, order=True)
class HeldLock:
    """A board of a cluster service that was locked with ``key``. It holds no secret: the key only names us."""

    cluster: str
    address: str
    key: str
    user: str


@dataclass(frozen=True, order=True)
class BoardFiles:
    """There may be files on the board at ``address`` in directories named by ``owner``.

    ``board`` is what the board itself is, wherever it is reached; empty where that was not noted.
    """

    address: Address
    owner: str
    board: str = ""

    def is_on(self, address: Address, board: str) -> bool:
        return self.board == board if self.board and board else self.address == address


@dataclass(frozen=True)
class DeadSession:
    """What a process that has died held."""

    owner: str
    locks: frozenset[HeldLock]
    files: frozenset[BoardFiles]


class Session:
    """What this process holds. ``owner`` is unique and names it on boards. Safe to use from several threads.

    Raises ConfigurationError if the state directory cannot be written.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.owner = uuid.uuid4().hex
        self._directory = (directory or state_directory()) / "sessions"
        self._path = self._directory / f"{self.owner}.json"
        self._mutex = threading.Lock()
        self._locks: set[HeldLock] = set()
        self._files: set[BoardFiles] = set()
        try:
            make_directory(self._directory, mode=0o700)
            self.guard = FileLock(_guard_path(self._path), mode=0o600)
            self.guard.acquire()
            self._write()
        except OSError as error:
            raise ConfigurationError(
                f"cannot keep a record of what is held on boards in {self._directory}: {error}; "
                "make it writable or set XDG_STATE_HOME"
            ) from error

    def add_lock(self, lock: HeldLock) -> None:
        """To be called before the lock is asked for: a death in between must not lose it."""
        with self._mutex:
            self._locks.add(lock)
            self._write()

    def remove_lock(self, lock: HeldLock) -> None:
        with self._mutex:
            self._locks.discard(lock)
            self._write()

    def add_files(self, address: Address, board: str = "") -> None:
        """Note that there may be files of ours on a board, before the first is put there."""
        files = BoardFiles(address, self.owner, board)
        with self._mutex:
            if files not in self._files:
                self._files.add(files)
                self._write()

    def remove_files(self, address: Address, board: str = "") -> None:
        """Nothing of ours, nor of the dead sessions that were adopted, is left on a board."""
        with self._mutex:
            left = {files for files in self._files if not files.is_on(address, board)}
            if left != self._files:
                self._files = left
                self._write()

    def owners_at(self, address: Address, board: str = "") -> frozenset[str]:
        """The owners, this session and adopted ones, whose files may be on a board."""
        with self._mutex:
            return frozenset(files.owner for files in self._files if files.is_on(address, board))

    @property
    def addresses(self) -> frozenset[Address]:
        """The boards on which there may be files to remove."""
        with self._mutex:
            return frozenset(files.address for files in self._files)

    @property
    def locks(self) -> frozenset[HeldLock]:
        with self._mutex:
            return frozenset(self._locks)

    def adopt(self, dead: DeadSession) -> None:
        """Take over what a dead session could not be relieved of, so that its file can go."""
        with self._mutex:
            self._locks |= dead.locks
            self._files |= dead.files
            self._write()

    def adopt_files(self, addresses: Set[Address]) -> None:
        """Take over what dead sessions that hold no locks have left on the boards at ``addresses``."""
        with self.dead() as sessions:
            for dead in sessions:
                if not dead.locks and any(files.address in addresses for files in dead.files):
                    self.adopt(dead)
                    self.forget(dead)

    def close(self) -> None:
        """End the session. Its file stays, for the next run, while it still lists something."""
        with self._mutex:
            if not self.guard.held:
                return
            empty = not (self._locks or self._files)
            if empty:
                with contextlib.suppress(OSError):  # it lists nothing
                    disk().remove(self._path)
            self.guard.release()
            if empty:
                with contextlib.suppress(OSError):
                    disk().remove(_guard_path(self._path))

    @contextlib.contextmanager
    def dead(self) -> Iterator[list[DeadSession]]:
        """The sessions of processes that have died, each held by us alone for the length of the ``with``.

        What the block has dealt with it must ``forget``; the others are found again next time.
        """
        found: list[DeadSession] = []
        with contextlib.ExitStack() as stack:
            for path in sorted(self._directory.glob("*.json")):
                if path == self._path:
                    continue
                guard = FileLock(_guard_path(path))
                try:
                    if not guard.path.exists() or not guard.try_acquire():
                        continue
                except OSError:
                    continue
                stack.callback(guard.release)
                if not (session := _read(path)):
                    continue
                if not session.locks and time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS:
                    self.forget(session)  # a board that has not been seen for so long has gone
                    continue
                found.append(session)
            yield found

    def forget(self, dead: DeadSession) -> None:
        """Remove the record of a dead session whose things have been released or adopted."""
        path = self._directory / f"{dead.owner}.json"
        for file in (path, _guard_path(path)):
            with contextlib.suppress(OSError):
                disk().remove(file)

    def _write(self) -> None:
        data = {
            "version": _VERSION,
            "pid": os.getpid(),
            "written": time.time(),
            "locks": [asdict(lock) for lock in sorted(self._locks)],
            "files": [asdict(files) for files in sorted(self._files)],
        }
        write_text(self._path, json.dumps(data), mode=0o600)


@dataclass(frozen=True)
class _Record:
    """What a session's file holds."""

    version: Literal[1]
    locks: tuple[HeldLock, ...]
    files: tuple[BoardFiles, ...]
    pid: int = 0
    written: float = 0.0


def _read(path: Path) -> DeadSession | None:
    """The record in ``path``; None if it is not there (any longer). One that cannot be read is set aside."""
    if not path.exists():
        return None
    try:
        record = decode(_Record, parse_object(path.read_bytes()))
        # Owners name directories on boards, which are removed: nothing else may pass for one.
        if not all(map(_OWNER.fullmatch, (path.stem, *(files.owner for files in record.files)))):
            raise ValueError("an owner is 32 hexadecimal digits")
        if not all(0 < files.address.port < 65536 for files in record.files):
            raise ValueError("no such port")
        return DeadSession(path.stem, frozenset(record.locks), frozenset(record.files))
    except (OSError, ValueError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        _LOG.warning("the record %s of an earlier run is set aside: %s", path, error)
        with contextlib.suppress(OSError):
            replace(path, aside)
        return None


def _guard_path(path: Path) -> Path:
    return path.with_suffix(".lock")
