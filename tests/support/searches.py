"""Whole searches on pretended boards, and how good what they found is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ellopt.core.options import ConvolutionOptions
from ellopt.core.trial import Trial, TrialState
from ellopt.measure.settings import MeasureSettings
from ellopt.search.driver import search
from ellopt.search.observer import SearchObserver, SearchProgress
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.select.winners import choose_winners
from ellopt.space.space import ModelSpace
from tests.support.pretend import Latency, PretendDevice, PretendToolchain, small_space
from tests.support.pretend_measurer import pretend_measurer

SAMPLERS = ("grid", "tpe", "random", "optuna.samplers:QMCSampler")
DEPTHS = (1, 4, 16)


class Watcher:
    """Keeps all that a search tells."""

    def __init__(self) -> None:
        self.trials: list[int] = []
        self.resumed: list[int] = []
        self.progress: list[SearchProgress] = []

    def trial_finished(self, trial: Trial) -> None:
        assert (trial.samples is None) == (trial.state is TrialState.FAILED)
        self.trials.append(trial.number)

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self.resumed += [trial.number for trial in trials]

    def state_changed(self, progress: SearchProgress) -> None:
        self.progress.append(progress)


def run(
    directory: Path,
    *devices: PretendDevice,
    space: ModelSpace | None = None,
    observer: SearchObserver | None = None,
    capacity: int = 1,
    toolchain: PretendToolchain | None = None,
    **settings: Any,
) -> SearchResult:
    """A search of the small model; ``settings`` are those of ``SearchSettings``. Samples are spaced without waiting."""
    toolchain = toolchain or PretendToolchain()
    space = space or small_space(toolchain, DEPTHS)
    lab = pretend_measurer(
        *devices, toolchain=toolchain, directory=directory, settings=MeasureSettings(attempts=3), capacity=capacity
    )
    return search(space, lab, SearchSettings(**settings), directory, observer, identity="pretend")


def timed_pairs(*devices: PretendDevice) -> Counter[tuple[str, ConvolutionOptions]]:
    """How many visits timed each (layer, options)."""
    jobs = [job for device in devices for job in device.jobs if job.kind == "profile"]
    return Counter(pair for job in jobs for plan in job.plans for pair in plan.items())


def loss(result: SearchResult, latency: Latency) -> float:
    """How much slower the winners are than the best there is, as a share."""
    plan = choose_winners(result).plan
    found = sum(latency(n, o) for n, o in plan.items())
    best = sum(min(latency(s.node_id, o) for o in s.variants) for s in result.space.layers)
    return found / best - 1
