"""A build as a value: which plans each bundle is to hold, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ellopt.core.deadline import Deadline
from ellopt.core.errors import BuildError, DeadlineExceeded
from ellopt.core.fan_out import fan_out
from ellopt.core.plan import Plan
from ellopt.devices.bundle import Bundle
from ellopt.measure.site import MeasureSite


@dataclass(frozen=True)
class BuildResult:
    """For each group of plans its bundle, or why there is none; the seconds that all builds took, added up."""

    built: tuple[Bundle | BuildError, ...]
    seconds: float


@dataclass(frozen=True)
class BuildTask:
    """A bundle for each of ``groups``, each within ``timeout`` seconds, at most ``parallel`` at a time."""

    groups: tuple[tuple[Plan, ...], ...]
    timeout: float
    parallel: int = 1

    def run(self, site: MeasureSite) -> BuildResult:
        """Build at ``site``, which keeps the bundles."""
        done = fan_out(partial(_build, site, self.timeout), self.groups, self.parallel)
        return BuildResult(tuple(built for built, _ in done), sum(seconds for _, seconds in done))


def _build(site: MeasureSite, timeout: float, plans: Sequence[Plan]) -> tuple[Bundle | BuildError, float]:
    started = time.monotonic()
    built: Bundle | BuildError
    try:
        built = site.toolchain.build(site.model, plans, site.target, site.directory, Deadline.after(timeout), site.send)
        site.keep(built)
    except DeadlineExceeded:
        built = BuildError(f"the build took longer than {timeout:g} s")
    except BuildError as error:
        built = error
    return built, time.monotonic() - started
