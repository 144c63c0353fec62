"""A search that a test kills: announces each trial on standard output after it was told of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ellopt.core.trial import Trial
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.search.driver import search
from ellopt.search.observer import SearchProgress
from ellopt.search.settings import SearchSettings
from tests.support.pretend import (
    AT_ONCE,
    MODEL,
    TARGET,
    PretendDevice,
    PretendPool,
    PretendToolchain,
    small_space,
    smooth_latency,
)


class Announce:
    def trial_finished(self, trial: Trial) -> None:
        print(
            "trial",
            trial.number,
            json.dumps({node_id: str(options) for node_id, options in trial.plan.items()}),
            flush=True,
        )

    def trials_resumed(self, trials: Sequence[Trial]) -> None: ...

    def state_changed(self, progress: SearchProgress) -> None: ...


toolchain = PretendToolchain()
directory = Path(sys.argv[1])
pool = PretendPool(PretendDevice(smooth_latency(), before_run=lambda job: time.sleep(0.01)))
search(
    small_space(toolchain, (1, 2, 4, 8)),
    DeviceMeasurer(MODEL, toolchain, pool, TARGET, directory, AT_ONCE),
    SearchSettings(sampler="grid", plans_per_visit=2),
    directory,
    Announce(),
)
print("done", flush=True)
