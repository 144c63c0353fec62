"""Signals that ask this process to end, while an event loop runs in it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ends_by_signal(first: Callable[[], None], told: list[BaseException]) -> Iterator[None]:
    """Within the ``with``, a SIGTERM or SIGHUP whose handler raises calls ``first`` and cancels the task that this is
    called in; what was raised is ``told``.

    A handler may be called while any task of the loop runs: what it raises there is taken for that task's own failure,
    and the process goes on. Does nothing outside of the main thread, which has the signals.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    before: dict[signal.Signals, Callable[[int, Any], Any]] = {}

    def end(number: signal.Signals) -> None:
        try:
            before[number](number, None)
        except BaseException as reason:  # raised again, by whom it is told
            told.append(reason)
            first()
            task.cancel()

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and callable(handler):
                with contextlib.suppress(NotImplementedError):
                    loop.add_signal_handler(number, end, number)
                    before[number] = handler
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN if told else handler)
