"""Measures a visit in steps, so that a pruner can end a plan's turns: after one round, two, four, and so on.

A visit's rounds are interleaved on the device, which knows no pruner. So the rounds are shared out to visits that
follow each other, and whoever is pruned is not in the next. For the plans they count as one visit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ellopt.core.plan import Plan
from ellopt.core.samples import PlanSamples
from ellopt.core.schedule import Schedule
from ellopt.core.trial import Trial

#: Takes a plan's place and all that was measured of it; says whether to go on with it.
GoOn = Callable[[int, Trial], bool]


def step_rounds(rounds: int) -> tuple[int, ...]:
    """Rounds of each step: after them 1, 2, 4, ... rounds are done, and all in the end."""
    steps: list[int] = []
    while sum(steps) < rounds:
        steps.append(min(max(1, sum(steps)), rounds - sum(steps)))
    return tuple(steps)


class Steps:
    """The visits that make one: ``ahead`` says what the next measures, ``take`` what came of it."""

    def __init__(self, plans: Sequence[Plan], schedule: Schedule, go_on: GoOn | None) -> None:
        """``go_on``: None takes one step for all."""
        self._plans, self._schedule, self._go_on = plans, schedule, go_on
        self._rounds = [schedule.rounds] if go_on is None else list(step_rounds(schedule.rounds))
        self._running = list(range(len(plans)))
        self._found: dict[int, Trial] = {}

    @property
    def ahead(self) -> tuple[tuple[Plan, ...], Schedule] | None:
        """None: it is over."""
        if not self._rounds or not self._running:
            return None
        return tuple(self._plans[i] for i in self._running), replace(self._schedule, rounds=self._rounds[0])

    @property
    def trials(self) -> tuple[Trial, ...]:
        """When it is over: one for each plan, in their order."""
        return tuple(self._found[i] for i in range(len(self._plans)))

    def take(self, trials: Sequence[Trial]) -> None:
        """The trials of the step that was ahead."""
        del self._rounds[0]
        for i, trial in zip(self._running, trials, strict=True):
            self._found[i] = trial if i not in self._found else _joined(self._found[i], trial)
        self._running = [
            i
            for i in self._running
            if self._go_on is not None and self._found[i].samples is not None and self._go_on(i, self._found[i])
        ]


def _joined(a: Trial, b: Trial) -> Trial:
    seconds = a.board_seconds + b.board_seconds
    if a.samples is None or b.samples is None:
        return replace(b, board_seconds=seconds)
    first, second = a.samples, b.samples
    after = 1 + max(first.rounds, default=-1)
    samples = PlanSamples(
        first.plan,
        (*first.total_ms, *second.total_ms),
        {n: (*ms, *second.layers_ms[n]) for n, ms in first.layers_ms.items()},
        {n: (*ms, *second.nodes_ms[n]) for n, ms in first.nodes_ms.items()},
        (*first.rounds, *(after + number for number in second.rounds)),
    )
    disturbed = next((o.visit.disturbed for o in (a, b) if o.visit and o.visit.disturbed), "")
    visit = replace(a.visit, disturbed=disturbed) if a.visit else b.visit
    return replace(a, samples=samples, visit=visit, board_seconds=seconds)
