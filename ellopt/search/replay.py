"""Searches replayed on recorded measurements: no compiler, no device, the real noise.

A table holds raw samples of every variant of every layer, taken interleaved in several visits. A replayed visit draws
one of the recorded ones, a replayed round one of its rounds (as a bootstrap does: Efron 1979), and every sample is read
from that, so what the machine did to that visit and that round it does again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ellopt.atomic import write_text
from ellopt.deadline import Deadline
from ellopt.errors import ConfigurationError
from ellopt.measurement import PlanSamples
from ellopt.observations import Costs, Failure, Outcome, Visit
from ellopt.options import ConvolutionOptions, Plan
from ellopt.procedure import LaboratoryStatus, Procedure
from ellopt.search.knowledge import Knowledge
from ellopt.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.space import LayerSpace, ModelSpace

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Table:
    """Recorded samples of a model on one board.

    ``samples_ms``: node id -> options -> one sample for each recorded round. ``others_ms``: what the nodes that are not
    convolutions took. ``visits``: the number of the visit of each round. ``run_seconds``: what starting a job costs
    beyond its passes. ``about``: where it comes from.
    """

    space: ModelSpace
    samples_ms: Mapping[str, Mapping[ConvolutionOptions, tuple[float, ...]]]
    others_ms: tuple[float, ...]
    run_seconds: float
    build_seconds: float
    about: Mapping[str, str]
    visits: tuple[int, ...] = ()

    @property
    def rounds_by_visit(self) -> tuple[tuple[int, ...], ...]:
        """The rounds of each recorded visit; all in one where visits were not recorded."""
        visits = self.visits or (0,) * len(self.others_ms)
        return tuple(tuple(r for r, v in enumerate(visits) if v == visit) for visit in sorted(set(visits)))

    def halves(self) -> tuple[Table, Table]:
        """Every other visit, and those between: what is chosen by the one can be confirmed by the other."""
        visits = self.rounds_by_visit
        if len(visits) < 2:
            return self, self
        return self._of_rounds(visits[0::2]), self._of_rounds(visits[1::2])

    def quietest(self, share: float) -> Table:
        """Of the rounds, the share in which all variants together took least: what a machine left alone would do."""
        ms = np.sum([values for by_options in self.samples_ms.values() for values in by_options.values()], axis=0)
        kept = set(np.argsort(ms, kind="stable")[: max(2, round(share * len(ms)))].tolist())
        visits = ([r for r in visit if r in kept] for visit in self.rounds_by_visit)
        return self._of_rounds([visit for visit in visits if visit])

    def _of_rounds(self, visits: Sequence[Sequence[int]]) -> Table:
        rounds = [r for visit in visits for r in visit]
        return replace(
            self,
            samples_ms={
                node_id: {options: tuple(values[r] for r in rounds) for options, values in by_options.items()}
                for node_id, by_options in self.samples_ms.items()
            },
            others_ms=tuple(self.others_ms[r] for r in rounds),
            visits=tuple(number for number, visit in enumerate(visits) for _ in visit),
        )

    @cached_property
    def knowledge(self) -> Knowledge:
        """What all samples together say."""
        knowledge = Knowledge(self.space)
        board = self.about.get("board", "table")
        for number, rounds in enumerate(self.rounds_by_visit):
            visit = Visit(f"visit {number}", "table", board)
            seen: set[tuple[str, ConvolutionOptions]] = set()
            for plan in self.space.covering_plans():
                new = {n: o for n, o in plan.items() if (n, o) not in seen}
                seen.update(new.items())
                layers_ms = {n: tuple(self.samples_ms[n][o][r] for r in rounds) for n, o in new.items()}
                others = tuple(self.others_ms[r] for r in rounds)
                total_ms = tuple(map(sum, zip(others, *layers_ms.values(), strict=True)))
                knowledge.add(Outcome(plan, PlanSamples(plan, total_ms, layers_ms), visit))
        return knowledge

    def true_ms(self, node_id: str, options: ConvolutionOptions) -> float:
        """The latency that all samples together give."""
        ms = self.knowledge.layer_ms(node_id, options)
        assert ms is not None
        return ms

    def plan_ms(self, plan: Mapping[str, ConvolutionOptions]) -> float:
        """The latency of a whole model: its layers and everything else."""
        return self.knowledge.others_ms + sum(self.true_ms(node_id, options) for node_id, options in plan.items())

    @cached_property
    def best_plan(self) -> Plan:
        """The fastest option of each shape, over all layers of that shape."""
        plan = self.knowledge.best_plan()
        assert plan is not None
        return plan

    def save(self, path: Path) -> None:
        data = {
            "format": FORMAT_VERSION,
            "about": dict(self.about),
            "options_file": self.space.options_file,
            "original_combinations": self.space.original_combinations,
            "valid": self.space.valid,
            "run_seconds": self.run_seconds,
            "build_seconds": self.build_seconds,
            "others_ms": self.others_ms,
            "visits": self.visits,
            "layers": [
                {
                    "node_id": layer.node_id,
                    "name": layer.layer.name,
                    "shape": layer.shape.to_json(),
                    "default": str(layer.default),
                    "variants": [str(o) for o in layer.variants],
                    "samples_ms": {str(o): values for o, values in self.samples_ms[layer.node_id].items()},
                }
                for layer in self.space.layers
            ],
        }
        write_text(path, json.dumps(data))

    @classmethod
    def load(cls, path: Path) -> Table:
        """Raises ConfigurationError, naming the file, if it is no table."""
        try:
            return _table(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path}: not a table of measurements: {error}") from error


class ReplayLaboratory:
    """Answers a search from a table. ``spoiled``: the share of samples that something makes 2 to 5 times slower."""

    capacity = 1

    def __init__(self, table: Table, seed: int, spoiled: float = 0.0) -> None:
        self._table, self._spoiled = table, spoiled
        self._generator = np.random.default_rng(seed)
        self._checked: set[tuple[str, ConvolutionOptions]] = set()
        self._visits = 0
        self._costs = Costs()
        self._failures: list[Failure] = []

    @property
    def costs(self) -> Costs:
        return self._costs

    @property
    def failures(self) -> tuple[Failure, ...]:
        return tuple(self._failures)

    def board(self) -> str:
        return self._table.about.get("board", "replay")

    def watch(self, callback: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...

    def prepare(self, space: ModelSpace) -> None:
        self._costs += Costs(builds=1, build_seconds=self._table.build_seconds)

    def status(self) -> LaboratoryStatus:
        return LaboratoryStatus(builds=self._costs.builds)

    def reject(self, failures: Sequence[Failure]) -> None:
        self._failures += failures

    def check(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[Outcome, ...]:
        """Each unchecked (layer, options) takes one pass; nothing in a table is wrong."""
        unchecked = {n: list(dict.fromkeys(p[n] for p in plans if (n, p[n]) not in self._checked)) for n in plans[0]}
        most = max(map(len, unchecked.values()))
        default = self._table.space.default_plan
        seconds = 0.0
        for t in range(most):
            plan = {n: options[t] if t < len(options) else default[n] for n, options in unchecked.items()}
            seconds += self._table.plan_ms(plan) / 1000
        self._checked.update((n, o) for n, options in unchecked.items() for o in options)
        if most:
            self._costs += Costs(board_seconds=seconds + self._table.run_seconds, runs=1)
        return tuple(Outcome(plan, None) for plan in plans)

    def measure(
        self, plans: Sequence[Plan], procedure: Procedure, deadline: Deadline | None = None
    ) -> tuple[Outcome, ...]:
        self.check(plans)
        self._visits += 1
        visit = Visit(f"replay {self._visits}", "replay", self.board())
        passes: list[list[tuple[int, dict[str, float], float]]] = [[] for _ in plans]
        untimed = [procedure.warm_up] * len(plans)
        dropped: set[int] = set()
        for r, recorded in enumerate(self._draw(procedure.rounds)):
            for i, plan in enumerate(plans):
                if i not in dropped:
                    untimed[i] += procedure.turn_warm_up
                    passes[i] += [(r, *self._pass(plan, recorded)) for _ in range(procedure.turn_passes)]
            if r == 0 and procedure.slow_factor > 0:
                first = [sum(done[0][1].values()) + done[0][2] for done in passes]
                dropped = {i for i, ms in enumerate(first) if ms > procedure.slow_factor * min(first)}
        outcomes = []
        for i, plan in enumerate(plans):
            samples = PlanSamples(
                plan=plan,
                total_ms=tuple(sum(layers.values()) + others for _, layers, others in passes[i]),
                layers_ms={n: tuple(layers[n] for _, layers, _ in passes[i]) for n in plan},
                rounds=tuple(r for r, _, _ in passes[i]),
            )
            seconds = (sum(samples.total_ms) + untimed[i] * self._table.plan_ms(plan)) / 1000
            outcomes.append(Outcome(plan, samples, visit, board_seconds=seconds))
        self._costs += Costs(
            board_seconds=sum(o.board_seconds for o in outcomes) + self._table.run_seconds,
            observations=sum(len(plan) for plan in plans),
            runs=1,
        )
        return tuple(outcomes)

    def _draw(self, rounds: int) -> list[int]:
        """Recorded rounds of one recorded visit, none twice as long as there are others."""
        visits = self._table.rounds_by_visit
        visit = visits[int(self._generator.integers(len(visits)))]
        drawn: list[int] = []
        while len(drawn) < rounds:
            drawn += self._generator.permutation(np.asarray(visit)).tolist()
        return drawn[:rounds]

    def _pass(self, plan: Plan, recorded: int) -> tuple[dict[str, float], float]:
        factors: npt.NDArray[np.float64] = np.ones(len(plan))
        if self._spoiled:
            spoiled = self._generator.random(len(plan)) < self._spoiled
            factors = np.where(spoiled, self._generator.uniform(2, 5, len(plan)), 1.0)
        layers = {
            n: self._table.samples_ms[n][o][recorded] * float(factor)
            for (n, o), factor in zip(plan.items(), factors, strict=True)
        }
        return layers, self._table.others_ms[recorded]


def _table(data: Mapping[str, Any]) -> Table:
    if data["format"] != FORMAT_VERSION:
        raise ValueError(f"format {data['format']}, not {FORMAT_VERSION}")
    layers, samples = [], {}
    for entry in data["layers"]:
        layer = ConvolutionLayer(entry["node_id"], entry["name"], ConvolutionShape.from_json(entry["shape"]))
        variants = tuple(ConvolutionOptions.parse(text) for text in entry["variants"])
        layers.append(LayerSpace(layer, variants, ConvolutionOptions.parse(entry["default"])))
        samples[layer.node_id] = {ConvolutionOptions.parse(t): tuple(v) for t, v in entry["samples_ms"].items()}
    space = ModelSpace(
        data["options_file"],
        tuple(layers),
        data["original_combinations"],
        data["valid"],
        sum(len(layer.variants) for layer in layers),
    )
    return Table(
        space,
        samples,
        tuple(data["others_ms"]),
        data["run_seconds"],
        data["build_seconds"],
        data["about"],
        tuple(data.get("visits", ())),
    )
