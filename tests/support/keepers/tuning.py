"""A search, and the files that are written when it has ended."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from ellopt.core.trial import Trial
from ellopt.frontends.ell.read import read_model
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.report.document import TuningReport
from ellopt.report.html import render
from ellopt.search.driver import search
from ellopt.search.observer import Silent
from ellopt.search.settings import SearchSettings
from ellopt.space.options_file import read_compile_options
from ellopt.toolchains.native.toolchain import NativeToolchain
from tests.support.crashes import Announce
from tests.support.keepers.base import Keeper
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
from tests.support.tuning import TINY, tuned


class _Announcing(Silent):
    """Announces trials; ``resumed`` are those that were found, ``finished`` those that came."""

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self.resumed: set[str] = set()
        self.finished: set[str] = set()

    def trial_finished(self, trial: Trial) -> None:
        self.finished.add(_said(trial))
        self._announce(_said(trial))

    def trials_resumed(self, trials: Sequence[Trial]) -> None:
        self.resumed |= set(map(_said, trials))


def _said(trial: Trial) -> str:
    plan = {node_id: str(options) for node_id, options in trial.plan.items()}
    return json.dumps([trial.number, trial.state, trial.total_ms, plan])


class SearchKeeper(Keeper):
    """Observations and study of a search."""

    def work(self, place: Path, announce: Announce) -> None:
        self._run(place, _Announcing(announce))

    def kept(self, place: Path) -> set[str]:
        return self.go_on(place)[0]

    def go_on(self, place: Path) -> tuple[set[str], object]:
        self._run(place, observer := _Announcing(lambda fact: None))
        trials = [json.loads(fact) for fact in observer.resumed | observer.finished]
        assert sorted(number for number, *_ in trials) == list(range(len(trials)))
        # Half of a visit may be there: what is left to try is then combined to other plans.
        tried = {(layer, text) for *_, plan in trials for layer, text in plan.items()}
        return observer.resumed, (tried, list(place.rglob("*.damaged")))

    @staticmethod
    def _run(place: Path, observer: _Announcing) -> None:
        toolchain = PretendToolchain(SMALL[:2])
        space = small_space(toolchain, (1,), ("simple", "unrolled"))
        wrong = frozenset({space.layers[1].variants[-1]})
        pool = PretendPool(PretendDevice(smooth_latency(), wrong=wrong))
        measurer = DeviceMeasurer(
            MODEL, toolchain, pool, TARGET, place / "search", MeasureSettings(), sleep=lambda seconds: None
        )  # fmt: skip
        settings = SearchSettings(sampler="grid", plans_per_visit=2)
        search(space, measurer, settings, place / "search", observer)


class OutputKeeper(Keeper):
    """The tuned model and all that lies beside it. The search behind it has ended."""

    afresh = False

    def prepare(self, place: Path) -> None:
        shutil.copytree(_searched().name, place)

    def work(self, place: Path, announce: Announce) -> None:
        report = _tuned(place / "out")
        for name in report.files:
            announce(name)

    def kept(self, place: Path) -> set[str]:
        readers: dict[str, Callable[[Path], object]] = {
            "tiny16_options.ell": read_model,
            "compile_options.json": read_compile_options,
            "compile_switches.txt": lambda path: _require(path.read_text().startswith("-imap")),
            "tuning_report.json": TuningReport.load,
            "tuning_report.html": lambda path: _require(path.read_text().rstrip().endswith("</html>")),
        }
        found = {name for name in readers if (place / "out" / name).exists()}
        for name in found:
            readers[name](place / "out" / name)
        return found

    def whole(self, place: Path) -> object:
        report = TuningReport.load(place / "out" / "tuning_report.json")
        assert render(report)
        chosen = json.loads((place / "out" / "compile_options.json").read_text())
        return self.kept(place), chosen, len(report.trials)


def _require(holds: bool) -> None:
    assert holds


def _tuned(output: Path) -> TuningReport:
    device = PretendDevice(smooth_latency(3, NativeToolchain().layers(read_model(TINY))))
    return tuned(TINY, output, device, "grid", trials=2)


@cache
def _searched() -> tempfile.TemporaryDirectory[str]:
    """A place where a search has ended and nothing was written."""
    place = tempfile.TemporaryDirectory(prefix="ellopt-searched-")
    output = Path(place.name) / "out"
    for name in _tuned(output).files:
        (output / name).unlink()
    return place
