"""SIGTERM and SIGHUP: everything held is released on the way out, and the way out is short."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

#: what a process may still do after the signal, in seconds. What it holds is on record, and what it kept is on the
#: disk: to end sooner than it would by itself costs nothing that the next run does not find.
GRACE_SECONDS = 3.0


class Terminated(BaseException):
    """A signal asked this process to end. Not an Exception: everything held is released on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated in the main thread, once, when SIGTERM or SIGHUP comes; the process ends soon after in any case.

    A SIGHUP that is ignored (``nohup``) stays so.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [signal.Signals[name] for name in names if signal.getsignal(signal.Signals[name]) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, _terminate) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminate(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(each, signal.SIG_IGN)  # once is enough: a second exception would interrupt the way out
    if number != signal.SIGTERM:
        _forget_terminal()
    timer = threading.Timer(GRACE_SECONDS, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()
    raise Terminated(number)


def _forget_terminal() -> None:
    """The terminal has gone: what is still written to it goes nowhere, and is no error."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
