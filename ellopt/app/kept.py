"""What ellopt keeps in the user's directories between runs: shown with sizes, and removed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ellopt.core.errors import ConfigurationError
from ellopt.core.fan_out import fan_out
from ellopt.files.atomic import write_text
from ellopt.files.json_values import parse_object
from ellopt.files.locks import FileLock
from ellopt.files.user_dirs import cache_directory, config_directory, measurements_path, state_directory, zig_cache
from ellopt.toolchains.set_up import NOTE

#: what zig has in its directory; only these are removed, wherever the directory is
_ZIG = ("b", "c", "h", "o", "p", "tmp", "z")
#: our note there of how much there was when it was last counted, and the version of its format
_COUNTED, _VERSION = "ellopt-counted.json", 1
#: what takes longer to count than so many seconds is not counted each time
_LONG_SECONDS = 1.0
#: reading folders waits for the disk, so several are read at a time; files between two words of progress
_THREADS, _AT_A_TIME = 8, 256

#: told how many files were counted so far, and their bytes
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Kept:
    """Files of one kind. ``place``: the file or folder that a user knows them by; ``bytes``: what they take.

    ``lasting``: they are no cache, or another program's too, and removed only with everything. ``counted``: when they
    were counted, in seconds since 1970, if that was not now.
    """

    kind: str
    what: str
    place: Path
    files: int
    bytes: int
    lasting: bool
    counted: float | None = None


@dataclass(frozen=True)
class _Kind:
    """``paths``: all files and folders of this kind that there may be; nothing else is looked at or removed."""

    kind: str
    what: str
    place: Path
    paths: tuple[Path, ...]
    lasting: bool = False
    #: where it is noted how many there were, if counting takes long
    note: Path | None = None


def kept(
    count: bool = False, progress: Progress = lambda files, size: None, long: float = _LONG_SECONDS
) -> tuple[Kept, ...]:
    """Everything that is kept, also where nothing is.

    What may take longer than ``long`` seconds to count is as it was when it last took so long, unless ``count``.
    """
    return tuple((not count and _noted(kind)) or _measured(kind, progress, long) for kind in _kinds())


def clear(everything: bool = False) -> tuple[Kept, ...]:
    """Remove what can be made again, or ``everything``; returns what was removed.

    What cannot be removed stays, and so do records of what running processes hold on boards.
    """
    removed = []
    for kind in _kinds():
        if kind.lasting and not everything:
            continue
        before = _measured(kind)
        for path in kind.paths:
            _remove(path)
        after = _measured(kind)
        files, size = max(0, before.files - after.files), max(0, before.bytes - after.bytes)
        removed.append(replace(before, files=files, bytes=size))
    return tuple(removed)


def _kinds() -> Iterator[_Kind]:
    cache, state, config, store, zig = (
        cache_directory(), state_directory(), config_directory(), measurements_path(), zig_cache(),
    )  # fmt: skip
    for name, what in (("objects", "compiled objects"), ("simulator", "compiled simulators, for estimates")):
        yield _Kind(name, what, cache / name, (cache / name,))
    beside = (store.with_name(store.name + ending) for ending in ("-wal", "-shm", "-journal", ".damaged"))
    yield _Kind("measurements", "measurements of earlier runs, for warm starts", store, (store, *beside))
    of_zig = (*(zig / name for name in _ZIG), *sorted(zig.glob(f"{NOTE}*")), note := zig / _COUNTED)
    yield _Kind("zig", "zig's own cache, which other programs may use", zig, of_zig, lasting=True, note=note)
    place = state / "calibrations"
    yield _Kind("calibrations", "factors of 'ellopt calibrate'", place, (place,), lasting=True)
    place = state / "sessions"
    yield _Kind("sessions", "what killed runs hold on boards", place, tuple(_dead_sessions(place)), lasting=True)
    place = config / "known_hosts"
    yield _Kind("known_hosts", "boards' host keys that you have accepted", place, (place,), lasting=True)


def _dead_sessions(directory: Path) -> Iterator[Path]:
    """The records of processes that have died: their locks are free."""
    for path in sorted(directory.glob("*.lock")):
        lock = FileLock(path)
        try:
            if not lock.try_acquire():
                continue
        except OSError:
            continue
        lock.release()
        yield from (path, path.with_suffix(".json"))


def _noted(kind: _Kind) -> Kept | None:
    """``kind`` as it was when it was last counted; None if that is not known."""
    try:
        data = parse_object(kind.note.read_bytes()) if kind.note is not None else {}
        if data["version"] != _VERSION:
            return None
        files, size, at = int(data["files"]), int(data["bytes"]), float(data["at"])
        return Kept(kind.kind, kind.what, kind.place, files, size, kind.lasting, at)
    except (ConfigurationError, OSError, ValueError, LookupError, TypeError):
        return None


def _measured(kind: _Kind, progress: Progress = lambda files, size: None, long: float = _LONG_SECONDS) -> Kept:
    """``kind`` counted now; noted, if that took long."""
    began = time.monotonic()
    entries = [entry for path in kind.paths for entry in _entries(path)]
    some = [entries[at : at + _AT_A_TIME] for at in range(0, len(entries), _AT_A_TIME)]
    files, size, lock = 0, 0, threading.Lock()

    def add(paths: list[str]) -> None:
        nonlocal files, size
        more, larger = _counted(paths)
        with lock:
            files, size = files + more, size + larger
            progress(files, size)

    fan_out(add, some, _THREADS)
    if kind.note is not None and time.monotonic() - began > long:
        data = {"version": _VERSION, "files": files, "bytes": size, "at": time.time()}
        with contextlib.suppress(OSError):  # it is counted again the next time
            write_text(kind.note, json.dumps(data) + "\n")
    return Kept(kind.kind, kind.what, kind.place, files, size, kind.lasting)


def _entries(path: Path) -> list[str]:
    """What is in a folder; the path itself of anything else."""
    try:
        with os.scandir(path) as entries:
            return [str(path)] if path.is_symlink() else [entry.path for entry in entries]
    except OSError:
        return [str(path)]


def _counted(paths: Iterable[str]) -> tuple[int, int]:
    """How many files there are in folders and below, and their bytes; links are files. What is removed meanwhile is
    none."""
    files, size = 0, 0
    left = list(paths)
    while left:
        path = left.pop()
        try:
            if not os.path.islink(path) and os.path.isdir(path):
                with os.scandir(path) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            left.append(entry.path)
                        else:
                            size += entry.stat(follow_symlinks=False).st_size
                            files += 1
            else:
                size += os.lstat(path).st_size
                files += 1
        except OSError:
            continue
    return files, size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
