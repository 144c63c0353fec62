"""The store of measurements: what it keeps, what it refuses, and that it never stops a run."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import JournalStorage

from ellopt.core.options import ConvolutionOptions
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.store import MeasurementStore, StoreContext, StoredSamples
from ellopt.search.driver import search
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.search.study import STUDY_FILE
from ellopt.search.study_journal import StudyJournal
from ellopt.search.warm_start import WarmStart
from ellopt.select.winners import choose_winners
from tests.support.pretend import (
    AT_ONCE,
    MODEL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    layers,
    shape,
    small_space,
    smooth_latency,
)

CONTEXT = StoreContext("pi3", "native", "1", "pi3 BCM2835", False)
ENTRY = StoredSamples(shape(), ConvolutionOptions("unrolled", True), "visit", ((0, "1034", 1.25), (1, "1034", 1.5)))


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "folder" / "store.sqlite")
    store.add(CONTEXT, [ENTRY])
    store.add(CONTEXT, [ENTRY])
    assert MeasurementStore(store.path).lookup(CONTEXT, [shape(), shape(1, 1)]) == [ENTRY]


@pytest.mark.parametrize(
    "change",
    [
        {"target": "pi4"},
        {"toolchain": "ell"},
        {"toolchain_version": "2"},
        {"board": "another"},
        {"emulated": True},
    ],
)
def test_what_was_measured_otherwise_is_not_found(tmp_path: Path, change: dict[str, object]) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.add(CONTEXT, [ENTRY])
    assert store.lookup(replace(CONTEXT, **change), [shape()]) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [shape(8, 17), shape(stride=2), shape(epilogue="relu")])
def test_another_shape_or_epilogue_is_not_found(tmp_path: Path, other: object) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.add(CONTEXT, [ENTRY])
    assert store.lookup(CONTEXT, [other]) == []  # type: ignore[list-item]


def test_a_damaged_store_is_set_aside_and_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.path.write_bytes(b"this is no database, whatever its name says" * 100)
    assert store.lookup(CONTEXT, [shape()]) == []
    assert "damaged and set aside" in caplog.text
    store.add(CONTEXT, [ENTRY])
    assert store.lookup(CONTEXT, [shape()]) == [ENTRY]


def test_rows_that_cannot_be_understood_are_skipped(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    store.add(CONTEXT, [ENTRY, replace(ENTRY, visit="other")])
    with sqlite3.connect(store.path) as connection:
        connection.execute("update samples set samples = '[[0, \"1034\", -1]]' where visit = 'visit'")
    assert [entry.visit for entry in store.lookup(CONTEXT, [shape()])] == ["other"]


def test_a_store_that_cannot_be_written_is_only_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    MeasurementStore(tmp_path / "file" / "store.sqlite").add(CONTEXT, [ENTRY])
    assert "cannot be written" in caplog.text
    (tmp_path / "directory").mkdir()
    store = MeasurementStore(tmp_path / "directory")
    store.add(CONTEXT, [ENTRY])
    assert store.lookup(CONTEXT, [shape()]) == []


def test_several_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")

    def write(number: int) -> None:
        for i in range(10):
            MeasurementStore(store.path).add(CONTEXT, [replace(ENTRY, visit=f"{number} {i}")])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.lookup(CONTEXT, [shape()])) == 40


def run(
    directory: Path, device: PretendDevice, toolchain: PretendToolchain, warm_start: WarmStart, sampler: str
) -> SearchResult:
    lab = DeviceMeasurer(MODEL, toolchain, PretendPool(device), TARGET, directory, AT_ONCE)
    space = small_space(toolchain, (1, 2, 4, 8))
    return search(space, lab, SearchSettings(sampler=sampler), directory, identity="a", warm_start=warm_start)


@pytest.mark.parametrize("sampler", ["tpe", "auto"])
def test_the_same_shapes_are_not_measured_again(tmp_path: Path, sampler: str) -> None:
    warm = WarmStart(MeasurementStore(tmp_path / "store.sqlite"), CONTEXT)
    toolchain = PretendToolchain()
    first = run(tmp_path / "a", PretendDevice(smooth_latency(), noise=0.01), toolchain, warm, sampler)
    device = PretendDevice(smooth_latency(), noise=0.01)
    second = run(tmp_path / "b", device, toolchain, warm, sampler)
    assert second.board == device.board
    # A visit, checks and timings, may tell apart what rounding made too close to call.
    assert len(device.jobs) <= (2 if sampler == "auto" else 0)
    assert 4 * len(second.trials) <= len(first.trials)
    if device.jobs:
        return
    assert choose_winners(second).plan == choose_winners(first).plan
    sources = {v.source for layer in choose_winners(second).layers for v in layer.variants if v.samples_ms}
    assert sources == {"store"}


def test_a_finished_run_does_not_count_its_own_samples_twice(tmp_path: Path) -> None:
    warm = WarmStart(MeasurementStore(tmp_path / "store.sqlite"), CONTEXT)
    toolchain, device = PretendToolchain(), PretendDevice(smooth_latency(), noise=0.01)
    first = run(tmp_path / "a", device, toolchain, warm, "auto")
    again = run(tmp_path / "a", device, toolchain, warm, "auto")
    for s in first.space.by_shape:
        for options, estimate in first.evidence.estimates(s).items():
            assert again.evidence.estimates(s)[options].count == estimate.count


def test_the_study_says_what_was_known_and_what_matters_stands_beside_it(tmp_path: Path) -> None:
    warm = WarmStart(MeasurementStore(tmp_path / "store.sqlite"), CONTEXT)
    toolchain, device = PretendToolchain(), PretendDevice(smooth_latency(), noise=0.01)
    run(tmp_path / "a", device, toolchain, warm, "auto")
    for _ in range(2):
        second = run(tmp_path / "b", device, toolchain, warm, "auto")
    storage = JournalStorage(StudyJournal(tmp_path / "b" / STUDY_FILE))
    own, known = sorted(optuna.get_all_study_summaries(storage), key=lambda study: len(study.study_name))
    assert own.user_attrs["known_variants"] > 0
    assert known.study_name in own.user_attrs["holds"]
    assert "none was measured" in known.user_attrs["holds"]
    study = optuna.load_study(study_name=known.study_name, storage=storage)
    spreads = {}
    for layer in second.space.layers:
        times = [second.evidence.layer_ms(layer.node_id, options) for options in layer.variants]
        spreads[f"layer {layer.node_id}"] = float(np.std([ms for ms in times if ms is not None]))
    importances = optuna.importance.get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    assert max(importances, key=importances.__getitem__) == max(spreads, key=spreads.__getitem__)


def test_what_matters_stands_beside_the_study_of_a_first_search_too(tmp_path: Path) -> None:
    warm = WarmStart(MeasurementStore(tmp_path / "store.sqlite"), CONTEXT)
    run(tmp_path / "a", PretendDevice(smooth_latency(), noise=0.01), PretendToolchain(), warm, "auto")
    storage = JournalStorage(StudyJournal(tmp_path / "a" / STUDY_FILE))
    own, known = sorted(optuna.get_all_study_summaries(storage), key=lambda study: len(study.study_name))
    assert own.user_attrs["known_variants"] == 0
    assert known.study_name in own.user_attrs["holds"]
    assert known.n_trials > own.n_trials


def test_without_warm_start_everything_is_measured(tmp_path: Path) -> None:
    store = MeasurementStore(tmp_path / "store.sqlite")
    toolchain, device = PretendToolchain(), PretendDevice(smooth_latency(), noise=0.01)
    first = run(tmp_path / "a", device, toolchain, WarmStart(store, CONTEXT), "auto")
    second = run(tmp_path / "b", device, toolchain, WarmStart(store, CONTEXT, use=False), "auto")
    assert len(second.trials) >= len(first.trials) // 2 > 0


def test_an_exhaustive_search_is_exhaustive_all_the_same(tmp_path: Path) -> None:
    warm = WarmStart(MeasurementStore(tmp_path / "store.sqlite"), CONTEXT)
    toolchain, device = PretendToolchain(), PretendDevice(smooth_latency())
    first = run(tmp_path / "a", device, toolchain, warm, "grid")
    second = run(tmp_path / "b", device, toolchain, warm, "grid")
    assert [t.plan for t in second.trials] == [t.plan for t in first.trials]


def test_new_shapes_are_measured_and_known_ones_help(tmp_path: Path) -> None:
    warm = WarmStart(MeasurementStore(tmp_path / "store.sqlite"), CONTEXT)
    some = layers(shape(3, 16), shape(16, 32))
    more = (*some, *layers(shape(3, 16), shape(16, 32), shape(32, 64))[2:])
    run(tmp_path / "a", PretendDevice(smooth_latency(0, some)), PretendToolchain(some), warm, "auto")
    device = PretendDevice(smooth_latency(0, more))
    result = run(tmp_path / "b", device, PretendToolchain(more), warm, "auto")
    assert result.evidence.best(more[2].shape) is not None
    tried = {plan[more[0].node_id] for job in device.jobs for plan in job.plans}
    assert len(tried) < len(result.space.layers[0].variants) / 2
