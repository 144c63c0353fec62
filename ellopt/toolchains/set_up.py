"""Setting up the compiler for a target: with the first program it builds a C library, which takes a minute or two."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

from ellopt.files.user_dirs import zig_cache
from ellopt.targets import Target
from ellopt.toolchains.zig_progress import Stage, watched

logger = logging.getLogger(__name__)

#: how names of our notes in the compiler's cache begin: they go with what they are about
NOTE = "ellopt-set-up-"
#: seconds between two lines that say how far it is
_EACH = 15.0
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

    @contextlib.contextmanager
    def watched(self, each: float = _EACH) -> Iterator[int | None]:
        """A descriptor for the compiler to write its progress to: every ``each`` seconds it is said how far it is. None
        if there is nothing to set up, or nobody can be told."""
        if self._note is None or self._note.exists():
            yield None
            return
        with watched(self._say, each) as descriptor:
            yield descriptor

    def _say(self, stage: Stage) -> None:
        logger.warning("setting up the compiler for %s: %s, %d steps done", self._name, stage.name, stage.steps)

    def done(self) -> None:
        """Note that it is there."""
        if self._note is not None and not self._note.exists():
            with contextlib.suppress(OSError):  # it is said again the next time
                self._note.parent.mkdir(parents=True, exist_ok=True)
                self._note.touch()
