"""Runs a search: asks its study for trials, has them measured, and keeps every result before anything else is done."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import optuna
from threadpoolctl import threadpool_limits

from ellopt.core.deadline import Deadline
from ellopt.core.errors import DeadlineExceeded
from ellopt.core.plan import Plan
from ellopt.core.trial import Costs, Trial, TrialState
from ellopt.files.locks import exclusive
from ellopt.measure.base import Measurer
from ellopt.search.observer import Phase, SearchObserver, SearchProgress, Silent
from ellopt.search.pruning import BehindPruner, judge, make_pruner
from ellopt.search.record import Asked, SearchRecord
from ellopt.search.result import BoardReport, CostReport, SearchResult
from ellopt.search.samplers.registry import make_sampler
from ellopt.search.settings import SearchSettings
from ellopt.search.steps import Steps
from ellopt.search.study import storage_errors
from ellopt.search.to_build import ToBuild
from ellopt.search.warm_start import WarmStart
from ellopt.space.space import ModelSpace

log = logging.getLogger(__name__)

#: Seconds between two looks at visits that are under way.
_TICK = 0.5


def search(
    space: ModelSpace,
    measurer: Measurer,
    settings: SearchSettings,
    directory: Path,
    observer: SearchObserver | None = None,
    *,
    name: str = "ellopt",
    identity: str = "",
    warm_start: WarmStart | None = None,
) -> SearchResult:
    """Search ``space`` for the fastest options of every layer.

    Everything that is finished is kept in ``directory`` at once; the same call again, after whatever stopped the first
    one, goes on where it was. ``identity`` names what the measurements are of (model, target, toolchain, board): what
    was kept under another identity, space or sampler is set aside. ``name`` is the Optuna study's. ``warm_start``: what
    earlier runs measured of the same shapes is known from the start (but for the exhaustive ``grid``).

    Raises ConfigurationError while another process searches in ``directory``, and what ``measurer`` raises.
    """
    # After each matrix operation the threads of a BLAS spin for a while. On the machine that is measured, they would
    # take a processor from the visit that follows.
    with exclusive(directory), threadpool_limits(1), storage_errors(settings.storage):
        return _Search(space, measurer, settings, directory, observer or Silent(), name, identity, warm_start).run()


def search_identity(space: ModelSpace, settings: SearchSettings, identity: str) -> str:
    """A digest of all that decides whether kept results belong to a search."""
    layers = [
        [layer.node_id, layer.shape.to_json(), [str(options) for options in layer.variants], str(layer.default)]
        for layer in space.layers
    ]
    text = json.dumps([identity, settings.sampler, layers], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class _Search:
    def __init__(
        self,
        space: ModelSpace,
        measurer: Measurer,
        settings: SearchSettings,
        directory: Path,
        observer: SearchObserver,
        name: str,
        identity: str,
        warm_start: WarmStart | None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.measurer, self.observer, self.settings = space, measurer, observer, settings
        self.sampler = make_sampler(space, settings, measurer.capacity)
        self.evidence = self.sampler.evidence
        self.pruner = make_pruner(settings.pruner, settings.seed)
        self.record = SearchRecord(
            directory,
            settings.storage,
            name,
            search_identity(space, settings, identity),
            self.sampler,
            self.pruner,
            observer,
        )
        self.warm_start = warm_start
        self.exhaustive = settings.sampler == "grid"
        self.deadline = Deadline.never() if settings.timeout is None else Deadline.after(settings.timeout)
        self.began = time.monotonic() - self.record.elapsed
        self.spent = measurer.costs
        self.in_flight: dict[Future[tuple[Trial, ...]], tuple[Asked, Steps, float]] = {}
        self.phase: Phase = "measuring"
        self.thread = threading.get_ident()
        self.to_build = ToBuild(space, measurer.piecemeal and not self.sampler.wants_most)
        self.last_board = ""
        self.known = 0  # variants that earlier runs measured

    def run(self) -> SearchResult:
        try:
            return self._run()
        finally:
            self.record.close()

    def _run(self) -> SearchResult:
        self._resume()
        self.measurer.watch(self._measurer_changed)
        stopped = ""
        with ExitStack() as stack:
            stack.push(self._end)
            while not stopped:
                while len(self.in_flight) < self._most_under_way and not self.deadline.passed:
                    asked = self.record.ask()
                    if asked is None:
                        break
                    self._prepare(asked.plans)
                    self._submit(asked)
                if self.in_flight:
                    self._collect()
                    self._tell("measuring")
                elif self.deadline.passed:
                    stopped = "the time limit was reached"
                else:
                    stopped = self.sampler.ended
        if self.warm_start is not None:
            self.warm_start.remember(self.evidence, self.record.trials)
        self.record.explain(self.known, self.evidence)
        self._tell("done", stopped)
        return self._result(stopped)

    @property
    def _most_under_way(self) -> int:
        """How many visits: none waits ahead before the first have said what is to be known of the boards."""
        return self.measurer.capacity + (self.measurer.ahead if self.last_board else 0)

    def _resume(self) -> None:
        self.measurer.reject(self.record.failures)
        self.evidence.fail(self.record.failures)
        found = self.record.found
        for trial, place in found:
            self.sampler.learn(trial, place)
        if self.warm_start is not None and not self.exhaustive:
            own = {trial.visit.uid for trial, _ in found if trial.visit is not None}
            self.known = self.warm_start.recall(self.evidence, own)
        self.record.resume()
        if found:
            log.info("%d finished trials were found and are not run again", len(found))

    def _prepare(self, plans: Sequence[Plan]) -> None:
        """Have built what ``plans`` need."""
        wanted = self.to_build.before(plans)
        if wanted is not None:
            self._tell("building")
            self.measurer.prepare(wanted)
            self._observe(None, (), 0.0)
            self._tell("measuring")

    def _submit(self, asked: Asked) -> None:
        # The built-in pruner knows nothing new before a visit has ended.
        go_on = None if isinstance(self.pruner, BehindPruner) else partial(self.record.goes_on, asked)
        self._go(asked, Steps(asked.plans, asked.schedule, go_on), self._elapsed)

    def _go(self, asked: Asked, steps: Steps, started: float) -> None:
        """Have the next step of a visit measured; take in what came of it when there is none."""
        if steps.ahead is None:
            self._keep(asked, steps.trials, started)
            return
        self.in_flight[self.measurer.submit(*steps.ahead, self.deadline)] = (asked, steps, started)

    def _end(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for visits that nobody wants any more; on an interruption end them: they may take minutes."""
        if kind is not None and not issubclass(kind, Exception):
            self.measurer.stop()
        wait(self.in_flight)
        self.measurer.rest()

    def _collect(self) -> None:
        """Take in the visits that have ended; wait a little if none has."""
        ended, _ = wait(self.in_flight, timeout=_TICK, return_when=FIRST_COMPLETED)
        failure: BaseException | None = None
        for future in ended:
            asked, steps, started = self.in_flight.pop(future)
            error = future.exception()
            if error is None:
                steps.take(future.result())
                self._go(asked, steps, started)
            elif not (isinstance(error, DeadlineExceeded) and self.deadline.passed):
                failure = failure or error
        if failure is not None:
            raise failure

    def _keep(self, asked: Asked, measured: tuple[Trial, ...], started: float) -> None:
        self._observe(asked, measured, started)
        for trial, done in zip(asked.trials, measured, strict=True):
            self.sampler.observe(trial.number, done)
            self.last_board = done.device or self.last_board
        best = self.evidence.predict_ms(self.evidence.best_plan())
        self.record.finish(asked, measured, partial(judge, sampler=self.sampler), started, best)

    def _observe(self, asked: Asked | None, measured: tuple[Trial, ...], started: float) -> None:
        self.record.observe(asked, measured, started, self.measurer.failures, self._newly_spent())
        self.evidence.fail(self.measurer.failures)

    def _newly_spent(self) -> Costs:
        now, before = self.measurer.costs, self.spent
        self.spent = now
        return now - before

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self.began

    def _measurer_changed(self) -> None:
        if threading.get_ident() == self.thread:  # observers are called from this thread only
            self._tell(self.phase)

    def _tell(self, phase: Phase, message: str = "") -> None:
        self.phase = phase
        self.observer.state_changed(self._progress(message))

    def _progress(self, message: str) -> SearchProgress:
        states = [trial.state for trial in self.record.trials]
        status, costs = self.measurer.status(), self.record.costs
        planned = self.sampler.planned
        left = None
        if planned is not None and states:
            left = self._elapsed / len(states) * max(0, planned - len(states))
        if self.deadline.timeout is not None:
            left = min(self.deadline.remaining, left if left is not None else self.deadline.remaining)
        return SearchProgress(
            phase=self.phase,
            trials_complete=states.count(TrialState.COMPLETE),
            trials_pruned=states.count(TrialState.PRUNED),
            trials_failed=states.count(TrialState.FAILED),
            trials_planned=planned,
            variants_measured=self.evidence.variants_measured,
            variants_total=self.space.distinct,
            builds=costs.builds,
            builds_in_flight=status.builds_in_flight,
            boards_busy=status.boards_busy,
            boards_total=status.boards_total,
            boards_set_aside=len(status.set_aside),
            last_board=self.last_board,
            observations=costs.observations,
            board_seconds=costs.board_seconds,
            saved_seconds=sum(trial.saved_seconds for trial in self.record.trials),
            elapsed=self._elapsed,
            time_left=left,
            default_ms=self.evidence.predict_ms(self.space.default_plan),
            best_ms=self.evidence.predict_ms(self.evidence.best_plan()),
            message=message,
        )

    def _result(self, stopped: str) -> SearchResult:
        trials, costs = self.record.trials, self.record.costs
        states = [trial.state for trial in trials]
        visits = [trial.visit for trial in trials if trial.visit is not None]
        explanation = self.sampler.explain()
        return SearchResult(
            space=self.space,
            evidence=self.evidence,
            trials=trials,
            cost=CostReport(
                builds=costs.builds,
                build_seconds=costs.build_seconds,
                board_seconds=costs.board_seconds,
                observations=costs.observations,
                trials_complete=states.count(TrialState.COMPLETE),
                trials_pruned=states.count(TrialState.PRUNED),
                trials_failed=states.count(TrialState.FAILED),
                saved_seconds=sum(trial.saved_seconds for trial in trials),
                wall_seconds=self._elapsed,
                paused_seconds=sum({visit.uid: visit.paused for visit in visits}.values()),
                stopped_because=stopped,
            ),
            boards=BoardReport(
                runs=costs.runs,
                retries=costs.retries,
                boards=dict(costs.boards),
                set_aside=dict(self.measurer.status().set_aside),
                failures=costs.failures,
            ),
            board=visits[0].board if visits else self.measurer.board(),
            emulated=any(visit.emulated for visit in visits),
            pruned=explanation.pruned,
            untried=explanation.untried,
        )
