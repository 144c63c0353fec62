"""The same boards behind the workers of a fleet: ``python -m benchmarks.scale_fleet [--json] [--boards 1000]``.

A scheduler and ``--workers`` workers, each a process of its own with its share of ``--boards``, serve ``--models``
searches at once, each of which keeps its share of the boards busy, and with ``--ahead`` (the default) as many visits
waiting at the workers. As in ``benchmarks.scale`` only a board's answer is made up. After a third of the visits
``--killed`` workers are killed and not started again. ``--without`` measures ``benchmarks.scale`` on as many boards and
observations afterwards.

Reported are the processor's time of client and scheduler, the growth of the client's memory for each observation, and
the share of time that boards are idle (those of killed workers count until they are killed), from the moment when all
of a worker's have had work: until there is no more to hand out, and until the last visit began, as some may wait at one
worker while another has none left. What killed workers had begun is made again: board-seconds thrown away, and these
over the boards that are left.

All of it, for a machine that does nothing else (22 minutes):

    python -m benchmarks.scale_fleet --json --without --killed 5 --seconds 60 > scale.json

A tenth of it: ``--boards 100 --workers 10 --models 20 --observations 10000 --seconds 20``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.scale import InventedBoards, plans
from ellopt.core.schedule import Schedule
from ellopt.core.settings import OwnGroups
from ellopt.core.trial import Trial
from ellopt.devices.base import DevicePool
from ellopt.devices.kinds import DEVICE_KINDS, DeviceKind
from ellopt.devices.replay import ReplayPool
from ellopt.measure.executors.dask.pool import FleetPool, open_pool
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.search.observation_log import Observation, ObservationLog
from tests.support.fleet import ProcessFleet
from tests.support.patience import eventually
from tests.support.pretend import MODEL, TARGET

LAYERS = 20


def serve(folder: Path, name: str, boards: int, seconds: float, scheduler: str) -> int:
    """A worker with pretended boards; it writes down when each of them was busy."""
    from ellopt.cli.main import main

    invented = InventedBoards(seconds, 0.0)

    @contextmanager
    def opened(*asked: object) -> Iterator[DevicePool]:
        pool = ReplayPool(invented, count=boards)
        with pool:
            yield pool

    def write() -> None:
        begun = ended = 0
        with (folder / f"{name}.busy").open("a") as file:
            while True:
                time.sleep(0.5)
                some, others = invented.started[begun:], invented.intervals[ended:]
                file.writelines(f"{first} -1\n" for first in some)
                file.writelines(f"{first} {last}\n" for first, last in others)
                file.flush()
                begun, ended = begun + len(some), ended + len(others)

    threading.Thread(target=write, daemon=True).start()
    DEVICE_KINDS.insert(0, DeviceKind("pretended", lambda settings, target: bool(settings.addresses), opened))
    boards_given = ["--target", TARGET.name, "--ipaddress", "pretended"]
    return main(["worker", "--scheduler", scheduler, "--name", name, *boards_given, "--verbosity", "INFO"])


@dataclass(frozen=True)
class Size:
    """Of a search: ``count`` plans on its ``share`` of the boards; ``ahead``: as many visits more wait at workers."""

    count: int
    share: int
    ahead: bool


class Search:
    """Keeps visits under way until all of its plans have been measured."""

    def __init__(
        self, pool: FleetPool, fleet: FleetSettings, invented: InventedBoards, folder: Path, size: Size
    ) -> None:
        limits = MeasureSettings(visit_spacing=0.0, own=OwnGroups(fleet))
        self.measurer = DeviceMeasurer(MODEL, invented.toolchain, pool, TARGET, folder, limits)
        self.measurer.prepare(invented.space)
        self.log = ObservationLog(folder / "observations.jsonl", "scale", invented.space)
        self.todo = plans(invented.space, size.count)
        self.count, self.share, self.ahead = size.count, size.share, size.ahead
        self.asked = self.taken = 0
        self.observations = 0
        self.ran_dry = 0.0

    def fill(self, done: queue.SimpleQueue[Done]) -> None:
        """Ask for visits: none waits ahead of others before the first has ended, as in ``search``."""
        most = self.share * (2 if self.ahead and self.taken else 1)
        for plan in islice(self.todo, max(0, most - self.under_way)):
            self.asked += 1
            future = self.measurer.submit([plan], Schedule(rounds=3))
            future.add_done_callback(lambda future: done.put((self, future)))
        if self.asked == self.count:
            self.ran_dry = self.ran_dry or time.monotonic()

    @property
    def under_way(self) -> int:
        return self.asked - self.taken

    def take(self, trials: tuple[Trial, ...]) -> None:
        self.log.append([Observation(str(self.taken), replace(trial, stage="random")) for trial in trials])
        self.taken += 1
        self.observations += sum(len(trial.samples.layers_ms) for trial in trials if trial.samples)


Done = tuple[Search, "Future[tuple[Trial, ...]]"]


def run(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    invented = InventedBoards(asked.seconds, 0.0)
    each = asked.boards // asked.workers
    with ExitStack() as stack:
        fleet = stack.enter_context(ProcessFleet(folder))
        names = [f"worker{number}" for number in range(asked.workers)]
        for name in names:
            command = [sys.executable, "-m", "benchmarks.scale_fleet", "--serve", name, "--folder", str(folder)]
            fleet.start(name, [*command, "--boards", str(each), "--seconds", str(asked.seconds), fleet.address])
        for name in names:
            if not eventually(partial(fleet.is_there, name), 600):
                raise RuntimeError(fleet.log(name))
        settings = FleetSettings(fleet.address)
        pool = stack.enter_context(open_pool(settings, TARGET, 120))
        if not eventually(lambda: pool.capacity == each * asked.workers, 120):
            raise RuntimeError(f"{pool.capacity} boards are offered")
        count, share = asked.observations // LAYERS // asked.models, each * asked.workers / asked.models
        searches = [
            Search(pool, settings, invented, folder / str(n), Size(count, boards, asked.ahead))
            for n in range(asked.models)
            for boards in [round((n + 1) * share) - round(n * share)]
        ]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.monotonic(), time.process_time()
        scheduler = processor_seconds(fleet.processes["scheduler"].pid)
        done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        for search in searches:
            search.fill(done)
        killed_at = 0.0
        for taken in range(1, count * asked.models + 1):
            search, future = done.get()
            search.take(future.result())
            search.fill(done)
            if 3 * taken >= count * asked.models and not killed_at:
                killed_at = time.monotonic()
                for name in names[: asked.killed]:
                    fleet.kill(name, signal.SIGKILL)
        ended, cpu = time.monotonic(), time.process_time() - cpu
        scheduler = processor_seconds(fleet.processes["scheduler"].pid) - scheduler
        time.sleep(1.0)  # the workers write down what was busy
    found = sum(search.observations for search in searches)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    dry = min(search.ran_dry for search in searches)
    busy = [Busy.read(folder / f"{name}.busy", each) for name in names]
    last = max(first for worker in busy for first in worker.begun)

    def lives(end: float) -> list[float]:
        return [min(end, killed_at) if number < asked.killed else end for number in range(len(names))]

    thrown_away = sum(worker.thrown_away(killed_at) for worker in busy[: asked.killed])
    left = each * (asked.workers - asked.killed)
    return {
        "boards": each * asked.workers,
        "workers": asked.workers,
        "models": asked.models,
        "visits": count * asked.models,
        "observations": found,
        "ahead": asked.ahead,
        "visits_a_second": round(count * asked.models / (ended - started), 2),
        "killed_workers": asked.killed,
        "visits_thrown_away": sum(len(worker.unended) for worker in busy[: asked.killed]),
        "wall_seconds": round(ended - started, 2),
        "client_microseconds_per_observation": round(1e6 * cpu / found, 1),
        "client_milliseconds_per_visit": round(1e3 * cpu / count / asked.models, 2),
        "scheduler_milliseconds_per_visit": round(1e3 * scheduler / count / asked.models, 2),
        "client_memory_growth_bytes_per_observation": round(growth / found),
        "client_peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "idle_share": idle_share(busy, lives(dry)),
        "idle_share_until_the_last_visit_began": idle_share(busy, lives(last)),
        "idle_share_after_the_kill": idle_share(busy[asked.killed :], [dry] * len(names), killed_at),
        "board_seconds_thrown_away": round(thrown_away, 1),
        "seconds_lost_by_the_kill": round(thrown_away / left, 2) if left else None,
        "load": [round(load, 1) for load in os.getloadavg()],
        "processors": os.cpu_count(),
    }


def processor_seconds(pid: int) -> float:
    """What another process has used so far; nan where the system does not say it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Busy:
    """When the ``boards`` of a worker were busy, as far as it wrote that down."""

    boards: int
    intervals: tuple[tuple[float, float], ...]
    unended: tuple[float, ...]  # when visits began whose end nobody saw

    @classmethod
    def read(cls, path: Path, boards: int) -> Busy:
        rows = [tuple(map(float, line.split())) for line in path.read_text().splitlines()]
        ended = {first: last for first, last in rows if last >= 0}
        return cls(boards, tuple(ended.items()), tuple(first for first, _ in rows if first not in ended))

    @property
    def begin(self) -> float:
        """When all boards have had work."""
        return sorted(self.begun)[: self.boards][-1]

    @property
    def begun(self) -> list[float]:
        return [*(first for first, _ in self.intervals), *self.unended]

    def seconds(self, begin: float, end: float) -> float:
        """What was spent on visits, also on those that were thrown away."""
        intervals = [*self.intervals, *((first, math.inf) for first in self.unended)]
        return sum(max(0.0, min(last, end) - max(first, begin)) for first, last in intervals)

    def thrown_away(self, killed_at: float) -> float:
        return sum(max(0.0, killed_at - first) for first in self.unended)


def idle_share(workers: list[Busy], until: list[float], since: float = 0.0) -> float | None:
    """The share of time in which boards have no visit, from when all of a worker had one, until ``until``."""
    busy = whole = 0.0
    for worker, end in zip(workers, until, strict=False):
        begin = max(since, worker.begin)
        if end > begin:
            busy += worker.seconds(begin, end)
            whole += worker.boards * (end - begin)
    return round(1 - busy / whole, 4) if whole else None


def without(asked: argparse.Namespace) -> Any:
    """In a process of its own: the most memory that this one had is not that of the other way."""
    sizes = [f"--boards={asked.boards}", f"--observations={asked.observations}", f"--seconds={asked.seconds}"]
    command = [sys.executable, "-m", "benchmarks.scale", "--json", *sizes]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scheduler", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--observations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a board needs for an answer, on average")
    parser.add_argument("--ahead", action=argparse.BooleanOptionalAction, default=True, help="visits wait at workers")
    parser.add_argument("--killed", type=int, default=0, help="workers to kill after a third of the visits")
    parser.add_argument("--without", action="store_true", help="the same without Dask, too")
    asked = parser.parse_args()
    if asked.serve:
        sys.exit(serve(asked.folder, asked.serve, asked.boards, asked.seconds, asked.scheduler))
    with tempfile.TemporaryDirectory() as name:
        found = {"fleet": run(asked, Path(name))}
        if asked.without:
            found["without"] = without(asked)
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    for title, figures in found.items():
        print(title)
        for key, value in figures.items():
            print(f"  {key:40} {value}")


if __name__ == "__main__":
    main()
