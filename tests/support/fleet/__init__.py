"""A Dask scheduler, workers and clients in processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.support.paths import module_command, module_environment
from tests.support.patience import eventually
from tests.support.processes import free_port, wait_until_listening

#: A worker that says nothing is given up after so many seconds.
TTL = 5


class ProcessFleet:
    """Everything that was started ends with the ``with``. ``folder``: logs, and a folder a board."""

    def __init__(self, folder: Path, *scheduler: str) -> None:
        self.folder, self._scheduler_arguments = folder, scheduler
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> ProcessFleet:
        self.start_scheduler()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self.processes):
            self.kill(name)

    def start_scheduler(self) -> None:
        self.start(
            "scheduler", [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
                          str(self.port), "--no-dashboard", "--no-show", *self._scheduler_arguments],
            DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=f"{TTL}s", DASK_DISTRIBUTED__ADMIN__TICK__LIMIT="30s",
        )  # fmt: skip
        wait_until_listening("127.0.0.1", self.port, 60)

    def start_worker(self, name: str, *arguments: str, **environment: str) -> None:
        """``ellopt worker`` with recorded boards, see ``recorded_worker``."""
        command = module_command(
            "fleet.recorded_worker", self.folder / "boards", "--scheduler", self.address, "--name", name,
            "--verbosity", "INFO", *arguments,
        )  # fmt: skip
        self.start(name, command, **environment)

    def start(self, name: str, command: list[str], **environment: str) -> None:
        with (self.folder / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                env={**module_environment(), **environment},
            )  # fmt: skip

    def is_there(self, name: str) -> bool:
        """Whether the worker has come to the scheduler, after its last start."""
        return "at the scheduler" in self.log(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            if number == signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
        return process.wait(30)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.processes[name].pid, number)

    def visited(self, worker: str) -> bool:
        """Whether one of the worker's boards is visited now."""
        return any((self.folder / "boards").glob(f"{worker}-*.busy"))


@contextlib.contextmanager
def process_fleet(folder: Path, *workers: str) -> Iterator[ProcessFleet]:
    """A scheduler and workers with two boards each."""
    with ProcessFleet(folder) as fleet:
        for worker in workers:
            fleet.start_worker(worker, "--target", "pi3", "--ipaddress", "one", "two")
        for worker in workers:
            assert eventually(partial(fleet.is_there, worker), 120), fleet.log(worker)
        yield fleet
