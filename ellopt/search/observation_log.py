"""The append-only file of raw samples, which keeps what visits yielded across crashes, and what of it can be believed.

The trials themselves are the study's (``study.py``): an observation belongs to the trial that has its key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ellopt.core.errors import ConfigurationError
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.shapes import ConvolutionShape
from ellopt.core.trial import Costs, Failure, Trial, TrialState, Visit
from ellopt.files.atomic import make_directory, set_aside
from ellopt.files.json_values import decode
from ellopt.files.jsonl import JournalWriter, mend
from ellopt.space.space import ModelSpace

_LOG = logging.getLogger(__name__)

FORMAT_VERSION = 2
#: no time that a search measures is as long: seconds, or milliseconds of a pass
_LONGEST = 1e9


@dataclass(frozen=True)
class _Header:
    """The first line, and the second: no single damaged line may hide what the file is of."""

    format: int
    identity: str
    begun: str = ""  # ISO 8601; empty in files of earlier versions


@dataclass(frozen=True)
class Observation:
    """What one plan of a visit yielded. ``key`` is that of a trial of the study."""

    key: str
    trial: Trial


@dataclass(frozen=True)
class _ObservationLine:
    key: str
    stage: str
    started_s: float
    plan: Mapping[str, str]
    reason: str
    failures: Mapping[str, str]
    board_seconds: float
    visit: Visit | None = None
    total_ms: tuple[float, ...] | None = None
    layers_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    nodes_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rounds: tuple[int, ...] = ()


@dataclass(frozen=True)
class _FailureLine:
    shape: ConvolutionShape
    options: str
    reason: str


class ObservationLog:
    """Append-only JSON lines, each on the disk before it counts.

    ``identity`` names what the observations belong to; a log of another identity is set aside under a new name, never
    mixed in. A line torn by a crash is cut off. What is damaged, or does not belong to ``space``, is set aside with a
    warning, and everything else is used. Raises OSError. For one process at a time: the caller holds the lock.
    """

    def __init__(self, path: Path, identity: str, space: ModelSpace) -> None:
        self.path = path
        self.observations: dict[str, Observation] = {}
        self.failures: list[Failure] = []
        self.costs = Costs()
        self.begun = datetime.now(UTC)
        self._space = space
        self._writer = JournalWriter(path)
        make_directory(path.parent)
        found = mend(path)
        if found.damaged:
            _LOG.warning(
                "%s: %d damaged lines were set aside to %s.damaged; everything else is used",
                path, len(found.damaged), path.name,
            )  # fmt: skip
        lines = self._of(identity, found.values)
        if lines is None:
            if path.exists():
                if any(set(line) & {"trial"} for line in found.values):
                    _LOG.warning("%s was written by an earlier version of ellopt, and is set aside", path)
                else:
                    _LOG.info("%s belongs to another search, or does not say to which, and is set aside", path)
                set_aside(path)
            header = {"format": FORMAT_VERSION, "identity": identity, "begun": self.begun.isoformat()}
            self._writer.append([header, header])
        for line in lines or ():
            self._read(line)

    def append(
        self, observations: Iterable[Observation] = (), failures: Iterable[Failure] = (), costs: Costs | None = None
    ) -> None:
        """Write all that one visit yielded in one go."""
        observations, failures = tuple(observations), tuple(failures)
        lines: list[dict[str, Any]] = [{"observation": _observation_to_json(seen)} for seen in observations]
        lines += [{"failure": _failure_to_json(failure)} for failure in failures]
        spent = Costs() if costs is None else costs
        if spent != Costs():
            lines.append({"costs": asdict(spent)})
        if lines:
            self._writer.append(lines)
        self.costs += spent
        self.observations.update((seen.key, seen) for seen in observations)
        self.failures += failures

    def _of(self, identity: str, lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]] | None:
        """The lines behind the headers; None if those are of something else or missing."""
        headers: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for line in lines:
            (headers if "identity" in line else others).append(line)
        try:
            read = {decode(_Header, header) for header in headers}
            if {(header.format, header.identity) for header in read} != {(FORMAT_VERSION, identity)}:
                return None
            begun = max(header.begun for header in read)
            if begun:
                self.begun = datetime.fromisoformat(begun).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return others

    def _read(self, line: dict[str, Any]) -> None:
        try:
            ((kind, value),) = line.items()
            if kind == "observation":
                seen = self._observation(decode(_ObservationLine, value, kind))
                self.observations.setdefault(seen.key, seen)
            elif kind == "failure":
                self.failures.append(self._failure(decode(_FailureLine, value, "failure")))
            elif kind == "costs":
                self.costs += _costs(decode(Costs, value, "costs"))
            else:
                raise ValueError(f"unknown entry {kind!r}")
        except (ValueError, ConfigurationError) as error:
            _LOG.warning("%s: an entry is left out: %s", self.path, error)

    def _observation(self, line: _ObservationLine) -> Observation:
        """Raises ValueError or ConfigurationError for what no search could have written."""
        layers = {layer.node_id: {*layer.variants, layer.default} for layer in self._space.layers}
        _require(line.plan.keys() == layers.keys(), line, "is of other layers")
        plan = Plan.of({node_id: ConvolutionOptions.parse(line.plan[node_id]) for node_id in layers})
        _require(all(options in layers[node_id] for node_id, options in plan.items()), line, "has unknown options")
        _require(bool(line.key), line, "has no key")
        times = (line.started_s, line.board_seconds)
        _require(all(abs(time) < _LONGEST for time in times), line, "has an impossible time")
        samples = None
        if line.total_ms is not None:
            samples = PlanSamples(plan, line.total_ms, line.layers_ms, line.nodes_ms, line.rounds)
            rows = (line.total_ms, *line.layers_ms.values(), *line.nodes_ms.values())
            _require(line.layers_ms.keys() == plan.keys(), line, "has times of other layers")
            lengths = {*map(len, rows), len(line.rounds) or len(line.total_ms)}
            _require(line.total_ms != () and len(lengths) == 1, line, "has passes that do not match")
            _require(all(0 <= ms < _LONGEST for row in rows for ms in row), line, "has an impossible time")
            _require(all(0 <= number < _LONGEST for number in line.rounds), line, "has impossible rounds")
            _require(line.visit is not None, line, "has samples of no visit")
        trial = Trial(
            plan=plan,
            samples=samples,
            visit=line.visit,
            state=TrialState.FAILED if samples is None else TrialState.COMPLETE,
            reason=line.reason,
            failures=line.failures,
            board_seconds=line.board_seconds,
            stage=line.stage,
            started_s=line.started_s,
        )
        return Observation(line.key, trial)

    def _failure(self, line: _FailureLine) -> Failure:
        if line.shape not in self._space.by_shape:
            raise ValueError("a failure of a shape that the model does not have")
        return Failure(line.shape, ConvolutionOptions.parse(line.options), line.reason)


def _costs(costs: Costs) -> Costs:
    numbers = [value for value in vars(costs).values() if isinstance(value, (int, float))]
    if not all(0 <= number < _LONGEST for number in (*numbers, *costs.boards.values())):
        raise ValueError("impossible costs")
    return costs


def _require(holds: bool, line: _ObservationLine, what: str) -> None:
    if not holds:
        raise ValueError(f"observation {line.key} {what}")


def _failure_to_json(failure: Failure) -> dict[str, Any]:
    return {"shape": failure.shape.to_json(), "options": str(failure.options), "reason": failure.reason}


def _observation_to_json(seen: Observation) -> dict[str, Any]:
    trial, samples = seen.trial, seen.trial.samples
    line = _ObservationLine(
        key=seen.key,
        stage=trial.stage,
        started_s=trial.started_s,
        plan={node_id: str(options) for node_id, options in trial.plan.items()},
        reason=trial.reason if samples is None else "",
        failures=dict(trial.failures),
        board_seconds=trial.board_seconds,
        visit=trial.visit,
    )
    if samples is not None:
        line = replace(
            line,
            total_ms=samples.total_ms,
            layers_ms=dict(samples.layers_ms),
            nodes_ms=dict(samples.nodes_ms),
            rounds=samples.rounds,
        )
    data = vars(line) | {"visit": None if trial.visit is None else vars(trial.visit)}
    return {key: value for key, value in data.items() if value is not None}
