"""What threads gain, and how evenly: tuned models on one thread and on several, by turns, each turn in a fresh process.

``--tuned`` is a folder as ``benchmarks.peers --tuned`` leaves it: ``1 threads/NAME``, ``2 threads/NAME``, what a tuning
wrote for so many threads. Of each model and number of threads the lowest, the median and the 99th percentile of all
turns' passes are shown, less the first ten of each process, of which the longest is named. Gains are one thread's time
over that of several; the mark for a percentile is twice the median.

Before and after each turn it is measured how long a line of cache takes from one thread to another and back. Turns in
which that is more than --near_ns, as on cores that do not share their last cache, have a row of their own ("far"): what
threads gain there is another thing, and a virtual machine is moved from one to the other at any time.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import ellopt
from benchmarks.kernel_bench import host_round_trip
from ellopt.deploy.times import BenchResult


@dataclass(frozen=True)
class Passes:
    """Milliseconds of whole passes of one model on so many threads. ``first_ms``: the median over the turns of the
    longest of a process's first passes, less its very first, which meets cold caches on any number of threads.
    ``round_trip_ns``: the median over the turns; ``far``: whether it is that of cores far from each other."""

    model: str
    threads: int
    lowest_ms: float
    median_ms: float
    p99_ms: float
    first_ms: float
    turns: int = 1
    round_trip_ns: float = 0.0
    far: bool = False

    @property
    def unevenness(self) -> float:
        """The 99th percentile in medians."""
        return self.p99_ms / self.median_ms


@dataclass(frozen=True)
class Gain:
    """One thread's lowest and median time over those of ``passes``."""

    passes: Passes
    lowest: float
    median: float

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self.passes),
            "unevenness": self.passes.unevenness,
            "gain_lowest": self.lowest,
            "gain_median": self.median,
        }


@dataclass(frozen=True)
class Turn:
    """One process, and the longer of the round trips before and after it."""

    result: BenchResult
    round_trip_ns: float


def together(model: str, threads: int, turns: Sequence[Turn], near_ns: float) -> list[Passes]:
    """All turns of one model and number of threads as one; of several threads those on cores far from each other by
    themselves."""
    found = []
    for far in (False, True):
        own = [turn for turn in turns if (threads > 1 and turn.round_trip_ns > near_ns) == far]
        if not own:
            continue
        samples = [ms for turn in own for ms in turn.result.samples_ms]
        firsts = [max(turn.result.first_ms[1:], default=turn.result.median_ms) for turn in own]
        found.append(
            Passes(
                model=model,
                threads=threads,
                lowest_ms=min(samples),
                median_ms=statistics.median(samples),
                p99_ms=float(np.quantile(samples, 0.99)),
                first_ms=statistics.median(firsts),
                turns=len(own),
                round_trip_ns=statistics.median(turn.round_trip_ns for turn in own),
                far=far,
            )
        )
    return found


def gains(passes: Sequence[Passes]) -> list[Gain]:
    """Of every entry, against that of the same model on one thread; empty for a model that was not run on one."""
    alone = {entry.model: entry for entry in passes if entry.threads == 1}
    return [
        Gain(entry, one.lowest_ms / entry.lowest_ms, one.median_ms / entry.median_ms)
        for entry in passes
        if (one := alone.get(entry.model)) is not None
    ]


def tuned_folder(tuned: Path, model: str, threads: int) -> Path:
    """Where the model tuned for so many threads is. Raises SystemExit if it is not there."""
    folder = tuned / f"{threads} threads" / model
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; python -m benchmarks.peers --tuned {tuned} makes it")
    return folder


def compare(tuned: Path, model: str, threads: Sequence[int], turns: int, passes: int, near_ns: float) -> list[Passes]:
    """One model for each number of threads, by turns."""
    loaded = {n: ellopt.load(tuned_folder(tuned, model, n)) for n in threads}
    results: dict[int, list[Turn]] = {n: [] for n in threads}
    for _ in range(turns):
        for n in threads:
            before = host_round_trip()
            result = loaded[n].bench(threads=n, iterations=passes)
            results[n].append(Turn(result, max(before, host_round_trip())))
    return [entry for n in threads for entry in together(model, n, results[n], near_ns)]


def line(gain: Gain) -> str:
    own = gain.passes
    place = "far " if own.far else "near" if own.threads > 1 else "    "
    return (
        f"{own.model:<30} {own.threads} thread(s) {place} {own.turns} turn(s), round trip {own.round_trip_ns:4.0f} ns  "
        f"lowest {own.lowest_ms:7.3f}  median {own.median_ms:7.3f}  "
        f"p99 {own.p99_ms:7.3f} ({own.unevenness:.2f})  first passes {own.first_ms:7.3f} ms  "
        f"gain {gain.lowest:.2f} / {gain.median:.2f}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of models (default: all that were tuned for one thread)")
    parser.add_argument("--tuned", type=Path, required=True, help="folder of tuned models")
    parser.add_argument("--threads", type=int, default=2, help="compared with one (default: 2)")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--passes", type=int, default=200, help="timed passes of a turn")
    parser.add_argument("--near_ns", type=float, default=200, help="the longest round trip of near cores")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(argv)
    models = arguments.models or sorted(path.name for path in (arguments.tuned / "1 threads").glob("*"))
    found: list[Gain] = []
    for model in models:
        numbers = (1, arguments.threads)
        ones = gains(compare(arguments.tuned, model, numbers, arguments.turns, arguments.passes, arguments.near_ns))
        found += ones
        if not arguments.json:
            print("\n".join(map(line, ones)), flush=True)
    if arguments.json:
        print(json.dumps([gain.to_json() for gain in found], indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
