"""``ellopt worker`` with the boards of a cluster service, less patient. The secrets are in the environment."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from ellopt.cli.termination import Terminated, terminable
from ellopt.devices.cluster import client as cluster
from ellopt.devices.pool.leasing import Pace
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.ssh import device as ssh_device
from ellopt.devices.ssh import remote
from ellopt.measure.executors.dask.offered import WorkerSettings
from ellopt.measure.executors.dask.settings import FleetSettings
from ellopt.measure.executors.dask.worker import run_worker

remote.HEARTBEAT, remote.SILENCE, ssh_device.STEP_SECONDS = 1, 3, 4.0
cluster.CALL_SECONDS = 10.0
# Boards keep to their own directories: the others are this machine's, and a board that dies leaves its files.
remote.COMMON_SCRIPT = remote.COMMON_SCRIPT.replace("/tmp ", "").replace(" /dev/shm /var/tmp", "")
PACE = Pace(first_rest=0.2, longest_rest=3.0, shortest_pause=0.05, longest_pause=0.5, connect=15.0)

if __name__ == "__main__":
    scheduler, url, port, known_hosts, state = sys.argv[1:]
    logging.basicConfig(level=logging.INFO)
    devices = DeviceSettings(
        cluster=url, apikey=os.environ["RPI_APIKEY"], password=os.environ["RPI_PASSWORD"], ssh_port=int(port),
        known_hosts=Path(known_hosts), state_directory=Path(state), board_timeout=60, job_name="fleet",
    )  # fmt: skip
    try:
        with terminable():
            run_worker(WorkerSettings("pi3", name="site"), devices, FleetSettings(scheduler), PACE)
    except Terminated as end:
        sys.exit(end.exit_code)
