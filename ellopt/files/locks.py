"""A lock between processes, on a file: the system lets go of it when its holder ends, however that ends.

The file itself stays: to remove it while another process waits for it would let two hold what they think is one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.files.atomic import make_directory

_BUSY = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})


class LockBusy(Exception):
    """Another process, or another part of this one, holds the lock."""


class FileLock:
    """A lock that one holder has at a time. Made unlocked; its file is made when it is first taken."""

    def __init__(self, path: Path, mode: int = 0o666) -> None:
        self.path = path
        self._mode = mode
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Take the lock now. Raises LockBusy if it is held, OSError if the file cannot be made or locked."""
        if self.held:
            raise LockBusy(str(self.path))
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), self._mode)
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _BUSY:
                raise LockBusy(str(self.path)) from error
            raise
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def try_acquire(self) -> bool:
        """Take the lock now; False if it is held. Raises OSError as ``acquire`` does."""
        try:
            self.acquire()
        except LockBusy:
            return False
        return True

    def release(self) -> None:
        """Give it back; nothing happens if it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock on ``path`` for the length of a ``with``; missing directories are made.

    Raises LockBusy if it is held, OSError if it cannot be made or locked.
    """
    make_directory(path.parent)
    lock = FileLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold ``directory``, made if it is missing, for the length of a ``with``.

    Raises ConfigurationError while another process holds it, OSError if it cannot be made or locked.
    """
    lock = FileLock(directory / "lock")
    make_directory(directory)
    if not lock.try_acquire():
        raise ConfigurationError(
            f"{directory}: another ellopt is at work there; wait for it, stop it, or choose another --output_path"
        )
    try:
        yield
    finally:
        lock.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
