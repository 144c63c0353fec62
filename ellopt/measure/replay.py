"""Searches replayed on recorded measurements: no compiler, no device, the real noise.

A replayed visit draws one of a table's visits, a replayed round one of its rounds (as a bootstrap does: Efron 1979).
The turn of a plan draws a recorded turn of that round, for what the machine did to everything in it, and for each layer
one of the turns in which that was computed in the same way, for what was its own. So what disturbed a visit, a round,
a turn or a layer then does it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from ellopt.core.deadline import Deadline
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Costs, Failure, Trial, Visit
from ellopt.measure.base import MeasurerStatus
from ellopt.measure.checking import to_check
from ellopt.measure.table import Table
from ellopt.space.space import ModelSpace
from ellopt.toolchains.settling import MOST_PASSES, settling_passes

#: Tables are recorded with caches large enough.
CACHE_MIB = MOST_PASSES


class ReplayMeasurer:
    """Answers a search from a table. ``spoiled``: the share of samples that something makes 2 to 5 times slower."""

    capacity, ahead, piecemeal = 1, 0, False

    def __init__(self, table: Table, seed: int, spoiled: float = 0.0) -> None:
        self._table, self._spoiled = table, spoiled
        self._shapes = {layer.node_id: layer.shape for layer in table.space.layers}
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

    def status(self) -> MeasurerStatus:
        return MeasurerStatus(builds=self._costs.builds)

    def reject(self, failures: Sequence[Failure]) -> None:
        self._failures += failures

    def check(self, plans: Sequence[Plan], deadline: Deadline | None = None) -> tuple[Trial, ...]:
        """One pass of each plan."""
        seconds = sum(self._table.plan_ms(plan) / 1000 for plan in plans) + self._table.run_seconds
        seconds += len(self._unchecked(plans)) * self._table.check_seconds
        self._costs += Costs(board_seconds=seconds, runs=1)
        return tuple(Trial(plan) for plan in plans)

    def _unchecked(self, plans: Sequence[Plan]) -> frozenset[Plan]:
        """The plans that have yet to be checked, in their untimed passes, and now are; nothing in a table is wrong."""
        unchecked = to_check(plans, self._checked)
        self._checked.update(pair for plan in unchecked for pair in plan.items())
        return unchecked

    def rest(self) -> None: ...

    def submit(
        self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None
    ) -> Future[tuple[Trial, ...]]:
        future: Future[tuple[Trial, ...]] = Future()
        future.set_result(self.measure(plans, schedule, deadline))
        return future

    def measure(self, plans: Sequence[Plan], schedule: Schedule, deadline: Deadline | None = None) -> tuple[Trial, ...]:
        unchecked = self._unchecked(plans)
        checking = len(unchecked) * self._table.check_seconds
        self._visits += 1
        visit = Visit(f"replay {self._visits}", "replay", self.board())
        passes: list[list[tuple[int, dict[str, float], float]]] = [[] for _ in plans]
        untimed = [schedule.warm_up] * len(plans)
        settling: Sequence[int] = [0] * len(plans)
        if schedule.settle:
            settling = settling_passes(plans, self._shapes, CACHE_MIB, schedule.warm_up > 0)
        dropped: set[int] = set()
        fastest = math.inf
        for r, recorded in enumerate(self._draw(schedule.rounds)):
            for i, plan in enumerate(plans):
                if i not in dropped:
                    untimed[i] += max(schedule.turn_warm_up, settling[i], int(r == 0 and plan in unchecked))
                    turn = [recorded[j % len(recorded)] for j in range(schedule.turn_passes)]
                    passes[i] += [(r, layers, others) for layers, others in self._turn(plan, turn)]
                    if r == 0 and schedule.slow_factor > 0:
                        _, layers, others = passes[i][0]
                        first = sum(layers.values()) + others
                        fastest = min(fastest, first)
                        if first > schedule.slow_factor * fastest:
                            dropped.add(i)
                            del passes[i][1:]
        outcomes = []
        for i, plan in enumerate(plans):
            samples = PlanSamples(
                plan=plan,
                total_ms=tuple(sum(layers.values()) + others for _, layers, others in passes[i]),
                layers_ms={n: tuple(layers[n] for _, layers, _ in passes[i]) for n in plan},
                rounds=tuple(r for r, _, _ in passes[i]),
            )
            seconds = (sum(samples.total_ms) + untimed[i] * self._table.plan_ms(plan)) / 1000
            outcomes.append(Trial(plan, samples, visit, board_seconds=seconds))
        self._costs += Costs(
            board_seconds=sum(o.board_seconds for o in outcomes) + checking + self._table.run_seconds,
            observations=sum(len(plan) for plan in plans),
            runs=1,
        )
        return tuple(outcomes)

    def _draw(self, rounds: int) -> list[tuple[int, ...]]:
        """The passes of recorded rounds of one recorded visit, no round twice as long as there are others."""
        visits = self._table.passes_by_visit
        visit = visits[int(self._generator.integers(len(visits)))]
        drawn: list[tuple[int, ...]] = []
        while len(drawn) < rounds:
            drawn += [visit[i] for i in self._generator.permutation(len(visit))]
        return drawn[:rounds]

    def _turn(self, plan: Plan, passes: Sequence[int]) -> list[tuple[dict[str, float], float]]:
        """What each layer, and all the rest, took in each of ``passes``."""
        table, index = self._table, list(passes)
        visit = table.visits[index[0]]
        context = int(self._generator.integers(len(table.plans[visit])))
        layers: dict[str, npt.NDArray[np.float64]] = {}
        for node_id, options in plan.items():
            row = int(self._generator.choice(table.rows[node_id][options][visit]))
            shift = table.disturbance[context, index] - table.disturbance_of_others[node_id][row, index]
            factors = np.exp(shift)
            if self._spoiled:
                spoiled = self._generator.random(len(index)) < self._spoiled
                factors *= np.where(spoiled, self._generator.uniform(2, 5, len(index)), 1.0)
            layers[node_id] = table.layers_ms[node_id][row, index] * factors
        others = table.others_ms[context, index]
        return [({n: float(ms[i]) for n, ms in layers.items()}, float(others[i])) for i in range(len(index))]
