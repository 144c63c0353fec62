"""A search over boards that misbehave; a test kills it and starts it again. The secrets are in the environment."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from ellopt.devices.base import DevicePool
from ellopt.devices.cluster import client as cluster
from ellopt.devices.open import open_pool
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.replay import ReplayPool
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.ssh import device as ssh_device
from ellopt.devices.ssh import remote
from ellopt.devices.staging import run_here
from ellopt.measure.measurer import DeviceMeasurer
from ellopt.measure.settings import MeasureSettings
from ellopt.search.driver import search
from ellopt.search.settings import SearchSettings
from tests.support.devices.recorded import RecordedToolchain
from tests.support.pretend import MODEL, TARGET, small_space, smooth_latency

# Everything that waits, waits less.
remote.HEARTBEAT, remote.SILENCE, ssh_device.STEP_SECONDS = 1, 3, 4.0
cluster.CALL_SECONDS = 10.0
# Boards keep to their own directories: the others are this machine's, and a board that dies leaves its files.
remote.COMMON_SCRIPT = remote.COMMON_SCRIPT.replace("/tmp ", "").replace(" /dev/shm /var/tmp", "")
PACE = Pace(first_rest=0.2, longest_rest=3.0, shortest_pause=0.05, longest_pause=0.5, connect=15.0)

directory = Path(sys.argv[1])
logging.basicConfig(filename=directory.with_suffix(".log"), level=logging.DEBUG)
toolchain = RecordedToolchain(latency=smooth_latency(), ballast=200_000)
space = small_space(toolchain, (1, 2, 4, 8))
opened: AbstractContextManager[DevicePool]
if len(sys.argv) == 2:
    opened = ReplayPool(run_here, count=2)
else:
    settings = DeviceSettings(
        cluster=sys.argv[2],
        apikey=os.environ["RPI_APIKEY"],
        password=os.environ["RPI_PASSWORD"],
        ssh_port=int(sys.argv[3]),
        known_hosts=Path(sys.argv[4]),
        state_directory=Path(sys.argv[5]),
        board_timeout=60,
        job_name="faults",
    )
    opened = open_pool(settings, TARGET, PACE)
with opened as pool:
    measurer = DeviceMeasurer(
        MODEL,
        toolchain,
        pool,
        TARGET,
        directory / "bundles",
        MeasureSettings(visit_spacing=0.0, attempts=20, disturbed_attempts=1),
    )
    result = search(space, measurer, SearchSettings(sampler="grid", plans_per_visit=1), directory)
    plan = result.evidence.best_plan()
    assert plan is not None
    best = {node_id: str(options) for node_id, options in plan.items()}
    report = pool.report()
    (directory / "result.json").write_text(
        json.dumps({"best": best, "retries": report.retries, "set_aside": dict(report.set_aside)})
    )
assert not [t for t in threading.enumerate() if t.name.startswith("visit")]
