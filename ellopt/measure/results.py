"""What came of a visit to a device, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ellopt.core.errors import CandidateError, InfrastructureError
from ellopt.core.job import JobResult
from ellopt.core.samples import LayerCheck


class HangError(CandidateError):
    """A job was killed when it should have ended long before, on a device that is well."""


class DefaultHangError(InfrastructureError):
    """ELL's default options hang on a device: perhaps the device is to blame."""


@dataclass(frozen=True)
class Fault:
    """What a candidate did: crash or hang. ``stage``: the default while it was timed, a check, or the measuring of
    plans whose outputs were right."""

    kind: Literal["crash", "hang"]
    stage: Literal["default", "check", "measure"]
    reason: str

    @property
    def error(self) -> CandidateError:
        return HangError(self.reason) if self.kind == "hang" else CandidateError(self.reason)


@dataclass(frozen=True)
class Pace:
    """What timing ELL's default showed: seconds of a pass, None if it could not be timed; its checks."""

    pass_seconds: float | None
    checks: tuple[LayerCheck, ...] = ()


@dataclass(frozen=True)
class VisitResult:
    """What came of a visit. ``device`` is empty if none could be had, and ``error`` says why a device failed.

    ``checks`` are those made before the job; if one of them is wrong the job was not run, and ``result`` is None.
    ``runs``: seconds of every run on the device. ``disturbed`` and ``paused`` as in ``Visit``.
    """

    device: str = ""
    board: str = ""
    emulated: bool = False
    runs: tuple[float, ...] = ()
    pace: Pace | None = None
    checks: tuple[LayerCheck, ...] = ()
    result: JobResult | None = None
    disturbed: str = ""
    fault: Fault | None = None
    error: InfrastructureError | None = None
    paused: float = 0.0
