"""The language between this side and the runner in a native bundle: jobs as text, results as checked binary."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ellopt.core.errors import InfrastructureError

KINDS = ("check", "profile", "bench", "predict")
#: the runner's unit of time: what is shorter than the clock's steps is timed many times at once
PICOSECONDS_PER_MS = 1e9
_START, _END = b"ELLRES01", b"ELLDONE1"
_HEADER = struct.Struct("<10q")


@dataclass(frozen=True)
class Choice:
    """How one layer is computed: the variant's number in the layer, parallel or not, the three block depths."""

    variant: int
    parallel: bool
    depths: tuple[int, int, int]


@dataclass(frozen=True)
class JobText:
    """What the runner is told. ``plans`` has a row of choices, one for each layer, for each plan.

    ``turn_warm_up``: by plan, the untimed passes of a turn; none if empty. ``unchecked``: the numbers of the plans
    whose first untimed pass is a check, made for that if there is none. ``interval_us``: microseconds from the start of
    one timed pass to that of the next; 0: one after the other.
    """

    kind: str
    threads: int
    plans: Sequence[Sequence[Choice]]
    warm_up: int = 0
    rounds: int = 1
    turn_passes: int = 1
    limit_seconds: float = 3600.0
    slow_factor: float = 0.0
    unchecked: frozenset[int] = frozenset()
    turn_warm_up: Sequence[int] = ()
    interval_us: int = 0

    def encode(self) -> bytes:
        lines = [
            "ellopt-job 2",
            f"kind {self.kind}",
            f"threads {self.threads}",
            f"warm_up {self.warm_up}",
            f"rounds {self.rounds}",
            f"turn_passes {self.turn_passes}",
            f"limit_ms {min(2**31 - 1, max(0, round(self.limit_seconds * 1000)))}",
            f"slow_factor {self.slow_factor!r}",
            *([f"interval_us {self.interval_us}"] if self.interval_us else []),
            f"plans {len(self.plans)}",
            f"layers {len(self.plans[0])}",
            f"unchecked {' '.join(str(int(i in self.unchecked)) for i in range(len(self.plans)))}",
            f"turn_warm_up {' '.join(map(str, self.turn_warm_up or [0] * len(self.plans)))}",
        ]
        for row in self.plans:
            lines.append(" ".join(f"{c.variant} {int(c.parallel)} {' '.join(map(str, c.depths))}" for c in row))
        return "\n".join([*lines, "end", ""]).encode()


@dataclass(frozen=True)
class Records:
    """What the runner left: one row of 64-bit words for each record; see runner.c for their meaning."""

    words: npt.NDArray[np.int64]
    seconds: float
    peak_bytes: int


def decode(data: bytes, job: JobText, steps: int) -> Records:
    """The records of a result. Raises InfrastructureError if it is truncated, altered or another job's."""
    least = len(_START) + _HEADER.size + 8 + len(_END)
    if len(data) < least or not data.startswith(_START) or not data.endswith(_END):
        raise InfrastructureError(f"the result file is truncated or no result ({len(data)} bytes)")
    body, checksum = data[:-16], int.from_bytes(data[-16:-8], "little")
    if zlib.crc32(body) != checksum:
        raise InfrastructureError("the result file was altered: its checksum is wrong")
    header = _HEADER.unpack_from(data, len(_START))
    version, job_checksum, kind, plans, layers, found_steps, count, words, elapsed, peak = header
    expected = (2, zlib.crc32(job.encode()), KINDS.index(job.kind), len(job.plans), len(job.plans[0]), steps)
    if (version, job_checksum, kind, plans, layers, found_steps) != expected:
        raise InfrastructureError("the result file belongs to another job")
    values = np.frombuffer(body, "<i8", offset=len(_START) + _HEADER.size)
    if len(values) != words or (count and words % count):
        raise InfrastructureError("the result file has another length than it says")
    return Records(values.reshape(count, -1) if count else values.reshape(0, 0), elapsed / 1e9, peak)
