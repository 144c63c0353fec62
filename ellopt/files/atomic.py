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
    make_directory(path.parent)
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


def append_line(path: Path, text: str) -> None:
    """Append a line of UTF-8 text, durably. What is there and has no end of its own gets one first. Raises OSError."""
    descriptor = disk().open_to_append(path, _MODE)
    try:
        before = path.read_bytes()
        start = "" if before.endswith(b"\n") or not before else "\n"
        disk().write(descriptor, f"{start}{text}\n".encode())
        disk().sync(descriptor)
        disk().sync_directory(path.parent)
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Make a directory and those above it, where they are missing, and wait until the disk has their names.

    ``mode`` is that of the directory itself, less the umask. Raises OSError.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir(mode if directory is missing[0] else 0o777, exist_ok=True)
        disk().sync_directory(directory.parent)


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
