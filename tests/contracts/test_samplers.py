"""Every sampler serves in a study of anybody's: asked one by one, resumed from any storage, told of failures."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState
from threadpoolctl import threadpool_limits

from ellopt.core.errors import ConfigurationError
from ellopt.core.plan import Plan
from ellopt.search.pruning import BehindPruner
from ellopt.search.samplers.base import PlanSampler
from ellopt.search.samplers.registry import NAMES, make_sampler
from ellopt.search.settings import SearchSettings
from ellopt.search.trials import report_failures, report_layers, suggest_plan
from tests.support.pretend import SMALL, PretendToolchain, small_space, smooth_latency

SAMPLERS = (*NAMES, "optuna.samplers:QMCSampler")
SPACE = small_space(PretendToolchain(SMALL[:3]), (1, 4), ("unrolled", "winograd"))
LATENCY = smooth_latency(2, SMALL[:3])
STORAGES: dict[str, Callable[[Path], BaseStorage]] = {
    "journal": lambda path: JournalStorage(JournalFileBackend(str(path / "study.log"))),
    "sqlite": lambda path: RDBStorage(f"sqlite:///{path / 'studies.db'}"),
}


def sampler_of(name: str, seed: int = 0) -> PlanSampler:
    return make_sampler(SPACE, SearchSettings(sampler=name, seed=seed, trials=None if name == "grid" else 40))


def objective(trial: Trial) -> float:
    """A plan's time on an invented device, layer by layer."""
    plan = suggest_plan(trial, SPACE)
    layers_ms = {node_id: LATENCY(node_id, options) for node_id, options in plan.items()}
    report_layers(trial, layers_ms)
    return sum(layers_ms.values()) + 0.1


def study_of(sampler: PlanSampler, storage: BaseStorage | None = None) -> optuna.Study:
    return optuna.create_study(
        sampler=sampler, storage=storage or InMemoryStorage(), study_name="toy", load_if_exists=True
    )


def plans_in(study: optuna.Study) -> list[tuple[object, ...]]:
    return [tuple(trial.params.values()) for trial in study.trials]


@pytest.fixture(autouse=True)
def _quiet_and_on_one_core() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize("name", SAMPLERS)
def test_optimize_ends_by_itself_and_finds_what_is_fast(name: str) -> None:
    sampler = sampler_of(name)
    study = study_of(sampler)
    study.optimize(objective, n_trials=400)
    assert sampler.ended
    assert len(study.trials) < 200
    found = sampler.evidence.best_plan()
    assert found is not None
    best = sum(min(LATENCY(s.node_id, o) for o in s.variants) for s in SPACE.layers)
    assert sum(LATENCY(n, o) for n, o in found.items()) < 1.05 * best


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_goes_on_where_another_process_stopped(name: str, storage: str, tmp_path: Path) -> None:
    study_of(sampler_of(name), STORAGES[storage](tmp_path)).optimize(objective, n_trials=5)
    sampler = sampler_of(name)
    study = study_of(sampler, STORAGES[storage](tmp_path))
    before = plans_in(study)
    assert len(before) == 5
    study.optimize(objective, n_trials=400)
    assert sampler.ended
    assert plans_in(study)[:5] == before
    assert all(trial.state is TrialState.COMPLETE for trial in study.trials)
    if name == "grid":
        swept = Counter(p for t, p in zip(study.trials, plans_in(study), strict=True) if stage(t) == "grid")
        assert set(swept.values()) == {1}, "nothing is measured again that the first process had measured"
        assert len(swept) == len(SPACE.covering_plans())


def stage(trial: optuna.trial.FrozenTrial) -> str:
    return str(trial.system_attrs["ellopt"]["stage"])


@pytest.mark.parametrize("name", SAMPLERS)
def test_several_threads_may_ask_at_once(name: str) -> None:
    sampler = sampler_of(name)
    study = study_of(sampler)
    # While a slow thread has the last plan of a visit, the others get trials beyond what the search wants.
    study.optimize(objective, n_trials=2000, n_jobs=4)
    assert sampler.ended
    if name == "grid":
        swept = [plan for trial, plan in zip(study.trials, plans_in(study), strict=True) if stage(trial) == "grid"]
        assert len(set(swept)) == len(swept)


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_proposes_the_same_plans(name: str) -> None:
    studies = [study_of(sampler_of(name, seed=3)) for _ in range(2)]
    for study in studies:
        study.optimize(objective, n_trials=20)
    assert plans_in(studies[0]) == plans_in(studies[1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_options_that_fail_are_given_up_and_the_search_still_ends(name: str) -> None:
    broken = SPACE.layers[1].variants[-1]
    seen: Counter[bool] = Counter()

    def fragile(trial: Trial) -> float:
        plan = suggest_plan(trial, SPACE)
        bad = {s.node_id: "it crashes" for s in SPACE.layers if s.shape == SPACE.layers[1].shape
               and plan[s.node_id] == broken}  # fmt: skip
        seen[bool(bad)] += 1
        if bad:
            report_failures(trial, bad)
            raise RuntimeError("it crashes")
        return objective(trial)

    sampler = sampler_of(name)
    study = study_of(sampler)
    study.optimize(fragile, n_trials=400, catch=RuntimeError)
    assert sampler.ended
    assert seen[True] <= 3
    best = sampler.evidence.best_plan()
    assert best is not None
    assert broken not in (best[SPACE.layers[1].node_id], best[SPACE.layers[2].node_id])


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_objective_that_always_fails_ends_too(name: str) -> None:
    def fails(trial: Trial) -> float:
        raise RuntimeError("no device")

    study = study_of(sampler_of(name))
    study.optimize(fails, n_trials=300, catch=RuntimeError)
    assert all(trial.state is TrialState.FAIL for trial in study.trials)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_plan_that_somebody_enqueued_is_tried_first(name: str) -> None:
    wanted = Plan(tuple((s.node_id, s.variants[-1]) for s in SPACE.layers))
    study = study_of(sampler_of(name))
    study.enqueue_trial({f"layer {node_id}": str(options) for node_id, options in wanted.items()})
    study.optimize(objective, n_trials=3)
    assert plans_in(study)[0] == tuple(str(options) for options in wanted.values())


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_can_be_kept_and_goes_on(name: str) -> None:
    sampler = sampler_of(name)
    storage = InMemoryStorage()
    study_of(sampler, storage).optimize(objective, n_trials=7)
    again = pickle.loads(pickle.dumps(sampler))
    study = study_of(again, storage)
    study.optimize(objective, n_trials=400)
    assert again.ended


def test_an_objective_that_does_not_say_what_layers_took_is_told_how() -> None:
    study = study_of(sampler_of("auto"))
    with pytest.raises(ConfigurationError, match="report_layers"):
        study.optimize(lambda trial: float(len(suggest_plan(trial, SPACE))), n_trials=2)


def test_the_built_in_pruner_ends_trials_in_which_nothing_can_win() -> None:
    sampler = sampler_of("auto")
    study = optuna.create_study(sampler=sampler, pruner=BehindPruner())

    def prunes(trial: Trial) -> float:
        total = objective(trial)
        trial.report(total, 0)
        if trial.should_prune():
            raise optuna.TrialPruned
        return total

    study.optimize(prunes, n_trials=400)
    assert sampler.ended
    assert all(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in study.trials)
