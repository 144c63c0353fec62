"""Finds out which options of which layers compute the right output, and which one to blame for a crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field

from ellopt.core.errors import BuildError, CandidateError
from ellopt.core.job import JobResult
from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck
from ellopt.measure.executors.base import Steps

Pair = tuple[str, ConvolutionOptions]


@dataclass
class Findings:
    """What was found: layers to blame, and plans that fail without one layer that can be blamed."""

    layers: dict[Pair, str] = field(default_factory=dict)
    plans: dict[Plan, str] = field(default_factory=dict)


def judge(checks: Sequence[LayerCheck], passed: set[Pair]) -> dict[Pair, str]:
    """Add to ``passed`` what is right in ``checks``; return what is wrong, and how."""
    wrong: dict[Pair, str] = {}
    for check in checks:
        if check.options is None:
            continue
        pair = (check.node_id, check.options)
        if check.passed:
            passed.add(pair)
        else:
            wrong[pair] = check.reason
    return wrong


def require_steps(checks: Sequence[LayerCheck]) -> None:
    """Raise CandidateError if a node that is no convolution layer, and so has no options to blame, is wrong."""
    for check in checks:
        if check.options is None and not check.passed:
            raise CandidateError(f"node {check.node_id} ({check.type_name}): {check.reason}")


def to_check(plans: Sequence[Plan], passed: Set[Pair]) -> frozenset[Plan]:
    """Those of ``plans`` in which everything occurs that has not passed yet."""
    known, chosen = set(passed), []
    for plan in plans:
        if not known.issuperset(plan.items()):
            known.update(plan.items())
            chosen.append(plan)
    return frozenset(chosen)


@dataclass
class Checker:
    """Checks every (layer, options) of ``plans`` that is not in ``passed`` yet, and adds to it what passes.

    ``run`` runs a check job and raises CandidateError when it crashes; a crash is then narrowed down by halving,
    first the plans, then the layers of one plan, the others being computed as in ``default``. ``recompose``: any
    plan can be run at no cost, so each pair is run just once, whatever plan it stands in.
    """

    plans: Sequence[Plan]
    default: Plan
    passed: set[Pair]
    recompose: bool
    run: Callable[[Sequence[Plan]], Steps[JobResult]]
    findings: Findings = field(default_factory=Findings)

    def run_all(self) -> Steps[Findings]:
        todo = [plan for plan in self.plans if any(pair not in self.passed for pair in plan.items())]
        if todo:
            yield from self._check(self._compact(todo) if self.recompose else todo)
        return self.findings

    def _compact(self, plans: Sequence[Plan]) -> tuple[Plan, ...]:
        """The fewest plans in which every unchecked pair of ``plans`` occurs."""
        unchecked: dict[str, list[ConvolutionOptions]] = {node_id: [] for node_id in self.default}
        for plan in plans:
            for node_id, options in plan.items():
                if (node_id, options) not in self.passed and options not in unchecked[node_id]:
                    unchecked[node_id].append(options)
        return Plan.covering(unchecked, rest=self.default)

    def _check(self, plans: Sequence[Plan]) -> Steps[None]:
        reason = yield from self._crash(plans)
        if not reason:
            return
        if len(plans) > 1:
            half = len(plans) // 2
            yield from self._check(plans[:half])
            yield from self._check(plans[half:])
            return
        yield from self._blame(plans[0], reason)

    def _crash(self, plans: Sequence[Plan]) -> Steps[str]:
        """Check ``plans``; why that crashed, or nothing."""
        try:
            result = yield from self.run(plans)
            require_steps(result.checks)
        except BuildError as error:
            return f"does not build: {error}"
        except CandidateError as error:
            return str(error)
        self.findings.layers.update(judge(result.checks, self.passed))
        return ""

    def _blame(self, plan: Plan, reason: str) -> Steps[None]:
        """Find the layer that makes ``plan`` crash."""
        suspects = [n for n, options in plan.items() if (n, options) not in self.passed and options != self.default[n]]
        if any(pair not in self.passed for pair in self.default.items()):
            base = yield from self._crash([self.default])
            if base:
                raise CandidateError(f"the model fails even with ELL's default options: {base}")
        blamed = yield from self._blame_among(plan, suspects, reason)
        if not blamed:
            self.findings.plans[plan] = reason

    def _blame_among(self, plan: Plan, suspects: Sequence[str], reason: str) -> Steps[bool]:
        """Blame the layers among ``suspects`` that crash by themselves; whether there was one. ``reason`` is how
        all of them together crashed."""
        if len(suspects) == 1:
            node_id = suspects[0]
            self.findings.layers[node_id, plan[node_id]] = reason
            return True
        found = False
        for half in (suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]):
            if not half:
                continue
            crash = yield from self._crash([self.default.with_all({node_id: plan[node_id] for node_id in half})])
            if crash:
                blamed = yield from self._blame_among(plan, half, crash)
                found = blamed or found
        return found
