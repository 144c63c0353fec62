"""The calls by which files are changed. Tests put another in place, which fails or forgets what was not synced."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

#: how a file system says that it cannot sync a directory, or knows no such thing
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF})


class Disk:
    """The operating system's own calls. All raise OSError."""

    def create(self, path: Path, mode: int) -> int:
        """Make a file that is not there yet; the umask applies to ``mode``. Returns its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)

    def open_to_append(self, path: Path, mode: int) -> int:
        """Open a file for writing at its end, whatever that is at the moment; made if it is not there."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), mode)

    def write(self, descriptor: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def truncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        """Wait until the disk has the contents of a file."""
        os.fsync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Wait until the disk has the names in a directory. Where that cannot be asked for, nothing happens."""
        if os.name == "nt":
            return
        try:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                raise

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file that may be gone already."""
        path.unlink(missing_ok=True)


_current = Disk()


def disk() -> Disk:
    """What files are changed by now."""
    return _current


@contextlib.contextmanager
def using(other: Disk) -> Iterator[None]:
    """Change files by ``other`` in the whole process, for the length of a ``with``. For tests."""
    global _current
    previous, _current = _current, other
    try:
        yield
    finally:
        _current = previous
