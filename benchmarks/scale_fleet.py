"""The same boards behind the workers of a fleet: ``python -m benchmarks.scale_fleet [--json] [--boards 1000]``.

A scheduler and ``--workers`` workers, each a process of its own with its share of ``--boards``, serve ``--models``
searches at once, each of which keeps its share of the boards busy. As in ``benchmarks.scale`` only a board's answer is
made up. In the middle, ``--killed`` workers are killed and not started again. ``--without`` measures
``benchmarks.scale`` on as many boards and observations beside it.

Reported are the CPU time of the client and the growth of its memory for each observation, and the share of time that
boards are idle (those of killed workers count until they are killed), from the moment when all of them have had work to
the moment when there is no more to hand out.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.scale import InventedBoards, plans
from benchmarks.scale import run as run_without
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
        with (folder / f"{name}.busy").open("a") as file:
            written = 0
            while True:
                time.sleep(0.5)
                some = invented.intervals[written:]
                file.writelines(f"{first} {last}\n" for first, last in some)
                file.flush()
                written += len(some)

    threading.Thread(target=write, daemon=True).start()
    DEVICE_KINDS.insert(0, DeviceKind("pretended", lambda settings, target: bool(settings.addresses), opened))
    boards_given = ["--target", TARGET.name, "--ipaddress", "pretended"]
    return main(["worker", "--scheduler", scheduler, "--name", name, *boards_given, "--verbosity", "INFO"])


class Search:
    """Keeps ``share`` visits under way until ``count`` plans have been measured."""

    def __init__(
        self, pool: FleetPool, fleet: FleetSettings, invented: InventedBoards, folder: Path, count: int
    ) -> None:
        limits = MeasureSettings(visit_spacing=0.0, own=OwnGroups(fleet))
        self.measurer = DeviceMeasurer(MODEL, invented.toolchain, pool, TARGET, folder, limits)
        self.measurer.prepare(invented.space)
        self.todo = plans(invented.space, count)
        self.schedule = Schedule(rounds=3)
        self.left, self.lock, self.ended = count, threading.Lock(), threading.Event()
        self.ran_dry = 0.0
        self.observations = 0
        self.error: BaseException | None = None

    def next(self, done: Future[tuple[Trial, ...]] | None = None) -> None:
        """Take in a visit, and begin the next."""
        if done is not None:
            if (error := done.exception()) is not None:
                self.error = error
                self.ended.set()
                return
            with self.lock:
                self.left -= 1
                self.observations += sum(len(t.samples.layers_ms) for t in done.result() if t.samples)
                if not self.left:
                    self.ended.set()
        with self.lock:
            plan = next(self.todo, None)
            if plan is None:
                self.ran_dry = self.ran_dry or time.monotonic()
        if plan is not None:
            self.measurer.submit([plan], self.schedule).add_done_callback(self.next)


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
        count = asked.observations // LAYERS // asked.models
        searches = [Search(pool, settings, invented, folder / str(n), count) for n in range(asked.models)]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.monotonic(), time.process_time()
        for number in range(each * asked.workers):
            searches[number % asked.models].next()
        killed_at = 0.0
        for search in searches[: asked.models // 2]:
            search.ended.wait()
        for name in names[: asked.killed]:
            fleet.kill(name, signal.SIGKILL)
            killed_at = time.monotonic()
        for search in searches:
            search.ended.wait()
            if search.error is not None:
                raise search.error
        ended, cpu = time.monotonic(), time.process_time() - cpu
        losses = pool.report().retries
        time.sleep(1.0)  # the workers write down what was busy
    found = sum(search.observations for search in searches)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    return {
        "boards": each * asked.workers,
        "workers": asked.workers,
        "models": asked.models,
        "observations": found,
        "killed_workers": asked.killed,
        "visits_lost": losses,
        "wall_seconds": round(ended - started, 2),
        "cpu_microseconds_per_observation": round(1e6 * cpu / found, 1),
        "memory_growth_bytes_per_observation": round(growth / found),
        "idle_share": round(_idle(folder, names, asked.killed, each, killed_at, min(s.ran_dry for s in searches)), 4),
    }


def _idle(folder: Path, names: list[str], killed: int, boards: int, killed_at: float, end: float) -> float:
    """The idle share of all boards; a killed worker's last visits, which nobody wrote down, count as idle."""
    busy = whole = 0.0
    for number, name in enumerate(names):
        rows = [tuple(map(float, line.split())) for line in (folder / f"{name}.busy").read_text().splitlines()]
        last = min(end, killed_at) if number < killed else end
        begun = sorted(first for first, _ in rows)[:boards]
        begin = begun[-1]
        busy += sum(max(0.0, min(b, last) - max(a, begin)) for a, b in rows)
        whole += boards * max(0.0, last - begin)
    return 1 - busy / whole if whole else 0.0


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
    parser.add_argument("--killed", type=int, default=0, help="workers to kill in the middle")
    parser.add_argument("--without", action="store_true", help="the same without Dask, too")
    asked = parser.parse_args()
    if asked.serve:
        sys.exit(serve(asked.folder, asked.serve, asked.boards, asked.seconds, asked.scheduler))
    with tempfile.TemporaryDirectory() as name:
        found = {"fleet": run(asked, Path(name))}
        if asked.without:
            (Path(name) / "without").mkdir()
            found["without"] = run_without(asked.boards, asked.observations, asked.seconds, 0.0, Path(name) / "without")
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    for title, figures in found.items():
        print(title)
        for key, value in figures.items():
            print(f"  {key:40} {value}")


if __name__ == "__main__":
    main()
