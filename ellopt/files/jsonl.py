"""Append-only journals: one JSON object a line, each with a checksum, on the disk before it counts.

A line ends in ``,"crc32":"01234567"}``: the checksum of the bytes before that comma. What a crash left unfinished at
the end of a file is a *torn end* and worth no word. Anything else that does not match is a *damaged line*: it is told
of, and the lines around it count. Journals of earlier versions have no checksums; such lines count up to the first
that has one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ellopt.files.atomic import write_bytes
from ellopt.files.disk import disk
from ellopt.files.json_values import parse_object

_CHECKED = re.compile(rb'(.*),"crc32":"([0-9a-f]{8})"\}', re.DOTALL)


@dataclass(frozen=True)
class DamagedLine:
    """A line that is not what was written. ``number`` counts from 1 within what was read."""

    number: int
    data: bytes


@dataclass(frozen=True)
class Lines:
    """What was read of a journal. ``torn``: bytes of an unfinished line at the end; ``end``: where that begins."""

    values: tuple[dict[str, Any], ...] = ()
    damaged: tuple[DamagedLine, ...] = ()
    torn: bytes = b""
    end: int = 0


class JournalReader:
    """Reads a journal, also while another process appends to it. Changes nothing.

    ``shared``: programs that know of no checksums append to it too.
    """

    def __init__(self, path: Path, shared: bool = False) -> None:
        self._path = path
        self._offset = 0
        self._count = 0
        self._checked = False
        self._shared = shared

    def read(self) -> Lines:
        """What was appended since the last call; nothing if there is no file. Raises OSError."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return Lines(end=self._offset)
        values: list[dict[str, Any]] = []
        damaged: list[DamagedLine] = []
        whole, torn = _split(data)
        for line in whole:
            self._count += 1
            value = self._value(line)
            if value is not None:
                values.append(value)
            elif line.strip():
                damaged.append(DamagedLine(self._count, line))
        self._offset += len(data) - len(torn)
        return Lines(tuple(values), tuple(damaged), torn, self._offset)

    def _value(self, line: bytes) -> dict[str, Any] | None:
        if found := _CHECKED.fullmatch(line.rstrip(b"\r\n")):
            content, checksum = found.groups()
            if f"{zlib.crc32(content):08x}".encode() != checksum:
                return None
            self._checked = not self._shared
            line = content + b"}"
        elif self._checked:
            return None
        try:
            return parse_object(line)
        except ValueError:
            return None


class JournalWriter:
    """Appends to a journal. For one process at a time: whoever writes holds a lock that keeps others out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._named = False  # whether the disk is known to have the file's name

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append objects and wait until the disk has them.

        A torn end goes first. Raises OSError if that failed: nothing of it counts then.
        """
        data = b"".join(map(encode, lines))
        if not data:
            return
        descriptor = disk().open_to_append(self.path, 0o666)
        try:
            length = _whole(self.path)
            if length < os.fstat(descriptor).st_size:
                disk().truncate(descriptor, length)
            try:
                disk().write(descriptor, data)
                disk().sync(descriptor)
            except OSError:
                with contextlib.suppress(OSError):
                    disk().truncate(descriptor, length)
                raise
            if not self._named:
                disk().sync_directory(self.path.parent)
                self._named = True
        finally:
            os.close(descriptor)


def mend(path: Path) -> Lines:
    """Read a journal that this process alone has, and make it sound: its torn end is cut off, its damaged lines go to
    ``<name>.damaged``. Returns what was found; ``values`` are what the file holds now. Raises OSError."""
    found = JournalReader(path).read()
    if found.damaged or found.torn:
        if found.damaged:
            kept = path.with_name(f"{path.name}.damaged")
            before = kept.read_bytes() if kept.exists() else b""
            write_bytes(kept, before + b"".join(line.data.rstrip(b"\r\n") + b"\n" for line in found.damaged))
        write_bytes(path, b"".join(map(encode, found.values)))
    return found


def encode(value: Mapping[str, Any]) -> bytes:
    """A line of a journal. Raises ValueError for a number that is none, and for an empty object."""
    if not value:
        raise ValueError("a line of a journal says something")
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    content = text[:-1].encode(errors="replace")  # halves of surrogate pairs, from names of files, are no text
    return content + f',"crc32":"{zlib.crc32(content):08x}"}}\n'.encode()


def _split(data: bytes) -> tuple[list[bytes], bytes]:
    lines = data.split(b"\n")
    torn = lines.pop()
    return [line + b"\n" for line in lines], torn


def _whole(path: Path) -> int:
    """How many bytes of a file are whole lines."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        while position:
            start = max(0, position - 65536)
            file.seek(start)
            if (found := file.read(position - start).rfind(b"\n")) >= 0:
                return start + found + 1
            position = start
    return 0
