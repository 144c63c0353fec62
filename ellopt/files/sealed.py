"""Caches that are believed only as far as their contents match: files and directories that carry their own hash."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ellopt.files.atomic import replace, sync_file, sync_tree, write_text
from ellopt.files.disk import disk

_LOG = logging.getLogger(__name__)

#: the file in a sealed directory that lists the hashes of the others
SEAL = ".sealed"


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a file's content. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_whole(directory: Path) -> bool:
    """Whether ``directory`` was published and holds exactly what it held then."""
    try:
        return (directory / SEAL).read_text(encoding="utf-8") == _listing(directory)
    except (OSError, ValueError):
        return False


def publish(source: Path, target: Path) -> None:
    """Let the finished directory ``source`` appear as ``target`` at once and to stay, with its hashes.

    A whole one that is there already is as good and stays; a damaged one goes. Raises OSError.
    """
    write_text(source / SEAL, _listing(source))
    sync_tree(source)
    try:
        replace(source, target)
    except OSError:
        if is_whole(target):
            shutil.rmtree(source, ignore_errors=True)
            return
        if not target.is_dir():
            raise
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".damaged-", ignore_cleanup_errors=True) as aside:
            disk().replace(target, Path(aside) / "damaged")
            replace(source, target)


def _listing(directory: Path) -> str:
    """A line for every file below ``directory`` but the seal; the last is a hash of the others."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / SEAL)
    lines = [f"{digest_of_file(path)}  {path.relative_to(directory).as_posix()}\n" for path in paths]
    text = "".join(lines)
    return f"{text}{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()}\n"


class FileCache:
    """Files of one kind by key. A file's name says the hash of its content: one that does not match is not found.

    Keys are texts of letters and digits; ``suffix`` is that of all files. Several processes may use one cache.
    """

    def __init__(self, directory: Path, suffix: str) -> None:
        self._directory, self._suffix = directory, suffix

    def find(self, keys: Iterable[str]) -> dict[str, Path]:
        """The files of those ``keys`` that are there and sound, modified now; what is unsound is removed."""
        wanted, found = set(keys), {}
        for path in self._directory.glob(f"*{self._suffix}"):
            key, _, digest = path.name.removesuffix(self._suffix).partition("-")
            if key not in wanted or key in found:
                continue
            try:
                if digest and digest_of_file(path).startswith(digest):
                    found[key] = path
                    with contextlib.suppress(OSError):  # of another user, maybe
                        os.utime(path)
                    continue
                _LOG.warning("%s is damaged and made again", path)
                disk().remove(path)
            except OSError:  # unreadable, or gone meanwhile
                continue
        return found

    def add(self, key: str, file: Path) -> Path:
        """Move ``file``, which lies on the same file system, into the cache. Raises OSError."""
        path = self._directory / f"{key}-{digest_of_file(file)[:32]}{self._suffix}"
        sync_file(file)
        replace(file, path)
        return path
