"""A search on a fleet's recorded boards; a test kills it and starts it again. Arguments: folder, scheduler, seed."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from ellopt.core.settings import OwnGroups
from ellopt.measure.executors.dask.pool import open_pool
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from tests.support.devices.recorded import RecordedToolchain, Smooth
from tests.support.pretend import MODEL, TARGET, small_space

if __name__ == "__main__":
    directory, scheduler, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=directory.with_suffix(".log"), level=logging.INFO)
    toolchain = RecordedToolchain(latency=Smooth(seed))
    space = small_space(toolchain, (1, 4))
    fleet = FleetSettings(scheduler)
    with open_pool(fleet, TARGET, 60) as pool:
        measurer = DeviceMeasurer(
            MODEL, toolchain, pool, TARGET, directory / "bundles",
            MeasureSettings(visit_spacing=0.0, attempts=20, disturbed_attempts=1, own=OwnGroups(fleet)),
        )  # fmt: skip
        result = search(space, measurer, SearchSettings(sampler="grid", plans_per_visit=1), directory)
        plan = result.evidence.best_plan()
        assert plan is not None
        found = {
            "best": {node_id: str(options) for node_id, options in plan.items()},
            "retries": pool.report().retries,
            "set_aside": dict(pool.report().set_aside),
            "devices": sorted(result.boards.boards),
        }
        (directory / "result.json").write_text(json.dumps(found))
