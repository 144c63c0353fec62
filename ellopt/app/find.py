"""Finding the best options of one model: search, choose, check, confirm."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ellopt.app.output import Tuned
from ellopt.app.shared import SharedParts
from ellopt.core.plan import Plan
from ellopt.frontends.discover import ModelFile
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.whole_model import WholeCheck
from ellopt.model.graph import Model
from ellopt.model.layers import FloatArray
from ellopt.search.driver import search
from ellopt.search.observer import SearchObserver
from ellopt.select.candidates import sound_winners, whole_models
from ellopt.select.confirm import ASSEMBLED, BEFORE, CONFIRMATION, UNCHOSEN, confirm
from ellopt.select.winners import without_evidence
from ellopt.space.space import ModelSpace

#: below a tuning's directory of temporary files
SEARCH_DIRECTORY, BUNDLES_DIRECTORY = "search", "bundles"


@dataclass(frozen=True)
class Subject:
    """What is tuned: a model, the space of its options, on boards of kind ``board``. ``identity``: all that
    measurements are of, see ``SharedParts.identity``."""

    file: ModelFile
    model: Model
    space: ModelSpace
    board: str
    identity: str
    samples: tuple[FloatArray, ...] = ()  # the user's own inputs


def measurer_of(model: Model, shared: SharedParts, state: Path, samples: tuple[FloatArray, ...] = ()) -> DeviceMeasurer:
    """What tries options of the model, also on ``samples``, with its bundles below ``state``."""
    return DeviceMeasurer(
        model, shared.toolchain, shared.pool, shared.target, state / BUNDLES_DIRECTORY, shared.measure,
        shared.config.build, samples=samples,
    )  # fmt: skip


def find_best(
    subject: Subject,
    shared: SharedParts,
    measurer: DeviceMeasurer,
    observer: SearchObserver,
    state: Path,
    started: float,
) -> Tuned:
    """What tuning came to that ``started`` then, on the monotonic clock. It goes on from what is kept in ``state``.
    Raises as ``tune_model``."""
    space = subject.space
    result = search(
        space,
        measurer,
        shared.search,
        state / SEARCH_DIRECTORY,
        observer,
        name=subject.file.tag,
        identity=subject.identity,
        warm_start=shared.warm_start(subject.board),
    )
    check = WholeCheck(measurer.output_errors, space.default_plan)
    winners = sound_winners(result, check, shared.error)
    candidates = whole_models(space, result, winners)
    unsound = check.unsound(list(candidates.values()))
    candidates = {name: plan for name, plan in candidates.items() if plan not in unsound}
    unchosen = result.emulated and not shared.config.measure.accept_emulated_timings
    if unchosen:
        winners = without_evidence(winners)
        candidates = {ASSEMBLED: winners.plan, BEFORE: winners.plan}
    schedule = UNCHOSEN if unchosen else CONFIRMATION
    confirmed = confirm(measurer, candidates, schedule, error=shared.error, once=unchosen)
    seconds = time.monotonic() - started
    accuracy = measurer.accuracy(confirmed.plan) if _is_told(confirmed.plan, subject) else None
    return Tuned(subject.file, subject.model, space, result, winners, confirmed, seconds, accuracy)


def _is_told(plan: Plan, subject: Subject) -> bool:
    """Whether the report says how accurate ``plan`` is."""
    return bool(subject.samples) or any(options.precision for _, options in plan.items())
