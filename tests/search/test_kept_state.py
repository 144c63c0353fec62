"""What a search keeps survives damage: nothing that is sound is lost, and nothing that is wrong stops the next run."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from ellopt.files.jsonl import JournalReader, JournalWriter, encode
from ellopt.measure.measurer import DeviceMeasurer, MeasureSettings
from ellopt.search.driver import search, search_identity
from ellopt.search.observation_log import Observation, ObservationLog
from ellopt.search.result import SearchResult
from ellopt.search.settings import SearchSettings
from ellopt.space.space import ModelSpace
from tests.support.damage import altered_json, damaged_bytes
from tests.support.pretend import (
    MODEL,
    SMALL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    small_space,
    smooth_latency,
)

FILES = ("observations.jsonl", "study.journal")
SAMPLERS = ("grid", "random", "auto")
IDENTITY = "kept"
#: as few as make two visits, of as few layers as differ
TRIALS, LAYERS = 4, SMALL[:2]
#: what a search by the version before the study became the record left
EARLIER = Path(__file__).parents[1] / "data" / "search_before_studies"
#: more by hand: ELLOPT_FUZZ=20000
CASES = int(os.environ.get("ELLOPT_FUZZ", "20"))


def space_of(toolchain: PretendToolchain) -> ModelSpace:
    return small_space(toolchain, (1, 4))


def settings_of(sampler: str) -> SearchSettings:
    return SearchSettings(sampler=sampler, trials=TRIALS, plans_per_visit=2)


def run(directory: Path, sampler: str = "random", device: PretendDevice | None = None) -> SearchResult:
    toolchain = PretendToolchain(LAYERS)
    space = space_of(toolchain)
    wrong = frozenset({("1001", space.layers[1].variants[-1])})
    device = device or PretendDevice(smooth_latency(0, LAYERS), wrong=wrong, noise=0.01)
    measurer = DeviceMeasurer(
        MODEL, toolchain, PretendPool(device), TARGET, directory, MeasureSettings(), sleep=lambda seconds: None
    )
    return search(space, measurer, settings_of(sampler), directory, identity=IDENTITY)


def finished(sampler: str = "random") -> dict[str, bytes]:
    """The files of a search that has ended: of the same one each time, as trials and samples belong together."""
    return _finished(sampler)


@lru_cache
def _finished(sampler: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), sampler)
        return {file: (Path(name) / file).read_bytes() for file in FILES}


def with_files(check: Callable[[Path], None], sampler: str = "random", **changed: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        for file, content in finished(sampler).items():
            (Path(name) / file).write_bytes(changed.get(file.partition(".")[0], content))
        check(Path(name))


def observed(content: bytes, sampler: str = "random") -> dict[str, Observation]:
    """What a search would believe of a log of this content, by key."""
    space = space_of(PretendToolchain(LAYERS))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "observations.jsonl"
        path.write_bytes(content)
        log = ObservationLog(path, search_identity(space, settings_of(sampler), IDENTITY), space)
        assert not path.with_name(f"{path.name}.1").exists(), "it belongs to another search"
        return log.observations


def study_in(directory: Path) -> list[optuna.trial.FrozenTrial]:
    backend = optuna.storages.journal.JournalFileBackend(str(directory / "study.journal"))
    return optuna.load_study(study_name="ellopt", storage=optuna.storages.JournalStorage(backend)).trials


def agrees(directory: Path, result: SearchResult, sampler: str = "random") -> None:
    """The study says what the search says, and knows all that was observed."""
    found = study_in(directory)
    assert [t.params for t in found] == [
        {f"layer {node_id}": str(options) for node_id, options in trial.plan.items()} for trial in result.trials
    ]
    assert [t.value for t in found if t.state is TrialState.COMPLETE] == [
        trial.total_ms for trial in result.trials if trial.state == "complete"
    ]
    kept = observed((directory / "observations.jsonl").read_bytes(), sampler)
    assert kept.keys() <= {trial.system_attrs["ellopt"]["key"] for trial in found}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_damaged_line_of_samples_costs_these_only_and_no_trial(
    sampler: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines = finished(sampler)["observations.jsonl"].splitlines(keepends=True)
    for number in range(len(lines)):
        middle = len(lines[number]) // 2
        broken = lines[number][:middle] + bytes([lines[number][middle] ^ 1]) + lines[number][middle + 1 :]

        def check(directory: Path, number: int = number, broken: bytes = broken) -> None:
            before = observed(b"".join([*lines[:number], *lines[number + 1 :]]), sampler)
            trials = study_in(directory)
            caplog.clear()
            device = PretendDevice(smooth_latency(0, LAYERS))
            result = run(directory, sampler, device)
            assert "1 damaged lines were set aside to observations.jsonl.damaged" in caplog.text
            assert (directory / "observations.jsonl.damaged").read_bytes() == broken
            kept = observed((directory / "observations.jsonl").read_bytes(), sampler)
            assert len(before) >= TRIALS - 1
            assert {key: kept[key] for key in before} == before
            assert [t.params for t in study_in(directory)[: len(trials)]] == [t.params for t in trials]
            assert len(result.trials) == len(trials)
            assert not any(job.kind == "profile" for job in device.jobs), "no trial was lost"
            agrees(directory, result, sampler)

        with caplog.at_level(logging.WARNING):
            with_files(check, sampler, observations=b"".join([*lines[:number], broken, *lines[number + 1 :]]))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_going_on_sets_nothing_aside_and_warns_of_nothing(sampler: str, caplog: pytest.LogCaptureFixture) -> None:
    def check(directory: Path) -> None:
        with caplog.at_level(logging.INFO):
            result = run(directory, sampler)
        assert sorted(path.name for path in directory.iterdir()) == ["lock", *FILES]
        assert "set aside" not in caplog.text
        assert {file: (directory / file).read_bytes() for file in FILES} == finished(sampler)
        agrees(directory, result, sampler)

    with_files(check, sampler)


@pytest.mark.parametrize("file", FILES)
@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_damaged_bytes_stop_nothing(file: str, data: st.DataObject) -> None:
    content = data.draw(damaged_bytes(finished()[file]))

    def check(directory: Path) -> None:
        result = run(directory)
        assert len(result.trials) == TRIALS
        agrees(directory, result)

    with_files(check, **{file.partition(".")[0]: content})


@pytest.mark.parametrize("file", FILES)
@settings(max_examples=CASES, deadline=None)
@given(data=st.data())
def test_well_formed_content_that_nobody_wrote_stops_nothing(file: str, data: st.DataObject) -> None:
    lines = [json.loads(line) for line in finished()[file].splitlines()]
    for line in lines:
        del line["crc32"]
    number = data.draw(st.integers(0, len(lines) - 1))
    changed = data.draw(altered_json(lines[number]))
    encoded = [encode(line) for line in (*lines[:number], changed, *lines[number + 1 :]) if line]

    def check(directory: Path) -> None:
        run(directory)
        result = run(directory)
        assert len(result.trials) == TRIALS
        agrees(directory, result)

    with_files(check, **{file.partition(".")[0]: b"".join(encoded)})


def test_a_log_without_checksums_is_gone_on_with(tmp_path: Path) -> None:
    for file, content in finished().items():
        lines = [json.loads(line) for line in content.splitlines()]
        for line in lines:
            del line["crc32"]
            line.pop("begun", None)
        if file == "observations.jsonl":
            del lines[1]
        (tmp_path / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
    device = PretendDevice(smooth_latency(0, LAYERS))
    assert len(run(tmp_path, device=device).trials) == TRIALS
    assert not device.jobs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", *FILES]


def test_a_study_that_contradicts_the_observations_gives_way(tmp_path: Path) -> None:
    first = run(tmp_path)
    path = tmp_path / "study.journal"
    lines = list(JournalReader(path).read().values)
    changed = next(line for line in lines if line.get("intermediate_value"))
    changed["intermediate_value"] = 0.001
    path.unlink()
    JournalWriter(path).append(lines)
    shutil.copy(path, tmp_path / "wrong")
    device = PretendDevice(smooth_latency(0, LAYERS))
    result = run(tmp_path, device=device)
    assert not any(job.kind == "profile" for job in device.jobs)
    assert [(t.plan, t.total_ms, t.state, t.reason) for t in result.trials] == [
        (t.plan, t.total_ms, t.state, t.reason) for t in first.trials
    ]
    agrees(tmp_path, result)
    assert (tmp_path / "study.journal.1").read_bytes() == (tmp_path / "wrong").read_bytes()


def test_files_of_an_earlier_version_are_set_aside_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(EARLIER, tmp_path, dirs_exist_ok=True)
    result = run(tmp_path)
    for file in FILES:
        assert f"{file} was written by an earlier version of ellopt, and is set aside" in caplog.text
        assert (tmp_path / f"{file}.1").read_bytes() == (EARLIER / file).read_bytes()
    assert len(result.trials) == TRIALS
    agrees(tmp_path, result)
