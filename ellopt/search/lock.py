"""One search at a time in one directory: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ellopt.errors import ConfigurationError


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold ``directory`` for the length of a ``with``. Raises ConfigurationError while another process holds it.

    The operating system releases the lock when its holder is killed. The file itself stays.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a+b") as file:
        try:
            _lock(file.fileno())
        except OSError as error:
            raise ConfigurationError(
                f"{directory}: another ellopt is at work there; wait for it, stop it, or choose another --output_path"
            ) from error
        yield


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
