"""Models that are tuned as a whole, here or at workers of a fleet, with recorded latencies.

Run as a program it tunes them at workers: arguments are a folder for the output and the scheduler.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ellopt.app.config import ModelSettings, TuningConfig
from ellopt.app.sent_tunings import SentTunings
from ellopt.app.shared import SharedParts
from ellopt.app.tune_model import tune_model
from ellopt.core.settings import OwnGroups
from ellopt.core.trial import Trial
from ellopt.devices.base import DevicePool
from ellopt.frontends.base import read_model
from ellopt.frontends.discover import ModelFile
from ellopt.measure.executors.dask.pool import open_pool
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.settings import MeasureSettings
from ellopt.report.document import TuningReport
from ellopt.search.observer import Silent
from ellopt.search.settings import SearchSettings
from ellopt.space.space import SearchSpace
from ellopt.toolchains.registry import make_toolchain
from ellopt.tracking import ModelStart, ModelTracker, NullTracker
from tests.support.devices.recorded import Hashed, RecordedToolchain
from tests.support.paths import TINY
from tests.support.pretend import TARGET

TAGS = ("first", "second")
#: what a client must never send to a worker
SECRET = "of-the-client-alone"


class WrittenTracker(NullTracker):
    """Writes down what it is told: a line a trial that ended, with the model's tag."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start_model(self, start: ModelStart) -> ModelTracker:
        return _Written(self._path, start.tag)


class _Written(ModelTracker):
    def __init__(self, path: Path, tag: str) -> None:
        self._path, self._tag = path, tag

    def trial_finished(self, trial: Trial, files: Mapping[str, str] | None = None) -> None:
        self._write(f"finished {trial.number} {trial.plan}")

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._write(f"resumed {trial.number} {trial.plan}")

    def _write(self, text: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{self._tag} {text}\n")


def parts(folder: Path, pool: DevicePool, own: OwnGroups, sent_tunings: SentTunings | None) -> SharedParts:
    model = read_model(TINY)
    config = TuningConfig(
        ModelSettings(TINY, folder),
        measure=MeasureSettings(visit_spacing=0.0, disturbed_attempts=1, attempts=20, own=own),
        search=SearchSettings(sampler="grid", plans_per_visit=1, warm_start=False, store=str(folder / SECRET)),
    )
    layers = make_toolchain(config.build, config.toolchains, TARGET).layers(model)
    toolchain = RecordedToolchain(model_layers=layers, latency=Hashed(1))
    space = SearchSpace("recorded.json", ("simple", "unrolled", "winograd"), (True, False), (1, 4))
    tracker = WrittenTracker(folder / "tracked")
    return SharedParts(config, space, TARGET, toolchain, pool, tracker, sent_tunings=sent_tunings)


def tune_all(folder: Path, shared: SharedParts) -> dict[str, TuningReport]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [ModelFile(TINY, "tiny", tag) for tag in TAGS]

    def tune(file: ModelFile) -> TuningReport:
        return tune_model(file, folder / file.tag, shared, Silent())

    with ThreadPoolExecutor(len(files)) as threads:
        return dict(zip(TAGS, threads.map(tune, files), strict=True))


def winners(folder: Path) -> dict[str, Any]:
    """Tag -> what won each layer, from the report that was written."""
    found = {}
    for tag in TAGS:
        report = TuningReport.load(folder / tag / "tuning_report.json")
        found[tag] = {layer.node_id: str(layer.winner) for layer in report.layers}
    return found


if __name__ == "__main__":
    directory, scheduler = Path(sys.argv[1]), sys.argv[2]
    logging.basicConfig(level=logging.INFO)
    fleet = FleetSettings(scheduler)
    with open_pool(fleet, TARGET, 120) as boards:
        shared = parts(directory, boards, OwnGroups(fleet), SentTunings(boards))
        shared = replace(shared, config=replace(shared.config, devices=replace(shared.config.devices, password=SECRET)))
        tune_all(directory, shared)
    print(json.dumps(winners(directory)))
