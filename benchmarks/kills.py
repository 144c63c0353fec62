"""Kills a tuning at random moments: ``python -m benchmarks.kills [--json] [--kills 200] [--seed 0]``.

A short tuning, from a model file to its report, runs in a process of its own that gets SIGKILL after a random time; the
same call then goes on in the same directory, until one comes to its end and the next tuning begins. Timings are those
that a noisy device gave once: recorded, so that the right winners are known from a run that nobody disturbed.

What must not be is listed, makes the exit code 1 and the tuning the last: trials that had been announced as finished
and were not found again or found otherwise (``lost``), trials that were announced or measured twice (``repeated``),
files with other winners (``other_winners``), and runs that ended in an error (``errors``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from ellopt.core.options import ConvolutionOptions
from ellopt.core.trial import Trial
from ellopt.report.document import TuningReport
from ellopt.search.observer import Silent
from tests.support.crashes import Announce, in_a_process
from tests.support.pretend import PretendDevice
from tests.support.tuning import TINY, device_for, tuned

#: every variant is measured, whatever was measured before: so the winners depend on the timings alone
SAMPLER = "grid"
WINNERS = ("compile_options.json", "tiny16_options.ell")
#: plan and latency of a trial
Fact = tuple[str, float | None]
Timings = dict[tuple[str, ConvolutionOptions], float]


#: what a run on the device takes: else nearly all kills were in the time before the first
RUN_SECONDS = 0.03
#: more than a tuning takes that nobody kills
LONG_SECONDS = 600.0
#: findings of which there must be none
WRONG = ("lost", "repeated", "other_winners", "errors")


@dataclass
class Findings:
    """``kills_after_trials``: those of tunings in which trials were known to have finished. ``tunings``: those that
    came to their end, with as many ``trials``; ``unannounced``: of these, kept but not yet announced at a kill.
    """

    kills: int = 0
    kills_after_trials: int = 0
    tunings: int = 0
    trials: int = 0
    unannounced: int = 0
    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    other_winners: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        return any(getattr(self, name) for name in WRONG)


class Announcing(Silent):
    """Announces trials as ``finished`` when they are, or as ``found`` when an earlier run had finished them."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce

    def trial_finished(self, trial: Trial) -> None:
        self._announce(json.dumps(["finished", *fact_of(trial)]))

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._announce(json.dumps(["found", *fact_of(trial)]))
        self._announce(json.dumps(["all found", len(trials), "", None, ""]))


def fact_of(trial: Trial) -> tuple[int, str, float | None, str]:
    """Number, plan, latency and stage."""
    plan = ", ".join(f"{node_id}: {options}" for node_id, options in trial.plan.items())
    return trial.number, plan, trial.total_ms, trial.stage


def record(directory: Path, seed: int) -> Timings:
    """What a noisy device says of each layer with each choice of options."""
    report = tuned(TINY, directory, device_for(TINY, seed), SAMPLER)
    return {(node_id, trial.plan[node_id]): ms for trial in report.trials for node_id, ms in trial.layers_ms.items()}


def tune(directory: Path, timings: Timings, announce: Announce) -> None:
    """The command that is given again after each kill."""
    device = PretendDevice(
        lambda node_id, options: timings[node_id, options], before_run=lambda job: time.sleep(RUN_SECONDS)
    )
    tuned(TINY, directory, device, SAMPLER, observer=Announcing(announce))


def run_until_killed(seconds: float, work: Callable[[Announce], None]) -> tuple[list[str], bool]:
    """What ``work`` said in a process that gets SIGKILL after ``seconds``, and whether that was before its end."""
    with ExitStack() as stack:

        def began(pid: int) -> None:
            process = os.pidfd_open(pid)  # never another process's, as a number can become
            stack.callback(os.close, process)

            def kill() -> None:
                with suppress(ProcessLookupError):  # it may have ended
                    signal.pidfd_send_signal(process, signal.SIGKILL)

            timer = threading.Timer(seconds, kill)
            timer.start()
            stack.callback(timer.join)
            stack.callback(timer.cancel)

        said, signalled = in_a_process(work, began)
    return said, signalled == signal.SIGKILL


class Tuning:
    """One tuning, killed as often as it takes. ``expected``: the winners of one that nobody disturbed."""

    def __init__(self, directory: Path, timings: Timings, expected: Sequence[bytes], findings: Findings) -> None:
        self._directory, self._timings, self._expected, self._findings = directory, timings, expected, findings
        self._finished: dict[int, Fact] = {}
        self._tried: dict[int, tuple[str, str]] = {}  # stage and plan, whether it was announced or found
        self._name = directory.name

    def go_on(self, seconds: float) -> bool:
        """Run it for at most ``seconds``. Returns whether it has ended."""
        try:
            said, killed = run_until_killed(seconds, partial(tune, self._directory, self._timings))
        except AssertionError as error:
            self._findings.errors.append(f"{self._name}: {error}")
            return True
        self._hear(said)
        if killed:
            self._findings.kills += 1
            self._findings.kills_after_trials += bool(self._tried)
            return False
        self._findings.tunings += 1
        self._judge()
        return True

    def _hear(self, said: Sequence[str]) -> None:
        found: dict[int, Fact] = {}
        for kind, number, plan, ms, stage in map(json.loads, said):
            if kind == "all found":
                self._compare("found by the next run", found)
                continue
            self._tried[number] = stage, plan
            if kind == "found":
                found[number] = plan, ms
                continue
            if number in self._finished or number in found:
                self._findings.repeated.append(f"{self._name}: trial {number} ({plan})")
            self._finished[number] = plan, ms

    def _compare(self, where: str, found: Mapping[int, Fact]) -> None:
        for number, fact in self._finished.items():
            if found.get(number) != fact:
                self._findings.lost.append(f"{self._name}: trial {number} {fact}, {where}: {found.get(number)}")

    def _judge(self) -> None:
        report = TuningReport.load(self._directory / "tuning_report.json")
        facts = map(fact_of, report.trials)
        self._findings.trials += len(report.trials)
        self._findings.unannounced += len(report.trials) - len(self._finished)
        self._compare("in the report", {number: (plan, ms) for number, plan, ms, _ in facts})
        counts = Counter(plan for stage, plan in self._tried.values() if stage == SAMPLER)  # rematches do measure again
        self._findings.repeated += [f"{self._name}: {n} times ({plan})" for plan, n in counts.items() if n > 1]
        for name, right, found in zip(WINNERS, self._expected, winners(self._directory), strict=True):
            if found != right:
                self._findings.other_winners.append(f"{self._name}: {name}: {found[:2000]!r}, not {right[:2000]!r}")


def winners(directory: Path) -> list[bytes]:
    return [(directory / name).read_bytes() for name in WINNERS]


def run(kills: int, seed: int, directory: Path) -> dict[str, object]:
    timings = record(directory / "recorded", seed)
    began = time.monotonic()
    in_a_process(partial(tune, directory / "undisturbed", timings))
    undisturbed = time.monotonic() - began
    expected = winners(directory / "undisturbed")
    findings, generator = Findings(), random.Random(seed)
    while findings.kills < kills and not findings.wrong:
        tuning = Tuning(directory / f"tuning {findings.tunings}", timings, expected, findings)
        while findings.kills < kills and not tuning.go_on(generator.uniform(0, undisturbed)):
            pass
        if findings.kills == kills and not findings.wrong:
            tuning.go_on(LONG_SECONDS)
    return {"seed": seed, "undisturbed_seconds": round(undisturbed, 3), **asdict(findings)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the recorded timings and of the moments of kills")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ellopt-kills-") as name:
        os.environ["ELLOPT_STORE"] = str(Path(name) / "measurements.sqlite")  # not the user's
        found = run(arguments.kills, arguments.seed, Path(name))
    found["seconds"] = round(time.monotonic() - began, 1)
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        for key, value in found.items():
            print(f"{key.replace('_', ' '):24} {value}")
    return int(any(found[key] for key in WRONG))


if __name__ == "__main__":
    sys.exit(main())
