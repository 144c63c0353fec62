"""``ellopt worker`` whose boards answer what is recorded in bundles.

The first argument is the boards' folder; the others are the command's. ``FLEET_TEST_VERSION``: the version that it says
it has; ``FLEET_TEST_SECONDS``: what a run on a board takes. A worker counts runs in its file; while there is a file
``gate``, those whose number is not below what it says end only when it goes, or when they are ended.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import ellopt
from ellopt.core.deadline import Deadline
from ellopt.core.errors import InfrastructureError
from ellopt.devices.base import DevicePool
from ellopt.devices.bundle import Bundle, Execution, Invocation
from ellopt.devices.kinds import DEVICE_KINDS, DeviceKind
from ellopt.devices.pool.fixed import FixedSource
from ellopt.devices.pool.leasing import Pace, Pool
from ellopt.devices.replay import ReplayDevice
from ellopt.devices.settings import DeviceSettings
from ellopt.devices.staging import run_here
from ellopt.targets import Target
from tests.support.executors import SITES

if version := os.environ.get("FLEET_TEST_VERSION"):
    ellopt.__version__ = version
SECONDS = float(os.environ.get("FLEET_TEST_SECONDS", "0"))
COUNTING = threading.Lock()
assert SITES == []  # what a worker has is its own


class RecordedDevice(ReplayDevice):
    """Runs bundles here; a file says so meanwhile, another that somebody was there at the same time."""

    def __init__(self, folder: Path, worker: str, address: str) -> None:
        super().__init__(self._run, address, "recorded")
        self._busy, self._shared = (folder / f"{worker}-{address}.{end}" for end in ("busy", "shared"))
        self._aborted = threading.Event()
        self._runs, self._gate = folder / f"{worker}.runs", folder / "gate"

    def abort(self) -> None:
        self._aborted.set()

    def rearm(self) -> None:
        self._aborted.clear()

    def _run(self, bundle: Bundle, invocation: Invocation, deadline: Deadline) -> Execution:
        try:
            self._busy.touch(exist_ok=False)
        except FileExistsError:
            if self._busy.read_text() == str(os.getpid()):
                self._shared.touch()
        self._busy.write_text(str(os.getpid()))
        try:
            with COUNTING:
                number = self._runs.stat().st_size if self._runs.exists() else 0
                with self._runs.open("a") as file:
                    file.write("x")
            stopped = self._aborted.wait(SECONDS)
            while not stopped and self._gate.exists() and number >= int(self._gate.read_text()):
                stopped = self._aborted.wait(0.05)
            if stopped:
                raise InfrastructureError("stopped")
            return run_here(bundle, invocation, deadline)
        finally:
            self._busy.unlink(missing_ok=True)


@contextmanager
def _open(folder: Path, worker: str, settings: DeviceSettings) -> Iterator[Pool]:
    devices = [RecordedDevice(folder, worker, address) for address in settings.addresses]
    with Pool(FixedSource(devices), len(devices), settings.board_timeout, Pace(first_rest=0.2, longest_rest=1)) as pool:
        yield pool


if __name__ == "__main__":
    from ellopt.cli.main import main

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    worker = sys.argv[sys.argv.index("--name") + 1]

    def open_recorded(
        settings: DeviceSettings, target: Target, pace: Pace | None
    ) -> AbstractContextManager[DevicePool]:
        return _open(folder, worker, settings)

    DEVICE_KINDS.insert(0, DeviceKind("recorded", lambda settings, target: bool(settings.addresses), open_recorded))
    sys.exit(main(["worker", *sys.argv[2:]]))
