"""What visits to devices yielded, and the append-only file that keeps it across crashes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ellopt.measurement import PlanSamples
from ellopt.options import ConvolutionOptions, Plan
from ellopt.shapes import ConvolutionShape

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Visit:
    """One run of one job on one device. Samples of one visit were measured interleaved, round by round.

    ``disturbed`` says what was wrong with the device around it; empty if nothing was.
    """

    uid: str
    device: str
    board: str
    emulated: bool = False
    disturbed: str = ""


@dataclass(frozen=True)
class Failure:
    """Options that do not work for a shape: they do not build, crash, hang or compute something else."""

    shape: ConvolutionShape
    options: ConvolutionOptions
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What became of one plan: samples, or why there are none.

    ``failures``: node id -> reason, for the layers whose options are to blame. ``board_seconds`` is the plan's part
    of the time the device was busy.
    """

    plan: Plan
    samples: PlanSamples | None
    visit: Visit | None = None
    reason: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)
    board_seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return self.samples is None


@dataclass(frozen=True)
class Costs:
    """What was spent."""

    builds: int = 0
    build_seconds: float = 0.0
    board_seconds: float = 0.0
    observations: int = 0
    runs: int = 0
    retries: int = 0
    boards: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[str, ...] = ()

    def __add__(self, other: Costs) -> Costs:
        boards = {
            name: self.boards.get(name, 0) + other.boards.get(name, 0) for name in {**self.boards, **other.boards}
        }
        return Costs(
            self.builds + other.builds,
            self.build_seconds + other.build_seconds,
            self.board_seconds + other.board_seconds,
            self.observations + other.observations,
            self.runs + other.runs,
            self.retries + other.retries,
            boards,
            self.failures + other.failures,
        )

    def __sub__(self, earlier: Costs) -> Costs:
        """What was spent since ``earlier``, an earlier state of the same count."""
        return Costs(
            self.builds - earlier.builds,
            self.build_seconds - earlier.build_seconds,
            self.board_seconds - earlier.board_seconds,
            self.observations - earlier.observations,
            self.runs - earlier.runs,
            self.retries - earlier.retries,
            {name: count - earlier.boards.get(name, 0) for name, count in self.boards.items()},
            self.failures[len(earlier.failures) :],
        )


@dataclass(frozen=True)
class TrialRecord:
    """A line of the log: the outcome of a trial, its number, what it was made for and how it was judged.

    ``state``: complete, pruned, failed. ``best_total_ms``: the best model latency known after it. ``started_s``:
    seconds since the search began, interruptions not counted.
    """

    number: int
    stage: str
    outcome: Outcome
    state: str = "complete"
    reason: str = ""
    saved_seconds: float = 0.0
    started_s: float = 0.0
    best_total_ms: float | None = None


class ObservationLog:
    """Append-only JSON lines, each written to the disk before it counts.

    A line torn by a crash is cut off when the log is opened; ``identity`` names what the observations belong to,
    and a log of another identity is set aside under a new name, never mixed in.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path = path
        self.trials: dict[int, TrialRecord] = {}
        self.failures: list[Failure] = []
        self.costs = Costs()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = read_whole_lines(path)
        header = {"format": FORMAT_VERSION, "identity": identity}
        if lines and lines[0] != header:
            set_aside(path)
            lines = []
        if not lines:
            append_lines(path, [header])
        for line in lines[1:]:
            self._read(line)

    def append(
        self, trials: Iterable[TrialRecord] = (), failures: Iterable[Failure] = (), costs: Costs | None = None
    ) -> None:
        """Write all that one visit yielded in one go."""
        trials, failures = tuple(trials), tuple(failures)
        lines: list[dict[str, Any]] = [{"trial": _trial_to_json(trial)} for trial in trials]
        lines += [{"failure": _failure_to_json(failure)} for failure in failures]
        if costs is not None and costs != Costs():
            lines.append({"costs": _costs_to_json(costs)})
            self.costs += costs
        if lines:
            append_lines(self.path, lines)
        self.trials.update((trial.number, trial) for trial in trials)
        self.failures += failures

    def _read(self, line: dict[str, Any]) -> None:
        if "trial" in line:
            trial = _trial_from_json(line["trial"])
            self.trials.setdefault(trial.number, trial)
        elif "failure" in line:
            data = line["failure"]
            shape = ConvolutionShape.from_json(data["shape"])
            self.failures.append(Failure(shape, ConvolutionOptions.parse(data["options"]), data["reason"]))
        elif "costs" in line:
            data = line["costs"]
            self.costs += Costs(**{**data, "failures": tuple(data["failures"])})


def read_whole_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines. What a crash left unfinished at the end is cut off the file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    lines: list[dict[str, Any]] = []
    whole = 0
    for line in data.splitlines(keepends=True):
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            break
        lines.append(value)
        whole += len(line)
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
    return lines


def append_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Append JSON lines and wait until the disk has them."""
    text = "".join(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in lines)
    with path.open("ab") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())


def set_aside(path: Path) -> None:
    """Rename ``path`` to the first free ``<name>.<number>``."""
    number = 1
    while (other := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.replace(other)


def _failure_to_json(failure: Failure) -> dict[str, Any]:
    return {"shape": failure.shape.to_json(), "options": str(failure.options), "reason": failure.reason}


def _costs_to_json(costs: Costs) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(costs).items()}


def _trial_to_json(trial: TrialRecord) -> dict[str, Any]:
    outcome = trial.outcome
    data: dict[str, Any] = {
        "number": trial.number,
        "stage": trial.stage,
        "state": trial.state,
        "why": trial.reason,
        "saved_seconds": trial.saved_seconds,
        "started_s": trial.started_s,
        "best_total_ms": trial.best_total_ms,
        "plan": {node_id: str(options) for node_id, options in outcome.plan.items()},
        "reason": outcome.reason,
        "failures": dict(outcome.failures),
        "board_seconds": outcome.board_seconds,
    }
    if outcome.visit is not None:
        data["visit"] = vars(outcome.visit)
    if outcome.samples is not None:
        data["total_ms"] = outcome.samples.total_ms
        data["layers_ms"] = dict(outcome.samples.layers_ms)
        data["nodes_ms"] = dict(outcome.samples.nodes_ms)
        data["rounds"] = outcome.samples.rounds
    return data


def _trial_from_json(data: dict[str, Any]) -> TrialRecord:
    plan = Plan(tuple((node_id, ConvolutionOptions.parse(text)) for node_id, text in data["plan"].items()))
    samples = None
    if "total_ms" in data:
        samples = PlanSamples(
            plan=plan,
            total_ms=tuple(data["total_ms"]),
            layers_ms={node_id: tuple(values) for node_id, values in data["layers_ms"].items()},
            nodes_ms={node_id: tuple(values) for node_id, values in data["nodes_ms"].items()},
            rounds=tuple(data["rounds"]),
        )
    visit = Visit(**data["visit"]) if "visit" in data else None
    outcome = Outcome(plan, samples, visit, data["reason"], data["failures"], data["board_seconds"])
    return TrialRecord(
        number=data["number"],
        stage=data["stage"],
        outcome=outcome,
        state=data["state"],
        reason=data["why"],
        saved_seconds=data["saved_seconds"],
        started_s=data["started_s"],
        best_total_ms=data["best_total_ms"],
    )
