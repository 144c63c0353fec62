"""What ellopt keeps in the user's directories between runs: shown with sizes, and removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ellopt.files.locks import FileLock
from ellopt.files.user_dirs import cache_directory, config_directory, measurements_path, state_directory, zig_cache
from ellopt.toolchains.set_up import NOTE

#: what zig has in its directory; only these are removed, wherever the directory is
_ZIG = ("b", "c", "h", "o", "p", "tmp", "z")


@dataclass(frozen=True)
class Kept:
    """Files of one kind. ``place``: the file or folder that a user knows them by; ``bytes``: what they take.

    ``lasting``: they are no cache, or another program's too, and removed only with everything.
    """

    kind: str
    what: str
    place: Path
    files: int
    bytes: int
    lasting: bool


@dataclass(frozen=True)
class _Kind:
    """``paths``: all files and folders of this kind that there may be; nothing else is looked at or removed."""

    kind: str
    what: str
    place: Path
    paths: tuple[Path, ...]
    lasting: bool = False


def kept() -> tuple[Kept, ...]:
    """Everything that is kept, also where nothing is."""
    return tuple(_measured(kind) for kind in _kinds())


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
        removed.append(
            Kept(kind.kind, kind.what, kind.place, before.files - after.files, before.bytes - after.bytes, kind.lasting)
        )
    return tuple(removed)


def _kinds() -> Iterator[_Kind]:
    cache, state, config, store, zig = (
        cache_directory(), state_directory(), config_directory(), measurements_path(), zig_cache(),
    )  # fmt: skip
    for name, what in (("objects", "compiled objects"), ("simulator", "compiled simulators, for estimates")):
        yield _Kind(name, what, cache / name, (cache / name,))
    beside = (store.with_name(store.name + ending) for ending in ("-wal", "-shm", "-journal", ".damaged"))
    yield _Kind("measurements", "measurements of earlier runs, for warm starts", store, (store, *beside))
    of_zig = (*(zig / name for name in _ZIG), *sorted(zig.glob(f"{NOTE}*")))
    yield _Kind("zig", "zig's own cache, which other programs may use", zig, of_zig, lasting=True)
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


def _measured(kind: _Kind) -> Kept:
    sizes = [size for path in kind.paths for size in _sizes(path)]
    return Kept(kind.kind, kind.what, kind.place, len(sizes), sum(sizes), kind.lasting)


def _sizes(path: Path) -> Iterator[int]:
    """Bytes of the file, or of every file in the folder; links are files."""
    try:
        if path.is_symlink() or not path.is_dir():
            yield path.lstat().st_size
            return
        for folder, _, names in os.walk(path):
            for name in names:
                try:
                    yield Path(folder, name).lstat().st_size
                except OSError:  # somebody else has removed it
                    continue
    except OSError:
        return


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
