"""What the visits of a run have taught: what fails, what is right where, how fast boards are, what was spent."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ellopt.core.options import ConvolutionOptions
from ellopt.core.plan import Plan
from ellopt.core.samples import LayerCheck
from ellopt.core.shapes import ConvolutionLayer, ConvolutionShape
from ellopt.core.trial import Costs, Failure
from ellopt.measure.checking import Pair, judge, to_check
from ellopt.measure.results import DefaultHangError, VisitResult
from ellopt.measure.visit import BoardFacts


class Ledger:
    """Safe to use from several threads. ``layers``: node id -> convolution layer."""

    def __init__(self, layers: Mapping[str, ConvolutionLayer]) -> None:
        self._layers = layers
        self._lock = threading.Lock()
        self._failures: dict[tuple[ConvolutionShape, ConvolutionOptions], Failure] = {}
        self._failing_plans: dict[Plan, str] = {}  # without one layer to blame
        self._passed: dict[str, set[Pair]] = {}  # kind of board -> what was checked there
        self._pass_seconds: dict[str, float | None] = {}  # kind of board -> what a pass of ELL's default took
        self._spent = Costs()
        self._boards: Counter[str] = Counter()
        self.hung = False  # something did
        self.default_hung = False

    @property
    def failures(self) -> tuple[Failure, ...]:
        """In the order in which they were found."""
        with self._lock:
            return tuple(self._failures.values())

    @property
    def costs(self) -> Costs:
        with self._lock:
            return replace(self._spent, boards=dict(self._boards))

    def reject(self, failures: Sequence[Failure]) -> None:
        with self._lock:
            for failure in failures:
                self._failures.setdefault((failure.shape, failure.options), failure)

    def reject_layers(self, found: Mapping[Pair, str]) -> None:
        """(node id, options) -> why they do not work: for all layers of that shape."""
        self.reject([Failure(self._layers[n].shape, options, why) for (n, options), why in found.items()])

    def rejected(self, plan: Plan) -> dict[str, str]:
        """Node id -> reason for the layers of ``plan`` whose options are known not to work."""
        with self._lock:
            found = {n: self._failures.get((self._layers[n].shape, options)) for n, options in plan.items()}
        return {node_id: failure.reason for node_id, failure in found.items() if failure is not None}

    def give_up(self, plans: Mapping[Plan, str]) -> None:
        """``plans`` fail without one layer to blame; why."""
        with self._lock:
            self._failing_plans |= {plan: why for plan, why in plans.items() if plan not in self._failing_plans}

    def failing(self, plan: Plan) -> str:
        """Why ``plan`` as a whole was given up; empty if it was not."""
        with self._lock:
            return self._failing_plans.get(plan, "")

    def passed(self, board: str | None) -> set[Pair]:
        """What was right on that kind of board; with None on every kind that was seen."""
        with self._lock:
            if board is not None:
                return set(self._passed.get(board, ()))
            return set.intersection(*self._passed.values()) if self._passed else set()

    def facts(self, plans: Sequence[Plan], default: Plan | None) -> dict[str, BoardFacts]:
        """What a visit with ``plans`` must know of the kinds of boards that were seen. ``default``: of the plan that is
        timed first where its pace is not known."""
        with self._lock:
            return {
                board: BoardFacts(
                    to_check(plans, passed),
                    default is not None and passed.issuperset(default.items()),
                    board in self._pass_seconds,
                    self._pass_seconds.get(board),
                )
                for board, passed in self._passed.items()
            }

    def take(self, result: VisitResult) -> None:
        """Learn what a visit showed."""
        with self._lock:
            self._boards[result.device] += len(result.runs)
            self._spent += Costs(runs=len(result.runs), board_seconds=sum(result.runs))
            if not result.runs:
                self._boards -= Counter()  # no entry for a device on which nothing ran
            if result.device:
                self._passed.setdefault(result.board, set())
        if isinstance(result.error, DefaultHangError):
            self.default_hung = True
        if result.fault is not None and result.fault.kind == "hang":
            self.hung = True
        if result.pace is not None:
            self._judge(result.board, result.pace.checks)  # whoever is wrong there is found by a check of all
            with self._lock:
                earlier = self._pass_seconds.get(result.board)
                now = result.pace.pass_seconds
                self._pass_seconds[result.board] = now if earlier is None else max(earlier, now or 0.0)
        checks = (*result.checks, *(() if result.result is None else result.result.checks))
        self.reject_layers(self._judge(result.board, checks))

    def _judge(self, board: str, checks: Sequence[LayerCheck]) -> dict[Pair, str]:
        if not checks:
            return {}
        with self._lock:
            return judge(checks, self._passed.setdefault(board, set()))

    def observed(self, observations: int) -> None:
        with self._lock:
            self._spent += Costs(observations=observations)

    def failed(self, reason: str) -> None:
        """A visit failed for a reason that is no candidate's; it may have been asked for again."""
        with self._lock:
            self._spent += Costs(retries=1, failures=(reason,))
