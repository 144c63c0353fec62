"""Files appear whole, locks end with their holder."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ellopt.files.atomic import set_aside, sync_tree, write_bytes, write_text
from ellopt.files.disk import Disk, using
from ellopt.files.locks import FileLock, LockBusy, holding


class Recording(Disk):
    """Remembers the calls; ``full`` makes every write fail."""

    def __init__(self, full: bool = False) -> None:
        self.calls: list[str] = []
        self._full = full

    def write(self, descriptor: int, data: bytes) -> None:
        self.calls.append("write")
        if self._full:
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.calls.append("sync")
        super().sync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self.calls.append("replace")
        super().replace(source, target)

    def sync_directory(self, path: Path) -> None:
        self.calls.append("sync directory")
        super().sync_directory(path)


def test_a_file_is_synced_before_it_gets_its_name_and_so_is_the_name(tmp_path: Path) -> None:
    with using(recording := Recording()):
        write_text(tmp_path / "new" / "file.txt", "größer\n")
    assert (tmp_path / "new" / "file.txt").read_bytes() == "größer\n".encode()
    assert recording.calls == ["sync directory", "write", "sync", "replace", "sync directory"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"old")
    with using(Recording(full=True)), pytest.raises(OSError):
        write_bytes(tmp_path / "file", b"new and longer")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_counts(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "file", b"x")
        write_bytes(tmp_path / "secret", b"x", mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_what_is_set_aside_never_replaces_what_was_before(tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "file").write_text(text)
        set_aside(tmp_path / "file")
    assert [(tmp_path / f"file.{n}").read_text() for n in (1, 2)] == ["first", "second"]


def test_a_tree_is_synced_with_its_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "file").touch()
    (tmp_path / "a" / "b" / "file").touch()
    with using(recording := Recording()):
        sync_tree(tmp_path)
    assert sorted(recording.calls) == ["sync"] * 2 + ["sync directory"] * 3


_HOLDER = """
import pathlib, sys
from ellopt.files.locks import holding
with holding(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_has_one_holder_and_ends_with_it_even_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "new" / "lock"
    command = [sys.executable, "-c", _HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockBusy), holding(path):
            pass
        assert not FileLock(path).try_acquire()
        other.kill()
        other.wait()
    with holding(path), pytest.raises(LockBusy):
        FileLock(path).acquire()
    lock = FileLock(path)
    assert lock.try_acquire()
    lock.release()
    lock.release()
    assert path.exists()


def test_what_cannot_be_locked_is_not_said_to_be_busy(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        FileLock(tmp_path / "missing" / "lock").acquire()
