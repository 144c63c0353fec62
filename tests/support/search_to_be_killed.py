"""A search that a test kills: announces each trial on standard output after it was told of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ellopt.core.samples import PlanSamples
from ellopt.core.trial import TrialReport
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.search.driver import search
from ellopt.search.observer import SearchProgress
from ellopt.search.settings import SearchSettings
from tests.support.pretend import (
    MODEL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    small_space,
    smooth_latency,
)


class Announce:
    def trial_finished(self, trial: TrialReport, samples: PlanSamples | None) -> None:
        print("trial", trial.number, json.dumps(dict(trial.plan)), flush=True)

    def trials_resumed(self, trials: Sequence[TrialReport]) -> None: ...

    def state_changed(self, progress: SearchProgress) -> None: ...


toolchain = PretendToolchain()
directory = Path(sys.argv[1])
pool = PretendPool(PretendDevice(smooth_latency(), before_run=lambda job: time.sleep(0.01)))
search(
    small_space(toolchain, (1, 2, 4, 8)),
    DeviceMeasurer(MODEL, toolchain, pool, TARGET, directory),
    SearchSettings(sampler="grid", plans_per_visit=2),
    directory,
    Announce(),
)
print("done", flush=True)
