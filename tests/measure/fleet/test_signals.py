"""A worker that is terminated ends, whatever its event loop is doing at that moment."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from types import FrameType

import pytest

from ellopt.measure.executors.dask.signals import ends_by_signal
from tests.support.patience import SOON


class Asked(BaseException):
    pass


def ask(number: int, frame: FrameType | None) -> None:
    raise Asked(number)


async def busy() -> None:
    """A task of somebody else, in which the signal comes."""
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(1000):
        time.monotonic()


def test_a_signal_that_comes_while_a_task_runs_ends_the_process_and_not_the_task() -> None:
    order: list[str] = []
    told: list[BaseException] = []

    async def serve() -> None:
        with ends_by_signal(lambda: order.append("boards"), told):
            task = asyncio.create_task(busy())
            try:
                await asyncio.sleep(SOON)
            except asyncio.CancelledError:
                order.append("cancelled")
                await task
                raise

    before = signal.signal(signal.SIGTERM, ask)
    try:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(serve())
        assert order == ["boards", "cancelled"]
        assert [type(reason) for reason in told] == [Asked]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN, "once is enough"
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_a_signal_everything_is_as_it_was() -> None:
    async def serve() -> None:
        with ends_by_signal(lambda: None, []):
            await asyncio.sleep(0)

    before = signal.signal(signal.SIGTERM, ask)
    try:
        asyncio.run(serve())
        assert signal.getsignal(signal.SIGTERM) is ask
    finally:
        signal.signal(signal.SIGTERM, before)
