"""Files and directories appear whole or not at all: written under a temporary name, synced, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from ellopt.files.disk import disk

#: the umask takes from it what the user wants nobody to have
_MODE = 0o666


def write_bytes(path: Path, data: bytes, mode: int = _MODE) -> None:
    """Write ``data`` to ``path`` atomically and durably; missing directories are made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        descriptor = disk().create(temporary, mode)
        try:
            disk().write(descriptor, data)
            disk().sync(descriptor)
        finally:
            os.close(descriptor)
        replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            disk().remove(temporary)
        raise


def write_text(path: Path, text: str, mode: int = _MODE) -> None:
    """Write UTF-8 ``text`` with ``\\n`` line ends to ``path`` atomically and durably. Raises OSError.

    A file's name in it that is no UTF-8 is written as the bytes that it has.
    """
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # halves of surrogate pairs, from JSON
        data = text.encode("utf-8", "replace")
    write_bytes(path, data, mode)


def replace(source: Path, target: Path) -> None:
    """Rename, and wait until the disk has the new name. What ``source`` holds must have been synced. Raises OSError."""
    disk().replace(source, target)
    disk().sync_directory(target.parent)


def sync_file(path: Path) -> None:
    """Wait until the disk has what another program wrote to ``path``. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        disk().sync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Wait until the disk has all that is below ``directory``. Raises OSError."""
    for folder, _, files in os.walk(directory):
        for name in files:
            sync_file(Path(folder) / name)
        disk().sync_directory(Path(folder))


def set_aside(path: Path) -> Path:
    """Rename ``path``, a file or a directory, to the first free ``<name>.<number>`` and return that."""
    number = 1
    while (other := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    replace(path, other)
    return other
