"""What a command prints passes here on its way out: secrets are taken out, what the terminal's encoding lacks is
spelt out, and a reader that takes no more (a full disk) is one line, not a traceback after the work is done."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import UnsupportedOperation
from typing import Any, TextIO

from ellopt.files.redaction import Redactor


class OutputStream:
    """A text stream around another one. After a failed write, ``failure`` says why and the rest is dropped."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self.redactor = redactor
        self.failure: OSError | None = None
        with suppress(AttributeError, ValueError, UnsupportedOperation):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        """Write ``text``. Raises BrokenPipeError when its reader has gone, and nothing else."""
        with self._guarded():
            if self.failure is None:
                self._stream.write(self._spelt(self.redactor.text(text)))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._guarded():
            if self.failure is None:
                self._stream.flush()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.failure = error

    def _spelt(self, text: str) -> str:
        """``text`` in letters that the stream's encoding has."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return text.encode(encoding, errors="backslashreplace").decode(encoding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Output:
    """Standard output and standard error of a command while it runs."""

    def __init__(self, out: OutputStream, err: OutputStream) -> None:
        self._out, self._err = out, err

    def keep_secret(self, redactor: Redactor) -> None:
        """From now on, what ``redactor`` knows is taken out."""
        self._out.redactor = self._err.redactor = redactor

    def trouble(self) -> str:
        """Why not all that was printed has arrived, empty if it has."""
        self._out.flush()
        failure = self._out.failure
        if failure is None:
            return ""
        full = " (is the disk full?)" if failure.errno == errno.ENOSPC else ""
        return f"standard output takes no more: {failure.strerror or failure}{full}; files are written as always"


@contextmanager
def guarded_output(redactor: Redactor) -> Iterator[Output]:
    """Put the guards in place for the length of a ``with``."""
    before = sys.stdout, sys.stderr
    out, err = OutputStream(sys.stdout, redactor), OutputStream(sys.stderr, redactor)
    sys.stdout, sys.stderr = out, err
    try:
        yield Output(out, err)
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, err):
            if stream.failure is not None:
                _forget(stream)


def _forget(stream: OutputStream) -> None:
    """Let what is left in the buffer go nowhere, or the interpreter fails when it flushes it on the way out."""
    with suppress(OSError, ValueError, UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
