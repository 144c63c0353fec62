"""What tracking costs a tuning run: ``python -m benchmarks.tracking [--json] [--trials 40] [--layers 15]``.

A made-up run at a real pace: for each trial a pause in which the search thinks and a measurement that keeps two cores
busy, as a small model on this machine does; larger models and boards take longer, and tracking then costs less. Runs
with tracking and without take turns, each in a process of its own with a store of its own whose tables exist, as
inside ``mlflow run``. Reported are medians: the time a run takes from its first trial to the end of the process that
tunes, what of it tracking's own calls and the wait at the end are, the CPU time of the writer process, and how much
slower measurements got, beside how much they differ between runs without tracking.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ellopt.tracking import TrackingSettings, open_tracking
from tests.support.tracking_runs import make_report, make_start, make_trials, write_outputs

ROOT = Path(__file__).resolve().parents[1]

_SPIN = "import sys,time\nfor line in sys.stdin:\n n=int(line); x=0\n for i in range(n): x+=i\n print(flush=True)"


class Measurement:
    """A fixed amount of work on two cores, in processes of its own."""

    def __init__(self, seconds: float) -> None:
        self._workers = [
            subprocess.Popen([sys.executable, "-c", _SPIN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        self.work = 200_000
        took = min(self.run() for _ in range(5))
        self.work = int(self.work * seconds / took)

    def run(self) -> float:
        started = time.perf_counter()
        for worker in self._workers:
            assert worker.stdin is not None
            worker.stdin.write(f"{self.work}\n")
            worker.stdin.flush()
        for worker in self._workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        return time.perf_counter() - started

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.communicate()


def tuning_run(enabled: bool, trials: int, layers: int, work: int, pause: float) -> dict[str, Any]:
    """One made-up run in this process and its current directory."""
    report = make_report(make_trials(trials, layers), layers)
    output = Path("out")
    write_outputs(output, report)
    measurement = Measurement(0.01)
    measurement.work = work
    measured, calls = [], 0.0
    started = time.perf_counter()
    with open_tracking(TrackingSettings(mlflow=enabled)) as tracker:
        model = tracker.start_model(make_start(output))
        for trial in report.trials:
            time.sleep(pause)
            with tracker.quiet():
                measured.append(measurement.run())
            before = time.perf_counter()
            model.trial_finished(trial, {"profile_report.txt": "Node statistics\n" * 100})
            calls += time.perf_counter() - before
        before = time.perf_counter()
        model.finish_model(report, output)
        calls += time.perf_counter() - before
        leaving = time.perf_counter()
    ended = time.perf_counter()
    measurement.close()
    times = os.times()
    return {
        "seconds": ended - started,
        "calls_seconds": calls,
        "wait_at_end_seconds": ended - leaving,
        "measurement_ms": 1000 * statistics.median(measured),
        "own_cpu_seconds": times.user + times.system,
        "waiting": tracker.summary.waiting,
    }


def writer_cpu(directory: Path) -> float:
    """CPU seconds of a writer process that delivers all of a run: those of a ``sync`` of it."""
    code = (
        "import resource, pathlib\nfrom ellopt.tracking import sync\nresult = sync(pathlib.Path('out'))\n"
        "assert result.waiting == 0, result\nusage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(usage.ru_utime + usage.ru_stime)"
    )
    for journal in directory.rglob("delivered.jsonl"):
        journal.write_text('{"journal":1}\n')  # nothing was delivered
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=True, env=_environment()
    )
    return float(done.stdout)


def _environment() -> dict[str, str]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return {**variables, "PYTHONPATH": str(ROOT)}


def _one(store: Path, enabled: bool, arguments: argparse.Namespace, work: int, cpu: list[float]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copy(store, directory / "mlflow.db")
        options = [str(value) for value in (arguments.trials, arguments.layers, work, arguments.pause)]
        command = [sys.executable, "-m", "benchmarks.tracking", "--one", str(int(enabled)), *options]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True, env=_environment())
        result: dict[str, Any] = json.loads(done.stdout)
        if enabled:
            cpu.append(writer_cpu(directory))
        return result


def _spread(values: list[float]) -> float:
    """Half the range, in percent of the median."""
    return 50 * (max(values) - min(values)) / statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--layers", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    parser.add_argument("--measure", type=float, default=1.0, help="seconds of a measurement (default: 1)")
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between measurements (default: 0.2)")
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        enabled, trials, layers, work = map(int, arguments.one[:4])
        print(json.dumps(tuning_run(bool(enabled), trials, layers, work, float(arguments.one[4]))))
        return
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "mlflow.db"
        make = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{store}').search_experiments()"
        subprocess.run([sys.executable, "-c", make], check=True, capture_output=True, env=_environment())
        measurement = Measurement(arguments.measure)
        measurement.close()
        runs: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
        cpu: list[float] = []
        for _ in range(arguments.rounds):
            for enabled in (False, True):
                runs[enabled].append(_one(store, enabled, arguments, measurement.work, cpu))
    median = {kind: {key: statistics.median(r[key] for r in runs[kind]) for key in runs[kind][0]} for kind in runs}
    off, on = median[False], median[True]
    result = {
        "trials": arguments.trials,
        "layers": arguments.layers,
        "seconds_without": off["seconds"],
        "seconds_with": on["seconds"],
        "overhead_percent": 100 * (on["calls_seconds"] + on["wait_at_end_seconds"]) / off["seconds"],
        "overhead_by_the_clock_percent": 100 * (on["seconds"] / off["seconds"] - 1),
        "call_ms_per_trial": 1000 * on["calls_seconds"] / arguments.trials,
        "wait_at_end_seconds": on["wait_at_end_seconds"],
        "writer_cpu_seconds": statistics.median(cpu),
        "measurement_slowdown_percent": 100 * (on["measurement_ms"] / off["measurement_ms"] - 1),
        "measurement_spread_percent": _spread([run["measurement_ms"] for run in runs[False]]),
        "undelivered": on["waiting"],
        "limit_percent": 5.0,
    }
    if arguments.json:
        print(json.dumps(result, indent=1))
    else:
        for key, value in result.items():
            print(f"{key:>32} {value:.3f}" if isinstance(value, float) else f"{key:>32} {value}")


if __name__ == "__main__":
    main()
