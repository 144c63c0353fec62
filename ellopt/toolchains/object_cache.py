"""The user's compiled objects: what was compiled once is not compiled again, and none of it stays for ever."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ellopt.files.user_dirs import cache_directory

#: how much is kept of what has not been used for a day
_KEPT_BYTES = 512 << 20
_DAY_SECONDS = 86400.0


def object_cache(otherwise: Path) -> Path:
    """The directory of the user's objects, made if it is not there; ``otherwise`` if it cannot be written to."""
    directory = cache_directory() / "objects"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError:
        return otherwise


def trim(directory: Path, now: float, kept_bytes: int = _KEPT_BYTES) -> None:
    """Remove what was used longest ago, until at most ``kept_bytes`` of what has not been used for a day are left.

    A file's time of modification is when it was last used. What was used within a day may be in use now. Directories
    are what killed compilers left.
    """
    idle = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if now - found.st_mtime > _DAY_SECONDS and entry.is_file(follow_symlinks=False):
                    idle.append((found.st_mtime, found.st_size, entry.path))
    left = sum(size for _, size, _ in idle)
    for _, size, path in sorted(idle):
        if left <= kept_bytes:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        left -= size
