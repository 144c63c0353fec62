"""Limits of the work on devices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MeasureSettings:
    """Limits of the work on devices. Times in seconds."""

    build_timeout: float = 1800.0
    parallel_build: int = 1
    board_timeout: float = 600.0  # how long to wait for a device
    run_limit: float = 120.0  # after this a job stops at the end of its round
    run_grace: float = 180.0  # for copying; and for a slow last round, where a plan's usual pace is not known
    run_least: float = 20.0  # no run is said to hang before that, see ``limits``
    attempts: int = 6  # of a visit, each on a device of the pool's choice
    disturbed_attempts: int = 3  # of a measurement on a throttled or loaded device
    disturbed_pause: float = 20.0
    threads: int = 0  # 0: the target's cores
    visit_spacing: float = 0.0  # least time between the starts of two measurements on one device
    executor: str = ""  # a row of EXECUTORS; empty: inline for one device, threads for several
