"""Many boards at once: ``python -m benchmarks.scale [--json] [--boards 1000] [--observations 100000]``.

The pool, its leases, the measurer and the log of observations are the real ones; only a board's answer is made up: it
takes ``--seconds`` on average and is the latency of a formula. An observation is one layer measured with one choice of
options. Every board has a thread that asks for its next plan when it is done, as a search has.

Reported are the CPU time of this process and the growth of its memory for each observation, and the share of time that
boards are idle: from the moment when all of them have had work to the moment when there is no more to hand out, and
over the whole run, in which boards also wait at the beginning and for the last ones at the end.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.core.plan import Plan
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.replay import ReplayPool
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.search.observation_log import Observation, ObservationLog
from ellopt.space.space import ModelSpace
from tests.support.pretend import (
    AT_ONCE,
    MODEL,
    TARGET,
    PretendDevice,
    PretendToolchain,
    layers,
    shape,
    small_space,
    smooth_latency,
)

LAYERS = 20


class InventedBoards:
    """Answers after a while, and keeps account of the time that boards spend on it. Some visits fail."""

    def __init__(self, seconds: float, failing: float) -> None:
        model_layers = layers(*[shape(8 + i, 16 + i) for i in range(LAYERS)])
        self.toolchain = PretendToolchain(model_layers=model_layers)
        self.space: ModelSpace = small_space(self.toolchain, (1, 2, 4, 8, 16))
        self._device = PretendDevice(smooth_latency(0, model_layers), noise=0.02)
        self._seconds, self._failing = seconds, failing
        self._lock = threading.Lock()
        self.started: list[float] = []
        self.intervals: list[tuple[float, float]] = []

    def __call__(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        started = time.monotonic()
        until = started + self._seconds * random.uniform(0.5, 1.5)
        with self._lock:  # a board works out by itself what it measures: this is its time, and our processor's
            self.started.append(started)
            failed = random.random() < self._failing
            execution: Execution = self._device.run(bundle, invocation, deadline)
        time.sleep(max(0.0, until - time.monotonic()))
        with self._lock:
            self.intervals.append((started, time.monotonic()))
        if failed:
            raise InfrastructureError("an invented misfortune")
        return execution


def plans(space: ModelSpace, count: int) -> Iterator[Plan]:
    generator = random.Random(0)
    for _ in range(count):
        yield Plan.of({layer.node_id: generator.choice(layer.variants) for layer in space.layers})


def share_busy(intervals: list[tuple[float, float]], boards: int, begin: float, end: float) -> float:
    inside = sum(max(0.0, min(last, end) - max(first, begin)) for first, last in intervals)
    return inside / (boards * (end - begin))


def run(boards: int, observations: int, seconds: float, failing: float, directory: Path) -> dict[str, Any]:
    invented = InventedBoards(seconds, failing)
    count = observations // LAYERS
    todo: queue.SimpleQueue[Plan] = queue.SimpleQueue()
    for plan in plans(invented.space, count):
        todo.put(plan)
    done: queue.SimpleQueue[Trial | BaseException] = queue.SimpleQueue()
    ran_dry: list[float] = []
    log = ObservationLog(directory / "observations.jsonl", "scale", invented.space)
    schedule = Schedule(rounds=3)

    def work(measurer: DeviceMeasurer) -> None:
        while True:
            try:
                plan = todo.get_nowait()
            except queue.Empty:
                ran_dry.append(time.monotonic())
                return
            try:
                done.put(measurer.measure([plan], schedule)[0])
            except BaseException as error:
                done.put(error)
                raise

    with ReplayPool(invented, count=boards) as pool:
        measurer = DeviceMeasurer(MODEL, invented.toolchain, pool, TARGET, directory, AT_ONCE)
        measurer.prepare(invented.space)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.monotonic(), time.process_time()
        threading.stack_size(256 * 1024)
        threads = [threading.Thread(target=work, args=(measurer,), daemon=True) for _ in range(boards)]
        for thread in threads:
            thread.start()
        received = 0
        while received < count:
            outcomes = [done.get()]
            while not done.empty():
                outcomes.append(done.get())
            records = []
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                records.append(Observation(str(received), replace(outcome, stage="random")))
                received += 1
            log.append(records)
        for thread in threads:
            thread.join()
        ended, cpu = time.monotonic(), time.process_time() - cpu
        report = pool.report()
    begun = sorted(first for first, _ in invented.intervals)[boards - 1]
    found = sum(len(seen.trial.samples.layers_ms) for seen in log.observations.values() if seen.trial.samples)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    return {
        "boards": boards,
        "observations": found,
        "leases": report.leases,
        "failed_visits": report.retries,
        "wall_seconds": round(ended - started, 2),
        "cpu_microseconds_per_observation": round(1e6 * cpu / found, 1),
        "memory_growth_bytes_per_observation": round(growth / found),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "idle_share": round(1 - share_busy(invented.intervals, boards, begun, min(ran_dry)), 4),
        "idle_share_whole_run": round(1 - share_busy(invented.intervals, boards, started, ended), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--boards", type=int, default=1000)
    parser.add_argument("--observations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a board needs for an answer, on average")
    parser.add_argument("--failing", type=float, default=0.0, help="share of visits in which the board fails")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = run(arguments.boards, arguments.observations, arguments.seconds, arguments.failing, Path(name))
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for key, value in found.items():
        print(f"{key.replace('_', ' '):40} {value}")


if __name__ == "__main__":
    main()
