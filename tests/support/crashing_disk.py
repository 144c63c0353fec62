"""A disk that fails at its n-th call, or loses what was not synced when the power is cut there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Literal

from ellopt.files.disk import Disk

#: the call raises an error; the power is cut before it; the power is cut in its midst
How = Literal["fails", "cut", "torn"]


class PowerCut(BaseException):
    """The process is no more."""


class _Content:
    """A file's content wherever it is named: ``synced`` is what a power cut leaves of it."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = synced


class CrashingDisk(Disk):
    """``at``: the number of the call, from 1, at which it happens; 0 for never. ``calls`` counts them.

    After a power cut nothing can be changed any more, and ``lose_unsynced`` leaves on the real disk what one would find
    after it: synced contents under synced names. In ``torn`` half of the write that was under way is there as well.
    """

    def __init__(self, at: int, how: How) -> None:
        self.calls = 0
        self._at, self._how, self._dead = at, how, False
        self._open: dict[int, Path] = {}
        self._names: dict[Path, _Content] = {}
        self._durable: dict[Path, _Content] = {}

    def _step(self) -> None:
        if self._dead:
            raise PowerCut
        self.calls += 1
        if self.calls == self._at:
            if self._how == "fails":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._dead = True
            raise PowerCut

    def _content(self, path: Path) -> _Content:
        if path not in self._names:
            self._names[path] = self._durable[path] = _Content(path.read_bytes())
        return self._names[path]

    def create(self, path: Path, mode: int) -> int:
        self._step()
        descriptor = super().create(path, mode)
        self._open[descriptor] = path
        self._names[path] = _Content()
        return descriptor

    def open_to_append(self, path: Path, mode: int) -> int:
        self._step()
        if path.exists():
            self._content(path)
        else:
            self._names[path] = _Content()
        descriptor = super().open_to_append(path, mode)
        self._open[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            self._step()
        except PowerCut:
            if self._how == "torn" and self.calls == self._at:
                super().write(descriptor, data[: len(data) // 2])
                self.sync_now(descriptor)
            raise
        except OSError:
            super().write(descriptor, data[: len(data) // 2])
            raise
        super().write(descriptor, data)

    def truncate(self, descriptor: int, length: int) -> None:
        self._step()
        super().truncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        self._step()
        self.sync_now(descriptor)

    def sync_now(self, descriptor: int) -> None:
        path = self._open.get(descriptor)
        if path is not None:
            self._names[path].synced = path.read_bytes()

    def sync_directory(self, path: Path) -> None:
        self._step()
        for name in [name for name in self._durable if name.parent == path and name not in self._names]:
            del self._durable[name]
        self._durable |= {name: content for name, content in self._names.items() if name.parent == path}

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        content = self._content(source)
        if target.exists():
            self._content(target)
        super().replace(source, target)
        del self._names[source]
        self._names[target] = content

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)
        self._names.pop(path, None)

    def lose_unsynced(self) -> None:
        for path in {*self._names, *self._durable}:
            if path in self._durable:
                path.write_bytes(self._durable[path].synced)
            else:
                path.unlink(missing_ok=True)
