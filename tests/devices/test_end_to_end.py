"""The command itself: emulated here, over SSH and through a cluster service, with the same files in the end; what is
held is released when it is interrupted; and no secret is anywhere."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ellopt.core.errors import ConfigurationError
from ellopt.devices.emulator import find_qemu
from ellopt.targets import find_target
from tests.support.devices.boards import PASSWORD, Board
from tests.support.devices.bundles import leftovers, short_directory
from tests.support.devices.cluster import API_KEY, ClusterService
from tests.support.devices.openssh import openssh_server
from tests.support.paths import TINY
from tests.support.patience import SOON
from tests.support.processes import processes_in

SECRETS = (PASSWORD, API_KEY)
FILES = ("tiny16_options.ell", "compile_options.json", "compile_switches.txt")


@pytest.fixture(scope="module", autouse=True)
def _qemu() -> None:
    try:
        find_qemu(find_target("pi3"))
    except ConfigurationError as error:
        pytest.skip(f"{error} (Debian package qemu-user)")


class Client:
    """Runs the command with a home, a store and secrets of its own, and watches every process's arguments."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "home").mkdir()
        (root / "work").mkdir()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RPI_", "MLFLOW_"))},
            "HOME": str(root / "home"),
            "XDG_CONFIG_HOME": str(root / "home" / "config"),
            "XDG_STATE_HOME": str(root / "home" / "state"),
            "XDG_CACHE_HOME": str(root / "home" / "cache"),
            "ELLOPT_STORE": str(root / "home" / "measurements.sqlite"),
            "RPI_PASSWORD": PASSWORD,
            "RPI_APIKEY": API_KEY,
        }
        if (zig := Path("~/.cache/zig").expanduser()).is_dir():
            self.environment.setdefault("ZIG_GLOBAL_CACHE_DIR", str(zig))  # the C library is built once
        self.seen: set[str] = set()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ellopt", "optimize", "--model_path", str(TINY), "--options", "quick"]
        command += [
            "--temp_dir",
            str(self.root / "temp"),
            "--target",
            "pi3",
            "--emulate",
            "--sampler",
            "grid",
            "--trials",
            "4",
            "--verbosity",
            "DEBUG",
        ]
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.root / "work",
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop,), daemon=True)
        watcher.start()
        output, _ = process.communicate(timeout=400)
        stop.set()
        watcher.join()
        assert process.returncode == 0, output
        assert "emulated: this checks that the code computes the right thing; times will not choose" in output
        return output

    def _watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.02):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    with contextlib.suppress(OSError):
                        self.seen.add((entry / "cmdline").read_text(errors="replace"))


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board("127.0.0.1", tmp_path / "board")
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "known_hosts").write_text(made.known_hosts_line())
    yield made
    made.close()


def outputs(directory: Path) -> dict[str, bytes]:
    return {name: (directory / "tiny16" / name).read_bytes() for name in FILES}


def test_the_same_files_wherever_it_runs(client: Client, board: Board, tmp_path: Path) -> None:
    out = tmp_path / "out"
    client.run("-o", str(out), "--no_mlflow")
    wanted = outputs(out)

    def again() -> Path:
        """The same output path: it is written into compile_switches.txt."""
        out.rename(tmp_path / f"out-{time.monotonic_ns()}")
        return out

    with short_directory() as folder, openssh_server(folder) as server:
        text = server.known_hosts.read_text() + board.known_hosts_line()
        (tmp_path / "home" / ".ssh" / "known_hosts").write_text(text)
        again()
        client.environment.pop("RPI_PASSWORD")
        address = f"{server.host}:{server.port}"
        client.run(
            "-o", str(out), "--ipaddress", address, "--username", server.user, "--key_file", str(server.user_key)
        )
        assert outputs(out) == wanted
        assert leftovers(folder / "board") == []
        assert processes_in(folder) == []

    again()
    client.environment["RPI_PASSWORD"] = PASSWORD
    with ClusterService([board.host]) as service:
        printed = client.run(
            "-o", str(out), "--cluster", service.url, "--ssh_port", str(board.port), "--logfile", str(tmp_path / "log")
        )
        assert service.locked == []
        assert ("POST", "/api/lock") in service.requests
    assert outputs(out) == wanted
    assert leftovers(board.directory) == []

    for secret in SECRETS:
        assert secret not in printed
        assert not [line for line in client.seen if secret in line], "in the arguments of a process"
        for path in tmp_path.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert secret.encode() not in path.read_bytes(), path
    assert (tmp_path / "log").stat().st_size > 0
    assert list((tmp_path / "work").rglob("*.db")), "what tracking has stored was searched too"


@pytest.mark.parametrize(
    ("number", "boards"),
    [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGHUP, 1), (signal.SIGINT, 1), (signal.SIGINT, 2)],
)
def test_an_interrupted_run_releases_what_it_holds(
    client: Client, board: Board, tmp_path: Path, number: signal.Signals, boards: int
) -> None:
    hosts = [board.host]
    if boards == 2:
        other = Board("127.0.0.2", board.directory / "other", board.port)
        with (tmp_path / "home" / ".ssh" / "known_hosts").open("a") as file:
            file.write(other.known_hosts_line())
        hosts.append(other.host)
    with ClusterService(hosts) as service:
        process = client.start(
            *("-o", str(tmp_path / "out"), "--no_mlflow", "--cluster", service.url, "--ssh_port", str(board.port)),
            *("--sampler", "random", "--trials", "1000"),  # so that it is not over before the signal comes
        )
        end = time.monotonic() + 300
        while not processes_in(board.directory) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        for host in service.locked:
            assert service.machines[host]["CurrentTaskName"] == "ellopt: tiny16 for pi3, up to 1000 trials"
        assert service.locked
        started = time.monotonic()
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 128 + number, output
        assert time.monotonic() - started < SOON
        assert service.locked == []
    assert leftovers(board.directory) == []
    assert processes_in(board.directory) == []
    assert not list((tmp_path / "home" / "state").rglob("*.json"))
