"""A full disk, told from what fails because of it: the system's errors, what programs say, the room that is left."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ellopt.core.errors import DiskFullError

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_SAID = re.compile(r"No space left on device|NoSpaceLeft|ENOSPC|[Dd]isk quota exceeded|DiskQuota")
#: with less room in bytes than this a program that failed failed for want of it
LITTLE = 64 << 10
#: ... and with less than this one that does not say why: it has removed again what did not fit
LITTLE_FOR_THE_SILENT = 64 << 20


def is_full(error: BaseException) -> bool:
    """Whether an error of the operating system says that a disk, or a user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def disk_full(error: OSError, where: Path | str = "") -> DiskFullError:
    """The error for the user, for one that ``is_full``."""
    return _error(error.filename or where or "a file")


def blame_full_disk(said: str, places: Iterable[Path], little: int = LITTLE) -> None:
    """Raise DiskFullError if a program that failed says that a disk is full, or if one of ``places`` has little room.

    To be called before anything else is blamed.
    """
    places = tuple(places)
    for place in places:
        if _room(place) < little:
            raise _error(place)
    if _SAID.search(said):
        raise _error(" or ".join(map(str, places)) or "a program's files")


def _error(where: object) -> DiskFullError:
    if isinstance(where, bytes):
        where = os.fsdecode(where)
    return DiskFullError(f"the disk is full: no room for {where}; make room and give the same command, it goes on")


def _room(path: Path) -> float:
    """Bytes free where ``path`` is, or will be; infinite where nobody knows."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            break
    return float("inf")
