"""Setting up the compiler for a target: with the first program it builds a C library, which takes a minute or two."""

from __future__ import annotations

import contextlib
import logging
import threading
from pathlib import Path

from ellopt.files.user_dirs import zig_cache
from ellopt.targets import Target

logger = logging.getLogger(__name__)

#: how names of our notes in the compiler's cache begin: they go with what they are about
NOTE = "ellopt-set-up-"
_announced: set[Path] = set()
_lock = threading.Lock()


class SetUp:
    """Whether ``target`` has a C library yet. This machine has one."""

    def __init__(self, target: Target) -> None:
        self._name = target.name
        self._note = None if target.is_host else zig_cache() / f"{NOTE}{target.triple}-{target.library_cpu}"

    def announce(self) -> None:
        """Say, once in a process, that it will be built now, if it is not known to be there."""
        if self._note is None or self._note.exists():
            return
        with _lock:
            if self._note in _announced:
                return
            _announced.add(self._note)
        logger.warning("setting up the compiler for %s, once: its C library is built, in a minute or two", self._name)

    def done(self) -> None:
        """Note that it is there."""
        if self._note is not None and not self._note.exists():
            with contextlib.suppress(OSError):  # it is said again the next time
                self._note.parent.mkdir(parents=True, exist_ok=True)
                self._note.touch()
