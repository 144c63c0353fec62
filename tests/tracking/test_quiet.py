"""Tracking is still while something is measured here, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ellopt.core.deadline import Deadline
from ellopt.devices.base import Device, PoolReport
from ellopt.devices.local import LocalDevice, LocalPool
from ellopt.tracking import QuietPool


class Elsewhere(LocalDevice):
    def __init__(self, here: bool) -> None:
        super().__init__()
        self.here = here


class OneDevice:
    capacity = 3
    emulated = False
    sends = 0

    def __init__(self, device: Device) -> None:
        self.device = device
        self.closed = False

    @contextmanager
    def lease(self, deadline: Deadline) -> Iterator[Device]:
        yield self.device

    def report(self) -> PoolReport:
        return PoolReport(leases=7)

    def close(self) -> None:
        self.closed = True


class Log:
    def __init__(self) -> None:
        self.depth = 0

    @contextmanager
    def quiet(self) -> Iterator[None]:
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


@pytest.mark.parametrize(("here", "depth"), [(True, 1), (False, 0)])
def test_only_what_is_measured_here_asks_for_quiet(here: bool, depth: int) -> None:
    log = Log()
    with QuietPool(OneDevice(Elsewhere(here)), log.quiet).lease(Deadline.never()):
        assert log.depth == depth
    assert log.depth == 0


def test_quiet_ends_when_the_measurement_fails() -> None:
    log = Log()
    pool = QuietPool(LocalPool(), log.quiet)
    with pytest.raises(RuntimeError), pool.lease(Deadline.never()):
        raise RuntimeError
    assert log.depth == 0
    with pool.lease(Deadline.after(1)) as device:  # the machine was given back
        assert device.here


def test_the_rest_is_the_pool_s_own() -> None:
    inner = OneDevice(LocalDevice())
    pool = QuietPool(inner, Log().quiet)
    assert (pool.capacity, pool.emulated, pool.report().leases) == (3, False, 7)
    pool.close()
    assert inner.closed
