"""Work in a process of its own that a failing disk, a power cut or kill -9 ends at its n-th call to the disk."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ellopt.core.errors import ElloptError
from ellopt.files.disk import Disk, using

#: the call raises an error, a write half done; the power is cut before the call; the power is cut in the midst of the
#: write (only writes are counted); the process is killed before the call, in the midst of it if it writes
How = Literal["fails", "cut", "torn", "killed"]
Announce = Callable[[str], None]
_FINISHED = "the work is finished"


@dataclass(frozen=True)
class End:
    """How work ended. ``announced``: what it had said by then. ``finished``: the call was never reached."""

    announced: tuple[str, ...]
    finished: bool


class _Inode:
    """A file, directory or link under whatever names. ``durable`` is what a power cut leaves of it: bytes, names with
    inodes, or a target."""

    def __init__(self, path: Path, durable: bool) -> None:
        self.handle = os.open(path, os.O_PATH | os.O_NOFOLLOW)  # so that its number is given to no other
        self.link = os.readlink(path) if path.is_symlink() else ""
        self.is_directory = not self.link and path.is_dir()
        self.content = path.read_bytes() if durable and not self.link and not self.is_directory else b""
        self.names: dict[str, _Inode] = {}


class CrashingDisk(Disk):
    """What is below ``root`` is on a disk on which something happens at the call number ``at``, from 1.

    After a power cut there is what POSIX promises and no more: a file has the content that it had when it was last
    synced, a directory the names. Whoever wrote them, by whatever means, need not have told this disk.
    """

    def __init__(self, root: Path, at: int, how: How) -> None:
        self.calls = 0
        self._root, self._at, self._how = root, at, how
        self._loses = how in ("cut", "torn")
        self._inodes: dict[tuple[int, int], _Inode] = {}
        for path, inode in self._look(durable=True):
            if inode.is_directory:
                inode.names = {child.name: self._inode(child, True) for child in path.iterdir()}

    def _look(self, durable: bool = False) -> Iterator[tuple[Path, _Inode]]:
        yield self._root, self._inode(self._root, durable)
        for path in self._root.rglob("*"):
            yield path, self._inode(path, durable)

    def _inode(self, path: Path, durable: bool = False) -> _Inode:
        status = path.lstat()
        key = status.st_dev, status.st_ino
        if key not in self._inodes:
            self._inodes[key] = _Inode(path, durable)
        return self._inodes[key]

    def _step(self, half: Callable[[], None] | None = None) -> None:
        """A call begins. ``half``: does half of it; without it there is no midst."""
        if self._loses:
            for _ in self._look():
                pass
        if self._how == "torn" and half is None:
            return
        self.calls += 1
        if self.calls != self._at:
            return
        if self._how != "cut" and half is not None:
            half()
        if self._how == "fails":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.crash()

    def crash(self) -> None:
        """The process is no more, and after a power cut neither is what was not synced."""
        if self._loses:
            root = self._inode(self._root)
            for path in self._root.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            _restore(root, self._root)
        os.kill(os.getpid(), signal.SIGKILL)

    def create(self, path: Path, mode: int) -> int:
        self._step()
        return super().create(path, mode)

    def open_to_append(self, path: Path, mode: int) -> int:
        self._step()
        return super().open_to_append(path, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        def half() -> None:
            super(CrashingDisk, self).write(descriptor, data[: len(data) // 2])
            self._sync_now(descriptor)

        self._step(half)
        super().write(descriptor, data)

    def truncate(self, descriptor: int, length: int) -> None:
        self._step()
        super().truncate(descriptor, length)

    def sync(self, descriptor: int) -> None:
        self._step()
        self._sync_now(descriptor)

    def _sync_now(self, descriptor: int) -> None:
        if not self._loses:
            return
        status = os.fstat(descriptor)
        for path, inode in self._look():
            found = path.lstat()
            if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
                inode.content = path.read_bytes()
                return

    def sync_directory(self, path: Path) -> None:
        self._step()
        if self._loses and path.resolve().is_relative_to(self._root.resolve()):
            self._inode(path).names = {child.name: self._inode(child) for child in path.iterdir()}

    def replace(self, source: Path, target: Path) -> None:
        self._step()
        super().replace(source, target)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)


def _restore(directory: _Inode, path: Path) -> None:
    for name, inode in directory.names.items():
        if inode.is_directory:
            (path / name).mkdir()
            _restore(inode, path / name)
        elif inode.link:
            (path / name).symlink_to(inode.link)
        else:
            (path / name).write_bytes(inode.content)


def stopped(work: Callable[[Announce], None], place: Path, at: int, how: How) -> End:
    """Do ``work``, which keeps what it keeps below ``place``, until what ``how`` says happens at call number ``at``.

    Work that deals with an error goes on to its end. A power is cut behind the last call, too.
    """

    def child(announce: Announce) -> None:
        disk = CrashingDisk(place, at, how)
        try:
            with using(disk):
                work(announce)
        except (ElloptError, OSError):
            if how != "fails" or disk.calls < at:
                raise
        if disk.calls < at:
            announce(_FINISHED)
            if how in ("cut", "torn"):
                disk.crash()

    said, signalled = in_a_process(child)
    finished = _FINISHED in said
    assert finished or how == "fails" or signalled == signal.SIGKILL, (at, signalled, said)
    return End(tuple(fact for fact in said if fact != _FINISHED), finished)


def in_a_process(
    work: Callable[[Announce], None], began: Callable[[int], None] = lambda pid: None
) -> tuple[list[str], int]:
    """Do ``work`` in a process of its own: what it announced, and the signal that killed it or 0.

    ``began`` is called here with the number of the process.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            work(lambda fact: _write(writer, f"{fact}\n"))
            os._exit(0)
        except BaseException as error:
            _write(writer, " | ".join(traceback.format_exception(error)).replace("\n", " "))
        finally:
            os._exit(1)
    os.close(writer)
    began(child)
    with os.fdopen(reader, "rb") as stream:
        *said, trouble = stream.read().decode().split("\n")
    _, status = os.waitpid(child, 0)
    assert not trouble, trouble
    return said, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def _write(descriptor: int, text: str) -> None:
    os.write(descriptor, text.encode())
