"""A PostgreSQL server of one's own, for the length of a ``with``."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/usr/lib/postgresql")


def postgresql_programs() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``; None where PostgreSQL is not installed."""
    found = sorted(_ROOT.glob("*/bin/initdb"))
    return found[-1].parent if found else None


#: why a test does without
NO_POSTGRESQL = "PostgreSQL is not installed (Debian package postgresql)"
needs_postgresql = pytest.mark.skipif(postgresql_programs() is None, reason=NO_POSTGRESQL)


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database. The server refuses to run as root, so that it runs as ``postgres`` then."""
    programs = postgresql_programs()
    assert programs is not None
    place = Path(tempfile.mkdtemp(prefix="ellopt-pg-"))
    prefix = []
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data = place / "data"

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(programs / program), "-D", str(data), *arguments]
        subprocess.run(command, check=True, timeout=120, cwd=place, stdout=subprocess.DEVNULL)

    run("initdb", "-A", "trust", "-U", "tester", "--no-sync")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {place} -c fsync=off"
    try:
        run("pg_ctl", "-w", "-t", "60", "-l", str(place / "log"), "-o", options, "start")
        yield f"postgresql+psycopg://tester:secret@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run(
            [*prefix, str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop"],
            timeout=60, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        shutil.rmtree(place, ignore_errors=True)
